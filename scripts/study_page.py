"""Writes docs/health.md and its pictures from the figures of `scripts/study.py`: words, tables, plots.

Every sentence about an algorithm follows from the figures by the rules that the page states.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import figures
import numpy as np

import machine
from rlcli.analysis.plots.figure import picture
from rlcli.analysis.plots.plot import Level, Mark, Panel, Plot
from rlcli.analysis.statistics import interval, pooled_iqm
from rlcli.maths.location import interquartile_mean

Rows = Mapping[str, dict[str, Any]]
KEPT = 0.5
"""Share of lag 0's gain that an algorithm keeps where it survives."""
BANDS = ("return", "late")
"""Figures that are drawn with an interval."""
AT_ONCE = 8
"""Algorithms that one picture tells apart."""
PANELS = (
    ("return", "return of the last policy", ()),
    ("ess", "ESS", (Level(0.5, "half of the samples"),)),
    ("kl", "KL(μ‖π), nats", ()),
    ("budget", "share of the KL budget used", (Level(1.0, "budget"),)),
)
HEAD = """# Health under staleness

What does it do to an algorithm when its rollouts are from a policy of 1, 4 or 16 updates ago? `make study`
trains every algorithm on three environments with `lag` 0, 1, 4 and 16, five seeds each, the seeds of a lag as
one cohort, with the settings of `conf/tuned/` where there are some, and writes this page. A second call
resumes it.

A lag is counted in updates, and an update of `a2c` or `impala` is 40 env steps where one of `ppo` is 256 and
more: equal lags are not equal distances between policies. ESS and KL say how far they are apart.

- return: 20 deterministic episodes of the last policy; IQM over seeds, the mean of the middle half.
- ESS, KL(μ‖π), budget: `behaviour/ess`, `behaviour/kl_mu_pi` and `update/budget_used`, means over all updates
  of a run, IQM over seeds. [update_health.md](update_health.md) says what they are.
- gain: that return less the mean return of the first episodes that ended in training. An algorithm *survives*
  a lag if there and at all smaller lags it keeps half of its gain at lag 0.
"""


def of_lag(row: dict[str, Any], lag: int, name: str) -> list[float]:
    """A figure of the seeds of one lag."""
    return [run[name] for run in row["runs"] if run["lag"] == lag]


def lags(row: dict[str, Any]) -> list[int]:
    """The lags that have runs."""
    return sorted({run["lag"] for run in row["runs"]})


def level(row: dict[str, Any], lag: int, name: str) -> float:
    """IQM of a figure over seeds."""
    return interquartile_mean(of_lag(row, lag, name))


def gain(row: dict[str, Any], lag: int, name: str) -> float:
    """What training added to the first rollout's return."""
    return level(row, lag, name) - level(row, lag, "first")


def survived(row: dict[str, Any], name: str = "return") -> int | None:
    """The largest lag that a row survives by a kind of return; None: it learns nothing at lag 0."""
    known = lags(row)
    if not known or known[0] != 0 or gain(row, 0, name) <= 0.0:
        return None
    found = 0
    for lag in known:
        if gain(row, lag, name) < KEPT * gain(row, 0, name):
            break
        found = lag
    return found


def table(rows: Sequence[dict[str, Any]]) -> list[str]:
    """The figures of one environment."""
    known = sorted({lag for row in rows for lag in lags(row)})
    last = known[-1]
    lines = [
        f"| `algo=` | {' | '.join(f'return, lag {lag}' for lag in known)} | ESS, lag 0 | ESS, lag {last} | "
        f"updates with ESS < 0.5, lag {last} | KL, lag 0 | KL, lag {last} | budget, lag 0 | "
        f"budget, lag {last} | survives |",
        "|---|" + "---:|" * (len(known) + 7) + "---|",
    ]
    for row in rows:
        returns = [f"{level(row, lag, 'return'):,.0f}" if lag in lags(row) else "" for lag in known]
        first, end = lags(row)[0], lags(row)[-1]
        others = [
            f"{level(row, first, 'ess'):.3f}", f"{level(row, end, 'ess'):.3f}",
            f"{level(row, end, 'low_ess'):.0%}",
            f"{level(row, first, 'kl'):.2g}", f"{level(row, end, 'kl'):.2g}",
            f"{level(row, first, 'budget'):.2g}", f"{level(row, end, 'budget'):.2g}",
        ]  # fmt: skip
        lines.append(f"| `{row['algo']}` | {' | '.join((*returns, *others, verdict(row)))} |")
    return lines


def verdict(row: dict[str, Any], name: str = "return") -> str:
    """The last cell of a row."""
    found = survived(row, name)
    if found is None:
        return "learns nothing"
    return "none" if found == 0 and lags(row)[-1] > 0 else f"lag {found}"


def words(rows: Sequence[dict[str, Any]]) -> list[str]:
    """What the figures of one environment say."""
    groups: dict[str, list[str]] = {}
    for row in rows:
        groups.setdefault(verdict(row), []).append(f"`{row['algo']}`")
    lines = []
    for lag in sorted({lag for row in rows for lag in lags(row) if lag}, reverse=True):
        if names := groups.get(f"lag {lag}"):
            end = max(lags(row)[-1] for row in rows)
            lines.append(
                f"- Survive lag {lag}{'' if lag == end else ' and no larger one'}: {', '.join(names)}."
            )
    if names := groups.get("none"):
        lines.append(f"- Survive no lag: {', '.join(names)}.")
    if names := groups.get("learns nothing"):
        lines.append(f"- Gain nothing at lag 0 in so few steps: {', '.join(names)}.")
    whole = [row for row in rows if len(lags(row)) > 1]
    if whole:
        fallen = [level(row, 0, "ess") - level(row, lags(row)[-1], "ess") for row in whole]
        least, most = whole[int(np.argmin(fallen))], whole[int(np.argmax(fallen))]
        told = ((most, ": the largest fall"), (least, ": the smallest")) if len(whole) > 1 else ((most, ""),)
        lines += [
            f"- From lag 0 to {lags(one)[-1]} the ESS of `{one['algo']}` goes from "
            f"{level(one, 0, 'ess'):.3f} to {level(one, lags(one)[-1], 'ess'):.3f}{text}."
            for one, text in told
        ]
        over = [
            f"`{row['algo']}` ({level(row, lags(row)[-1], 'budget'):.1f})"
            for row in whole
            if level(row, lags(row)[-1], "budget") > 1.0
        ]
        if over:
            lines.append(f"- Mean budget above 1 at the largest lag: {', '.join(over)}.")
    return lines


def mark(row: dict[str, Any], label: str, place: int, name: str) -> Mark:
    """A figure of a row over its lags, of returns with an interval."""
    known = lags(row)
    samples = [np.array(of_lag(row, lag, name), dtype=float) for lag in known]
    band = None
    if name in BANDS and all(len(each) > 1 for each in samples):
        ends = [interval(pooled_iqm, each) for each in samples]
        low, high = (np.array([float(end[side]) for end in ends]) for side in (0, 1))
        band = low, high
    line = np.array(known, dtype=float) + 1.0, np.array([level(row, lag, name) for lag in known])
    return Mark(label, place, len(samples[0]), line, band)


def plot(env: str, rows: Sequence[dict[str, Any]]) -> Plot:
    """Return, ESS, KL and budget against the lag."""
    panels = []
    for name, title, levels in PANELS:
        marks = [mark(row, row["algo"], place, name) for place, row in enumerate(rows)]
        panels.append(Panel(title, "lag + 1", title, tuple(marks), levels, log_x=True, where=env))
    caption = "IQM over seeds; of the return with its 95% bootstrap interval."
    return Plot(tuple(panels), caption, columns=2)


def section(env: str, rows: Sequence[dict[str, Any]], pictures: Path) -> list[str]:
    """The part of the page about one environment."""
    steps = f"{rows[0]['runs'][0]['env_steps']:,}"
    lines = [f"## {env}", "", f"About {steps} env steps per run.", "", *words(rows), "", *table(rows), ""]
    for number in range(0, len(rows), AT_ONCE):
        drawn = rows[number : number + AT_ONCE]
        path = pictures / f"{env}-{number // AT_ONCE + 1}.svg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture(plot(env, drawn), "svg"))
        names = ", ".join(row["algo"] for row in drawn)
        lines += [f"![Return, ESS, KL and budget of {names} on {env}](pictures/health/{path.name})", ""]
    return lines


def missing(known: Rows, order: Sequence[str], target: str) -> list[str]:
    """Which rows there are no figures of."""
    left = [name for name in order if name not in known]
    if not left:
        return []
    return [
        "## Not measured yet",
        "",
        f"{len(left)} of {len(order)} rows, named as `make {target} ARGS='--only NAME'` takes them:",
        "",
        *(f"- `{name}`" for name in left),
        "",
        "```sh",
        f"make {target}",
        "```",
        "",
    ]


def sources(rows: Sequence[dict[str, Any]], script: str) -> list[str]:
    """Commands of the rows, and what they were measured on."""
    if not rows:
        return []
    commands = ["## Commands", "", "```text", *(row["command"] for row in rows), "```", ""]
    described = machine.table(*(row["with"] for row in rows))
    return [*commands, f"`{script}`, {figures.period(list(rows))}.", "", *described]


def page(known: Rows, order: Sequence[str], pictures: Path) -> str:
    """The whole page."""
    lines = [HEAD]
    rows = [known[name] for name in order if name in known and known[name]["runs"]]
    for env in dict.fromkeys(row["env"] for row in rows):
        lines += section(env, [row for row in rows if row["env"] == env], pictures)
    lines += missing(known, order, "study")
    lines += sources(rows, "scripts/study.py")
    return "\n".join(lines).rstrip() + "\n"


def write(known: Rows, order: Sequence[str], path: Path) -> None:
    """The page and its pictures, in pictures/health beside it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page(known, order, path.parent / "pictures" / "health"))
