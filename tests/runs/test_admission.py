"""What is made of a config from a run directory: nothing, if it names a module nobody vouches for."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from rlcli.errors import UserError
from rlcli.runs.admission import admit, modules
from tests.runs.conftest import tiny


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({}, []),
        ({"env__id": "stranger:Env-v0"}, ["stranger"]),
        ({"env__id": "a.b:ALE/Env-v0"}, ["a.b"]),
        ({"env__id": "a:b:Env-v0"}, ["a:b"]),
        ({"env__id": "ALE/Pong-v5"}, []),
        ({"env__kwargs": {"deep": [{"inner": "stranger:attribute"}], "g": -5}}, ["stranger"]),
        ({"env__kwargs": {"path": "a/b:c", "text": "a: b"}}, []),
    ],
)  # fmt: skip
def test_modules_a_config_names(changes: dict[str, Any], found: list[str]) -> None:
    assert modules(tiny(**changes)) == found


def test_nobody_vouches_for_a_module(tmp_path: Path) -> None:
    config = tiny(env__id="stranger:Env-v0", env__kwargs={"entry_point": "other:Thing"})
    with pytest.raises(UserError) as caught:
        admit(config, tmp_path)
    assert len(caught.value.faults) == 2
    assert caught.value.hint is not None
    assert "--import stranger --import other, or RLCLI_IMPORT=stranger,other" in caught.value.hint
    with pytest.raises(UserError, match="'other'"):
        admit(config, tmp_path, ["stranger"])
    admit(config, tmp_path, ["stranger", "other"])


def test_who_starts_the_process_may_vouch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RLCLI_IMPORT", "one,stranger")
    admit(tiny(env__id="stranger:Env-v0"), tmp_path)
    with pytest.raises(UserError, match="''"):
        admit(tiny(env__id=":Env-v0"), tmp_path)


def test_what_is_imported_already_does_no_harm(tmp_path: Path) -> None:
    assert __name__ in sys.modules
    admit(tiny(env__id=f"{__name__}:Env-v0"), tmp_path)


def test_admitting_imports_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "stranger").mkdir()
    (tmp_path / "stranger" / "__init__.py").write_text("raise SystemExit")
    monkeypatch.chdir(tmp_path)
    admit(tiny(env__id="stranger.part:Env-v0"), tmp_path / "run", ["stranger.part"])
    with pytest.raises(UserError, match="which lies in it"):
        admit(tiny(env__id="stranger.part:Env-v0"), tmp_path, ["stranger.part"])
    assert "stranger" not in sys.modules


def test_sizes(tmp_path: Path) -> None:
    admit(tiny(network__hidden=(4096, 4096)), tmp_path)
    for changes in ({"network__hidden": (10**6, 10**6)}, {"lag": 10**12}, {"env__num_envs": 10**12}):
        with pytest.raises(UserError, match="more memory than"):
            admit(tiny(**changes), tmp_path)
