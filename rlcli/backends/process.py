"""Process settings for training: threads, and freed memory kept for reuse."""

from __future__ import annotations

import ctypes

import torch

KEPT = 2**30
"""Bytes of freed memory that stay with the process."""
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4


def prepare(threads: int) -> None:
    """For training with so many intra-op threads.

    An update frees what the next one takes again. By default glibc hands that back to the system each time,
    and touching it anew costs a tenth of the update and more; other C libraries keep their own ways.
    """
    torch.set_num_threads(threads)
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)
    if set_option is not None:
        set_option(_TRIM_THRESHOLD, KEPT)
        set_option(_MMAP_MAX, 0)  # no array has pages of its own, to be given back with it
