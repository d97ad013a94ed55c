"""Every kind of policy in every format: equal to the run's own, or refused with the formats that can."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from rlcli.errors import UserError
from rlcli.export import run
from rlcli.export.check import OBSERVATIONS, TOLERANCE
from rlcli.export.formats import FORMATS
from rlcli.export.run import export_run
from rlcli.runs.train import Result
from tests.export.cases import CASES, IN_SB3

Trained = Callable[..., Result]
NEEDS = {"box of float64, whitened": "mujoco"}


def run_of(name: str, trained: Trained) -> Path:
    """A run of one case."""
    if name in NEEDS:
        pytest.importorskip(NEEDS[name])
    result = trained(**CASES[name], eval__episodes=0)
    assert result.exit_code == 0, result.message
    return result.dir


@pytest.mark.parametrize("name", CASES)
def test_exports_act_as_the_run(name: str, trained: Trained) -> None:
    """Each export is compared on 1,000 observations before it gets its name."""
    run_dir = run_of(name, trained)
    for form in ("torch", "onnx", "safetensors"):
        if form == "onnx":
            pytest.importorskip("onnxruntime")
        done = export_run(run_dir, form)
        assert done.dir == run_dir / "exports" / f"{form}-3"
        assert done.files == ("README.md", FORMATS[form].file)
        assert done.agreement.observations == OBSERVATIONS
        assert done.agreement.ties == 0
        compared = {"value", "mean", "log_std", "action", "logits", "next_state"}
        assert done.agreement.differences.keys() <= compared
        assert max(done.agreement.differences.values()) <= TOLERANCE / 10


@pytest.mark.parametrize("name", CASES)
def test_sb3_acts_as_the_run_or_is_refused(name: str, trained: Trained) -> None:
    run_dir = run_of(name, trained)
    if name in IN_SB3:
        done = export_run(run_dir, "sb3")
        assert (done.agreement.observations, done.agreement.ties) == (OBSERVATIONS, 0)
        statistics = ("vecnormalize.pkl",) if CASES[name].get("env__normalize_observation") else ()
        assert done.files == ("README.md", "policy.zip", *statistics)
        return
    with pytest.raises(UserError, match=r"--format sb3 cannot express this policy of .*: SB3") as refused:
        export_run(run_dir, "sb3")
    assert refused.value.hint == "Formats that can: torch, onnx, safetensors."
    assert not (run_dir / "exports").exists()


def test_what_cannot_be_exported_leaves_nothing(finished: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"Unknown format 'onx'. Did you mean 'onnx'"):
        export_run(finished, "onx")
    with pytest.raises(UserError, match="no checkpoint 99"):
        export_run(finished, "torch", which=99)
    with pytest.raises(UserError, match="no checkpoint 99"):
        export_run(finished, "torch", out=tmp_path / "no" / "folder", which=99)
    (tmp_path / "there").mkdir()
    with pytest.raises(UserError, match="exists already"):
        export_run(finished, "torch", out=tmp_path / "there")
    assert list(tmp_path.iterdir()) == [tmp_path / "there"]
    assert not (finished / "exports").exists()


def test_a_checkpoint_is_chosen(finished: Path, tmp_path: Path) -> None:
    done = export_run(finished, "safetensors", out=tmp_path / "second", which=2)
    assert (done.update, done.dir) == (2, tmp_path / "second")
    from safetensors import safe_open

    with safe_open(done.dir / "policy.safetensors", "pt") as file:
        said = json.loads(file.metadata()["rlcli.json"])
        names = set(file.keys())
    assert (said["update"], said["env"], said["outputs"]) == (2, "CartPole-v1", ["action", "logits", "value"])
    assert said["inputs"] == [{"name": "observation", "dtype": "float32", "shape": [4]}]
    assert {"network.policy.weight", "network.value.bias"} <= names


def test_packages_that_are_missing_are_named(
    finished: Path, trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is written, and the command that installs them is given."""
    monkeypatch.setattr(run.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="--format onnx needs onnx and onnxruntime") as refused:
        export_run(finished, "onnx")
    assert "onnx" in str(refused.value.hint)
    trpo = trained(algo__surrogate="ratio", algo__step_rule="natural", algo__name="trpo", eval__episodes=0)
    with pytest.raises(UserError, match="--format sb3 needs sb3-contrib for this algorithm") as refused:
        export_run(trpo.dir, "sb3")
    assert "sb3" in str(refused.value.hint)
    for run_dir in (finished, trpo.dir):
        assert not (run_dir / "exports").exists()
