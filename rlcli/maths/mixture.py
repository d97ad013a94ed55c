"""The mixture of several policies that collected equally many samples: the balance heuristic's divisor.

Shapes: K policies, [...] samples.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def log_mixture(log_probs: Tensor, present: Tensor) -> Tensor:
    """log μ̄ = log (Σ_j μ_j / m) over the m policies of the mask `present`, both [K, ...]; -> [...].

    A sample x of any of the m counts π(x) / μ̄(x): then Σ_j E_μj[f π/μ̄] / m = E_π[f], whatever the policies
    are, and where π is one of them no weight exceeds m. log μ is of an action, or the sum over a trajectory.
    Equal policies give their own log μ, to the last bit. Source: Veach and Guibas 1995, 'Optimally Combining
    Sampling Techniques for Monte Carlo Rendering', section 3, the balance heuristic with equal numbers of
    samples. Of policies: Montenegro et al. 2025, 'Reusing Trajectories in Policy Gradients Enables Fast
    Convergence', who correct the weights of whole trajectories by a power mean besides.
    """
    log = torch.where(present, log_probs.double(), -math.inf)
    peak = log.amax(0)
    # Of absent policies exp(-inf) = 0.
    total = (log - peak).exp().sum(0)
    return peak + (total.log() - present.double().sum(0).log())
