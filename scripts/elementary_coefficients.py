"""Writes rlcli/kernels/source/coefficients.h: the polynomials and constants of the elementary functions.

Each polynomial is the Chebyshev interpolant of its function, computed in 120 digits and rounded; its error is
within a small factor of the best possible. The rational function is fitted by weighted least squares: weights
grow where the error is large (Lawson 1961), and the denominator is that of the fit before (Sanathanan and
Koerner 1963). After a change: python scripts/elementary_coefficients.py
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import mpmath as mp
import numpy as np

TARGET = Path(__file__).parents[1] / "rlcli/kernels/source/coefficients.h"
KINDS = {"f": ("float", np.float32, "f"), "d": ("double", np.float64, "")}
"""Suffix: type in C, rounding, suffix of a literal."""
LOG_2 = mp.mpf(0)
NEAR = mp.mpf(0)
"""Stands for 0 where the formula has 0/0."""
ERF_CENTRE = 3

Real = Callable[[mp.mpf], mp.mpf]


def away(x: mp.mpf) -> mp.mpf:
    """x, or a number near 0 that a formula can divide by."""
    return x if abs(x) > NEAR else NEAR


def exp_tail(r: mp.mpf) -> mp.mpf:
    """(exp(r) - 1 - r)/r²."""
    return (mp.exp(away(r)) - 1 - away(r)) / away(r) ** 2


def log_tail(z: mp.mpf) -> mp.mpf:
    """(log((1 + s)/(1 - s))/s - 2)/s² of z = s²."""
    s = mp.sqrt(away(z))
    return (2 * mp.atanh(s) / s - 2) / away(z)


def erf_tail(z: mp.mpf) -> mp.mpf:
    """erf(x)/x - 1 of z = x²."""
    x = mp.sqrt(away(z))
    return mp.erf(x) / x - 1


def erfcx(u: mp.mpf) -> mp.mpf:
    """exp(x²) (1 - erf(x)) of u = (x - 3)/(x + 3)."""
    x = ERF_CENTRE * (1 + u) / (1 - u)
    return mp.exp(x * x) * mp.erfc(x)


def mobius(x: float) -> mp.mpf:
    """The u of x."""
    return (mp.mpf(x) - ERF_CENTRE) / (mp.mpf(x) + ERF_CENTRE)


def literal(value: mp.mpf, kind: str) -> str:
    """A number rounded to a type, exactly, as C has it."""
    _, rounded, suffix = KINDS[kind]
    return float(rounded(mp.nstr(value, 40))).hex() + suffix


def constant(name: str, value: mp.mpf, kind: str) -> str:
    """Its definition in C."""
    return f"static const {KINDS[kind][0]} {name}_{kind} = {literal(value, kind)};"


def polynomial(name: str, kind: str, terms: int, function: Real, low: mp.mpf, high: mp.mpf) -> list[str]:
    """A function in C: Horner's scheme of fused multiply-adds, from the highest power on."""
    c_type = KINDS[kind][0]
    found, error = mp.chebyfit(function, [low, high], terms, error=True)
    return [
        "",
        f"// {' '.join((function.__doc__ or '').split())[:-1]}: error at most {mp.nstr(error, 2)}.",
        f"INLINE {c_type} {name}_{kind}({c_type} x) {{",
        f"  {c_type} sum = {literal(found[0], kind)};",
        *(f"  sum = fused_{kind}(sum, x, {literal(term, kind)});" for term in found[1:]),
        "  return sum;",
        "}",
    ]


def tanh_ratio(most: int = 9, terms: int = 4, points: int = 160, fits: int = 30) -> list[str]:
    """A function in C: P(x²)/Q(x²) next to tanh(x)/x for |x| <= most, in float."""
    places = [most * (1 - mp.cos(mp.pi * (2 * i + 1) / (2 * points))) / 2 for i in range(points)]
    wanted = [mp.tanh(x) / x for x in places]
    weights, below = [mp.mpf(1)] * points, [mp.mpf(1)] * points
    best: tuple[mp.mpf, list[mp.mpf], list[mp.mpf]] = (mp.inf, [], [])
    for fit in range(fits):
        matrix, right = mp.matrix(points, 2 * terms), mp.matrix(points, 1)
        for i, x in enumerate(places):
            scale = mp.sqrt(weights[i]) / (wanted[i] * below[i])
            for j in range(terms):
                power = (x / most) ** (2 * j + 2)
                matrix[i, j], matrix[i, terms + j] = scale * power, -scale * wanted[i] * power
            right[i] = scale * (wanted[i] - 1)
        found = mp.lu_solve(matrix.T * matrix, matrix.T * right)
        over, under = (
            [mp.mpf(1), *(found[first + j] / mp.mpf(most) ** (2 * j + 2) for j in range(terms))]
            for first in (0, terms)
        )
        below = [mp.polyval(under[::-1], x * x) for x in places]
        errors = [
            abs(mp.polyval(over[::-1], x * x) / q / f - 1)
            for x, q, f in zip(places, below, wanted, strict=True)
        ]
        best = min(best, (max(errors), over, under), key=lambda each: each[0])
        if fit >= 3:
            weights = [weight * error for weight, error in zip(weights, errors, strict=True)]
            weights = [weight * points / sum(weights) for weight in weights]
    error, over, under = best
    return [
        "",
        f"// P(z)/Q(z) next to tanh(x)/x, z = x² <= {most}²: error at most {mp.nstr(error, 2)} of it.",
        "INLINE float tanh_ratio_f(float z) {",
        *horner("over", over),
        *horner("under", under),
        "  return over / under;",
        "}",
    ]


def horner(name: str, terms: list[mp.mpf]) -> list[str]:
    """Lines of C that compute a polynomial in z."""
    first, *others = reversed(terms)
    return [
        f"  float {name} = {literal(first, 'f')};",
        *(f"  {name} = fused_f({name}, z, {literal(term, 'f')});" for term in others),
    ]


def constants(kind: str) -> list[str]:
    """Numbers that ranges are reduced with."""
    _, rounded, _ = KINDS[kind]
    high = mp.mpf(float(rounded(mp.nstr(LOG_2, 40))))
    return [
        constant("LOG2_E", 1 / LOG_2, kind),
        constant("LN2_HIGH", high, kind),
        constant("LN2_LOW", LOG_2 - high, kind),
    ]


def main() -> None:
    """Writes the file."""
    global LOG_2, NEAR
    mp.mp.dps = 120
    LOG_2, NEAR = mp.log(2), mp.mpf(10) ** -40
    half, z = LOG_2 / 2 * mp.mpf("1.001"), ((mp.sqrt(2) - 1) / (mp.sqrt(2) + 1)) ** 2 * mp.mpf("1.001")
    lines = [
        "// Written by scripts/elementary_coefficients.py: change that, not this.",
        "#pragma once",
        "",
    ]
    for kind, (exps, logs, erfs, erfcxs, most) in {"f": (6, 4, 7, 9, 4), "d": (11, 7, 12, 16, 6)}.items():
        lines += constants(kind)
        lines += polynomial("exp_tail", kind, exps, exp_tail, -half, half)
        lines += polynomial("log_tail", kind, logs, log_tail, mp.mpf(0), z)
        lines += polynomial("erf_tail", kind, erfs, erf_tail, mp.mpf(0), mp.mpf(1))
        lines += [*polynomial("erfcx", kind, erfcxs, erfcx, mobius(1), mobius(most)), ""]
    lines += tanh_ratio()
    TARGET.write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")
    print(subprocess.run(["wc", "-l", TARGET], capture_output=True, text=True, check=True).stdout, end="")


if __name__ == "__main__":
    main()
