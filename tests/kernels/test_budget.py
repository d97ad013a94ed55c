"""What a clip range allows, in C against torch."""

from __future__ import annotations

import torch

from rlcli.kernels.figures import clip_budget
from rlcli.maths import surrogates
from tests.kernels.instruction_sets import same_on_each


def test_the_budget_of_a_clip_range():
    clip = torch.tensor([0.0, 1e-9, 0.1, 0.2, 0.999, 1.0, 2.0]).unsqueeze(-1)
    [found] = same_on_each(lambda: [clip_budget(clip)])
    wanted = surrogates.clip_budget(clip.squeeze(-1).double())
    torch.testing.assert_close(found, wanted, rtol=1e-14, atol=0.0, equal_nan=True)
