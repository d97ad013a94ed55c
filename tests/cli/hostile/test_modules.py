"""Nothing is imported because a run directory names it, or because it is beside one."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Rlcli
from tests.cli.hostile.harm import (
    BUILDS,
    EVIL,
    REFUSED,
    Harm,
    every,
    in_turn,
    line,
    names_module,
)

NAMED = [
    ("evil:Evil-v0", "{}"),
    ("evil:CartPole-v1", "{}"),
    ("a:b:CartPole-v1", "{}"),
    (":evil:CartPole-v1", "{}"),
    ("antigravity:CartPole-v1", "{}"),
    ("CartPole-v1", "{env_id: 'evil:Evil-v0'}"),
    ("CartPole-v1", "{wrappers: [{entry_point: 'evil:Wrapper'}]}"),
]
MODULES = {
    f"{env}-{kwargs}-{place}": names_module(place, env, kwargs)
    for env, kwargs in NAMED
    for place in ("here", "run")
}


@in_turn(MODULES, always=BUILDS)
def test_a_module_is_not_imported_because_a_directory_names_it(
    harm: Harm, verb: str, attack: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    ended = attack(harm, verb)
    if verb in BUILDS:
        assert ended.code == 2
        assert "no module is imported just because a run directory names it" in ended.err
    assert not {"evil", "a:b", "antigravity"} & set(sys.modules)


def test_a_module_in_the_run_directory_is_not_imported_even_if_asked_for(
    attack: Any, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever stands in the directory, and trusts the name, gets the message nevertheless."""

    def harm(run: Path) -> None:
        names_module("run")(run)
        monkeypatch.chdir(run)

    monkeypatch.setenv("RLCLI_IMPORT", "other,evil")
    ended = attack(harm, "eval")
    assert ended.code == 2
    assert "which is a file in it" in ended.err


def test_a_module_that_is_asked_for_is_imported(rlcli: Rlcli, workplace: Path, honest: Path) -> None:
    shutil.copytree(honest, workplace / "mine")
    (workplace / "evil.py").write_text(
        "import gymnasium\nfrom gymnasium.envs.classic_control import CartPoleEnv\n"
        "gymnasium.register('Mine-v0', CartPoleEnv, max_episode_steps=500)\n"
    )
    line("id", "evil:Mine-v0")(workplace / "mine")
    ended = rlcli("eval", "mine", "--episodes", "1")
    assert ended.code == 2
    assert "--import evil, or RLCLI_IMPORT=evil" in ended.err
    assert rlcli("eval", "mine", "--episodes", "1", "--import", "evil").code == 0


def test_the_advice_repeats_no_more_than_names(attack: Any) -> None:
    ended = attack(line("id", json.dumps("$(touch pwned):CartPole-v1")), "eval")
    assert "--import" not in ended.err


KWARGS = [
    "{entry_point: 'os:system'}", "{vector_entry_point: x}", "{render_mode: human}",
    "{id: CartPole-v1}",
          "{spec: {}}", "{max_episode_steps: -1}", "{max_episode_steps: x}", "{sutton_barto_reward: {}}",
          "{apply_step_limit: 1}", "{additional_wrappers: [x]}", "{'': 1}", "{self: 1}",
]  # fmt: skip


@every(BUILDS)
@pytest.mark.parametrize("kwargs", KWARGS)
def test_arguments_of_an_environment_are_no_code(kwargs: str, verb: str, attack: Any) -> None:
    assert attack(line("kwargs", kwargs), verb).code in (*REFUSED, 0, 1)


def test_files_beside_a_run_do_not_pass_for_libraries(honest: Path, workplace: Path) -> None:
    for library in ("typer", "yaml", "torch", "safetensors", "colorsys"):
        (workplace / f"{library}.py").write_text(EVIL)
    for words in (("show", str(honest)), ("eval", str(honest), "--episodes", "1")):
        done = subprocess.run([sys.executable, "-m", "rlcli", *words], capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")
    assert not (workplace / "pwned").exists()
