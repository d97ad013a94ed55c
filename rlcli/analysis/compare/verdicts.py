"""What a comparison allows to say, in sentences: which groups are separate, and how many seeds would do."""

from __future__ import annotations

from collections.abc import Iterator

from rlcli.analysis.compare.comparison import Comparison
from rlcli.analysis.compare.pairs import MOST_SEEDS, POWER, Against
from rlcli.analysis.compare.place import Pair, Place
from rlcli.analysis.statistics import CONFIDENCE

SHOWN = 8
"""Maximum sentences about pairs of one environment."""
METHOD = (
    f"Groups are separate where Welch's t-test of their final values has p < {1 - CONFIDENCE:.2g}. The "
    "number of seeds is that at which a t-test finds a difference with a probability of "
    f"{POWER:.0%}, if the means and deviations seen are the true ones."
)


FEW = 10
"""Seeds below which the bootstrap's intervals are clearly too narrow (docs/compare.md has the figures)."""
NARROW = (
    f"Intervals over fewer than {FEW} seeds are too narrow: a bootstrap of 3 runs holds the true mean about "
    "3 times in 4, not 19 times in 20."
)


def verdicts(comparison: Comparison) -> list[str]:
    """Sentences on groups with one seed, and on pairs that are not separate, with the method behind them."""
    found = [text for place in comparison.places for text in _of_place(place, len(comparison.places) > 1)]
    methods = [METHOD] if any("cannot separate" in text for text in found) else []
    fewest = min(len(cell.runs) for place in comparison.places for cell in place.cells)
    return [*found, *methods, *([NARROW] if 1 < fewest < FEW else ())]


def _of_place(place: Place, several: bool) -> Iterator[str]:
    where = f" on {place.env}" if several else ""
    for cell in place.cells:
        if len(cell.runs) == 1:
            yield f"{cell.label}{where}: one seed says nothing about the spread; train more: -m seed=0,1,2"
    counts = {cell.label: len(cell.runs) for cell in place.cells}
    open_pairs = [
        pair
        for pair in place.pairs
        if not pair.found.separate and min(counts[pair.first], counts[pair.second]) > 1
    ]
    for pair in open_pairs[:SHOWN]:
        yield _not_separate(pair, counts, where)
    if len(open_pairs) > SHOWN:
        yield f"{len(open_pairs) - SHOWN} more pairs{where} are not separate."


def _not_separate(pair: Pair, counts: dict[str, int], where: str) -> str:
    first, second = counts[pair.first], counts[pair.second]
    seeds = f"{first} seeds" if first == second else f"{first} and {second} seeds"
    names = f"{pair.first} and {pair.second}{where}"
    if pair.found.p is None:
        return f"{names}: all runs have the same final value."
    return f"{seeds} cannot separate {names} (p = {pair.found.p:.2f}); {_advice(pair.found)}"


def _advice(found: Against) -> str:
    if found.seeds_needed is not None:
        return f"about {found.seeds_needed} each would."
    return f"{MOST_SEEDS:,} each would not do either: the means are too close."
