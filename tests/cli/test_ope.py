"""`rlcli rollouts` and `rlcli ope` on the command line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rlcli.analysis.episode_file import read_episodes
from rlcli.envs import minari_dataset
from tests.cli.conftest import Rlcli, on_a_terminal

TINY = (
    "total_steps=96", "algo.rollout_steps=16", "algo.epochs=2", "algo.minibatches=2", "env.num_envs=2",
    "network.hidden=[8]", "eval.every=0", "logger=[jsonl]", "eval.episodes=2",
)  # fmt: skip


@pytest.fixture
def trained(rlcli: Rlcli, quick_ope: None) -> Rlcli:
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
    assert row["warning"].startswith("12 episodes are too few")
    assert row["lower_bound"] is None
    assert "marginalised" in row["left_out"]
    assert all(one["warning"] for one in row["estimates"].values())
    ended = trained("ope", "second", "--behaviour", "first", "-n", "12")
    too_few = "12 episodes are too few; record more with --episodes."
    assert f"Warning: direct: the fitted values extrapolate: {too_few}" in ended.out
    assert "There is no lower bound of the return" in ended.out


@pytest.mark.broken_by(
    "episodes of another process are weighed",
    "analysis/ope.py",
    "or theirs[name] != own[name]",
    "or False",
)
def test_episodes_of_another_process_are_refused(trained: Rlcli) -> None:
    """Each key that differs is in the message."""
    limit = "env.wrappers=[{TimeLimit: {max_episode_steps: 20}}]"
    assert trained("train", "-q", "name=short", limit, "eval.max_steps=30", *TINY).code == 0
    assert trained("rollouts", "short", "--out", "short.npz", "-n", "2").code == 0
    for behaviour in ("short.npz", "short"):
        ended = trained("ope", "first", "--behaviour", behaviour)
        assert ended.code == 2
        assert "episodes of another decision process: env.wrappers is" in ended.err
        assert "eval.max_steps is 30 there, and 100000 for the target" in ended.err
        assert "rlcli rollouts RUN --out FILE.npz" in ended.err
    assert trained("ope", "short", "--behaviour", "short.npz").code == 0


@pytest.mark.filterwarnings("error")
def test_weights_beyond_numbers_are_null(trained: Rlcli, workplace: Path) -> None:
    assert trained("rollouts", "first", "--out", "a.npz", "-n", "25").code == 0
    with np.load(workplace / "a.npz") as archive:
        arrays = {name: archive[name] for name in archive.files}
    arrays["log_probs"][arrays["log_probs"] < 0.0] = -1e6
    np.savez(workplace / "a.npz", **arrays)
    ended = trained("ope", "second", "--behaviour", "a.npz", "--json")
    assert (ended.code, ended.err) == (0, "")
    (row,) = ended.rows()
    assert row["largest_weight"] is row["lower_bound"] is row["estimates"]["is"]["value"] is None
    assert row["warning"] == "the estimate is not finite"
    ended = trained("ope", "second", "--behaviour", "a.npz")
    assert not {"nan", "inf", "nan,", "inf,"} & set(ended.out.split())
    assert "truncated" in next(line for line in ended.out.splitlines() if "a weight is so large" in line)
    assert "bias is about" not in ended.out
    assert ended.err == ""


@pytest.mark.broken_by(
    "a first line as long as it is",
    "cli/ope.py",
    """    paragraph(
        f"{counted(answer.episodes, 'episode')}""",
    """    result(
        f"{counted(answer.episodes, 'episode')}""",
)
def test_a_narrow_terminal_has_no_longer_lines(trained: Rlcli) -> None:
    shown = on_a_terminal("ope", "second", "--behaviour", "first", "-n", "2", columns=40)
    assert "2 episodes, return" in shown
    assert "2 episodes are too few" in " ".join(shown.split())
    assert max(len(line.rstrip()) for line in shown.splitlines()) <= 40


def test_one_is_singular(trained: Rlcli) -> None:
    assert "1 episode, " in trained("rollouts", "first", "--out", "one.npz", "-n", "1").out
    ended = trained("ope", "second", "--behaviour", "one.npz")
    assert ended.out.startswith("1 episode, return")
    assert "1 episode is too few" in ended.out


def test_a_file_of_another_kind_is_neither_read_nor_overwritten(trained: Rlcli, workplace: Path) -> None:
    mine = workplace / "mine.npz"
    mine.write_text("hello")
    ended = trained("rollouts", "first", "--out", "mine.npz")
    assert (ended.code, mine.read_text()) == (2, "hello")
    assert "it exists, and is not a file of episodes" in ended.err
    (workplace / "notes").write_text("hello")
    for name in ("mine.npz", "notes"):
        ended = trained("ope", "first", "--behaviour", name)
        assert ended.code == 2
        assert f"{name} is not a file of episodes" in ended.err
        assert "rlcli rollouts RUN --out FILE.npz" in ended.err
    for _ in range(2):  # one of ours may be written again
        assert trained("rollouts", "first", "--out", "ours.npz", "-n", "2").code == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("rollouts", "first", "--out", "a.txt"), "does not end in .npz"),
        (("rollouts", "first", "--out", "nowhere/a.npz"), "there is no folder nowhere"),
        (("rollouts", "first", "--format", "minari", "--out", "a"), "ends in a version, such as a-v0"),
        (("ope", "first", "--behaviour", "nothing.npz"), "There is no file nothing.npz"),
        (("ope", "first", "--behaviour", "thrid"), "There is no run 'thrid'"),
        (("ope", "first", "--behaviour", "first", "--gamma", "2"), "gamma"),
    ],
)
def test_a_mistake_has_one_message(trained: Rlcli, words: tuple[str, ...], message: str) -> None:
    ended = trained(*words)
    assert ended.code == 2
    assert message in ended.err


def test_a_dataset_without_its_packages_names_the_extra(
    trained: Rlcli, monkeypatch: pytest.MonkeyPatch, workplace: Path
) -> None:
    monkeypatch.setattr(minari_dataset, "PACKAGES", ("no_such_package",))
    ended = trained("rollouts", "first", "--format", "minari")
    assert ended.code == 2
    assert "--format minari needs the package no_such_package" in ended.err
    assert "minari" in ended.err.splitlines()[-1]
    assert not (workplace / "episodes-v0").exists()


def test_a_dataset_is_read_back(trained: Rlcli, monkeypatch: pytest.MonkeyPatch, workplace: Path) -> None:
    """By Minari itself, with the arrays of the plain file of the same episodes."""
    minari = pytest.importorskip("minari", reason="the extra minari is not installed")
    pytest.importorskip("h5py", reason="the extra minari is not installed")
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(workplace))
    assert trained("rollouts", "first", "-n", "3", "--out", "a.npz").code == 0
    assert trained("rollouts", "first", "-n", "3", "--format", "minari", "--out", "mine-v0").code == 0
    plain, dataset = read_episodes(workplace / "a.npz"), minari.load_dataset("mine-v0")
    assert dataset.total_episodes == 3
    assert dataset.env_spec.id == "CartPole-v1"
    for number, episode in enumerate(dataset.iterate_episodes()):
        steps = int(plain.episodes.lengths[number])
        assert np.array_equal(episode.observations, plain.episodes.observations[number, : steps + 1])
        assert np.array_equal(episode.actions, plain.episodes.actions[number, :steps])
        assert np.array_equal(episode.rewards, plain.episodes.rewards[number, :steps])
        assert np.allclose(episode.infos["log_prob"][:-1], plain.log_probs[number, :steps])
        assert episode.terminations.tolist() == [False] * (steps - 1) + [True]
        assert not episode.truncations.any()
    assert trained("rollouts", "first", "--format", "minari", "--out", "mine-v0").code == 2
