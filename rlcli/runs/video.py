"""Videos of a run's evaluations: `<run>/videos/eval-<update>-<what>-<return>.mp4`.

An evaluation keeps the actions of the episodes that are filmed, and each is replayed afterwards in
Gymnasium's environment, whatever stepped the evaluation: its figures are the same with and without videos.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
from pathlib import Path
from typing import Any

import numpy as np

from rlcli.collect.tape import OTHER, Tape, Taped
from rlcli.config.schema.env import EnvConfig
from rlcli.envs.pictures import Frame, check_drawn, replay
from rlcli.envs.spec import ActionSpec
from rlcli.errors import RlcliError, UserError
from rlcli.extras import extra_command
from rlcli.plain import make_folder, storage_error

FOLDER = "videos"
BY_DEFAULT = 2
"""Episodes filmed at an evaluation of training: the best and the worst."""
QUALITY = 7
"""Of ffmpeg's encoder, 1 to 10."""


def check_filmed(config: EnvConfig) -> None:
    """Raises `UserError` where videos of an environment cannot be made."""
    if importlib.util.find_spec("imageio_ffmpeg") is None:
        raise UserError(
            "Videos need the package imageio-ffmpeg, which is not installed.",
            hint=f"Install it with: {extra_command('video')}",
        )
    check_drawn(config)


def film(run_dir: Path, update: int, tape: Tape, config: EnvConfig, action: ActionSpec) -> list[Path]:
    """Writes the videos of an evaluation's episodes.

    Raises:
        UserError: the environment cannot be drawn.
        RlcliError: it failed, or an episode did not repeat itself.
        StorageError: a video cannot be written.
    """
    folder = run_dir / FOLDER
    make_folder(folder)
    written = []
    for what, taped in tape.chosen():
        path = folder / f"{name(update, what, taped)}.mp4"
        _film(path, taped, config, action)
        written.append(path)
    return written


def name(update: int, what: str, taped: Taped) -> str:
    """`eval-40-best-187.5`, or `eval-40-episode-3-187.5`: the return with at most two decimals."""
    number = f"-{taped.episode}" if what == OTHER else ""
    total = f"{taped.total:.2f}".rstrip("0").rstrip(".")
    return f"eval-{update}-{what}{number}-{'0' if total == '-0' else total}"


def _film(path: Path, taped: Taped, config: EnvConfig, action: ActionSpec) -> None:
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.mp4")
    total, writer = 0.0, None
    try:
        for pace, (frame, total) in replay(config, action, taped.seed, taped.actions):  # noqa: B007
            if writer is None:
                height, width = even(frame).shape[:2]
                writer = _writer(temporary, (width, height), pace)
            writer.send(np.ascontiguousarray(even(frame)))
        if total != taped.total:
            raise RlcliError(
                f"{config.id}: episode {taped.episode} of the evaluation had return {taped.total:g}, and its "
                f"replay {total:g}: it does not repeat its episodes, so there is no video of it."
            )
        if writer is not None:
            writer.close()
            writer = None
            temporary.replace(path)
    except OSError as error:
        raise storage_error(path, error) from error
    finally:
        if writer is not None:
            with contextlib.suppress(Exception):
                writer.close()
        temporary.unlink(missing_ok=True)


def _writer(path: Path, size: tuple[int, int], pace: Any) -> Any:
    import imageio_ffmpeg

    writer = imageio_ffmpeg.write_frames(
        path, size, fps=pace, quality=QUALITY, macro_block_size=1, ffmpeg_log_level="error"
    )
    writer.send(None)
    return writer


def even(frame: Frame) -> Frame:
    """The picture with its last row and column repeated where their numbers are odd, as encoders need it."""
    height, width = frame.shape[:2]
    if height % 2 == width % 2 == 0:
        return frame
    return np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
