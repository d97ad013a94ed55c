"""Rows and values of successors in C against indexing in torch."""

from __future__ import annotations

import pytest
import torch

from rlcli.kernels.successors import Finals

STEPS, RUNS, ENVS = 6, 3, 2


def ended(*places: tuple[int, int, int]) -> torch.Tensor:
    return torch.tensor(places, dtype=torch.int64).reshape(-1, 3)


SOME = ended((0, 2, 1), (1, 0, 0), (3, 2, 0), (5, 0, 1), (5, 2, 1))
"""None of run 1; ends on the last row, too."""


@pytest.mark.broken_by(
    "kernels: values of other samples",
    "kernels/successors.py",
    "each, width = self._steps * self._envs,",
    "values = values.flip(1)\n        each, width = self._steps * self._envs,",
)
@pytest.mark.broken_by(
    "kernels: finals of other places",
    "kernels/successors.py",
    "last.contiguous(), finals.contiguous()",
    "last.contiguous(), finals.flip(0).contiguous()",
    case="some-torch.float32",
)
@pytest.mark.parametrize("kind", [torch.float32, torch.float64, torch.uint8], ids=str)
@pytest.mark.parametrize("places", [SOME, ended()], ids=["some", "none"])
def test_rows_and_values(places, kind):
    last, shown = torch.rand(RUNS, ENVS, 4).mul(200).to(kind), torch.rand(len(places), 4).mul(200).to(kind)
    finals = Finals(STEPS, RUNS, ENVS, places)
    rows = finals.rows(last, shown)
    assert rows[:, :ENVS].equal(last)
    for run in range(RUNS):
        own = shown[places[:, 1] == run]
        assert rows[run, ENVS : ENVS + len(own)].equal(own)
        assert not rows[run, ENVS + len(own) :].any()
    values, others = torch.rand(RUNS, STEPS * ENVS), rows.double().sum(-1).float()
    wanted = values.view(RUNS, STEPS, ENVS).transpose(0, 1).roll(-1, 0)
    wanted[-1] = last.double().sum(-1).float()
    wanted[places.unbind(1)] = shown.double().sum(-1).float()
    assert finals.values(values, others).equal(wanted)


@pytest.mark.parametrize("place", [(STEPS, 0, 0), (0, RUNS, 0), (0, 0, ENVS), (-1, 0, 0)], ids=str)
def test_places_outside_are_refused(place):
    with pytest.raises(ValueError, match="outside a rollout of 6 x 3 x 2"):
        Finals(STEPS, RUNS, ENVS, ended((0, 0, 0), place))
