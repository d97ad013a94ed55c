"""What can be registered, and the one message for what cannot."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable

import gymnasium
import pytest

from rlcli.config.compose import compose
from rlcli.config.serialise import from_yaml, to_yaml
from rlcli.errors import UserError
from rlcli.extend import importing
from tests.cli.conftest import Rlcli
from tests.extend.conftest import ALGORITHM, METRIC, NETWORK, Write


def test_names_become_choices_and_keys(write: Write) -> None:
    write(NETWORK, ALGORITHM, METRIC)
    composed = compose(["network=two", "network.two.width=3", "algo=damped", "algo.damped.damping=2"])
    assert composed.config.own == {"network.two.width": 3, "algo.damped.damping": 2.0}
    assert composed.config.imports == ("mine",)
    assert composed.config.algo.epochs == 2
    assert composed.provenance["algo.epochs"] == "algo/damped"
    assert compose([]).config.own == {}
    assert compose(["algo.surrogate=damped"]).config.own == {"algo.damped.damping": 0.5}


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("network.two.widt=3", "Unknown key 'network.two.widt'. Did you mean 'network.two.width'"),
        ("network.two.width=0", "network.two.width=0: must be >= 1"),
        ("network.two.width=3", "has no effect here; it needs network.name=two"),
        ("algo.damped.damping=1", "has no effect here; it needs algo.name=damped or algo.surrogate=damped"),
        ("network=tw", "Unknown network 'tw'"),
        ("imports=[mine]", "no setting imports code; give --import MODULE"),
    ],
)
def test_a_mistyped_key_is_refused_as_ours_are(write: Write, typed: str, message: str) -> None:
    write(NETWORK, ALGORITHM)
    with pytest.raises(UserError, match=message):
        compose([typed])


def test_keys_of_our_networks_have_no_effect(write: Write) -> None:
    write(NETWORK)
    with pytest.raises(UserError, match=r"network\.hidden has no effect with network\.name=two"):
        compose(["network=two", "network.hidden=[3]"])


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("raise KeyError('no map')", r"--import mine: importing mine failed: mine.py:1: KeyError: 'no map'"),
        ("import no_such_package_here", "needs the module 'no_such_package_here', which is not installed"),
        (NETWORK.replace('"two"', '"mlp"'), "mine.py:16: network 'mlp' is rlcli's own; choose another"),
        (NETWORK.replace('"two"', '"Two"'), "needs a name of lower-case letters"),
        (NETWORK.replace('{"width"', '{"depth"'), "it is called with .*depth.*, and does not take that"),
        (NETWORK.replace("Setting(8", "Setting(0"), "the default 0, which is not >= 1"),
        (NETWORK.replace("Setting(8", "Setting(float('nan')").replace(", ge=1", ""), "must be finite"),
        (
            NETWORK.replace('Setting(8, "Width.", ge=1)', 'Setting("a", "Width.", choices=("b", "c"))'),
            "the key 'width' has the default 'a': choose from b, c",
        ),
        (NETWORK.replace('rlcli.Setting(8, "Width.", ge=1)', "8"), "is declared as rlcli.Setting"),
        (NETWORK.replace("two, ", "3, "), r"mine.py:\d+: expected a function or class, not 3"),
        (ALGORITHM.replace('"damped"', '"trpo"'), "algo 'trpo' is rlcli's own"),
        (ALGORITHM.replace('"damped"', '"clipped"'), "algo 'clipped' is rlcli's own"),
        (ALGORITHM.replace('base="ppo"', 'base="pppo"'), "Unknown algo 'pppo'. Did you mean 'ppo'"),
        (ALGORITHM.replace('"epochs"', '"epoch"'), "Unknown setting of algo 'epoch'. Did you mean 'epochs'"),
        (
            ALGORITHM.replace('{"epochs": 2}', '{"clip": -1}'),
            r"mine.py:\d+: setting of algo clip=-1: must be > 0",
        ),
        (
            ALGORITHM.replace('{"epochs": 2}', '{"epochs": "two"}'),
            r"mine.py:\d+: setting of algo epochs=two: expected a whole number",
        ),
        (
            ALGORITHM.replace('{"epochs": 2}', '{"targets": "gea"}'),
            r"mine.py:\d+: setting of algo targets=gea: choose from .*did you mean 'gae'",
        ),
        (ALGORITHM.replace('"damping"', '"clip"'), "the key 'clip' would hide rlcli's own algo.clip"),
        (ALGORITHM.replace("(0.5", "('x'"), "of an algorithm is a number or a switch; its default is 'x'"),
        (METRIC.replace("mine/spread", "update/entropy"), "metric 'update/entropy' is rlcli's own"),
        (METRIC.replace("mine/spread", "spread"), "needs a name such as mine/kurtosis"),
    ],
)
def test_a_wrong_module_is_one_message(write: Write, source: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        write(source)
    assert len(caught.value.faults) == 1


@pytest.mark.broken_by(
    "values of settings are not checked",
    "extend/register.py",
    'found[name] = convert(KEYS[f"algo.{name}"], value)',
    "found[name] = value",
)
def test_all_settings_that_are_wrong_are_named_at_once(write: Write) -> None:
    wrong = '{"epochs": 0, "clip": None, "clipp": 1, "target_kl": None}'
    with pytest.raises(UserError) as caught:
        write(ALGORITHM.replace('{"epochs": 2}', wrong))
    assert [fault.partition(": ")[2] for fault in caught.value.faults] == [
        "setting of algo epochs=0: must be >= 1, <= 10000.",
        "setting of algo clip=null: must not be null.",
        "Unknown setting of algo 'clipp'. Did you mean 'clip'?",
    ]


def test_a_module_cannot_take_the_name_of_another(write: Write) -> None:
    write(NETWORK, METRIC)
    with pytest.raises(UserError, match=r"other.py:16: network 'two' is registered already, at mine.py:16"):
        write(NETWORK, name="other")
    with pytest.raises(UserError, match=r"other.py:\d+: metric 'mine/spread' is registered already, at mine"):
        write(METRIC, name="other")


def test_a_module_cannot_take_the_id_of_another_environment(write: Write) -> None:
    """Neither one of Gymnasium's, nor would rlcli's own version of it be used in silence."""
    before = gymnasium.registry["CartPole-v1"]
    source = "import gymnasium\n\n\ngymnasium.register('CartPole-v1', 'mine:Mine')\n"
    with pytest.raises(UserError, match=r"--import mine: mine registers the environment 'CartPole-v1'"):
        write(source)
    assert gymnasium.registry["CartPole-v1"] is before


def test_an_algorithm_is_explained(write: Write, rlcli: Rlcli) -> None:
    write(ALGORITHM, load=False)
    ended = rlcli("explain", "--import", "mine", "damped")
    assert ended.code == 0
    assert ended.out.startswith("algo=damped\n  Damped ratios.")
    assert "settings: rlcli train --import mine algo=damped --cfg job" in ended.out
    assert "code: mine.py:" in ended.out


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("mine.py", "mine.py is a path, not the name of a module; give that: mine."),
        ("code/mine.py", "give that, with PYTHONPATH=code: mine."),
        ("mime", "in the current directory. Did you mean 'mine'?"),
        ("./mine", "is a path, not the name of a module; give that: mine."),
    ],
)
def test_a_path_is_no_module(write: Write, given: str, told: str) -> None:
    write(NETWORK, load=False)
    with pytest.raises(UserError) as caught:
        importing.start([given])
    assert told in caught.value.faults[0]
    assert "mine" not in sys.modules


@pytest.mark.broken_by(
    "own keys begin a section anew",
    "config/serialise.py",
    "if last[section] == name:",
    'if name == "wandb.group":',
)
def test_a_config_is_read_with_and_without_its_module(write: Write, forget: Callable[[], None]) -> None:
    write(NETWORK, ALGORITHM)
    config = compose(
        ["network=two", "network.two.width=3", "algo=damped", "env.wrappers=[hide_velocities]"]
    ).config
    text = to_yaml(config)
    assert from_yaml(text) == config
    forget()
    assert from_yaml(text).own == {"network.two.width": 3, "algo.damped.damping": 0.5}
    assert to_yaml(from_yaml(text)) == text


def test_prints_of_a_module_are_no_candidates(write: Write) -> None:
    """In a process of its own, as a shell asks."""
    write("print('a print')\n", NETWORK, load=False)
    asked = {"_RLCLI_COMPLETE": "complete_bash", "COMP_WORDS": "rlcli\ntrain\n--import\nmine\nnetwork.tw"}
    ended = subprocess.run(
        [sys.executable, "-m", "rlcli"],
        env=os.environ | asked | {"COMP_CWORD": "4"},
        text=True,
        capture_output=True,
    )
    assert ended.stdout.split() == ["network.two.width=8", "network.two.width="]
