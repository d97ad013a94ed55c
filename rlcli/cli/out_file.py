"""The file that `--out` names: refused before anything is computed where it cannot be written."""

from __future__ import annotations

import importlib.util
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rlcli.errors import UserError, nearest

PICTURES = (".png", ".svg", ".pdf")
"""Endings of pictures."""


def check_out(out: Path, endings: Sequence[str] = ()) -> None:
    """Check that a file can be written; its name may have any ending where `endings` is empty.

    Raises:
        UserError: it cannot.
    """
    if out.is_dir():
        raise UserError(f"--out {out}: it is a folder.", hint=f"Name a file in it: --out {out / 'FILE'}")
    if not out.parent.is_dir():
        raise UserError(f"--out {out}: there is no folder {out.parent}.", hint="Make it, or choose another.")
    if endings and out.suffix.lower() not in endings:
        near = nearest(out.suffix.lower(), endings)
        meant = f" Did you mean {out.with_suffix(near[0])}?" if near else ""
        raise UserError(f"--out {out}: the name has to end in {', '.join(endings)}.{meant}")
    _check_writable(out.parent, out)


def check_picture(out: Path) -> None:
    """Check that a picture can be drawn and written.

    Raises:
        UserError: it cannot.
    """
    from rlcli.extras import extra_command

    check_out(out, PICTURES)
    if importlib.util.find_spec("matplotlib") is None:
        raise UserError("--out needs matplotlib.", hint=f"Install it: {extra_command('plots')}")


def check_out_folder(out: Path) -> None:
    """Check that a new folder can be made, with those above it that do not exist.

    Raises:
        UserError: it cannot.
    """
    there = next(folder for folder in out.absolute().parents if folder.exists())
    if not there.is_dir():
        raise UserError(f"--out {out}: {there} is not a folder.")
    _check_writable(there, out)


def _check_writable(folder: Path, out: Path) -> None:
    """Writes a file without a name: permissions alone do not say whether a file system takes files."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UserError(
            f"--out {out}: the folder {folder.absolute()} cannot be written to: {error.strerror or error}.",
            hint="Choose another with --out.",
        ) from error
