"""`rlcli rollouts` and `rlcli ope` on the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from rlcli.analysis import fqe
from tests.cli.conftest import Rlcli

TINY = (
    "total_steps=96", "algo.rollout_steps=16", "algo.epochs=2", "algo.minibatches=2", "env.num_envs=2",
    "network.hidden=[8]", "eval.every=0", "logger=[jsonl]", "eval.episodes=2",
)  # fmt: skip


@pytest.fixture
def trained(rlcli: Rlcli, monkeypatch: pytest.MonkeyPatch) -> Rlcli:
    for name, value in {"FEWEST": 2, "MOST": 2, "FIRST": 20}.items():
        monkeypatch.setattr(fqe, name, value)
    for name in ("first", "second"):
        assert rlcli("train", "-q", f"name={name}", "algo.learning_rate=0.01", *TINY).code == 0
    return rlcli


def test_a_policy_is_evaluated_from_a_file(trained: Rlcli, workplace: Path) -> None:
    ended = trained("rollouts", "first", "--out", "a.npz", "-n", "20")
    assert ended.code == 0
    assert "20 episodes" in ended.out
    assert (workplace / "a.npz").is_file()
    ended = trained("ope", "second", "--behaviour", "a.npz", "--verify")
    assert ended.code == 0
    for text in ("weighted per decision", "doubly robust", "fresh episodes", "effective episodes", "k-hat"):
        assert text in ended.out
    (row,) = trained("ope", "second", "--behaviour", "a.npz", "--json").rows()
    assert set(row["estimates"]) >= {"is", "direct", "weighted_doubly_robust"}


def test_a_run_may_act(trained: Rlcli) -> None:
    (row,) = trained("ope", "second", "--behaviour", "first", "-n", "12", "--json").rows()
    assert row["episodes"] == 12


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("rollouts", "first", "--out", "a.txt"), "does not end in .npz"),
        (("rollouts", "first", "--out", "nowhere/a.npz"), "there is no folder nowhere"),
        (("ope", "first", "--behaviour", "nothing.npz"), "There is no file nothing.npz"),
        (("ope", "first", "--behaviour", "thrid"), "There is no run 'thrid'"),
        (("ope", "first", "--behaviour", "first", "--gamma", "2"), "gamma"),
    ],
)
def test_a_mistake_has_one_message(trained: Rlcli, words: tuple[str, ...], message: str) -> None:
    ended = trained(*words)
    assert ended.code == 2
    assert message in ended.err
