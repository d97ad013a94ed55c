"""What using samples again buys and costs: gradient steps on one batch, old batches, mixtures of them.

A bandit of A actions with noisy rewards; its policy is a softmax of free logits. In supervised learning a
step does not change where the data comes from, so steps on one batch go on paying until noise is fitted.
Here each step moves π away from the policy that sampled, and the batch's objective promises more than the
return gives.

Old batches: (1/n) Σ π/μ f is unbiased for any μ, with variance (Σ_a (π f)²/μ - m²)/n. k batches of n with
the balance heuristic π/((1/k) Σ_j μ_j) vary less than k batches weighed one by one (Veach and Guibas 1995,
'Optimally Combining Sampling Techniques for Monte Carlo Rendering'; in reinforcement learning: Montenegro et
al., RT-PG).
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

from rlcli.theory.trial import Picture, Statement, Table, Trial

CLAIM = "A batch may be used for many gradient steps, as in supervised learning."
FINDING = (
    "They differ. The gradient of a batch's objective stays right for the batch, but what it promises "
    "exceeds the gain, as it fits its own noise (so does supervised learning), and ESS falls with every "
    "step, since the data is ever less the policy's own. A clip stops both early. Old batches stay unbiased "
    "under ratios; a mixture's weights keep them from costing variance."
)

ACTIONS, SAMPLES, BATCHES = 8, 24, 4_000
NOISE, RATE = 1.0, 0.5
STEPS = (0, 1, 2, 5, 10, 20, 50, 100)
CLIP = 0.2


def mean_rewards() -> Tensor:
    """What each action earns on average, [A]."""
    return torch.randn(ACTIONS, dtype=torch.float64, generator=torch.Generator().manual_seed(12))


def reused(clip: float | None) -> list[tuple[float, float, float]]:
    """Means over many batches, after each of `STEPS`: promised gain, true gain, and ESS.

    Every batch has `SAMPLES` actions of the uniform policy; a step follows the gradient of (1/n) Σ (π/μ) A,
    without samples at which the clip is active.
    """
    draw = torch.Generator().manual_seed(13)
    expected = mean_rewards()
    actions = torch.randint(ACTIONS, (BATCHES, SAMPLES), generator=draw)
    noise = torch.randn(BATCHES, SAMPLES, dtype=torch.float64, generator=draw)
    rewards = expected[actions] + NOISE * noise
    advantages = rewards - rewards.mean(-1, keepdim=True)
    logits = torch.zeros(BATCHES, ACTIONS, dtype=torch.float64)
    rows = []
    for step in range(STEPS[-1] + 1):
        policy = logits.softmax(-1)
        ratios = ACTIONS * policy.gather(-1, actions)
        if step in STEPS:
            promised = (ratios * advantages).mean()
            true = (policy @ expected).mean() - expected.mean()
            ess = (ratios.sum(-1) ** 2 / (SAMPLES * (ratios**2).sum(-1))).mean()
            rows.append((promised.item(), true.item(), ess.item()))
        weights = ratios * advantages / SAMPLES
        if clip is not None:
            active = ((ratios > 1 + clip) & (advantages > 0)) | ((ratios < 1 - clip) & (advantages < 0))
            weights = torch.where(active, 0.0, weights)
        slope = torch.zeros_like(logits).scatter_add(-1, actions, weights)
        logits = logits + RATE * (slope - weights.sum(-1, keepdim=True) * policy)
    return rows


def supervised() -> list[tuple[float, float]]:
    """Mean errors of least squares on batches of noisy labels, after each of `STEPS`: of the batch, true.

    The model has one value per action, the labels are the rewards; the data's distribution is fixed.
    """
    draw = torch.Generator().manual_seed(13)
    expected = mean_rewards()
    actions = torch.randint(ACTIONS, (BATCHES, SAMPLES), generator=draw)
    labels = expected[actions] + NOISE * torch.randn(BATCHES, SAMPLES, dtype=torch.float64, generator=draw)
    values = torch.zeros(BATCHES, ACTIONS, dtype=torch.float64)
    rows = []
    for step in range(STEPS[-1] + 1):
        errors = values.gather(-1, actions) - labels
        if step in STEPS:
            true = ((values - expected) ** 2).mean() + NOISE**2
            rows.append(((errors**2).mean().item(), true.item()))
        values = values.scatter_add(-1, actions, -RATE * 2.0 * errors / SAMPLES)
    return rows


def variance(policy: Tensor, sampled: list[Tensor], *, balanced: bool) -> tuple[float, float]:
    """Bias and variance of the estimate of Σ_a π(a) r(a) from n samples of each policy in `sampled`."""
    rewards = mean_rewards()
    mixture = torch.stack(sampled).mean(0)
    mean = total = 0.0
    for behaviour in sampled:
        weighed = policy / (mixture if balanced else behaviour) * rewards
        first = (behaviour * weighed).sum()
        mean += first.item() / len(sampled)
        spread = (behaviour * weighed**2).sum() - first**2
        total += spread.item() / (len(sampled) ** 2 * SAMPLES)
    return mean - (policy * rewards).sum().item(), total


def trial() -> Trial:
    """Steps on one batch against supervised learning, lag, and mixtures of old batches."""
    plain, clipped, fitted = reused(None), reused(CLIP), supervised()
    steps = Table(
        f"gradient steps on one batch of {SAMPLES}, mean over {BATCHES:,} batches",
        ("steps", "promised", "gain", "ESS", "promised, clip", "gain, clip", "ESS, clip"),
        tuple((float(s), *a, *b) for s, a, b in zip(STEPS, plain, clipped, strict=True)),
        Picture("steps", ("promised", "gain", "gain, clip")),
    )
    errors = Table(
        "supervised: squared error of the batch, and true",
        ("steps", "batch", "true"),
        tuple((float(s), *row) for s, row in zip(STEPS, fitted, strict=True)),
        Picture("steps", ("batch", "true")),
    )
    old, more = _old_batches()
    return Trial(
        "reuse",
        CLAIM,
        FINDING,
        (steps, errors, old),
        (
            Statement(
                "the promise exceeds the gain at every step", all(row[0] > row[1] for row in plain[1:])
            ),
            Statement("ESS falls with every step", all(b[2] < a[2] for a, b in itertools.pairwise(plain))),
            Statement("with the clip ESS stays above 0.9", min(row[2] for row in clipped) > 0.9),
            Statement("supervised: the true error falls, then rises", _falls_then_rises(fitted)),
            *more,
        ),
    )


def _falls_then_rises(rows: list[tuple[float, float]]) -> bool:
    true = [row[1] for row in rows]
    lowest = true.index(min(true))
    return 0 < lowest < len(true) - 1


def _old_batches() -> tuple[Table, tuple[Statement, ...]]:
    direction = torch.randn(ACTIONS, dtype=torch.float64, generator=torch.Generator().manual_seed(14))
    policy = direction.softmax(-1)

    def earlier(lag: int) -> Tensor:
        return ((1.0 - 0.35 * lag) * direction).softmax(-1)

    rows = []
    for k in (1, 2, 4, 8):
        sampled = [earlier(lag) for lag in range(k)]
        apart, balanced = (variance(policy, sampled, balanced=flag) for flag in (False, True))
        oldest = variance(policy, sampled[-1:], balanced=False)
        rows.append((float(k), oldest[1], apart[1], balanced[1], max(abs(apart[0]), abs(balanced[0]))))
    table = Table(
        f"variance from batches of {SAMPLES} of the last k policies",
        ("k", "oldest alone", "k weighed apart", "k balanced", "bias"),
        tuple(rows),
        Picture("k", ("oldest alone", "k weighed apart", "k balanced"), log_x=True, log_y=True),
    )
    return table, (
        Statement("all are unbiased", all(row[4] < 1e-12 for row in rows)),
        Statement(
            "the older a batch, the more it varies",
            all(b[1] > a[1] for a, b in itertools.pairwise(rows)),
        ),
        Statement(
            "balanced weights vary no more than apart", all(row[3] <= row[2] * (1 + 1e-12) for row in rows)
        ),
        Statement(
            "the more balanced batches, the less they vary",
            all(b[3] < a[3] for a, b in itertools.pairwise(rows)),
        ),
        Statement("8 batches weighed apart vary less than 1", rows[-1][2] < rows[0][2], expected=False),
    )
