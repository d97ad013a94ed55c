"""What is built from the checkout works without it: an sdist, the wheel made from it, a clean environment."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LEFT_BEHIND = {".git", ".venv", "build", "dist", "runs", "multirun", "outputs", "wandb"}
"""What lies beside the sources in a checkout that has been used."""


def left_behind(folder: str, names: list[str]) -> set[str]:
    """What a copy of the checkout leaves out: at the top what was made there, caches everywhere."""
    caches = {name for name in names if name == "__pycache__" or name.endswith((".egg-info", "_cache"))}
    return caches | (LEFT_BEHIND & set(names) if Path(folder) == ROOT else set())


def run(*command: str | Path, cwd: Path, **env: str) -> str:
    """Run a command to its end; its standard output, or a failure that shows what it wrote."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "RLCLI"))}
    done = subprocess.run(
        [str(word) for word in command], cwd=cwd, env=clean | env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist, and the wheel built from it (not from the checkout)."""
    source = tmp_path_factory.mktemp("source") / "checkout"
    shutil.copytree(ROOT, source, ignore=left_behind)
    out = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", out, source, cwd=out)
    return out


@pytest.fixture(scope="module")
def installed(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin folder of an environment that holds the wheel; its dependencies are borrowed from this one.

    They are borrowed through a path, which leaves the hooks of this environment's editable install asleep:
    what the wheel lacks is not found by accident.
    """
    home = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", "--without-pip", home, cwd=home)
    python = home / "bin" / "python"
    (wheel,) = built.glob("*.whl")
    run(
        sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index", wheel, cwd=home
    )
    site = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=home).strip()
    borrowed = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    Path(site, "borrowed.pth").write_text("\n".join(sorted(borrowed)) + "\n")
    return home / "bin"


def test_packages_are_the_folders() -> None:
    folders = {".".join(path.parent.relative_to(ROOT).parts) for path in (ROOT / "rlcli").rglob("*.py")}
    assert set(PROJECT["tool"]["setuptools"]["packages"]) == folders | {"rlcli.conf"}


def test_sdist_holds_the_sources(built: Path) -> None:
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {"/".join(Path(name).parts[1:]) for name in archive.getnames()}
    assert {"README.md", "LICENSE", "constraints.txt", "pyproject.toml", "conf/train.yaml"} <= names
    assert not any(name.startswith("tests/") for name in names)


def test_wheel_holds_every_module_and_config(built: Path) -> None:
    (path,) = built.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    code = {path.relative_to(ROOT).as_posix() for path in (ROOT / "rlcli").rglob("*.py")}
    configs = {f"rlcli/{path.relative_to(ROOT).as_posix()}" for path in (ROOT / "conf").rglob("*.yaml")}
    assert configs
    assert names == code | configs | {"rlcli/py.typed", "rlcli/conf/__init__.py"}


def test_installed_wheel_composes_a_config_outside_the_checkout(installed: Path, tmp_path: Path) -> None:
    where = run(installed / "python", "-c", "import rlcli; print(rlcli.__file__)", cwd=tmp_path)
    assert Path(where.strip()).is_relative_to(installed.parent)
    config = yaml.safe_load(run(installed / "rlcli", "train", "--cfg", "job", cwd=tmp_path))
    assert config["algo"]["name"] == "ppo"
    assert config["env"]["id"] == "CartPole-v1"
    assert list(tmp_path.iterdir()) == []


def test_installed_wheel_knows_its_version(installed: Path, tmp_path: Path) -> None:
    assert PROJECT["project"]["version"] in run(installed / "rlcli", "--version", cwd=tmp_path)


def pins() -> dict[str, str]:
    """The version constraints.txt gives each distribution."""
    lines = (line.split("#")[0].strip() for line in (ROOT / "constraints.txt").read_text().splitlines())
    return {
        canonicalize_name(name): version for name, version in (line.split("==") for line in lines if line)
    }


def test_constraints_satisfy_every_declared_dependency() -> None:
    declared = [*PROJECT["build-system"]["requires"], *PROJECT["project"]["dependencies"]]
    for extra in PROJECT["project"]["optional-dependencies"].values():
        declared += extra
    pinned = pins()
    for requirement in map(Requirement, declared):
        name = canonicalize_name(requirement.name)
        if name != "rlcli":
            assert name in pinned, f"{requirement} has no pin in constraints.txt"
            assert requirement.specifier.contains(pinned[name]), f"{requirement} against {pinned[name]}"


def test_pins_name_no_build() -> None:
    assert [name for name, version in pins().items() if "+" in version] == []
