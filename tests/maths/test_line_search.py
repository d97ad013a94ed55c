"""The line search: what is taken, what is refused, and what is put back."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from rlcli.maths.natural import (
    Outcome,
    Proposal,
    line_search,
)
from tests.maths.networks import (
    column,
)


def proposal(step: Tensor, outcome: list[int] | None = None) -> Proposal:
    nothing = torch.zeros(len(step), dtype=torch.float64)
    codes = torch.tensor(outcome or [Outcome.STEPPED] * len(step), dtype=torch.int64)
    return Proposal(step, nothing, nothing, nothing, torch.zeros_like(codes), codes)


def test_the_first_acceptable_candidate_is_taken():
    """KL is the squared distance; the gain of each run is a function of distance alone."""
    start = torch.randn(5, 3, dtype=torch.float64)
    step = torch.zeros_like(start)
    step[:, 0] = 1.0
    gains = [
        lambda d: d,  # always better
        lambda d: 0.3 - d,  # better only near the start
        lambda d: -d,  # never better
        lambda d: math.nan if d > 0.4 else d,  # undefined far away
        lambda d: d if 0.2 < d < 0.3 else -d,  # better at one candidate alone
    ]
    seen = []

    def evaluate(parameters: Tensor) -> tuple[Tensor, Tensor]:
        distance = (parameters - start)[:, 0]
        seen.append(distance.tolist())
        return distance**2, torch.tensor([gain(d) for gain, d in zip(gains, distance.tolist(), strict=True)])

    delta = column(0.25, 1.0, 1.0, 1.0, 1.0)
    found = line_search(start, proposal(step), evaluate, delta, torch.full((5, 1), 0.5), 4)
    assert found.candidate.tolist() == [1, 2, -1, 2, 2]
    assert found.scale.tolist() == [0.5, 0.25, 0.0, 0.25, 0.25]
    assert found.outcome.tolist() == [0, 0, Outcome.LINE_SEARCH_FAILED, 0, 0]
    torch.testing.assert_close(found.kl, torch.tensor([0.25, 0.0625, 0.0, 0.0625, 0.0625]).double())
    torch.testing.assert_close(found.gain, torch.tensor([0.5, 0.05, 0.0, 0.25, 0.25]).double())
    assert torch.equal(found.parameters[2], start[2])
    torch.testing.assert_close((found.parameters - start)[:, 0], found.scale)
    assert [row[0] for row in seen] == pytest.approx([1.0, 0.5, 0.25, 0.125])


def test_the_edge_of_the_region_belongs_to_it_and_no_gain_is_none():
    start, step = torch.zeros(2, 1, dtype=torch.float64), torch.ones(2, 1, dtype=torch.float64)
    found = line_search(
        start,
        proposal(step),
        lambda at: (torch.full((2,), 0.5), torch.tensor([1e-30, 0.0])),
        column(0.5, 0.5),
        column(0.5, 0.5),
        3,
    )
    assert found.candidate.tolist() == [0, -1]


def test_gains_are_over_the_fixed_start():
    """Each candidate is better than the one before, none better than the start."""
    start, step = torch.zeros(1, 1, dtype=torch.float64), torch.ones(1, 1, dtype=torch.float64)
    found = line_search(start, proposal(step), lambda at: (at[:, 0], -at[:, 0]), column(1.0), column(0.5), 20)
    assert found.outcome.tolist() == [Outcome.LINE_SEARCH_FAILED]
    assert found.parameters.item() == 0.0


def test_a_failed_search_restores_parameters_to_the_bit():
    start = torch.randn(3, 50) * 1e-3
    start[0, 0] = -0.0
    found = line_search(
        start,
        proposal(torch.randn(3, 50).double()),
        lambda at: (torch.ones(3), torch.ones(3)),
        column(0.5, 2.0, 0.5),
        column(0.8, 0.8, 0.8),
        10,
    )
    assert found.parameters.dtype == torch.float32
    assert torch.equal(found.parameters[[0, 2]].view(torch.int32), start[[0, 2]].view(torch.int32))
    assert (found.parameters[1] != start[1]).any()


def test_what_was_evaluated_is_what_is_kept():
    start, step = torch.randn(2, 9), 1e-4 * torch.randn(2, 9, dtype=torch.float64)
    seen = []

    def evaluate(parameters: Tensor) -> tuple[Tensor, Tensor]:
        seen.append(parameters.clone())
        accept = torch.tensor([0.0, 1.0 if len(seen) < 3 else 0.0])
        return accept, torch.ones(2)

    found = line_search(start, proposal(step), evaluate, column(0.5, 0.5), column(0.8, 0.7), 10)
    assert len(seen) == 3
    assert torch.equal(found.parameters[0], seen[0][0])
    assert torch.equal(found.parameters[1], seen[2][1])
    torch.testing.assert_close(found.scale, torch.tensor([1.0, 0.49]).double())


def test_a_run_without_a_step_is_not_searched():
    start, step = torch.randn(2, 4, dtype=torch.float64), torch.zeros(2, 4, dtype=torch.float64)
    calls = []
    found = line_search(
        start,
        proposal(step, [Outcome.NON_FINITE, Outcome.ZERO_GRADIENT]),
        lambda at: calls.append(at),
        column(1.0, 1.0),
        column(0.5, 0.5),
        5,
    )
    assert not calls
    assert found.outcome.tolist() == [Outcome.NON_FINITE, Outcome.ZERO_GRADIENT]
    assert found.candidate.tolist() == [-1, -1]
    assert torch.equal(found.parameters, start)
