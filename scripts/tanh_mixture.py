"""The constants of rlcli/maths/squash.py: tanh as a mixture of error functions, by a weighted fit.

    python scripts/tanh_mixture.py [TERMS]

Levenberg-Marquardt steps minimise the weighted squares of Σ p_i erf(s_i u) - tanh u; weights grow where the
error is largest, which evens it out (Lawson 1961).
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

Array = npt.NDArray[np.float64]

U: Array = np.concatenate([np.linspace(0, 3, 700), np.linspace(3, 11, 500)[1:]])
ROUNDS, STEPS = 40, 60


def parts(x: Array) -> tuple[Array, Array]:
    """Logarithms of s, and of p before they are made to sum to 1, as s and p."""
    s, q = np.split(np.exp(x), 2)
    return s, q / q.sum()


def error(x: Array) -> tuple[Array, Array]:
    """The error at every u, and its derivatives."""
    s, p = parts(x)
    each = torch.erf(torch.from_numpy(np.outer(U, s))).numpy()
    value = each @ p
    by_s = 2 / np.sqrt(np.pi) * np.exp(-(np.outer(U, s) ** 2)) * np.outer(U, s) * p
    return value - np.tanh(U), np.hstack([by_s, (each - value[:, None]) * p])


def descended(x: Array, weights: Array, steps: int) -> Array:
    """After steps of Levenberg and Marquardt."""
    damping, root = 1e-3, np.sqrt(weights)
    for _ in range(steps):
        found, slopes = error(x)
        cost = (weights * found**2).sum()
        left, sizes, right = np.linalg.svd(slopes * root[:, None], full_matrices=False)
        along = left.T @ (found * root)
        for _ in range(12):
            moved = x - right.T @ (sizes * along / (sizes**2 + damping * sizes[0] ** 2))
            if (weights * error(moved)[0] ** 2).sum() < cost:
                break
            damping *= 4
        else:
            return x
        x, damping = moved, max(damping / 8, 1e-17)
    return x


def fitted(terms: int) -> tuple[float, Any, Any]:
    """The largest error, s and p."""
    weights = np.ones_like(U)
    x = descended(np.concatenate([np.log(np.geomspace(0.3, 1.3, terms)), np.zeros(terms)]), weights, 1500)
    best = x
    for _ in range(ROUNDS):
        found, least = (np.abs(error(one)[0]) for one in (x, best))
        if found.max() < least.max():
            best = x
        weights = weights * (found / found.max() + 0.02)
        x = descended(x, weights / weights.mean(), STEPS)
    s, p = parts(best)
    order = np.argsort(s)
    return float(np.abs(error(best)[0]).max()), s[order], p[order]


if __name__ == "__main__":
    largest, scales, shares = fitted(int(sys.argv[1]) if len(sys.argv) > 1 else 6)
    print(f"largest error {largest:.2g}")
    print(f"SCALES = {tuple(scales.tolist())}")
    print(f"SHARES = {tuple(shares.tolist())}")
