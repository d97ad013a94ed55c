"""Random draws that are derived, not carried.

Each draw has its own generator, seeded by hash(run seed, stream, indices). No generator outlives an update,
so an early exit shifts nothing and a new stream renumbers nothing.
"""

from __future__ import annotations

import hashlib

import torch


def derive(seed: int, stream: str, *indices: int) -> int:
    """A seed in [0, 2^63) that depends on the run's seed, the stream's name and the indices alone."""
    words = "/".join((str(seed), stream, *map(str, indices)))
    digest = hashlib.blake2b(words.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def environment_seed(seed: int, stream: str, *indices: int) -> int:
    """As `derive`, in [0, 2^31): what every environment accepts at reset."""
    return derive(seed, stream, *indices) >> 32


def generator(seed: int, stream: str, *indices: int) -> torch.Generator:
    """A CPU generator for one draw."""
    return torch.Generator().manual_seed(derive(seed, stream, *indices))
