"""The mask of DPPO: samples of states far from the anchor, whose gradient would move them further away.

Shapes: R runs, B samples, D policy outputs.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from rlcli.learner.hyperparameters import Hyperparameters
from rlcli.maths.distribution import Distribution
from rlcli.maths.distributions import Family
from rlcli.maths.surrogates import moves_away


class Mask(NamedTuple):
    """A row's choice of the divergence that is compared with `algo.dppo_threshold`."""

    total_variation: bool
    """Whether it is the total variation, not KL(anchor||pi)."""

    def divergence(self, anchor: Distribution, policy: Distribution) -> Tensor:
        """Of each sample's state, [R, B], exactly."""
        if not self.total_variation:
            return anchor.kl(policy)
        found = anchor.tv(policy)
        assert found is not None, "refused where it has no closed form"
        return found


class MaskTerm(NamedTuple):
    """The mask of one update."""

    mask: Mask
    anchor_free: Tensor
    """[R, 1, F]: the anchor's free parameters."""

    def dropped(
        self,
        family: Family,
        anchor_outputs: Tensor,
        policy: Distribution,
        log_ratio: Tensor,
        advantages: Tensor,
        hyper: Hyperparameters,
    ) -> Tensor:
        """The samples [R, b] of a minibatch without a gradient; `anchor_outputs` are [R, b, D]."""
        anchor = family.distribution(anchor_outputs, self.anchor_free)
        divergence = self.mask.divergence(anchor, policy)
        return moves_away(log_ratio, advantages, divergence, hyper.dppo_threshold)
