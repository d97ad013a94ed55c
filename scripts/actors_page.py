"""The page of `make actors-speed`, docs/results/actors_speed.md, from its numbers, actors_speed.json."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import machine

Result = dict[str, Any]
INLINE = "inline, 1 core"
TITLES = {"halfcheetah": "HalfCheetah-v5", "pong": "ALE/Pong-v5, nature_cnn", "cartpole": "CartPole-v1"}
SMALL_SHARE, TIMES, SHARE_OF_BOUND, ON_ONE_CORE, TIMES_PEER = 0.4, 1.6, 0.85, 0.8, 5.0
"""Goals: so many times inline where the learner takes less than this share of its time, elsewhere this share
of the bound; on one core so many times inline; and so many times RLlib."""
METHOD = f"""\
IMPALA with its preset's learning rate. Contestants take turns, each a process of its own; medians of rounds
({{rounds}} of them), with the extremes. *Inline*, `algo=impala` with its lag of 1, steps the environments in
the process that learns. An actor of `algo=impala_async` has as many environments, and collects rollouts of
the same length. *On Ray*, `collect.mode=ray`, a cluster of this machine is started for the run; its own
processes are on the same cores.

Inline gives the seconds of one rollout, A to collect and L to learn, with health figures, digests and rows.
From them follows the most that k actors can reach: k/A rollouts per second where collecting is slowest, 1/L
where learning is, and c/(L+A) where c cores are too few for all. Goals: {TIMES:g} times inline on two cores
where the learner takes less than {SMALL_SHARE:.0%} of the time inline, elsewhere {SHARE_OF_BOUND:.0%} of the
bound; on one core {ON_ONE_CORE:g} times inline."""
HEADS = "steps/s, median", "least", "most", "times inline", "bound, steps/s", "share of it", "lag", "goal"


def values(found: Result, name: str, figure: str = "speed") -> list[float]:
    """A figure of a contestant, one per round."""
    return [one[figure] for one in found["rounds"].get(name, ())]


def middle(found: Result, name: str, figure: str = "speed") -> float:
    """The median of a figure over rounds."""
    return statistics.median(values(found, name, figure))


def ratio(found: Result, name: str, base: str) -> float:
    """Median of the ratios of speeds within each round."""
    pairs = zip(values(found, name), values(found, base), strict=False)
    return statistics.median(one / other for one, other in pairs)


def parsed(name: str) -> tuple[int, int]:
    """Actors and cores of a contestant, from its name."""
    how, cores = name.split(", ")[-2:]
    return (0 if how == "inline" else int(how.split()[0])), int(cores.split()[0])


def bound(collect: float, learn: float, actors: int, cores: int) -> float:
    """Most rollouts per second; seconds to collect one and to learn from one."""
    return min(actors / collect, 1.0 / learn, cores / (collect + learn))


class Inline(NamedTuple):
    """One round of inline."""

    collect: float
    update: float
    """Seconds of one rollout to collect, and to collect and learn from."""
    speed: float

    @property
    def size(self) -> float:
        """Env steps of a rollout."""
        return self.speed * self.update

    def bound(self, actors: int, cores: int) -> float:
        """Most steps per second of so many actors on so many cores."""
        return self.size * bound(self.collect, self.update - self.collect, actors, cores)


def contest(name: str, found: Result) -> Iterator[str]:
    """The section of a contest."""
    yield f"## {TITLES[name]}"
    yield ""
    if not found.get("rounds", {}).get(INLINE):
        yield "Not measured yet."
        return
    inline = [Inline(one["collect"], one["update"], one["speed"]) for one in found["rounds"][INLINE]]
    collect, update = (middle(found, INLINE, figure) for figure in ("collect", "update"))
    learn, size = update - collect, statistics.median(one.size for one in inline)
    share = learn / update
    yield (
        f"`{found['work']}`: a rollout of {size:.0f} env steps takes {1e3 * collect:.2f} ms to collect and "
        f"{1e3 * learn:.2f} ms to learn from: the learner's share inline is {share:.0%}."
    )
    yield ""
    yield f"| | {' | '.join(HEADS)} |"
    yield "|---|" + "---:|" * (len(HEADS) - 1) + "---|"
    for contestant, rounds in found["rounds"].items():
        if not rounds or contestant.startswith("RLlib"):
            continue
        speeds, speed = values(found, contestant), middle(found, contestant)
        actors, cores = parsed(contestant)
        cells = [f"{speed:,.0f}", f"{min(speeds):,.0f}", f"{max(speeds):,.0f}"]
        if actors:
            times = ratio(found, contestant, INLINE)
            most = [one.bound(actors, cores) for one in inline]
            of_bound = statistics.median(one / bound for one, bound in zip(speeds, most, strict=False))
            cells += [f"{times:.2f}", f"{statistics.median(most):,.0f}", f"{of_bound:.0%}"]
            aim = "" if contestant.startswith("on Ray") else goal(times, of_bound, share, cores)
            cells += [f"{middle(found, contestant, 'lag'):.1f}", aim]
        else:
            cells += ["1", "", "", "", ""]
        yield f"| {contestant} | {' | '.join(cells)} |"
    yield ""


def goal(times: float, of_bound: float, share: float, cores: int) -> str:
    """Whether a contestant reached its goal, and which."""
    if cores == 1:
        reached, text = times >= ON_ONE_CORE, f"{ON_ONE_CORE:g} times inline"
    elif share < SMALL_SHARE:
        reached, text = times >= TIMES, f"{TIMES:g} times inline"
    else:
        reached, text = of_bound >= SHARE_OF_BOUND, f"{SHARE_OF_BOUND:.0%} of the bound"
    return f"{text}: {'reached' if reached else 'missed'}"


def beside(found: Result) -> Iterator[str]:
    """Speeds of RLlib and of rlcli with as many actors on as many cores."""
    peers = [name for name, rounds in found["rounds"].items() if name.startswith("RLlib") and rounds]
    if not peers:
        yield "RLlib was not measured."
        return
    versions = {one["ray"] for name in peers for one in found["rounds"][name]}
    yield (
        f"Beside RLlib's IMPALA (Ray {', '.join(sorted(versions))}, `scripts/rllib_loop.py`): networks, "
        "environments per actor, length of rollouts and samples per update are the same, and neither "
        "evaluates. Its speed is of the env steps that it sampled or that it learnt from, whichever are "
        f"more. Goal: {TIMES_PEER:g} times RLlib."
    )
    yield ""
    yield "| | RLlib, steps/s | least | most | rlcli, steps/s | times RLlib | goal |"
    yield "|---|---:|---:|---:|---:|---:|---|"
    for name in peers:
        mine = name.removeprefix("RLlib, ")
        speeds, times = values(found, name), ratio(found, mine, name)
        cells = (
            f"{middle(found, name):,.0f}", f"{min(speeds):,.0f}", f"{max(speeds):,.0f}",
            f"{middle(found, mine):,.0f}", f"{times:.1f}", "reached" if times >= TIMES_PEER else "missed",
        )  # fmt: skip
        yield f"| {mine} | {' | '.join(cells)} |"
    yield ""


def transport(found: Result) -> Iterator[str]:
    """The section on moving an unroll."""
    size = found["bytes"] / 1e6
    yield "## Moving an unroll"
    yield ""
    yield (
        f"From the learner's request of an unroll of {size:.2f} MB (HalfCheetah-v5) that the actor has, to "
        "its copy in the learner: written to the slot or the store, a message, copied out. One at a time, "
        "nothing overlaps; the median of each round, and over rounds the median and the extremes."
    )
    yield ""
    yield "| way | µs per MB | least | most | MB/s |"
    yield "|---|---:|---:|---:|---:|"
    for way, seconds in found["rounds"].items():
        if seconds:
            costs = [1e6 * one / size for one in seconds]
            cost = statistics.median(costs)
            yield f"| {way} | {cost:,.0f} | {min(costs):,.0f} | {max(costs):,.0f} | {1e6 / cost:,.0f} |"
    yield ""


def page(results: dict[str, Result]) -> str:
    """All of it; parts that were not measured are left out."""
    counts = [len(one) for found in results.values() for one in found.get("rounds", {}).values() if one]
    lines = ["# Speed of actors", "", METHOD.format(rounds=_numbers(counts)), ""]
    for name, found in results.items():
        if name in TITLES:
            lines += contest(name, found)
            if name == "cartpole":
                lines += beside(found)
        elif found.get("rounds"):
            lines += transport(found)
    lines += ["## How it was measured", "", "```sh", "make actors-speed", "```", ""]
    lines += [
        f"- {name}: {found['date']}, load before {found['load']:.1f}" for name, found in results.items()
    ]
    lines += ["", *machine.table(*(found["with"] for found in results.values()))]
    return "\n".join(lines) + "\n"


def _numbers(counts: Sequence[int]) -> str:
    if not counts:
        return "no"
    least, most = min(counts), max(counts)
    return str(least) if least == most else f"{least} to {most}"
