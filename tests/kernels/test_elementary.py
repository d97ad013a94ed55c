"""Elementary functions of the kernels: stated errors over samples, special values, the same bits everywhere.

All of float32 is measured by `make elementary`.
"""

from __future__ import annotations

import math

import mpmath
import numpy as np
import pytest

from rlcli.kernels.elementary import NAMES, elementary
from rlcli.kernels.library import available

INF = math.inf
ERRORS = {"exp": 1.0, "expm1": 1.15, "log": 0.9, "log1p": 1.45, "tanh": 1.55, "erf": 1.25}
"""Units in the last place, of either type."""
TANH_IN_FLOAT = 5.2
"""As it is taken for every hidden unit, it is computed with fewer digits."""
SPECIAL = {
    "exp": [(0.0, 1.0), (-0.0, 1.0), (INF, INF), (-INF, 0.0), (1e5, INF), (-1e5, 0.0)],
    "expm1": [(0.0, 0.0), (-0.0, -0.0), (INF, INF), (-INF, -1.0), (1e5, INF), (-1e5, -1.0)],
    "log": [(1.0, 0.0), (0.0, -INF), (-0.0, -INF), (INF, INF), (-INF, math.nan), (-1.0, math.nan)],
    "log1p": [(0.0, 0.0), (-0.0, -0.0), (-1.0, -INF), (INF, INF), (-1.5, math.nan), (-INF, math.nan)],
    "tanh": [(0.0, 0.0), (-0.0, -0.0), (INF, 1.0), (-INF, -1.0), (60.0, 1.0), (-60.0, -1.0)],
    "erf": [(0.0, 0.0), (-0.0, -0.0), (INF, 1.0), (-INF, -1.0), (60.0, 1.0), (-60.0, -1.0)],
}
KINDS = [np.float32, np.float64]


def samples(name: str, kind: type, count: int = 60) -> np.ndarray:
    """Numbers of every size that the function is finite at."""
    draws = np.random.default_rng(0)
    most = 88.0 if kind == np.float32 else 709.0
    parts = [draws.normal(0.0, spread, count) for spread in (0.1, 0.5, 1.0, 4.0, 30.0)]
    parts += [1.0 + draws.normal(0.0, 0.1, count), 10.0 ** draws.uniform(-37.0, 0.0, count), [most, -most]]
    found = np.concatenate(parts).astype(kind)
    if name == "log":
        found = np.concatenate([np.abs(found), np.array([1e-40, 3e38, np.finfo(kind).max], kind)])
    return found[found > -1.0] if name == "log1p" else found


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", NAMES)
def test_errors_are_as_stated(name, kind):
    x = samples(name, kind)
    found = elementary(name, x)
    allowed = TANH_IN_FLOAT if (name, kind) == ("tanh", np.float32) else ERRORS[name]
    with mpmath.workdps(40):
        for value, computed in zip(x.tolist(), found.tolist(), strict=True):
            true = getattr(mpmath, name)(mpmath.mpf(value))
            distance = float(np.spacing(abs(kind(float(true)))))
            assert abs(mpmath.mpf(computed) - true) <= allowed * distance, value


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", NAMES)
def test_special_values(name, kind):
    given, wanted = np.array(SPECIAL[name], kind).T
    found = elementary(name, given)
    np.testing.assert_array_equal(found, wanted)
    np.testing.assert_array_equal(np.signbit(found[wanted == 0.0]), np.signbit(wanted[wanted == 0.0]))
    assert np.isnan(elementary(name, np.array([math.nan], kind))).all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["expm1", "log1p", "tanh"])
def test_the_smallest_numbers_are_their_own_values(name, kind):
    smallest = np.finfo(kind).smallest_subnormal
    x = np.array([smallest, -smallest, 3 * smallest, np.finfo(kind).smallest_normal], kind)
    np.testing.assert_array_equal(elementary(name, x), x)


@pytest.mark.parametrize("kind", KINDS)
def test_exponentials_go_to_the_ends_of_the_type(kind):
    smallest, most = (
        math.log(end) for end in map(float, (np.finfo(kind).smallest_subnormal, np.finfo(kind).max))
    )
    x = np.array([smallest + 0.01, smallest - 1.0, np.nextafter(kind(most), kind(0)), most + 0.01], kind)
    low, none, high, over = elementary("exp", x)
    assert low == np.finfo(kind).smallest_subnormal
    assert none == 0.0
    assert np.isfinite(high)
    assert over == INF


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", NAMES)
def test_every_instruction_set_and_every_place_in_an_array_give_the_same_bits(name, kind):
    x = samples(name, kind)[:77]
    x = np.concatenate([x, np.array([0.0, -0.0, INF, -INF, math.nan, 1e-42], kind)])
    whole = elementary(name, x)
    for isa in available():
        for length in (*range(1, 18), x.size):
            found = elementary(name, x[-length:], isa)
            np.testing.assert_array_equal(found, whole[-length:])
            np.testing.assert_array_equal(np.signbit(found), np.signbit(whole[-length:]))


@pytest.mark.parametrize("name", ["tanh", "erf"])
def test_odd_functions(name):
    x = samples(name, np.float32)
    np.testing.assert_array_equal(elementary(name, -x), -elementary(name, x))
    assert np.abs(elementary(name, x)).max() <= 1.0


@pytest.mark.parametrize(("name", "kind"), [("sin", np.float64), ("exp", np.int64)])
def test_other_functions_and_types_are_refused(name, kind):
    with pytest.raises(ValueError, match="no kernel"):
        elementary(name, np.ones(3, kind))
