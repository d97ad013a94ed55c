"""Uniform random numbers of Gymnasium's resets (numpy's PCG64 and SeedSequence), for many seeds at once.

`Env.reset(seed=s)` makes a generator of its own, `Generator(PCG64(SeedSequence(s)))`, which takes as long as
a step of many environments here. So the same integers are computed in one batch: numpy's SeedSequence
(O'Neill's `seed_seq_fe`, https://www.pcg-random.org/posts/developing-a-seed_seq-alternative.html) and PCG64
(XSL-RR 128/64, https://www.pcg-random.org/paper.html). numpy promises that neither will change. The kernels
in C do the same, many times as fast; here is what stands in for them where there is no library.

Shapes: K seeds, D numbers drawn for each.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from rlcli.kernels import resets

Words = npt.NDArray[np.uint32]
Longs = npt.NDArray[np.uint64]
Doubles = npt.NDArray[np.float64]

FEW = 8
"""Number of seeds up to which numpy's own generators are faster."""

POOL = 4
"""Words of 32 bits in the pool of a SeedSequence; also the 64-bit words that seed a PCG64."""

MULTIPLIER = 0x2360ED051FC65DA44385DF649FCCF645
"""PCG's, of 128 bits."""


def uniform(seeds: npt.NDArray[np.int64], low: Doubles, high: Doubles) -> Doubles:
    """`[D, K]`: what `np.random.default_rng(seed).uniform(low, high)` gives, with bounds `[D]`.

    Seeds `[K]` lie in 0 .. 2**32 - 1.
    """
    if resets.covers(len(low)):
        return resets.uniform(seeds, low, high)
    return in_numpy(seeds, low, high)


def in_numpy(seeds: npt.NDArray[np.int64], low: Doubles, high: Doubles) -> Doubles:
    """`uniform` without the kernels."""
    if len(seeds) <= FEW:
        drawn = np.array(
            [np.random.Generator(np.random.PCG64(seed)).random(len(low)) for seed in seeds.tolist()]
        )
        drawn = drawn.reshape(len(seeds), len(low)).T
    else:
        drawn = _doubles(_pcg64_seeds(_pools(seeds.astype(np.uint32))), len(low))
    return low[:, None] + (high - low)[:, None] * drawn


def _powers(start: int, factor: int, count: int) -> Words:
    """`[count, 1]`: start, start factor, start factor^2, ... in 32 bits."""
    return np.array([[start * pow(factor, i, 2**32) % 2**32] for i in range(count)], np.uint32)


# Every hashed word takes the next two of these: one to be xored with, one to be multiplied by.
_MIXING = _powers(0x43B0D7E5, 0x931E8875, POOL * POOL + 1)
_DRAWING = _powers(0x8B51F9DD, 0x58F38DED, 2 * POOL + 1)
_LEFT, _RIGHT, _HALF = (np.array([word], np.uint32) for word in (0xCA01F9DD, 0x4973F715, 16))


def _hash(words: Words, constants: Words) -> Words:
    words = (words ^ constants[:-1]) * constants[1:]
    return words ^ (words >> _HALF)


def _pools(entropy: Words) -> Words:
    """`[POOL, K]`: the pools of SeedSequences with one word of entropy each."""
    words = np.zeros((POOL, len(entropy)), np.uint32)
    words[0] = entropy
    pool = _hash(words, _MIXING[: POOL + 1])
    for source in range(POOL):
        first = POOL + source * (POOL - 1)
        others = [other for other in range(POOL) if other != source]
        mixed = _LEFT * pool[others] - _RIGHT * _hash(pool[source], _MIXING[first : first + POOL])
        pool[others] = mixed ^ (mixed >> _HALF)
    return pool


def _pcg64_seeds(pools: Words) -> Longs:
    """`[POOL, K]`: `generate_state(4, np.uint64)` of every pool; low words come first."""
    words = _hash(np.concatenate((pools, pools)), _DRAWING).astype(np.uint64)
    return words[0::2] | words[1::2] << _long(32)


def _long(value: int) -> Longs:
    return np.array([value], np.uint64)


_ONE, _HALF_LONG, _LOW = _long(1), _long(32), _long(2**32 - 1)
_UNIT = np.array(2.0**-53)


def _doubles(seeds: Longs, count: int) -> Doubles:
    """`[count, K]`: the first numbers in [0, 1) of generators seeded with these four words.

    A step takes state s to M s + c (mod 2^128), c the generator's own increment. Seeding is a step from 0,
    adding the seed, and a step; each draw begins with a step. So the state behind draw k = 1, 2, ... is
    M^(k + 1) seed + (1 + M + ... + M^(k + 1)) c.
    """
    increment = (seeds[2] << _ONE | seeds[3] >> _long(63), seeds[3] << _ONE | _ONE)
    right = [np.stack(halves)[:, None] for halves in zip(seeds[:2], increment, strict=True)]
    high, low = _products(_jumps(count), right)
    total = low[0] + low[1]
    high = high[0] + high[1] + (total < low[0])
    # XSL-RR: the halves xored, rotated to the right by the six highest bits.
    turn, word = high >> _long(58), high ^ total
    word = word >> turn | word << (_long(64) - turn & _long(63))
    doubles: Doubles = (word >> _long(11)) * _UNIT
    return doubles


@functools.cache
def _jumps(count: int) -> tuple[Longs, Longs]:
    """High and low halves, `[2, count, 1]`: M^(k + 1), and 1 + M + ... + M^(k + 1), for k = 1 .. count."""
    powers = [pow(MULTIPLIER, k, 2**128) for k in range(count + 2)]
    jumps = [powers[2:], [sum(powers[:k]) % 2**128 for k in range(3, count + 3)]]
    halves = [[[divmod(number, 2**64)] for number in numbers] for numbers in jumps]
    high, low = np.moveaxis(np.array(halves, np.uint64), -1, 0)
    return high, low


def _products(left: Sequence[Longs], right: Sequence[Longs]) -> tuple[Longs, Longs]:
    """High and low halves of products mod 2^128 of numbers given as high and low halves."""
    (high, low), (other_high, other_low) = left, right
    a, b = low & _LOW, low >> _HALF_LONG
    c, d = other_low & _LOW, other_low >> _HALF_LONG
    ac, ad, bc = a * c, a * d, b * c
    carry = ((ac >> _HALF_LONG) + (ad & _LOW) + (bc & _LOW)) >> _HALF_LONG
    top = b * d + (ad >> _HALF_LONG) + (bc >> _HALF_LONG) + carry
    return top + low * other_high + high * other_low, low * other_low
