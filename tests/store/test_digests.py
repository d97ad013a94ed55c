"""digests.txt: two runs are the same up to the first line that differs, and the line says in what."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from rlcli.backends.native import NativeSession
from rlcli.backends.sb3 import Sb3Session
from rlcli.backends.session import Array, Failure, Row, Session
from rlcli.config.compose import compose
from rlcli.config.schema.run import RunConfig
from rlcli.errors import StorageError
from rlcli.runs.train import Result
from rlcli.store.digests import (
    FILE,
    HEADER,
    QUANTITIES,
    Difference,
    Digests,
    Line,
    compare,
    quantity_of,
    read_lines,
)
from tests.runs.tiny import tiny

Trained = Callable[..., Result]
State = dict[str, torch.Tensor]
ROWS = ("ppo", "ppo_kl", "mdpo", "trpo", "a2c", "impala")


def lines_of(run_dir: Path) -> list[Line]:
    return list(read_lines(run_dir))


def text_of(run_dir: Path) -> list[str]:
    return (run_dir / FILE).read_text().splitlines()


def after_updates(
    session: Session, dirs: Sequence[Path], updates: int = 3
) -> tuple[list[list[Line]], list[tuple[Row, State]]]:
    """The lines of every run of a session, and its last row with copies of its state."""
    chains = []
    for directory in dirs:
        directory.mkdir(parents=True)
        chains.append(Digests(directory))
    last: list[tuple[Row, State]] = []
    for _ in range(updates):
        last = []
        for run, row in session.update().items():
            assert not isinstance(row, Failure), row.error
            chains[run].add(row, session.views(run))
            last.append((row, session.state(run).tensors))
    session.close()
    for chain in chains:
        chain.close()
    return [lines_of(directory) for directory in dirs], last


@pytest.fixture(scope="module")
def reached() -> tuple[Row, State]:
    """The row and the state of a run that has something in every corner: lag, statistics, an open episode."""
    config = tiny(lag=2, env__normalize_observation=True, env__normalize_reward=True, env__id="Pendulum-v1")
    session = NativeSession([config])
    for _ in range(3):
        row = session.update()[0]
    assert not isinstance(row, Failure)
    state = session.state(0).tensors
    session.close()
    return row, state


def changed(tensor: torch.Tensor) -> torch.Tensor:
    """The same with one bit of its last element flipped."""
    raw = tensor.clone().reshape(-1).contiguous().view(torch.uint8)
    raw[-tensor.element_size()] ^= 1
    return raw.view(tensor.dtype).reshape(tensor.shape)


def arrays(state: State) -> dict[str, Array]:
    """As `Session.views` gives them."""
    return {name: tensor.numpy() for name, tensor in state.items()}


def line(tmp_path: Path, row: Row, state: State) -> Line:
    digests = Digests(tmp_path)
    try:
        return digests.add(row, arrays(state))
    finally:
        digests.close()


@pytest.mark.broken_by(
    "the optimiser left out of the digests",
    "store/digests.py",
    "    for name, array in state.items():\n",
    "    kept = {name: leaf for name, leaf in state.items() if 'optimiser' not in name}\n"
    "    for name, array in kept.items():\n",
)
@pytest.mark.broken_by(
    "digests of the policy alone, without the queue behind it",
    "store/digests.py",
    "            pieces[quantity] += (heading, array.data)",
    "            pieces[quantity] += (heading, b'' if '.queue.' in name else array.data)",
)
def test_one_bit_of_any_tensor_is_seen_in_its_quantity(reached: tuple[Row, State], tmp_path: Path) -> None:
    row, state = reached
    before = line(tmp_path, row, state)
    seen = set()
    for name, tensor in state.items():
        if tensor.numel() == 0:
            continue
        after = line(tmp_path, row, state | {name: changed(tensor)})
        difference = compare([before], [after]).difference
        assert difference == Difference(3, (quantity_of(name),)), name
        seen.add(quantity_of(name))
    assert seen == set(QUANTITIES) - {"metrics"}


def test_each_tensor_belongs_where_one_looks_for_it(reached: tuple[Row, State]) -> None:
    _, state = reached
    where = {name: quantity_of(name) for name in state}
    assert where["train.policy.parameters"] == where["train.queue.parameters"] == "parameters"
    for name in ("train.optimiser.first", "train.optimiser.second", "train.optimiser.steps"):
        assert where[name] == "optimiser"
    assert where["train.coefficient"] == "optimiser"
    for name in ("train.policy.moments.mean", "train.reward_moments.variance", "train.discounted"):
        assert where[name] == "normaliser"
    assert {where[name] for name in state if name.startswith("collector.")} == {"collector"}


def test_what_belongs_nowhere_is_refused(reached: tuple[Row, State], tmp_path: Path) -> None:
    row, state = reached
    with pytest.raises(LookupError, match=r"train\.forgotten belongs to no quantity"):
        line(tmp_path, row, state | {"train.forgotten": torch.zeros(2)})
    with pytest.raises(LookupError):
        quantity_of("train.policy.parameters_of_another_kind")


@pytest.mark.broken_by(
    "evaluation in the digest of metrics",
    "store/digests.py",
    'LEFT_OUT = ("time/", "actors/", "eval/", "final")',
    'LEFT_OUT = ("time/", "actors/", "final")',
)
def test_every_figure_counts_but_time_and_evaluation(reached: tuple[Row, State], tmp_path: Path) -> None:
    row, state = reached
    before = line(tmp_path, row, state)
    for name in ("time/learn", "eval/return_mean", "final"):
        assert line(tmp_path, row | {name: 17.0}, state) == before
    for name in row:
        if not name.startswith("time/") and name != "update":
            after = line(tmp_path, row | {name: -1.5}, state)
            assert compare([before], [after]).difference == Difference(3, ("metrics",)), name


@pytest.mark.parametrize("algo", ROWS)
@pytest.mark.parametrize("lag", [0, 2])
def test_a_member_of_a_cohort_has_the_digests_of_a_lone_run(algo: str, lag: int, tmp_path: Path) -> None:
    configs = [small(algo, lag, seed) for seed in (3, 4)]
    together, _ = after_updates(NativeSession(configs), [tmp_path / "0", tmp_path / "1"])
    assert together[0] != together[1]
    for member, config in zip(together, configs, strict=True):
        [alone], _ = after_updates(NativeSession([config]), [tmp_path / f"alone {config.seed}"])
        assert member == alone
        assert len(alone) == 3


def small(algo: str, lag: int, seed: int) -> RunConfig:
    words = [
        f"algo={algo}", f"lag={lag}", f"seed={seed}", "env=CartPole-v1", "tuned=none", "total_steps=96",
        "algo.rollout_steps=16", "env.num_envs=2", "network.hidden=[8]", "env.normalize_reward=true",
    ]  # fmt: skip
    if algo in ("ppo", "ppo_kl"):
        words.append("algo.minibatches=2")
    return compose(words).config


@pytest.mark.parametrize("changes", [{}, {"algo__optimiser": "rmsprop"}])
def test_stable_baselines3_has_digests_of_the_same_state(changes: dict[str, Any], tmp_path: Path) -> None:
    config = tiny(backend="sb3", algo__learning_rate_schedule="constant", **changes)
    [first], [(_, state)] = after_updates(Sb3Session([config]), [tmp_path / "first"])
    [second], _ = after_updates(Sb3Session([config]), [tmp_path / "second"])
    assert first == second
    assert len({one.quantities for one in first}) == 3
    [native], [(_, ours)] = after_updates(NativeSession([tiny()]), [tmp_path / "native"])
    assert state.keys() == ours.keys()
    assert native != first


def test_views_are_the_state(reached: tuple[Row, State]) -> None:
    session = NativeSession([tiny(), tiny(seed=1)])
    session.update()
    for run in (0, 1):
        views, state = session.views(run), session.state(run).tensors
        assert views.keys() == state.keys()
        assert all(torch.equal(torch.from_numpy(views[name]), state[name]) for name in state)
    kept = session.state(0).tensors
    before = {name: tensor.clone() for name, tensor in kept.items()}
    session.update()
    session.close()
    assert all(torch.equal(kept[name], before[name]) for name in kept), "a state is a copy"


def test_a_run_writes_a_line_an_update(trained: Trained) -> None:
    run = trained("straight").dir
    assert text_of(run)[0] == HEADER
    assert [one.update for one in lines_of(run)] == [1, 2, 3]
    bent = trained("bent", algo__learning_rate_schedule="constant").dir
    comparison = compare(read_lines(run), read_lines(bent))
    # The first update has the whole rate under either schedule.
    assert (comparison.updates, comparison.last) == (1, 1)
    assert comparison.difference is not None
    assert comparison.difference.update == 2
    assert {"parameters", "optimiser"} <= set(comparison.difference.quantities)
    assert "collector" not in comparison.difference.quantities


@pytest.mark.broken_by(
    "a chain without the link before",
    "store/digests.py",
    'hashlib.sha256(before + b" " + ended)',
    'hashlib.sha256(b" " + ended)',
)
def test_each_chain_digest_holds_all_before_it(reached: tuple[Row, State], tmp_path: Path) -> None:
    """After a first update that differs, equal ones have other chain digests all the same."""
    row, state = reached
    chains = []
    for name, first in (("a", 1.0), ("b", 2.0)):
        (tmp_path / name).mkdir()
        digests = Digests(tmp_path / name)
        for update, loss in ((1, first), (2, 0.0), (3, 0.0)):
            digests.add(row | {"update": update, "loss/policy": loss}, arrays(state))
        digests.close()
        chains.append(lines_of(tmp_path / name))
    assert all(left.chain != right.chain for left, right in zip(*chains, strict=True))
    assert all(left.quantities == right.quantities for left, right in list(zip(*chains, strict=True))[1:])


def test_evaluation_and_checkpoints_leave_them_alone(trained: Trained) -> None:
    often = trained("often", eval__every=32, checkpoint__every=32).dir
    assert text_of(often) == text_of(trained("never").dir)


@pytest.mark.parametrize(("every", "updates"), [(0, [5]), (1, [1, 2, 3, 4, 5]), (2, [2, 4, 5]), (9, [5])])
def test_the_cadence(every: int, updates: list[int], trained: Trained) -> None:
    run = trained(digest__every=every, total_steps=160).dir
    assert [one.update for one in lines_of(run)] == updates
    dense = trained("dense", total_steps=160).dir
    assert compare(read_lines(run), read_lines(dense)).updates == len(updates)


# --- going on


def continued(run: Path, to: Path, after: int, every: int = 1) -> Digests:
    """The digests of a copy of a run, opened to go on after an update."""
    to.mkdir()
    (to / FILE).write_bytes((run / FILE).read_bytes())
    return Digests(to, after=after, every=every)


@pytest.mark.broken_by(
    "a chain that goes on after what was done again",
    "store/digests.py",
    "if update <= after and every and update % every == 0",
    "if every and update % every == 0",
)
def test_going_on_keeps_what_was(trained: Trained, tmp_path: Path) -> None:
    run = trained().dir
    straight = lines_of(run)
    digests = continued(run, tmp_path / "again", after=1)
    assert lines_of(tmp_path / "again") == straight[:1]
    session = NativeSession([tiny()])
    for update in range(1, 4):
        row = session.update()[0]
        assert not isinstance(row, Failure)
        if update > 1:
            assert digests.add(row, session.views(0)) == straight[update - 1]
    session.close()
    digests.close()
    assert (tmp_path / "again" / FILE).read_bytes() == (run / FILE).read_bytes()


def test_from_the_start_means_from_the_start(trained: Trained, tmp_path: Path) -> None:
    run = trained().dir
    continued(run, tmp_path / "again", after=0)
    assert text_of(tmp_path / "again") == [HEADER]


def test_the_line_of_an_end_goes_when_the_run_goes_on(trained: Trained, tmp_path: Path) -> None:
    """A run of five updates that are later ten has the digests of a run of ten."""
    run = trained(digest__every=2, total_steps=160).dir
    assert [one.update for one in lines_of(run)] == [2, 4, 5]
    continued(run, tmp_path / "again", after=5, every=2)
    assert [one.update for one in lines_of(tmp_path / "again")] == [2, 4]


@pytest.mark.parametrize("kept", [1, 40, 210, 400])
def test_a_torn_last_line_is_left_out(kept: int, trained: Trained, tmp_path: Path) -> None:
    run = trained().dir
    content = (run / FILE).read_bytes()
    (run / FILE).write_bytes(content[: len(content) - kept])
    whole = (run / FILE).read_bytes().count(b"\n") - 1
    assert [one.update for one in lines_of(run)] == list(range(1, whole + 1))
    continued(run, tmp_path / "again", after=3)
    assert [one.update for one in lines_of(tmp_path / "again")] == list(range(1, whole + 1))
    assert (tmp_path / "again" / FILE).read_bytes().endswith(b"\n")


@pytest.mark.parametrize("content", ["", "# rlcli dig"])
def test_a_file_torn_in_its_header_is_an_empty_one(content: str, tmp_path: Path) -> None:
    (tmp_path / FILE).write_text(content)
    assert lines_of(tmp_path) == []
    Digests(tmp_path).close()
    assert text_of(tmp_path) == [HEADER]


# --- damage and versions


def test_a_line_that_was_changed_is_found(trained: Trained) -> None:
    run = trained().dir
    content = (run / FILE).read_bytes()
    for place in range(len(HEADER) + 1, len(content) - 1):
        flipped = bytearray(content)
        flipped[place] ^= 1
        (run / FILE).write_bytes(flipped)
        with pytest.raises(StorageError, match="damaged: line"):
            lines_of(run)


def test_lines_left_out_or_exchanged_are_found(trained: Trained) -> None:
    run = trained().dir
    header, first, second, third = text_of(run)
    for lines in ((header, second, third), (header, first, third), (header, second, first, third)):
        (run / FILE).write_text("".join(f"{one}\n" for one in lines))
        with pytest.raises(StorageError, match="damaged: line"):
            lines_of(run)


@pytest.mark.parametrize("line", ["x" * 10_000, "", "9" * 30 + " a" * 6, "1 2 3"])
def test_what_is_no_line_is_found(line: str, trained: Trained) -> None:
    run = trained().dir
    with (run / FILE).open("a") as file:
        file.write(line + "\n")
    with pytest.raises(StorageError, match="damaged: line 5"):
        lines_of(run)


def old(run: Path, *digests: str) -> Path:
    run.mkdir()
    (run / FILE).write_text("".join(f"{number} {digest * 32}\n" for number, digest in enumerate(digests, 1)))
    return run


def test_version_1_is_compared_as_a_whole(tmp_path: Path) -> None:
    run, same, other = old(tmp_path / "a", *"123"), old(tmp_path / "b", *"123"), old(tmp_path / "c", *"124")
    assert compare(read_lines(run), read_lines(same)) == (3, 3, None)
    assert compare(read_lines(run), read_lines(other)).difference == Difference(3, ())
    with pytest.raises(StorageError, match=r"version '1'; this rlcli reads 2\. An older rlcli wrote it"):
        Digests(run, after=1)


@pytest.mark.parametrize(
    ("header", "said"),
    [("# rlcli digests 3: update", "'3'.*A newer rlcli wrote it"), ("something else", "no rlcli|No rlcli")],
)
def test_other_versions_are_refused_by_name(header: str, said: str, tmp_path: Path) -> None:
    (tmp_path / FILE).write_text(f"{header}\n1 2 3\n")
    with pytest.raises(StorageError, match=said):
        lines_of(tmp_path)
    with pytest.raises(StorageError, match=said):
        Digests(tmp_path, after=1)


def test_only_updates_of_both_are_compared() -> None:
    def chain(*updates: int) -> list[Line]:
        return [Line(update, (str(update),) * len(QUANTITIES), "") for update in updates]

    assert compare(chain(1, 2, 3, 4), chain(2, 4, 6)) == (2, 4, None)
    assert compare(chain(2, 4, 6), chain(1, 2, 3, 4)) == (2, 4, None)
    assert compare(chain(1), chain(2)) == (0, None, None)
    assert compare([], chain(2)) == (0, None, None)
