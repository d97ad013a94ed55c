"""Build backend: setuptools, plus the library of kernels, plus the import hook of an editable install.

The library is compiled by rlcli/kernels/build.py, with the ziglang wheel where there is no C compiler. A
wheel contains it and is then one of this platform; an editable install has it beside its sources. Where it
cannot be built, rlcli is installed without. An editable wheel gains two files that pip installs and
uninstalls with the others: the hook of editable_guard.py as a module, and the `.pth` file that starts it.
"""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import sys
import sysconfig
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from setuptools import build_meta
from setuptools.build_meta import (
    build_sdist,
    get_requires_for_build_sdist,
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
BUILD = Path(__file__).parents[1] / "rlcli" / "kernels" / "build.py"
LIBRARY = "rlcli/kernels/kernels.so"
"""The library's place in a wheel."""


def get_requires_for_build_wheel(config_settings: dict[str, Any] | None = None) -> list[str]:
    """What a wheel's build needs beside setuptools: a compiler, where there is none."""
    return [*build_meta.get_requires_for_build_wheel(config_settings), *kernels().needs()]


def get_requires_for_build_editable(config_settings: dict[str, Any] | None = None) -> list[str]:
    """As for a wheel."""
    return [*build_meta.get_requires_for_build_editable(config_settings), *kernels().needs()]


def build_wheel(
    wheel_directory: str,
    config_settings: dict[str, Any] | None = None,
    metadata_directory: str | None = None,
) -> str:
    """File name of the wheel, with the library where it can be built."""
    wheel = Path(
        wheel_directory, build_meta.build_wheel(wheel_directory, config_settings, metadata_directory)
    )
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder, "kernels.so")
        if not built(library):
            return wheel.name
        content = library.read_bytes()
    platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
    target = wheel.with_name(wheel.name.replace("-none-any.whl", f"-none-{platform}.whl"))
    rewrite(wheel, {LIBRARY: content}, platform)
    wheel.rename(target)
    return target.name


def build_editable(
    wheel_directory: str,
    config_settings: dict[str, Any] | None = None,
    metadata_directory: str | None = None,
) -> str:
    """File name of the editable wheel, with the import hook; the library is built beside its sources."""
    if not kernels().is_current():
        built(kernels().LIBRARY)
    name = build_meta.build_editable(wheel_directory, config_settings, metadata_directory)
    start = f"import {MODULE}; {MODULE}.install()\n"
    files = {f"{MODULE}.py": GUARD.read_bytes(), "__editable__.rlcli_guard.pth": start.encode()}
    rewrite(Path(wheel_directory, name), files)
    return name


def kernels() -> ModuleType:
    """The module that builds the library; rlcli itself is not imported."""
    spec = importlib.util.spec_from_file_location("rlcli_kernels_build", BUILD)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def built(target: Path) -> bool:
    """Whether the library could be built; if not, a sentence on stderr says why."""
    module = kernels()
    try:
        module.build(target)
    except (module.BuildError, OSError) as error:
        print(module.notice(error), file=sys.stderr)  # noqa: T201
        return False
    return True


def rewrite(wheel: Path, files: Mapping[str, bytes], platform: str | None = None) -> None:
    """Writes the wheel anew with further files and a new RECORD; with `platform`, as a wheel of it."""
    with zipfile.ZipFile(wheel) as old:
        entries = {name: old.read(name) for name in old.namelist()} | dict(files)
    (record,) = (name for name in entries if name.endswith(".dist-info/RECORD"))
    if platform is not None:
        about = record.replace("RECORD", "WHEEL")
        text = entries[about].decode().replace("Root-Is-Purelib: true", "Root-Is-Purelib: false")
        entries[about] = text.replace("-none-any", f"-none-{platform}").encode()
    del entries[record]
    lines = [*(record_line(name, content) for name, content in entries.items()), f"{record},,\n"]
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as new:
        for name, content in {**entries, record: "".join(lines).encode()}.items():
            new.writestr(name, content)


def record_line(name: str, content: bytes) -> str:
    """A line of RECORD: name, digest and size of a file."""
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
    return f"{name},sha256={digest},{len(content)}\n"
