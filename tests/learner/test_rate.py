"""The learning rate that adapts to the KL: steps, bounds, cohorts, and what a checkpoint keeps of it."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from rlcli.backends.native import NativeSession
from rlcli.backends.session import Checkpoint
from rlcli.errors import StorageError
from tests.learner.setting import Stage, same, small, stage

ADAPTS: dict[str, Any] = {
    "learning_rate_schedule": "adaptive_kl", "learning_rate_min": 1e-4, "learning_rate_max": 0.05,
}  # fmt: skip
RATE = 3e-3


def after_one(share: float) -> tuple[Stage, float]:
    """A stage after an update whose KL is so many times its target, and the rate of the next update."""
    trial = stage(small(algo=ADAPTS))
    kl = trial.learn(trial.collect()).figures["update/kl_anchor_pi"].item()
    before = stage(small(algo=ADAPTS | {"learning_rate_kl": kl / share}))
    learned = before.learn(before.collect())
    assert learned.figures["update/learning_rate"].item() == pytest.approx(RATE)
    after = before._replace(state=learned.state)
    return after, after.learn(after.collect()).figures["update/learning_rate"].item()


@pytest.mark.broken_by(
    "an adaptive rate of a narrower band", "learner/rate.py", "BAND = 2.0", "BAND = 1.5", case="1.9-1.0"
)
@pytest.mark.parametrize(
    ("share", "factor"),
    [(100.0, 1 / 1.5), (2.1, 1 / 1.5), (1.9, 1.0), (1.0, 1.0), (0.55, 1.0), (0.45, 1.5), (0.01, 1.5)],
)
def test_the_rate_of_the_next_update_follows_the_kl_of_this_one(share: float, factor: float) -> None:
    _, rate = after_one(share)
    assert rate == pytest.approx(RATE * factor, rel=1e-6)


def course(target: float, updates: int, **algo: Any) -> list[float]:
    """The rates of a run, update by update."""
    now, found = stage(small(algo=ADAPTS | {"learning_rate_kl": target} | algo)), []
    for _ in range(updates):
        learned = now.learn(now.collect())
        found.append(learned.figures["update/learning_rate"].item())
        now = now._replace(state=learned.state)
    return found


def test_it_stays_within_its_bounds_and_returns_from_them() -> None:
    rising = course(1e9, 9)
    assert rising[:7] == pytest.approx([RATE * 1.5**n for n in range(7)])
    assert rising[7:] == pytest.approx([0.05] * 2)
    falling = course(1e-12, 4, learning_rate_min=2e-3)
    assert falling == pytest.approx([RATE, 2e-3, 2e-3, 2e-3])


@pytest.mark.broken_by(
    "an adaptive rate that is forgotten",
    "learner/update.py",
    "        rate=rate,\n",
    "        rate=state.rate,\n",
)
def test_runs_of_a_cohort_have_their_own_rate_and_go_on_from_their_own_checkpoints() -> None:
    configs = [
        small(seed=seed, algo=ADAPTS | {"learning_rate_kl": target, "learning_rate": rate})
        for seed, target, rate in ((0, 1e9, 3e-3), (5, 1e-9, 3e-3), (9, 1e-9, 1e-2))
    ]
    together = NativeSession(configs)
    rows = [together.update() for _ in range(4)]
    rates = [[row[run]["update/learning_rate"] for run in range(3)] for row in rows]
    assert rates[3] == pytest.approx([3e-3 * 1.5**3, 3e-3 / 1.5**3, 1e-2 / 1.5**3])
    for run, config in enumerate(configs):
        begun = NativeSession([config])
        begun.update(), begun.update()
        alone = NativeSession([config], [begun.state(0)])
        found = [alone.update()[0] for _ in range(2)]
        for one, other in zip(found, rows[2:], strict=True):
            assert one["update/learning_rate"] == other[run]["update/learning_rate"]
        ours, theirs = alone.state(0).tensors, together.state(run).tensors
        assert ours.keys() == theirs.keys()
        assert all(same(ours[name], theirs[name]) for name in ours)


@pytest.mark.broken_by(
    "checkpoints of an earlier rlcli refused",
    "backends/native_state.py",
    "if saved is None and not leaf.numel():",
    "if saved is None and leaf.ndim > 9:",
)
def test_a_checkpoint_from_before_there_was_a_rate_is_read() -> None:
    config = small()
    session = NativeSession([config])
    session.update()
    saved = session.state(0)
    earlier = Checkpoint({k: v for k, v in saved.tensors.items() if k != "train.rate"}, saved.update)
    assert earlier.tensors.keys() != saved.tensors.keys()
    one, other = NativeSession([config], [earlier]), NativeSession([config], [saved])
    one.update(), other.update()
    ours, theirs = one.state(0).tensors, other.state(0).tensors
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_an_adaptive_rate_is_not_made_up_where_a_checkpoint_has_none() -> None:
    session = NativeSession([small()])
    session.update()
    with pytest.raises(StorageError, match="rate is"):
        NativeSession([small(algo=ADAPTS)], [session.state(0)])
