"""Build backend: setuptools, whose editable install gains the import hook of editable_guard.py.

Wheels and sdists are setuptools' own. An editable wheel is opened once more, and two files are added that pip
installs and uninstalls with the others: the hook as a module, and the `.pth` file that starts it.
"""

from __future__ import annotations

import base64
import hashlib
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from setuptools import build_meta
from setuptools.build_meta import (
    build_sdist,
    build_wheel,
    get_requires_for_build_editable,
    get_requires_for_build_sdist,
    get_requires_for_build_wheel,
    prepare_metadata_for_build_editable,
    prepare_metadata_for_build_wheel,
)

__all__ = [
    "build_editable",
    "build_sdist",
    "build_wheel",
    "get_requires_for_build_editable",
    "get_requires_for_build_sdist",
    "get_requires_for_build_wheel",
    "prepare_metadata_for_build_editable",
    "prepare_metadata_for_build_wheel",
]

GUARD = Path(__file__).with_name("editable_guard.py")
MODULE = "__editable___rlcli_guard"
"""Name of the installed hook: tools recognise hooks of editable installs by how their names begin."""


def build_editable(
    wheel_directory: str,
    config_settings: dict[str, Any] | None = None,
    metadata_directory: str | None = None,
) -> str:
    """File name of the editable wheel, with the import hook."""
    name = build_meta.build_editable(wheel_directory, config_settings, metadata_directory)
    start = f"import {MODULE}; {MODULE}.install()\n"
    add_files(
        Path(wheel_directory, name),
        {f"{MODULE}.py": GUARD.read_bytes(), "__editable__.rlcli_guard.pth": start.encode()},
    )
    return name


def add_files(wheel: Path, files: Mapping[str, bytes]) -> None:
    """Writes the wheel anew with further files, listed in its RECORD."""
    with zipfile.ZipFile(wheel) as old:
        entries = {name: old.read(name) for name in old.namelist()}
    (record,) = (name for name in entries if name.endswith(".dist-info/RECORD"))
    entries[record] += "".join(record_line(name, content) for name, content in files.items()).encode()
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as new:
        for name, content in {**files, **entries}.items():
            new.writestr(name, content)


def record_line(name: str, content: bytes) -> str:
    """A line of RECORD: name, digest and size of a file."""
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
    return f"{name},sha256={digest},{len(content)}\n"
