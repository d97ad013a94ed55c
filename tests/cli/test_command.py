"""A command line is parsed once; Hydra composes from it, and neither sweeps nor launches."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins

from rlcli.config import hydra_grammar
from rlcli.config.compose import with_tuned
from tests.cli.conftest import Rlcli
from tests.runs.tiny import manifest_of
from tests.sweeps.conftest import SMALL

SHORT = (*SMALL, "total_steps=16")


class Calls:
    """What Hydra's grammar is asked to parse."""

    def __init__(self) -> None:
        self.ours: list[str] = []
        """Overrides parsed by `hydra_grammar.parse`."""
        self.hydras: list[str] = []
        """Overrides that Hydra parses itself when it composes."""


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    """The calls of Hydra's parser from here on; nothing is left of what was composed before."""
    found = Calls()
    with_tuned.cache_clear()
    ours, hydras = hydra_grammar._parsed, OverridesParser.parse_overrides

    def parsed(text: str, takes_text: Callable[[str], bool]) -> Override:
        found.ours.append(text)
        return ours(text, takes_text)

    def parse_overrides(self: OverridesParser, overrides: list[str]) -> list[Override]:
        found.hydras += overrides
        return hydras(self, overrides)

    monkeypatch.setattr(hydra_grammar, "_parsed", parsed)
    monkeypatch.setattr(OverridesParser, "parse_overrides", parse_overrides)
    return found


SEARCH = ("sweep.sampler=random", "sweep.trials=2", "algo.clip=interval(0.1,0.3)")


@pytest.mark.parametrize(
    "words",
    [
        ("seed=1", "algo=ppo"),
        (
            "-m",
            "seed=0,1",
            "algo.clip=0.1,0.2",
            "env.kwargs={sutton_barto_reward:true}",
            "notes=s${seed}",
            "--cfg",
            "job",
        ),
        ("-m", "seed=0,1", "algo=ppo,a2c", "algo.learning_rate=0.1,0.2", "wandb={group:g}"),
        ("-m", "seed=0,1", "hydra/launcher=basic", "hydra.verbose=true"),
        ("-m", "algo=ppo", *SEARCH),
    ],
    ids=" ".join,
)
def test_each_override_is_parsed_once(words: tuple[str, ...], rlcli: Rlcli, calls: Calls) -> None:
    """When Hydra composes, it parses the choices of groups and its own settings again, and no values."""
    assert rlcli("train", "-q", *SHORT, *words).code == 0
    typed = [*SHORT, *(word for word in words if "=" in word)]
    assert calls.ours == typed
    assert {word.partition("=")[0].lstrip("+") for word in calls.hydras} <= {
        "algo", "env", "tuned", "hydra.verbose", "hydra/launcher",
    }  # fmt: skip


@pytest.mark.parametrize("words", [("total_steps=32", "tags=[a]"), ("eval.episodes=2", "total_steps=1e2")])
def test_a_resume_parses_each_override_once(words: tuple[str, ...], rlcli: Rlcli, calls: Calls) -> None:
    assert rlcli("train", "-q", *SHORT).code == 0
    calls.ours.clear()
    assert rlcli("resume", "-q", "last", *words).code == 0
    assert calls.ours == list(words)


@pytest.mark.parametrize(
    ("word", "fault"),
    [
        ("hydra.nosuch=3", "Cannot compose the configuration: Key 'nosuch' not in 'HydraConf'"),
        ("hydra.job.env_set.A=b", "Cannot compose the configuration: Key 'A' is not in struct"),
        ("hydra/nosuch=3", "Cannot compose the configuration: Key 'hydra/nosuch' is not in struct"),
        ("hydra/sweeper=nosuch", "Cannot compose the configuration"),
        ("hydra.sweeper.max_batch_size=1", "hydra.sweeper.max_batch_size: there is nothing to set"),
    ],
)
def test_settings_that_hydra_does_not_take_are_faults_like_others(
    word: str, fault: str, rlcli: Rlcli, workplace: Path
) -> None:
    ended = rlcli("train", "-m", *SHORT, "sed=0,1", word)
    assert ended.code == 2
    assert "Did you mean 'seed'?" in ended.err
    assert fault in ended.err
    assert not (workplace / "runs").exists()


def test_neither_sweeper_nor_launcher_of_hydra_is_made(rlcli: Rlcli, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("instantiate_sweeper", "instantiate_launcher"):
        monkeypatch.setattr(Plugins, name, lambda *_, **__: pytest.fail("Hydra launches"))
    ended = rlcli("train", "-q", "-m", *SHORT, "seed=0,1", "hydra/launcher=basic", "hydra/sweeper=basic")
    assert ended.code == 0


def test_a_resumed_sweep_trains_one_by_one_on_request(rlcli: Rlcli, workplace: Path) -> None:
    assert rlcli("train", "-q", "-m", *SHORT, "seed=0,1", "name=pair").code == 0
    for seed in (0, 1):
        (workplace / f"runs/pair/seed={seed}/manifest.json").unlink()
    assert rlcli("resume", "-q", "pair", "hydra/launcher=basic").code == 0
    assert [manifest_of(workplace / f"runs/pair/seed={seed}")["cohort"] for seed in (0, 1)] == [[], []]
