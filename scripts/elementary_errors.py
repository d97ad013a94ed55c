"""Errors of the kernels' elementary functions, in units in the last place: `make elementary`.

Float32: every number there is, against numpy's and torch's float64 functions. Float64: samples dense where
digits are at risk, against the 64-bit mantissas of the C library's long double, and some of them, as all of
erf, against mpmath. An error is |computed - true| over the distance of neighbouring numbers at the true value;
where the true value is no finite number of that type the outcome must be the same infinity or NaN.
"""

from __future__ import annotations

import argparse
import datetime
import time
from collections.abc import Callable, Iterator
from typing import Any

import mpmath as mp
import numpy as np
import numpy.typing as npt
import torch

import machine
from rlcli.kernels.elementary import NAMES, elementary
from rlcli.kernels.library import available

Array = npt.NDArray[Any]
CHUNK = 1 << 16
SPECIAL = (0.0, -0.0, 5e-324, -5e-324, 2.2250738585072014e-308, 1e-300, 1.0, -1.0, 709.78, 709.79, -745.13,
           -745.14, 1.7976931348623157e308, -1.7976931348623157e308, np.inf, -np.inf, np.nan)  # fmt: skip


def erf(x: Array) -> Array:
    """Torch's, which numpy lacks."""
    found: Array = torch.erf(torch.from_numpy(x)).numpy()
    return found


def reference(name: str) -> Callable[[Array], Array]:
    """The function of float64 arrays."""
    return erf if name == "erf" else getattr(np, name)  # type: ignore[no-any-return]


def worst(computed: Array, true: Array) -> float:
    """The largest error, infinite where an infinity or NaN is missed or made up."""
    rounded = true.astype(computed.dtype)
    finite = np.isfinite(rounded)
    if not finite.all():
        same = (computed == rounded) | (np.isnan(computed) & np.isnan(rounded))
        if not same[~finite].all():
            return np.inf
    kind = np.finfo(computed.dtype)
    apart = np.abs(computed - true)
    # The spacing in the narrower type, without its numbers below the normal ones, which are slow.
    size = np.maximum(np.abs(true), true.dtype.type(kind.smallest_normal))
    apart /= np.spacing(size) * true.dtype.type(2.0) ** (np.finfo(true.dtype).nmant - kind.nmant)
    apart[~finite] = 0.0
    return float(np.nan_to_num(apart.max(), nan=np.inf))


def of_every_float(name: str, stride: int) -> float:
    """The largest error over float32, or over every `stride`-th of its blocks of numbers."""
    true, found = reference(name), 0.0
    for start in range(0, 1 << 32, CHUNK * stride):
        values = np.arange(start, start + CHUNK, dtype=np.uint32).view(np.float32)
        found = max(found, worst(elementary(name, values), true(values.astype(np.float64))))
    return found


def samples(count: int, seed: int) -> Iterator[Array]:
    """Float64: each magnitude, around 0 and 1, any bits, special values."""
    draws = np.random.default_rng(seed)
    yield np.array(SPECIAL)
    for spread in (0.01, 0.1, 0.3, 1.0, 3.0, 20.0, 300.0):
        yield draws.normal(0.0, spread, count)
    for around, by in ((1.0, 1e-3), (1.0, 0.2), (-0.5, 0.2), (2.0, 0.2)):
        yield around + draws.normal(0.0, by, count)
    yield draws.choice([-1.0, 1.0], count) * 10.0 ** draws.uniform(-20.0, 0.0, count)
    yield draws.integers(0, 1 << 64, count, dtype=np.uint64).view(np.float64)


def of_doubles(name: str, count: int) -> float:
    """The largest error over `samples`, against long double."""
    true = reference(name)
    return max(
        worst(elementary(name, values), true(values.astype(np.longdouble)))
        for seed in range(10)
        for values in samples(count // 10, seed)
    )


def of_few_doubles(name: str, count: int) -> float:
    """The largest error over `samples`, against mpmath."""
    found = 0.0
    for values in samples(count, 10):
        computed = elementary(name, values)
        for x, y in zip(values.tolist(), computed.tolist(), strict=True):
            if (
                np.isfinite(x)
                and np.isfinite(y)
                and (x > 0.0 or name != "log")
                and (x > -1.0 or name != "log1p")
            ):
                true = getattr(mp, name)(mp.mpf(x))
                found = max(found, float(abs(mp.mpf(y) - true) / mp.mpf(float(np.spacing(abs(float(true)))))))
    return found


def nanoseconds(name: str, kind: type[Any]) -> list[float]:
    """Time per number on each instruction set."""
    values = np.abs(np.random.default_rng(0).normal(0.0, 2.0, 1 << 14)).astype(kind)
    times = []
    for isa in available():
        rounds = []
        for _ in range(50):
            begun = time.perf_counter()
            elementary(name, values, isa)
            rounds.append(time.perf_counter() - begun)
        times.append(min(rounds) / values.size * 1e9)
    return times


def main() -> None:
    """Measures, and writes docs/results/elementary.md unless only a part was looked at."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stride", type=int, default=1, help="every so many blocks of float32 (default all)")
    parser.add_argument("--samples", type=int, default=1_000_000, help="of each kind (default %(default)s)")
    parser.add_argument(
        "--precise", type=int, default=5_000, help="of each kind, by mpmath (default %(default)s)"
    )
    given = parser.parse_args()
    torch.set_num_threads(1)
    mp.mp.dps = 40
    np.seterr(all="ignore")
    if np.finfo(np.longdouble).nmant < 63:
        raise SystemExit("long double has no more digits than double here: measure on x86-64")
    begun, rows = time.perf_counter(), []
    for name in NAMES:
        single = of_every_float(name, given.stride)
        double = of_few_doubles(name, given.precise)
        if name != "erf":
            double = max(double, of_doubles(name, given.samples))
        times = [f"{each:.2f}" for kind in (np.float32, np.float64) for each in nanoseconds(name, kind)]
        rows.append(f"| {name} | {single:.3f} | {double:.3f} | {' | '.join(times)} |")
        print(rows[-1], flush=True)
    sets = available()
    heads = [f"{kind}, {isa}" for kind in ("float32", "float64") for isa in sets]
    lines = [
        "# Elementary functions of the kernels",
        "",
        "Largest errors in units in the last place, and nanoseconds per number in arrays of 16,384 by"
        " instruction set; the same bits on all. Infinities and NaN are as in the C library.",
        "",
        f"| | float32, every number | float64, samples | {' | '.join(heads)} |",
        f"|---|---:|---:|{'---:|' * len(heads)}",
        *rows,
        "",
        f"`scripts/elementary_errors.py --stride {given.stride} --samples {given.samples} --precise "
        f"{given.precise}`, {datetime.date.today()}, {time.perf_counter() - begun:.0f} s.",
        "",
        *machine.table(machine.description()),
    ]
    if given.stride == 1:
        (machine.RESULTS / "elementary.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
