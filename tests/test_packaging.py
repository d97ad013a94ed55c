"""What is built from the checkout works: an sdist, the wheel made from it, an editable install."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import zipfile
from importlib.metadata import Distribution, distribution
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from rlcli.kernels import build as kernels

ROOT = Path(__file__).parents[1]
PACKAGE_DATA = [
    path
    for folder in ("extend/templates", "analysis/report/templates", "analysis/compare/published")
    for path in (ROOT / "rlcli" / folder).iterdir()
]
LIBRARY = "rlcli/kernels/kernels.so"
PREBUILT = {kernels.PREBUILT: str(kernels.LIBRARY)} if kernels.is_current() else {}
"""The library of this checkout, so that nothing is compiled here."""
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
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", out, source, cwd=out, **PREBUILT)
    return out


def environment(home: Path) -> Path:
    """The Python of an environment with nothing installed."""
    run(sys.executable, "-m", "venv", "--without-pip", home, cwd=home)
    return home / "bin" / "python"


def install(python: Path, *words: str | Path) -> None:
    """Installs into an environment, by pip of this one, without dependencies."""
    offline = ("--no-deps", "--no-index", "--no-build-isolation")
    command = (sys.executable, "-m", "pip", "--python", python, "install", *offline, *words)
    run(*command, cwd=python.parent, **PREBUILT)


def borrow(python: Path, *folders: str) -> None:
    """Lets an environment import from folders of packages.

    They are borrowed through a path, which leaves the hooks of this environment's editable install asleep:
    what is missing from an installed rlcli is not found by accident.
    """
    site = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=python.parent)
    Path(site.strip(), "borrowed.pth").write_text("\n".join(folders) + "\n")


def own_packages() -> list[str]:
    """The folders that this environment imports packages from."""
    return [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]


@pytest.fixture(scope="module")
def installed(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin folder of an environment that holds the wheel; its dependencies are borrowed from this one."""
    python = environment(tmp_path_factory.mktemp("environment"))
    install(python, *built.glob("*.whl"))
    borrow(python, *own_packages())
    return python.parent


@pytest.fixture(scope="module")
def editable(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The Python of an environment with an editable install, and its clone, in a folder named rlcli."""
    clone = tmp_path_factory.mktemp("beside") / "rlcli"
    shutil.copytree(ROOT, clone, ignore=left_behind)
    python = environment(tmp_path_factory.mktemp("environment"))
    borrow(python, *own_packages())
    install(python, "--editable", clone)
    return python, clone


def test_packages_are_the_folders() -> None:
    folders = {".".join(path.parent.relative_to(ROOT).parts) for path in (ROOT / "rlcli").rglob("*.py")}
    assert set(PROJECT["tool"]["setuptools"]["packages"]) == folders | {"rlcli.conf"}


def test_sdist_holds_the_sources(built: Path) -> None:
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {"/".join(Path(name).parts[1:]) for name in archive.getnames()}
    assert {"README.md", "LICENSE", "constraints.txt", "pyproject.toml", "conf/train.yaml"} <= names
    assert {"buildtools/backend.py", "buildtools/editable_guard.py"} <= names
    data = [*kernels.SOURCE.iterdir(), *PACKAGE_DATA]
    assert {path.relative_to(ROOT).as_posix() for path in data} <= names
    assert LIBRARY not in names
    assert not any(name.startswith("tests/") for name in names)


def test_wheel_holds_every_module_and_config(built: Path) -> None:
    (path,) = built.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    code = {path.relative_to(ROOT).as_posix() for path in (ROOT / "rlcli").rglob("*.py")}
    configs = {f"rlcli/{path.relative_to(ROOT).as_posix()}" for path in (ROOT / "conf").rglob("*.yaml")}
    data = [*kernels.SOURCE.iterdir(), *PACKAGE_DATA]
    sources = {path.relative_to(ROOT).as_posix() for path in data}
    library = {LIBRARY} if PREBUILT else set()
    assert configs
    assert names == code | configs | sources | library | {"rlcli/py.typed", "rlcli/conf/__init__.py"}


@pytest.mark.skipif(not PREBUILT, reason="there is no library")
def test_wheel_with_kernels_is_of_this_platform(built: Path) -> None:
    (path,) = built.glob("*.whl")
    platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
    assert path.name.endswith(f"-py3-none-{platform}.whl")
    with zipfile.ZipFile(path) as archive:
        (about,) = (name for name in archive.namelist() if name.endswith(".dist-info/WHEEL"))
        text = archive.read(about).decode()
    assert f"Tag: py3-none-{platform}\n" in text
    assert "Root-Is-Purelib: false" in text


@pytest.mark.skipif(not PREBUILT, reason="there is no library")
def test_installed_wheel_trains_with_kernels_where_there_is_no_compiler(
    installed: Path, tmp_path: Path
) -> None:
    small = ("total_steps=64", "env.num_envs=4", "algo.rollout_steps=16", "network.hidden=[8]", "tuned=none",
             "logger=[jsonl]", "eval.episodes=0")  # fmt: skip
    words = ("train", *small, "compute.kernel=c", "name=small")
    run(installed / "rlcli", *words, cwd=tmp_path, PATH=str(installed))
    text = (tmp_path / "runs" / "small" / "manifest.json").read_text()
    assert json.loads(text)["kernel"].startswith("c (")


def test_wheel_without_kernels_is_of_any_platform(tmp_path: Path) -> None:
    """Where the library cannot be built a sentence says so, and rlcli is installed with torch alone."""
    source = tmp_path / "checkout"
    shutil.copytree(ROOT, source, ignore=left_behind)
    text = "import sys; sys.path.insert(0, 'buildtools'); import backend; print(backend.build_wheel('..'))"
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "RLCLI"))}
    done = subprocess.run(
        [sys.executable, "-c", text],
        cwd=source, env=clean | {kernels.PREBUILT: "nowhere.so"}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.stdout.splitlines()[-1].endswith("-py3-none-any.whl")
    [said] = [line for line in done.stderr.splitlines() if line.startswith("rlcli")]
    assert "rlcli has no kernels in C here and trains with torch, which is slower: RLCLI_KERNELS=" in said
    assert said.endswith("python -m rlcli.kernels.build")


def test_installed_wheel_composes_a_config_outside_the_checkout(installed: Path, tmp_path: Path) -> None:
    where = run(installed / "python", "-c", "import rlcli; print(rlcli.__file__)", cwd=tmp_path)
    assert Path(where.strip()).is_relative_to(installed.parent)
    config = yaml.safe_load(run(installed / "rlcli", "train", "--cfg", "job", cwd=tmp_path))
    assert config["algo"]["name"] == "ppo"
    assert config["env"]["id"] == "CartPole-v1"
    assert list(tmp_path.iterdir()) == []


def test_installed_wheel_knows_its_version(installed: Path, tmp_path: Path) -> None:
    assert PROJECT["project"]["version"] in run(installed / "rlcli", "--version", cwd=tmp_path)


IMPORTED = """
import rlcli
from rlcli.config.groups import conf_root
print(rlcli.__file__, conf_root(), sep="\\n")
"""
"""A user's program: where it found the package and its configs."""


def test_import_beside_a_clone_in_a_folder_of_the_same_name(editable: tuple[Path, Path]) -> None:
    """A program beside the clone, and a command in the folder of both, import the package, not the folder."""
    python, clone = editable
    found = [str(clone / "rlcli" / "__init__.py"), str(clone / "conf")]
    program = clone.parent / "program.py"
    program.write_text(IMPORTED)
    assert run(python, "-c", IMPORTED, cwd=clone.parent).splitlines() == found
    assert run(python, program, cwd=python.parent).splitlines() == found
    assert "Usage" in run(python, "-m", "rlcli", "--help", cwd=clone.parent)


def test_without_its_hook_the_clone_would_shadow_the_editable_install(editable: tuple[Path, Path]) -> None:
    """What the hook is needed for: should Python or setuptools change this, the hook can go."""
    python, clone = editable
    text = "import sys; del sys.meta_path[0]; import rlcli; print(rlcli.__file__)"
    assert run(python, "-c", text, cwd=clone.parent).strip() == "None"


def test_a_package_on_the_path_goes_before_the_editable_install(
    editable: tuple[Path, Path], tmp_path: Path
) -> None:
    """PYTHONPATH chooses another checkout, as for any editable install."""
    python, clone = editable
    other = tmp_path / "rlcli" / "__init__.py"
    other.parent.mkdir()
    other.touch()
    where = "import rlcli; print(rlcli.__file__)"
    assert run(python, "-c", where, cwd=clone.parent, PYTHONPATH=str(tmp_path)).strip() == str(other)


def test_uninstalling_removes_the_hook(editable: tuple[Path, Path]) -> None:
    """RECORD lists both files of the hook, with the digests that pip checks."""
    python, _ = editable
    text = """
import base64, hashlib, importlib.metadata
for file in importlib.metadata.files("rlcli"):
    if "rlcli_guard" in file.name and file.suffix != ".pyc":
        digest = base64.urlsafe_b64encode(hashlib.sha256(file.read_binary()).digest()).decode().rstrip("=")
        print(file, file.hash.value == digest)
"""
    listed = run(python, "-c", text, cwd=python.parent).splitlines()
    assert set(listed) == {"__editable___rlcli_guard.py True", "__editable__.rlcli_guard.pth True"}


def needed_to_train() -> dict[str, Distribution]:
    """The installed distributions that rlcli depends on without any extra, and their dependencies."""
    found: dict[str, Distribution] = {}
    wanted = [Requirement(line) for line in PROJECT["project"]["dependencies"]]
    while wanted:
        requirement = wanted.pop()
        name = canonicalize_name(requirement.name)
        if name in found:
            continue
        found[name] = distribution(name)
        for line in found[name].requires or ():
            further = Requirement(line)
            if further.marker is None or further.marker.evaluate({"extra": ""}):
                wanted.append(further)
    return found


def test_training_needs_no_large_extra_and_no_test_tool() -> None:
    assert needed_to_train().keys() & {
        "ale-py", "box2d", "joblib", "matplotlib", "mlflow-skinny", "mujoco", "mypy", "optuna", "pytest",
        "ray", "ruff", "sb3-contrib", "submitit", "tensorboard",
    } == set()  # fmt: skip


def test_training_with_the_default_loggers_needs_no_extra(
    built: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The wheel trains, evaluates and reproduces where only its own dependencies can be imported."""
    packages = tmp_path_factory.mktemp("packages")
    places = {
        file.parts[0]: Path(str(one.locate_file(file.parts[0])))
        for one in needed_to_train().values()
        for file in one.files or ()
        if file.parts[0] not in ("..", "__pycache__")
    }
    for name, place in places.items():
        (packages / name).symlink_to(place)
    python = environment(tmp_path_factory.mktemp("environment"))
    install(python, *built.glob("*.whl"))
    borrow(python, str(packages))
    folder = tmp_path_factory.mktemp("workplace")
    rlcli = python.with_name("rlcli")
    run(rlcli, "train", "total_steps=512", "eval.episodes=1", "name=light", cwd=folder)
    assert (folder / "runs" / "light" / "wandb").is_dir()
    run(rlcli, "eval", "light", "--episodes", "1", cwd=folder)
    run(rlcli, "reproduce", "light", cwd=folder)
    run(rlcli, "train", "-m", "seed=0,1", "total_steps=512", "eval.episodes=0", cwd=folder)


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
