"""Checkpoint file: a safetensors file whose header has its version, its metadata and its own checksum.

Nothing is pickled: tensors by name, and JSON in the header. The checksum is computed over all bytes of the
file with sixty-four zeros in its place.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from rlcli.backends.session import Checkpoint
from rlcli.config.schema.run import RunConfig
from rlcli.envs import registry
from rlcli.errors import StorageError
from rlcli.learner.model import make_model
from rlcli.nets.network import parameter_count
from rlcli.store.rows import Span
from rlcli.store.versions import refusal

VERSION = 2
UNSIGNED = "0" * 64
"""Stands in place of the checksum while it is computed."""
COPIES = 8
"""Arrays as long as the parameters: the parameters, two moments of each of three optimisers, and to spare."""
OF_A_STEP = 5
"""Numbers of one environment's step besides observations and those of its action: a reward and flags."""
SPARE = 2**26
"""Bytes for everything small."""
TYPES: dict[str, tuple[type, ...]] = {
    "version": (int,), "update": (int,), "env_steps": (int,), "number": (int,), "due": (bool,),
    "best": (int, type(None)), "best_return": (float, int, type(None)), "owed": (bool,), "rows": (int,),
    "rows_sha256": (str,),
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class About:
    """Metadata of a checkpoint: what a resumed run needs beside the state."""

    update: int
    env_steps: int
    number: int
    """As `Kept.number`."""
    due: bool
    """As `Kept.due`."""
    best: int | None
    best_return: float | None
    """As `Index.course_best` and `course_return`."""
    owed: bool
    """Whether the evaluation that was due after this update was interrupted."""
    rows: int
    rows_sha256: str
    """The span of metrics.jsonl that was written before."""

    @property
    def span(self) -> Span:
        """The rows that were written before."""
        return Span(self.rows, self.rows_sha256)


def pack(checkpoint: Checkpoint, about: About) -> bytes:
    """The file of a checkpoint."""
    return signed(checkpoint.tensors, {"version": VERSION, **dataclasses.asdict(about)})


def unpack(content: bytes, path: Path) -> tuple[Checkpoint, About]:
    """The checkpoint in the bytes of a file.

    Raises:
        StorageError: they are not what `pack` made, or of another version.
    """
    tensors, header = checked(content, path, VERSION)
    wrong = [name for name, types in TYPES.items() if not _is_one(header.get(name), types)]
    if wrong:
        raise StorageError(f"{path} is damaged: wrong values of {', '.join(wrong)}.")
    del header["version"]
    about = About(**{field.name: header[field.name] for field in dataclasses.fields(About)})
    return Checkpoint(tensors, about.update), about


def signed(tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> bytes:
    """A safetensors file with a header of plain data and its own checksum."""
    content = {**header, "sha256": UNSIGNED}
    unsigned = save(dict(tensors), metadata={"rlcli": json.dumps(content)})
    return unsigned.replace(UNSIGNED.encode(), hashlib.sha256(unsigned).hexdigest().encode(), 1)


def checked(content: bytes, path: Path, known: int) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and header of a file of version `known` that `signed` made.

    Raises:
        StorageError: it is not, or of another version.
    """
    try:
        header = _header(content)
        if (version := header["version"]) != known:
            raise StorageError(refusal(path, version, (known,)))
        checksum = header.pop("sha256")
        place = checksum.encode()
        unsigned = content.replace(place, UNSIGNED.encode(), 1) if len(place) == len(UNSIGNED) else b""
        if hashlib.sha256(unsigned).hexdigest() != checksum:
            raise StorageError(f"{path} is damaged: its content does not match its checksum.")
        return load(content), header
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise StorageError(f"{path} is damaged: {error}.") from error


def largest_checkpoint(config: RunConfig) -> int:
    """Bytes that no checkpoint of a run exceeds: eight for each number it may contain, twice over."""
    spec = registry.describe(config.env)
    inputs = spec.observation.width + spec.observation.mask_width
    outputs = 2 * (spec.action.width + sum(spec.action.sizes)) + 1
    network = make_model(config, spec).network
    memory = network.memory_width
    history = config.env.num_envs * (2 * inputs + config.env.replay_limit * spec.action.width + memory + 100)
    phases = config.algo.auxiliary_every * config.batch_size * (inputs + outputs)
    kept = (config.algo.reuse - 1) * config.batch_size * (2 * inputs + outputs + OF_A_STEP)
    policies = COPIES + config.lag + config.algo.reuse - 1
    return SPARE + 16 * (parameter_count(network) * policies + history + phases + kept)


def _is_one(value: Any, types: tuple[type, ...]) -> bool:
    """Whether a value has one of the types; numbers are finite, whole ones not negative."""
    if type(value) is float and not math.isfinite(value):
        return False
    return type(value) in types and (type(value) is not int or float in types or value >= 0)


def _header(content: bytes) -> dict[str, Any]:
    """The JSON in the header of a safetensors file; its first eight bytes are the header's length."""
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    return dict(json.loads(header["__metadata__"]["rlcli"]))
