"""Ids, packages and arguments: each mistake has one readable message."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from rlcli.config.schema.env import EnvConfig
from rlcli.envs import construct
from rlcli.envs.backend import ARRAY_ENVS
from rlcli.envs.gymnasium import GymnasiumVectorEnv
from rlcli.envs.registry import describe, known_ids, make, validate_id
from rlcli.errors import UserError

PROBE = "tests.envs.probes:ProbeConstant-v0"


def test_backend_auto_takes_the_array_version_where_it_gives_the_same() -> None:
    assert len(ARRAY_ENVS) == 5
    for env_id, version in ARRAY_ENVS.items():
        assert type(make(EnvConfig(id=env_id), 1)) is version
        assert isinstance(make(EnvConfig(id=env_id, backend="gymnasium"), 1), GymnasiumVectorEnv)
        drawn = EnvConfig(id=env_id, kwargs={"render_mode": "rgb_array"})
        assert isinstance(make(drawn, 1), GymnasiumVectorEnv)
    assert isinstance(make(EnvConfig(id="FrozenLake-v1"), 1), GymnasiumVectorEnv)
    # Gymnasium takes this, and fails when it steps; what it says then is said to the user.
    words = EnvConfig(id="Pendulum-v1", kwargs={"g": "much"})
    assert isinstance(make(words, 1), GymnasiumVectorEnv)


def test_backend_array_is_refused_where_there_is_none() -> None:
    with pytest.raises(
        UserError, match=r"no array version of Taxi-v4\. Array environments: CartPole-v1, Acro"
    ):
        describe(EnvConfig(id="Taxi-v4", backend="array"))
    with pytest.raises(UserError, match="max_episode_steps, sutton_barto_reward; not render_mode"):
        make(EnvConfig(backend="array", kwargs={"render_mode": "rgb_array"}), 1)
    with pytest.raises(UserError, match=r"numbers for env\.kwargs g, max_episode_steps; not g=nan"):
        make(EnvConfig(id="Pendulum-v1", backend="array", kwargs={"g": float("nan")}), 1)


@pytest.mark.parametrize("name", ["CartPol-v1", "cartpole-v1", "CartPole", "CartPole-v7"])
def test_an_unknown_id_names_the_nearest(name: str) -> None:
    with pytest.raises(UserError, match=f"Unknown environment '{name}'. Did you mean .*'CartPole-v1'"):
        validate_id(name)


def test_an_id_like_nothing_still_says_where_to_look() -> None:
    with pytest.raises(UserError, match="rlcli list envs"):
        validate_id("///")


def test_known_ids_can_be_made() -> None:
    names = known_ids()
    assert {"CartPole-v1", "Pendulum-v1", "BipedalWalker-v3", "HalfCheetah-v5"} <= set(names)
    # Registered only to say that they are gone.
    assert not {"Hopper-v2", "GymV26Environment-v0"} & set(names)


def test_a_missing_package_comes_with_its_install_command(monkeypatch: pytest.MonkeyPatch) -> None:
    needed = ("no_such_module", "gymnasium[box2d]")
    monkeypatch.setitem(construct.PACKAGES, "gymnasium.envs.box2d", needed)
    with pytest.raises(UserError, match="no_such_module of the extra box2d, which is not"):
        validate_id("LunarLander-v3")
    monkeypatch.setitem(construct.NAMESPACES, "Nowhere", ("no_such_module", "nowhere-py"))
    with pytest.raises(UserError, match='pip install "nowhere-py"'):
        validate_id("Nowhere/Pong-v5")


def test_a_module_is_imported_before_its_id_is_looked_up() -> None:
    validate_id(PROBE)
    assert describe(EnvConfig(id=PROBE)).id == PROBE
    with pytest.raises(
        UserError,
        match=r"Unknown environment 'ProbeConstan-v0'. Did you mean 'tests.envs.probes:ProbeConstant-v0'",
    ):
        validate_id("tests.envs.probes:ProbeConstan-v0")
    with pytest.raises(UserError, match=r"no module 'no_such_package.envs'.*\n.*pip install no_such_package"):
        validate_id("no_such_package.envs:Thing-v0")


def test_a_module_in_the_current_directory_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "mine_for_registry_test.py").write_text(
        "import gymnasium\nfrom tests.envs.known import Constant\ngymnasium.register('Mine-v0', Constant)\n"
    )
    (tmp_path / "needy_for_registry_test.py").write_text("import no_such_package\n")
    (tmp_path / "broken_for_registry_test.py").write_text("1 / 0\n")
    validate_id("mine_for_registry_test:Mine-v0")
    with pytest.raises(UserError, match="needs the module 'no_such_package'"):
        validate_id("needy_for_registry_test:Mine-v0")
    with pytest.raises(UserError, match=r"failed: broken_for_registry_test\.py:1: ZeroDivisionError"):
        validate_id("broken_for_registry_test:Mine-v0")


def test_wrong_arguments_are_named_all_at_once() -> None:
    with pytest.raises(UserError) as caught:
        describe(EnvConfig(kwargs={"suton_barto_reward": True, "gravity": 3}))
    assert len(caught.value.faults) == 2
    assert "Did you mean 'sutton_barto_reward'" in caught.value.faults[0]
    with pytest.raises(UserError, match=r"cannot be made with env.kwargs=.*KeyError: 'sphere'"):
        describe(EnvConfig(id="tests.envs.probes:ProbeSpaces-v0", kwargs={"action": "sphere"}))


def test_an_outdated_version_is_made_without_a_warning() -> None:
    """Gymnasium warns of CartPole-v0; under pytest a warning would be an error here."""
    assert describe(EnvConfig(id="CartPole-v0")).max_episode_steps == 200
