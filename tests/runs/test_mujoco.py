"""Runs whose MuJoCo environments rlcli steps itself are those that Gymnasium steps, digests included."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium
import pytest

from rlcli.cli.show import _env_backend
from rlcli.errors import EXIT_DONE
from rlcli.runs.reproduce import plan, reproduce
from rlcli.runs.train import train
from tests.runs.resuming import assert_same_run, resumed, train_with_copies
from tests.runs.tiny import manifest_of, tiny

pytest.importorskip("mujoco")

CHEETAH = {"env__id": "HalfCheetah-v5", "total_steps": 192, "checkpoint__every": 32, "eval__max_steps": 20}


def backend_of(run_dir: Path) -> tuple[Any, Any]:
    manifest = manifest_of(run_dir)
    return manifest["env_backend"], manifest["env_backend_reason"]


@pytest.mark.parametrize("whitened", [False, True])
def test_both_backends_train_the_same_parameters(whitened: bool, tmp_path: Path) -> None:
    for name in ("gymnasium", "mujoco"):
        config = tiny(**CHEETAH, env__backend=name, env__normalize_observation=whitened)
        [result] = train([config], [tmp_path / name])
        assert result.exit_code == EXIT_DONE
        assert backend_of(result.dir) == (name, None)
    assert_same_run(tmp_path / "mujoco", tmp_path / "gymnasium")


def test_a_run_of_another_gymnasium_resumes_and_repeats(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With backend=auto the record says which stepped it; the numbers are the same."""
    config = tiny(**CHEETAH)
    with monkeypatch.context() as older:
        older.setattr(gymnasium, "__version__", "1.9.0")
        whole, [killed] = train_with_copies(config, tmp_path / "run", (3,))
    reason = "rlcli's version was compared with Gymnasium 1.4.0, and this is 1.9.0"
    assert backend_of(whole.dir) == backend_of(killed) == ("gymnasium", reason)
    said = f"Warning: Gymnasium steps HalfCheetah-v5, which is slower: {reason}.\n"
    assert capsys.readouterr().err.count(said) == 1
    resumed(killed)
    assert backend_of(killed) == ("mujoco", None)
    assert_same_run(killed, whole.dir)
    assert reproduce(plan(whole.dir), tmp_path / "again").identical


def test_show_says_what_stepped_the_environments() -> None:
    def shown(backend: str | None, reason: str | None = None) -> list[tuple[str, str]]:
        return list(_env_backend({"env_backend": backend, "env_backend_reason": reason}))

    assert shown("mujoco") == [("env backend", "mujoco")]
    assert shown("gymnasium", "another version") == [("env backend", "gymnasium: another version")]
    assert shown("gymnasium") == shown(None) == []
