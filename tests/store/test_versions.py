"""docs/run_directory.md says for every version of every file whether it is read, resumed and reproduced."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from rlcli.config import schema
from rlcli.config.overrides import parse_command
from rlcli.errors import EXIT_DONE, StorageError
from rlcli.runs.diff import differences
from rlcli.runs.policy import read_policy
from rlcli.runs.reproduce import plan, reproduce
from rlcli.runs.resume import resume
from rlcli.store import checkpoint_file, checkpoint_index, digests, manifest
from rlcli.store.checkpoint_index import checksum
from rlcli.store.config_file import read_config
from rlcli.store.digests import read_lines
from rlcli.store.manifest import Manifest
from rlcli.sweeps import sweep
from rlcli.sweeps.sweep import Sweep
from tests.runs.tiny import index_of, manifest_of

ROOT = Path(__file__).parents[2]
LONGER = parse_command(["total_steps=128"])
CHECKPOINT = "checkpoints/N.safetensors"
NEWEST = {
    "manifest.json": manifest.VERSION,
    "config.yaml": schema.VERSION,
    "digests.txt": digests.VERSION,
    CHECKPOINT: checkpoint_file.VERSION,
    "checkpoints/index.json": checkpoint_index.VERSION,
    "sweep.json": sweep.VERSION,
}
ROW = re.compile(
    r"^\| `([^`]+)` \| (\d+) \| (yes|refused) \| (yes|refused) \| (yes|refused|no) \|$", re.MULTILINE
)


def table() -> dict[tuple[str, int], tuple[str, str, str]]:
    """By file and version: whether it is read, resumed, reproduced."""
    rows = ROW.findall((ROOT / "docs" / "run_directory.md").read_text())
    return {(file, int(version)): (read, resumed, again) for file, version, read, resumed, again in rows}


def test_the_table_has_every_version_of_every_file() -> None:
    assert list(table()) == [
        (file, version) for file, newest in NEWEST.items() for version in range(1, newest + 1)
    ]


def test_no_version_is_declared_besides() -> None:
    declared = [
        path.relative_to(ROOT / "rlcli").as_posix()
        for path in (ROOT / "rlcli").rglob("*.py")
        if re.search(r"^VERSION = \d+$", path.read_text(), re.MULTILINE)
    ]
    # Forks alone have start.safetensors, of which there is one version.
    assert len(declared) == len(NEWEST) + 1, declared


def test_the_newest_versions_are_promised() -> None:
    for file, newest in NEWEST.items():
        assert set(table()[file, newest]) <= {"yes", "no"}


# --- run directories with one file of an older version


def manifest_1(run: Path) -> None:
    later = ("resumes", "reproduces", "config_version", "config_sha256", "saved")
    content = {name: value for name, value in manifest_of(run).items() if name not in later}
    (run / "manifest.json").write_text(json.dumps(content | {"version": 1}))


def digests_1(run: Path) -> None:
    (run / "digests.txt").write_text("".join(f"{update} {update:032x}\n" for update in (1, 2, 3)))


def write_index(run: Path, **changes: Any) -> None:
    content = {name: value for name, value in (index_of(run) | changes).items() if name != "sha256"}
    path = run / "checkpoints" / "index.json"
    path.write_text(json.dumps(content | {"sha256": checksum(content)}))


def checkpoints_1(run: Path) -> None:
    kept = index_of(run)["kept"]
    for path in (run / "checkpoints").glob("*.safetensors"):
        about = {"version": 1, "update": int(path.stem), "env_steps": 32 * int(path.stem)}
        save_file(load_file(path), path, metadata={"rlcli": json.dumps(about)})
        content = path.read_bytes()
        kept[path.stem] |= {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    write_index(run, kept=kept)


OLDER: dict[tuple[str, int], Callable[[Path], None]] = {
    ("manifest.json", 1): manifest_1,
    ("digests.txt", 1): digests_1,
    (CHECKPOINT, 1): checkpoints_1,
    ("checkpoints/index.json", 1): lambda run: write_index(run, version=1),
}
OF_RUNS = [key for key in table() if key[0] != "sweep.json"]

READ: dict[str, Callable[[Path], object]] = {
    "manifest.json": Manifest.read,
    "config.yaml": read_config,
    "digests.txt": lambda run: (list(read_lines(run)), differences(run, run)),
    CHECKPOINT: read_policy,
    "checkpoints/index.json": read_policy,
}


def answer(file: str, version: int, act: Callable[[], object]) -> str:
    """yes, or refused: by the version of this file."""
    pattern = re.escape(file.removeprefix("checkpoints/")).replace("N", r"\d+")
    try:
        act()
    except StorageError as error:
        if not re.search(rf"{pattern} has version '{version}'; this rlcli reads", str(error)):
            raise
        return "refused"
    return "yes"


@pytest.fixture
def run(request: pytest.FixtureRequest, finished: Path, tmp_path: Path) -> Path:
    """A copy of a finished run with one file of the version asked for."""
    copied = tmp_path / "run"
    shutil.copytree(finished, copied)
    OLDER.get(request.param, lambda _: None)(copied)
    return copied


def each(place: int) -> Any:
    """Every row of the table, with the answer in one of its columns."""
    cases = [(key, *key, table()[key][place]) for key in OF_RUNS]
    ids = [f"{file}-{version}" for file, version in OF_RUNS]
    return pytest.mark.parametrize(("run", "file", "version", "said"), cases, indirect=["run"], ids=ids)


@each(0)
def test_read(run: Path, file: str, version: int, said: str) -> None:
    assert answer(file, version, lambda: READ[file](run)) == said


@each(1)
def test_resumed(run: Path, file: str, version: int, said: str) -> None:
    before = {path: path.read_bytes() for path in sorted(run.rglob("*")) if path.is_file()}
    assert answer(file, version, lambda: resume(run, LONGER, quiet=True)) == said
    if said == "yes":
        assert (manifest_of(run)["status"], manifest_of(run)["updates"]) == ("finished", 4)
        assert index_of(run)["version"] == checkpoint_index.VERSION
    else:
        assert {path: path.read_bytes() for path in sorted(run.rglob("*")) if path.is_file()} == before


@each(2)
def test_reproduced(run: Path, file: str, version: int, said: str, tmp_path: Path) -> None:
    def again() -> None:
        outcome = reproduce(plan(run), tmp_path / "again")
        assert outcome.identical
        assert outcome.result.exit_code == EXIT_DONE

    assert answer(file, version, again) == said


@pytest.mark.parametrize(("key"), [key for key in table() if key[0] == "sweep.json"], ids=str)
def test_sweeps_are_read(key: tuple[str, int], tmp_path: Path) -> None:
    file, version = key
    content = {"version": version, "overrides": [], "started": "", "jobs": []}
    (tmp_path / file).write_text(json.dumps(content))
    assert answer(file, version, lambda: Sweep.read(tmp_path)) == table()[key][0]


def newer_checkpoints(run: Path, version: int) -> None:
    for path in (run / "checkpoints").glob("*.safetensors"):
        about = {"version": version, "update": int(path.stem)}
        save_file(load_file(path), path, metadata={"rlcli": json.dumps(about)})
    write_index(run, kept={})


def rewrite(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


NEWER: dict[str, Callable[[Path, int], object]] = {
    "manifest.json": lambda run, version: rewrite(run / "manifest.json", version=version),
    "config.yaml": lambda run, version: rewrite(run / "manifest.json", config_version=version),
    "digests.txt": lambda run, version: (run / "digests.txt").write_text(f"# rlcli digests {version}: a\n"),
    CHECKPOINT: newer_checkpoints,
}


@pytest.mark.parametrize("file", list(NEWER))
def test_a_run_of_a_newer_version_is_not_resumed(file: str, finished: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    NEWER[file](run, NEWEST[file] + 1)
    with pytest.raises(StorageError, match=rf"has version '{NEWEST[file] + 1}'.*A newer rlcli wrote it"):
        resume(run, LONGER)


def test_a_newer_index_is_refused_or_made_again(finished: Path, tmp_path: Path) -> None:
    run, newer = tmp_path / "run", checkpoint_index.VERSION + 1
    shutil.copytree(finished, run)
    write_index(run, version=newer)
    with pytest.raises(StorageError, match=rf"index\.json has version '{newer}'.*A newer rlcli wrote it"):
        read_policy(run)
    assert resume(run, LONGER, quiet=True).exit_code == EXIT_DONE
    assert index_of(run)["version"] == checkpoint_index.VERSION
