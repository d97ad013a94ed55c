"""File of recorded episodes: a .npz archive of plain arrays, and one of JSON that says what they are.

    format        JSON: version, process (values of `runs.episodes.PROCESS`), memory (whether the network
                  has one), run, update, seed
    observations  [n, H + 1, ...]   actions     [n, H, ...]   rewards  [n, H] float64
    log_probs     [n, H] float64, of the policy that acted
    lengths       [n] int64         terminated  [n] bool

Nothing in it is executed: arrays of objects are refused, and every shape is checked.
"""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rlcli.collect.episodes import Episodes
from rlcli.errors import StorageError, UserError
from rlcli.store.files import write_atomically
from rlcli.text import as_typed

FORMAT = 2
ARRAYS = ("observations", "actions", "rewards", "log_probs", "lengths", "terminated")
ABOUT = {"version": int, "process": dict, "memory": bool, "run": str, "update": int, "seed": int}
HINT = "Record episodes: rlcli rollouts RUN --out FILE.npz"
ROUNDING = 1e-9
"""What a log-probability of a discrete action may be above 0."""
LARGEST = 4 * 2**30
"""Bytes of all arrays together that are read."""


class EpisodeFile(NamedTuple):
    """Recorded episodes and where they are from."""

    episodes: Episodes
    log_probs: npt.NDArray[np.float64]
    about: dict[str, Any]


def write_episodes(path: Path, content: EpisodeFile) -> None:
    """Writes the file, whole or not at all.

    Raises:
        StorageError: it cannot be written.
    """
    text = json.dumps({"version": FORMAT, **content.about})
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        allow_pickle=False,
        format=np.array(text),
        log_probs=content.log_probs,
        **content.episodes._asdict(),
    )
    write_atomically(path, buffer.getvalue())


def read_episodes(path: Path) -> EpisodeFile:
    """Reads a file of episodes.

    Raises:
        UserError: there is none, or it is something else.
        StorageError: it is damaged, or of another version.
    """
    if not path.is_file():
        raise UserError(f"There is no file {path}.", hint=HINT)
    lacking = _lacking(path)
    if lacking:
        raise UserError(f"{path} is not a file of episodes: it lacks {', '.join(lacking)}.", hint=HINT)
    try:
        _check_size(path)
        with np.load(path, allow_pickle=False) as archive:
            about = json.loads(str(archive["format"]))
            arrays = {name: archive[name] for name in ARRAYS}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, RecursionError) as error:
        raise StorageError(f"{path} is not a file of episodes, or it is damaged: {error}.") from error
    _check(path, about, arrays)
    log_probs = arrays.pop("log_probs")
    return EpisodeFile(Episodes(**arrays), log_probs, about)


def is_episode_file(path: Path) -> bool:
    """Whether a file is an archive with the arrays that `write_episodes` writes."""
    try:
        return not _lacking(path)
    except UserError:
        return False


def _lacking(path: Path) -> list[str]:
    """Names of arrays that an archive lacks; raises `UserError` where it is none."""
    try:
        with zipfile.ZipFile(path) as archive:
            there = archive.namelist()
    except (OSError, zipfile.BadZipFile) as error:
        text = f"{path} is not a file of episodes, or it is damaged: {error}."
        raise UserError(text.replace("..", "."), hint=HINT) from error
    return [name for name in ("format", *ARRAYS) if f"{name}.npy" not in there]


def _check_size(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        size = sum(member.file_size for member in archive.infolist())
    if size > LARGEST:
        raise StorageError(f"{path} would take {size:,} bytes of memory; at most {LARGEST:,} are read.")


def _check(path: Path, about: Any, arrays: dict[str, npt.NDArray[Any]]) -> None:
    """Raises `StorageError` unless the arrays are episodes as `write_episodes` writes them."""
    version = about.get("version") if isinstance(about, dict) else None
    if version == 1:
        raise UserError(
            f"{path} is of an earlier rlcli: it does not have the wrappers, masks and conversion of actions "
            "of its episodes.",
            hint=f"Record them anew: rlcli rollouts {as_typed(about.get('run'))} --out {as_typed(path)}",
        )
    if version != FORMAT:
        raise StorageError(f"{path} is of a version that this rlcli does not read.")
    wrong = [name for name, kind in ABOUT.items() if type(about.get(name)) is not kind]
    rewards, lengths = arrays["rewards"], arrays["lengths"]
    if rewards.ndim != 2 or rewards.shape[0] < 1 or rewards.shape[1] < 1:
        raise StorageError(f"{path} is damaged: rewards have the shape {rewards.shape}, not [n, H].")
    count, horizon = rewards.shape
    expected: dict[str, tuple[tuple[int, ...], str]] = {
        "observations": ((count, horizon + 1), "fiub"), "actions": ((count, horizon), "fiu"),
        "rewards": ((count, horizon), "f"), "log_probs": ((count, horizon), "f"),
        "lengths": ((count,), "iu"), "terminated": ((count,), "b"),
    }  # fmt: skip
    for name, (shape, kinds) in expected.items():
        found = arrays[name]
        if found.shape[: len(shape)] != shape or found.dtype.kind not in kinds:
            wrong.append(name)
        elif found.dtype.kind == "f" and not np.isfinite(found).all():
            wrong.append(f"{name} (not finite)")
    discrete = arrays["actions"].dtype.kind in "iu"
    if discrete and not wrong and (arrays["log_probs"] > ROUNDING).any():
        wrong.append("log_probs (above 0)")
    if "lengths" not in wrong and not ((lengths >= 1) & (lengths <= horizon)).all():
        wrong.append("lengths")
    if wrong:
        raise StorageError(f"{path} is damaged: wrong {', '.join(wrong)}.")
