"""The page of `make bench`, docs/results/bench.md, from its numbers, docs/results/bench.json."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from typing import Any

from bench_contests import CONTESTS, JAX

import machine

NOT_INSTALLED = "not installed"
METHOD = f"""\
Two whole processes are measured, from the command to the end, a short run and a long one; the difference
of their env steps over that of their times is the speed: start-up, first updates and the end do not count.
rlcli is `rlcli train` as it is typed, with default loggers and every health figure; evaluation is off, as in
the peers. The {JAX} (scripts/jax_loop.py) logs, checks and saves nothing; its times are taken in its process,
after compilation, where the clock is on the wall. Contestants take turns on one core; a ratio is the median
of the ratios within each round, with the extremes. Other load on the machine distorts all this, but less
where the clock is the processor's (user and system time of a process and its children)."""


def summary(values: Sequence[float]) -> dict[str, Any]:
    """The median with its extremes, and every value."""
    return {
        "median": statistics.median(values),
        "least": min(values),
        "most": max(values),
        "all": list(values),
    }


def ratios(values: Sequence[float], base: Sequence[float]) -> dict[str, Any]:
    """Of one contestant's values to another's, round by round."""
    return summary([value / other for value, other in zip(values, base, strict=True)])


def page(results: dict[str, Any]) -> str:
    """The results as a page of markdown; parts that were not measured are left out."""
    contests = {name: results[name] for name in CONTESTS if name in results}
    lines = ["# Speed", ""]
    if contests:
        lines += [METHOD, "", *_speeds(contests), ""]
    for name, result in contests.items():
        if "outside" in result:
            lines += [_outside(name, result["outside"]), ""]
    if "cost" in results:
        lines += [*_costs(results["cost"]), ""]
    if "start" in results:
        lines += [_start(results["start"]), ""]
    if "digests" in results:
        lines += [_digests(results["digests"]), ""]
    lines += ["## How it was measured", "", *_commands(results), ""]
    lines += machine.table(*(result["with"] for result in results.values()))
    return "\n".join(lines) + "\n"


def _speeds(contests: dict[str, Any]) -> Iterator[str]:
    yield "| | | steps/s, median | least | most | times the peer | least | most | times the JAX loop |"
    yield "|---|---|---:|---:|---:|---:|---:|---:|---:|"
    for name, result in contests.items():
        for contestant, speed in result["speed"].items():
            if isinstance(speed, str):
                yield f"| {name} | {contestant} | {speed} | | | | | | |"
                continue
            cells = [f"{speed[key]:,.0f}" for key in ("median", "least", "most")]
            cells += [f"{speed['times_the_peer'][key]:.2f}" for key in ("median", "least", "most")]
            cells.append(f"{speed['times_jax']['median']:.2f}" if "times_jax" in speed else "")
            yield f"| {name} | {contestant} | {' | '.join(cells)} |"
    yield ""
    yield from (f"- {name}: {result['about']}." for name, result in contests.items())


def _outside(name: str, shares: dict[str, Any]) -> str:
    environment, kernels = (shares[part]["median"] for part in ("environment", "kernels"))
    return (
        f"{name}: {shares['neither']['median']:.1%} of rlcli's time is neither environment "
        f"({environment:.1%}) nor kernels ({kernels:.1%}); {shares['neither']['least']:.1%} to "
        f"{shares['neither']['most']:.1%} "
        "(`profile=true`, calls of C timed one by one; environments that C steps count as kernels)."
    )


def _costs(result: dict[str, Any]) -> Iterator[str]:
    yield "## Cost of an env step in large cohorts"
    yield ""
    yield (
        f"W1's PPO with rollouts of {result['rollout_steps']} steps: the time of an update in its process "
        "over the env steps of all runs, and the peak memory of the process."
    )
    yield ""
    yield "| runs | environments | µs a step, median | least | most | times the first row's | memory, MB |"
    yield "|---:|---:|---:|---:|---:|---:|---:|"
    for size, one in result["sizes"].items():
        cost = one["microseconds_a_step"]
        cells = [*size.split("x"), *(f"{cost[key]:.2f}" for key in ("median", "least", "most"))]
        cells += [f"{one['times_the_first']['median']:.2f}", f"{one['memory_mb']:,.0f}"]
        yield f"| {' | '.join(cells)} |"


def _start(result: dict[str, Any]) -> str:
    first = result["first_update_seconds"]
    return (
        f"The first row of metrics.jsonl stands {first['median']:.2f} s ({first['least']:.2f} to "
        f"{first['most']:.2f}) after `rlcli train` was typed; peak memory of the run "
        f"{result['peak_memory_mb']['most']:.0f} MB."
    )


def _digests(result: dict[str, Any]) -> str:
    return (
        f"The digests of an update of W1 take {result['digest_microseconds']['median']:.0f} µs, "
        f"{result['digest_share']['median']:.1%} of it."
    )


def _commands(results: dict[str, Any]) -> Iterator[str]:
    """One line per part: when, how often, under which load, and what was run."""
    yield "| | date | machine | clock | rounds | load before | updates, short and long | rlcli |"
    yield "|---|---|---|---|---:|---:|---|---|"
    for name in (*CONTESTS, "cost", "start", "digests"):
        if name not in results:
            continue
        result = results[name]
        lengths = "; ".join(
            f"{contestant} {short} {long}" for contestant, (short, long) in result.get("updates", {}).items()
        )
        machine, clock = result["with"]["machine"].partition(",")[0], result.get("clock", "wall")
        cells = [name, result["date"], machine, clock, str(result["rounds"])]
        cells += [f"{result['load_before']:.2f}", lengths]
        yield f"| {' | '.join(cells)} | `{result['command']}` |"
