"""The balance heuristic over policies, against sums over every trajectory of a small decision process."""

from __future__ import annotations

import itertools
import math
from typing import NamedTuple

import pytest
import torch

from rlcli.maths.mixture import log_mixture

EXACT = {"rtol": 0.0, "atol": 1e-12}
STATES, ACTIONS, STEPS = 3, 2, 2
START = (0.5, 0.3, 0.2)
NEXT = {
    (state, action): torch.softmax(torch.tensor([state - action, action, 0.3 * state * action]).double(), 0)
    for state in range(STATES)
    for action in range(ACTIONS)
}
REWARD = torch.tensor([[1.0, -2.0], [0.5, 3.0], [-1.0, 0.7]], dtype=torch.float64)


def policy(seed: int) -> torch.Tensor:
    """Probabilities [S, A]."""
    draws = torch.randn(STATES, ACTIONS, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return draws.softmax(-1)


MU = (policy(1), policy(2))
PI = policy(3)


class Path(NamedTuple):
    """One of all trajectories of two steps."""

    states: tuple[int, ...]
    actions: tuple[int, ...]

    def of_dynamics(self) -> float:
        found = START[self.states[0]]
        for state, action, following in zip(self.states, self.actions, self.states[1:], strict=False):
            found *= float(NEXT[state, action][following])
        return found

    def of(self, actor: torch.Tensor) -> float:
        return math.prod(float(actor[s, a]) for s, a in zip(self.states, self.actions, strict=True))

    def total(self) -> float:
        return sum(float(REWARD[s, a]) for s, a in zip(self.states, self.actions, strict=True))


PATHS = [
    Path(states, actions)
    for states in itertools.product(range(STATES), repeat=STEPS)
    for actions in itertools.product(range(ACTIONS), repeat=STEPS)
]


def expected(actor: torch.Tensor, of) -> float:
    """E under a policy of a function of a trajectory."""
    return sum(path.of_dynamics() * path.of(actor) * of(path) for path in PATHS)


def divisor(*probabilities: float) -> float:
    """The mixture of policies by their probabilities of one thing, through the code."""
    log = torch.tensor(probabilities, dtype=torch.float64).log()
    return float(log_mixture(log, torch.ones_like(log, dtype=torch.bool)).exp())


@pytest.mark.broken_by(
    "a mixture that is a sum",
    "maths/mixture.py",
    "    return peak + (total.log() - present.double().sum(0).log())\n",
    "    return peak + total.log()\n",
)
def test_over_trajectories_the_estimate_is_exact_whatever_policies_collected() -> None:
    def weighed(path: Path) -> float:
        return path.of(PI) / divisor(*(path.of(mu) for mu in MU)) * path.total()

    wanted = expected(PI, Path.total)
    found = sum(expected(mu, weighed) for mu in MU) / len(MU)
    assert abs(expected(MU[0], Path.total) - wanted) > 0.1
    assert found == pytest.approx(wanted, abs=1e-12)


def test_by_step_the_estimate_is_exact_where_the_policies_meet_a_state_equally_often() -> None:
    """At the first step, that is; later the states are those of the policies that collected."""

    def at(step: int):
        def weighed(path: Path) -> float:
            s, a = path.states[step], path.actions[step]
            return float(PI[s, a]) / divisor(*(float(mu[s, a]) for mu in MU)) * float(REWARD[s, a])

        return weighed

    for step, exact in ((0, True), (1, False)):
        found = sum(expected(mu, at(step)) for mu in MU) / len(MU)
        wanted = expected(PI, lambda path, step=step: float(REWARD[path.states[step], path.actions[step]]))
        assert (abs(found - wanted) < 1e-12) is exact


@pytest.mark.broken_by(
    "a mixture with policies that are not there",
    "maths/mixture.py",
    "torch.where(present, log_probs.double(), -math.inf)",
    "log_probs.double()",
)
def test_what_is_absent_is_as_if_it_were_not_there() -> None:
    log = torch.tensor([[-0.3, -700.0], [5.0, 9.0], [-1.2, -701.5]], dtype=torch.float64)
    present = torch.tensor([[True], [False], [True]]).expand(3, 2)
    small, tiny = (math.exp(-0.3) + math.exp(-1.2)) / 2, (1.0 + math.exp(-1.5)) / 2
    wanted = torch.tensor([math.log(small), math.log(tiny) - 700.0], dtype=torch.float64)
    torch.testing.assert_close(log_mixture(log, present), wanted, **EXACT)
    found, alone = log_mixture(log, present), log_mixture(log[[0, 2]], present[[0, 2]])
    torch.testing.assert_close(found, alone, **EXACT)


def test_equal_policies_weigh_one_to_the_last_bit() -> None:
    log = torch.randn(1, 500, generator=torch.Generator().manual_seed(4)) * 3
    for count in (1, 2, 3, 4, 7):
        same = log.expand(count, -1)
        assert torch.equal(log_mixture(same, torch.ones_like(same, dtype=torch.bool)), log[0].double())


def test_no_weight_of_one_of_the_policies_exceeds_their_number() -> None:
    log = torch.randn(4, 500, generator=torch.Generator().manual_seed(5), dtype=torch.float64) * 20
    weights = (log[0] - log_mixture(log, torch.ones_like(log, dtype=torch.bool))).exp()
    assert 3.9 < weights.max() <= 4.0 + 1e-12
