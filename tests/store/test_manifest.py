"""The manifest: everything one needs to know of a run later."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rlcli.backends.kernel import with_kernel
from rlcli.errors import StorageError
from rlcli.runs.train import Result, train
from rlcli.store import provenance
from rlcli.store.config_file import read_config
from rlcli.store.manifest import FIELDS, LARGEST_DIFF, Manifest
from rlcli.store.provenance import code
from tests.runs.tiny import manifest_of, tiny

Trained = Callable[..., Result]


def test_it_says_what_a_run_is_and_what_it_ran_on(finished: Path) -> None:
    manifest = manifest_of(finished)
    assert (manifest["version"], manifest["config_version"]) == (2, 1)
    assert set(FIELDS) <= set(manifest)
    assert manifest["command"] == sys.argv
    assert manifest["folder"] == str(Path.cwd())
    assert {"rlcli", "torch", "numpy", "gymnasium", "safetensors"} <= set(manifest["packages"])
    assert {"python", "platform", "cpu", "gpu", "torch_cpu_capability"} == set(manifest["machine"])
    assert manifest["machine"]["cpu"]
    assert (manifest["seed"], manifest["threads"]) == (0, 1)
    assert (manifest["determinism"], manifest["tolerance_reason"]) == ("bitwise", None)
    assert (manifest["exact_resume"], manifest["inexact_reason"]) == (True, None)
    assert manifest["started"] < manifest["finished"]
    assert (manifest["sweep"], manifest["cohort"]) == (None, [])
    assert (manifest["resumes"], manifest["reproduces"]) == ([], None)
    assert manifest["total_steps"] == 96


def test_what_was_typed_is_kept(tmp_path: Path) -> None:
    sweep = tmp_path / "sweep"
    sweep.mkdir()
    (sweep / "sweep.json").write_text("{}")
    config = tiny(tags=("a", "b"), notes="with\n\u00fcmlaut", total_steps=70)
    train([config], [sweep / "job"], overrides=[["seed=0", "total_steps=70"]])
    manifest = manifest_of(sweep / "job")
    assert manifest["overrides"] == ["seed=0", "total_steps=70"]
    assert (manifest["tags"], manifest["notes"]) == (["a", "b"], "with\n\u00fcmlaut")
    assert (manifest["sweep"], manifest["total_steps"]) == ("sweep", 96)
    assert with_kernel(read_config(sweep / "job"), "auto") == config


def test_it_says_what_is_not_exact_and_why(trained: Trained, capsys: pytest.CaptureFixture[str]) -> None:
    result = trained(compute__threads=2, env__id="tests.envs.probes:ProbeUnrepeatable-v0", eval__episodes=0)
    manifest = manifest_of(result.dir)
    assert manifest["determinism"] == "tolerance"
    assert "compute.threads=2" in manifest["tolerance_reason"]
    assert manifest["exact_resume"] is False
    assert manifest["inexact_reason"]
    assert "cannot be resumed exactly" in capsys.readouterr().err
    assert "cannot be resumed exactly" in (result.dir / "train.log").read_text()


def test_what_is_true_of_a_cohort_is_said_once(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tiny(env__id="tests.envs.probes:ProbeUnrepeatable-v0", eval__episodes=0)
    train([config, dataclasses.replace(config, seed=1)], [workplace / "a", workplace / "b"])
    assert capsys.readouterr().err.count("cannot be resumed exactly") == 1
    for name in ("a", "b"):
        assert (workplace / name / "train.log").read_text().count("cannot be resumed exactly") == 1


def test_an_episode_too_long_to_replay_is_told(trained: Trained) -> None:
    short = manifest_of(trained("short", env__id="Pendulum-v1", env__replay_limit=48).dir)
    assert (short["exact_resume"], short["inexact_reason"]) == (True, None)
    # 16 steps an update: after three, no action of the 48 is lost; a limit of 47 loses one.
    long = manifest_of(trained("long", env__id="Pendulum-v1", env__replay_limit=47).dir)
    assert long["exact_resume"] is False
    assert "env.replay_limit=47" in long["inexact_reason"]


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A git checkout with one commit, taken for that of rlcli."""
    folder = tmp_path / "checkout"
    (folder / "rlcli" / "runs").mkdir(parents=True)
    (folder / "rlcli" / "__init__.py").write_text("first\n")
    settings = ("-c", "user.name=A", "-c", "user.email=a@example.org")
    for words in (("init", "-q"), ("add", "-A"), ("commit", "-q", "-m", "first")):
        subprocess.run(["git", "-C", str(folder), *settings, *words], check=True, capture_output=True)
    monkeypatch.setattr(provenance, "__file__", str(folder / "rlcli" / "store" / "provenance.py"))
    code.cache_clear()
    yield folder
    code.cache_clear()


def test_a_clean_checkout_is_its_commit(checkout: Path, trained: Trained) -> None:
    result = trained()
    found = manifest_of(result.dir)["code"]
    assert len(found["commit"]) == 40
    assert (found["dirty"], found["diff"]) == (False, None)
    assert not (result.dir / "code.diff").exists()


def test_uncommitted_changes_lie_beside_it(checkout: Path, trained: Trained) -> None:
    (checkout / "rlcli" / "__init__.py").write_bytes(b"second \xff\n")
    result = trained()
    assert manifest_of(result.dir)["code"] | {"commit": ""} == {
        "commit": "",
        "dirty": True,
        "diff": "code.diff",
    }
    assert b"-first" in (result.dir / "code.diff").read_bytes()
    assert b"+second \xff" in (result.dir / "code.diff").read_bytes()


def test_changes_too_large_are_not_kept(checkout: Path, trained: Trained) -> None:
    (checkout / "rlcli" / "__init__.py").write_text("x\n" * LARGEST_DIFF)
    result = trained()
    assert manifest_of(result.dir)["code"] | {"commit": ""} == {"commit": "", "dirty": True, "diff": None}
    assert not (result.dir / "code.diff").exists()


def test_without_a_checkout_of_its_own_it_claims_none(checkout: Path, trained: Trained) -> None:
    """Installed below somebody else's checkout, their commit says nothing of rlcli."""
    subprocess.run(["git", "-C", str(checkout), "rm", "-rq", "--cached", "rlcli"], check=True)
    assert manifest_of(trained().dir)["code"] == {"commit": None, "dirty": None, "diff": None}


def test_it_follows_the_run(tmp_path: Path) -> None:
    from rlcli.runs.train import Verdict

    seen: list[tuple[str, int]] = []

    def on_row(run: int, row: dict[str, object]) -> Verdict:
        manifest = manifest_of(tmp_path / "run")
        seen.append((manifest["status"], manifest["updates"]))
        return Verdict.CONTINUE

    train([tiny(checkpoint__every=64, eval__episodes=0)], [tmp_path / "run"], on_row=on_row)
    assert seen == [("running", 0), ("running", 2), ("running", 3)]
    assert manifest_of(tmp_path / "run")["status"] == "finished"


# --- versions, and what no rlcli writes


def rewritten(finished: Path, to: Path, **changes: Any) -> Path:
    """A copy of a run's config and manifest with fields changed, or left out by `...`."""
    to.mkdir()
    content = {name: value for name, value in (manifest_of(finished) | changes).items() if value is not ...}
    (to / "manifest.json").write_text(json.dumps(content))
    (to / "config.yaml").write_bytes((finished / "config.yaml").read_bytes())
    return to


def test_version_1_is_read_as_version_2(finished: Path, tmp_path: Path) -> None:
    run = rewritten(
        finished,
        tmp_path / "old",
        version=1,
        config_version=...,
        resumes=...,
        reproduces=...,
        config_sha256=...,
    )
    before = (run / "manifest.json").read_bytes()
    assert Manifest.read(run).content == manifest_of(finished) | {"config_sha256": None}
    assert read_config(run) == read_config(finished)
    assert (run / "manifest.json").read_bytes() == before


@pytest.mark.parametrize("version", [0, 3, "2", True, None, 2.0, ...])
def test_other_versions_are_refused(version: Any, finished: Path, tmp_path: Path) -> None:
    run = rewritten(finished, tmp_path / "other", version=version)
    with pytest.raises(StorageError, match=r"manifest\.json has version .*reads 1 and 2") as caught:
        Manifest.read(run)
    assert ("A newer rlcli wrote it" in str(caught.value)) == (version == 3)


def test_a_config_of_a_newer_schema_is_refused(finished: Path, tmp_path: Path) -> None:
    run = rewritten(finished, tmp_path / "newer", config_version=2)
    with pytest.raises(StorageError, match=r"config\.yaml has version '2'.*A newer rlcli wrote it"):
        read_config(run)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("seed", True), ("seed", -(10**30)), ("updates", 10**400), ("eval_return_mean", float("nan")),
        ("best_return_mean", 10**400), ("status", "unheard of"), ("tags", [["nested"]]),
        ("packages", {"torch": 2}), ("machine", ["cpu"]), ("overrides", [1]),
        ("code", {"commit": "--upload-pack=x", "dirty": False}), ("code", {"commit": "a" * 39}),
        ("code", {"commit": None, "dirty": None, "diff": "../../secret"}),
        ("cohort", ...), ("resumes", ...), ("reproduces", 3), ("name", None),
    ],
)  # fmt: skip
def test_fields_that_make_no_sense_are_named(field: str, value: Any, finished: Path, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=f"damaged: (it lacks|wrong values of) {field}"):
        Manifest.read(rewritten(finished, tmp_path / "run", **{field: value}))


def test_nesting_without_end_is_damage(finished: Path, tmp_path: Path) -> None:
    deep: Any = "x"
    for _ in range(100):
        deep = {"a": [deep]}
    with pytest.raises(StorageError, match="nested deeper"):
        Manifest.read(rewritten(finished, tmp_path / "run", machine=deep))
