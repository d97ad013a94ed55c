"""What is made of a config from a run directory: nothing, if it names a module nobody vouches for."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from rlcli.errors import UserError
from rlcli.store.admission import admit
from tests.runs.tiny import tiny


@pytest.mark.broken_by(
    "modules imported because a directory names them",
    "store/admission.py",
    "if module not in allowed]",
    "if module in allowed]",
)
def test_nobody_vouches_for_a_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "other.py").touch()
    monkeypatch.chdir(tmp_path)
    config = tiny(env__id="stranger:Env-v0", env__kwargs={"entry_point": "other:Thing"})
    with pytest.raises(UserError) as caught:
        admit(config, tmp_path / "run")
    assert len(caught.value.faults) == 2
    assert caught.value.hint is not None
    assert "--import stranger --import other, or RLCLI_IMPORT=stranger,other" in caught.value.hint
    with pytest.raises(UserError, match="'other'"):
        admit(config, tmp_path / "run", ["stranger"])
    admit(config, tmp_path / "run", ["stranger", "other"])
    with pytest.raises(UserError, match="'other', which is a file in it"):
        admit(config, tmp_path, ["stranger", "other"])


@pytest.mark.broken_by(
    "wrappers of a directory imported", "store/modules.py", "*modules_named(config.env.wrappers), ", ""
)
def test_nobody_vouches_for_a_wrapper(tmp_path: Path) -> None:
    config = tiny(env__wrappers=("TimeAwareObservation", {"stranger:Wrap": {"x": 1}}))
    with pytest.raises(UserError, match="names the module 'stranger'"):
        admit(config, tmp_path)
    admit(config, tmp_path, ["stranger"])


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
    with pytest.raises(UserError, match="which is a file in it"):
        admit(tiny(env__id="stranger.part:Env-v0"), tmp_path, ["stranger.part"])
    assert "stranger" not in sys.modules


def test_sizes(tmp_path: Path) -> None:
    admit(tiny(network__hidden=(4096, 4096)), tmp_path)
    for changes in ({"network__hidden": (10**6, 10**6)}, {"lag": 10**12}, {"env__num_envs": 10**12}):
        with pytest.raises(UserError, match="more memory than"):
            admit(tiny(**changes), tmp_path)


def test_texts_with_colons_are_no_modules_and_quickly_looked_at(tmp_path: Path) -> None:
    kwargs = {
        "server": "127.0.0.1:8080",
        "start": "09:30",
        "path": "C:\\x",
        "more": [f"n{i}:x" for i in range(300)],
    }
    admit(tiny(env__kwargs=kwargs), tmp_path)
    with pytest.raises(UserError, match="more than 20000 texts with a colon"):
        admit(tiny(env__kwargs={"more": [f"n{i}:x" for i in range(20_001)]}), tmp_path)
