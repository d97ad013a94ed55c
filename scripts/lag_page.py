"""Writes docs/lag.md and its pictures from the figures of `scripts/lag.py`: words, tables, plots.

Every sentence about a row follows from the figures by the rules that the page states.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import study_page

from rlcli.analysis.plots.figure import picture
from rlcli.analysis.plots.plot import Level, Mark, Panel, Plot
from rlcli.analysis.statistics import interval, pooled_iqm
from rlcli.maths.location import interquartile_mean

Row = dict[str, Any]
Rows = Mapping[str, Row]
WITH, WITHOUT, ACTORS = "impala", "uncorrected", "impala_async"
"""Labels of the rows that the page compares."""
PANELS = (
    ("late", "return in training, last fifth", ()),
    ("return", "return of the last policy", ()),
    ("ess", "ESS", (Level(0.5, "half of the samples"),)),
    ("kl", "KL(μ‖π), nats", ()),
)
PICTURES = {"returns": slice(0, 2), "distance": slice(2, 4)}
"""Which panels each picture has."""
FIGURES = (
    ("late", "return in training", "{:,.0f}"),
    ("return", "return of the last policy", "{:,.0f}"),
    ("ess", "ESS", "{:.3f}"),
    ("kl", "KL(μ‖π)", "{:.2g}"),
)
HEAD = """# Why V-trace

Where actors collect while the learner learns, the policy μ that acted is some updates older than the policy
π that is trained. The policy gradient is then taken over the actions of another policy. V-trace (Espeholt et
al. 2018) corrects for that: it weighs each step with min(ρ̄, π/μ), and the traces of its value targets with
λ min(c̄, π/μ). What does lag do, and what does the correction change?

`make lag` trains the rows below at lag 0, 1, 4, 16 and 64, with five seeds each, the seeds of a lag as one
cohort, and beside them runs with actors, whose lag is not set but measured. It writes this page. A second
call resumes it.

- `impala`: `algo=impala`, V-trace with ρ̄ = c̄ = 1.
- `uncorrected`: the same with `algo.targets=gae` at `algo.gae_lambda=1`: n-step returns to the end of the
  rollout, and no weight on the gradient. That is V-trace with every weight 1. No value of ρ̄ or c̄ does the
  same, since they bound weights from above.
- `impala_async`: `algo=impala_async` with the settings of `impala`, and 1, 2 or 4 actors with a
  `collect.queue` of 1 or 16. Its lag is `actors/lag`, the mean over updates.
- `ppo`, `a2c`, `trpo`: with the settings of `conf/tuned/`. `ppo` and `trpo` hold their step to the policy
  before the update, and have no other correction.

A lag is counted in updates. One of `impala` is 80 env steps here, one of `a2c` 40, one of `ppo` and `trpo`
hundreds or thousands: at equal lags their policies are not equally far apart. KL says how far.

- return in training: mean over the updates of the last fifth of the env steps, of the policy that acted; IQM
  over seeds, the mean of the middle half. It varies less than the return of the last policy.
- return of the last policy: 20 deterministic episodes after training, IQM over seeds.
- ESS, KL(μ‖π): `behaviour/ess` and `behaviour/kl_mu_pi`, means over all updates of a run, IQM over seeds.
  [update_health.md](update_health.md) says what they are.
- V-trace is called better or worse where the 95% bootstrap intervals of both returns in training do not
  overlap.
- gain: the return in training less that of the first episodes that ended. A row *survives* a lag if there and
  at all smaller lags it keeps half of its gain at lag 0.
"""


def lagged(rows: Sequence[Row]) -> list[Row]:
    """Rows whose lag is set."""
    return [row for row in rows if row["label"] != ACTORS]


def bounds(values: Sequence[float]) -> tuple[float, float]:
    """95% bootstrap interval of the IQM; of a lone value the value."""
    if len(values) == 1:
        return values[0], values[0]
    low, high = interval(pooled_iqm, np.array(values, dtype=float))
    return float(low), float(high)


def named(lags: Sequence[float]) -> str:
    """Lags in words: lag 1, 4 and 16."""
    numbers = [f"{lag:g}" for lag in lags]
    return "lag " + (" and ".join((", ".join(numbers[:-1]), numbers[-1])) if numbers[1:] else numbers[0])


def compared(ours: Row, bare: Row) -> list[str]:
    """What V-trace changes at each lag."""
    outcome: dict[str, list[float]] = {}
    for lag in study_page.lags(ours):
        pair = [study_page.of_lag(row, lag, "late") for row in (ours, bare)]
        if not all(pair):
            continue
        (low, high), (bare_low, bare_high) = map(bounds, pair)
        equal = sorted(pair[0]) == sorted(pair[1])
        kind = "same" if equal else "better" if low > bare_high else "worse" if high < bare_low else "open"
        outcome.setdefault(kind, []).append(lag)
    texts = {
        "same": "equal to the last digit with and without V-trace",
        "better": "V-trace is better",
        "worse": "V-trace is worse",
        "open": "the intervals with and without V-trace overlap",
    }
    return [f"- At {named(outcome[kind])}: {text}." for kind, text in texts.items() if kind in outcome]


def words(rows: Sequence[Row]) -> list[str]:
    """What the figures of one environment say."""
    by_label = {row["label"]: row for row in rows}
    lines = []
    if WITH in by_label and WITHOUT in by_label:
        lines += compared(by_label[WITH], by_label[WITHOUT])
    groups: dict[str, list[str]] = {}
    for row in lagged(rows):
        groups.setdefault(study_page.verdict(row, "late"), []).append(f"`{row['label']}`")
    lines += [f"- Survives: {verdict}: {', '.join(names)}." for verdict, names in sorted(groups.items())]
    if ACTORS in by_label:
        lags = [run["lag"] for run in by_label[ACTORS]["runs"]]
        lines.append(f"- Measured lags with actors: from {min(lags):.1f} to {max(lags):.1f}.")
    return lines


def table(rows: Sequence[Row], name: str, title: str, form: str) -> list[str]:
    """One figure of each row and lag."""
    known = sorted({lag for row in rows for lag in study_page.lags(row)})
    last = " survives |" if name == "late" else ""
    lines = [
        f"| {title} | {' | '.join(f'lag {lag}' for lag in known)} |{last}",
        "|---|" + "---:|" * len(known) + ("---|" if last else ""),
    ]
    for row in rows:
        here = study_page.lags(row)
        cells = [form.format(study_page.level(row, lag, name)) if lag in here else "" for lag in known]
        end = f" {study_page.verdict(row, 'late')} |" if last else ""
        lines.append(f"| `{row['label']}` | {' | '.join(cells)} |{end}")
    return lines


def settings(row: Row) -> list[tuple[int, int]]:
    """Numbers of actors and queues of asynchronous runs, in the order of their lags."""
    groups = {(run["actors"], run["queue"]) for run in row["runs"]}
    return sorted(groups, key=lambda one: float(np.mean(of_setting(row, one, "lag"))))


def of_setting(row: Row, setting: tuple[int, int], name: str) -> list[float]:
    """A figure of the seeds of one number of actors and queue."""
    return [run[name] for run in row["runs"] if (run["actors"], run["queue"]) == setting]


def beside(row: Row, inline: Row | None) -> list[str]:
    """Asynchronous runs, each beside the nearest lag of `impala` inline."""
    titles = [title for _, title, _ in FIGURES]
    near = "" if inline is None else f" nearest lag of `{WITH}` | {' | '.join(titles)} |"
    lines = [
        f"| actors | queue | measured lag | {' | '.join(titles)} |{near}",
        "|" + "---:|" * (3 + len(titles) + (0 if inline is None else 1 + len(titles))),
    ]
    for setting in settings(row):
        lag = interquartile_mean(of_setting(row, setting, "lag"))
        cells = [form.format(interquartile_mean(of_setting(row, setting, name))) for name, _, form in FIGURES]
        line = f"| {setting[0]} | {setting[1]} | {lag:.1f} | {' | '.join(cells)} |"
        if inline is not None:
            nearest = min(study_page.lags(inline), key=lambda one: abs(np.log((one + 1) / (lag + 1))))
            found = [form.format(study_page.level(inline, nearest, name)) for name, _, form in FIGURES]
            line += f" {nearest} | {' | '.join(found)} |"
        lines.append(line)
    return lines


def dots(row: Row, name: str) -> tuple[np.ndarray, np.ndarray]:
    """A figure of each asynchronous run over its measured lag."""
    runs = row["runs"]
    return np.array([run["lag"] + 1.0 for run in runs]), np.array([float(run[name]) for run in runs])


def plot(env: str, rows: Sequence[Row], shown: slice = slice(None)) -> Plot:
    """Return, ESS and KL against the lag: lines where it is set, dots where it is measured."""
    panels = []
    for name, title, levels in PANELS[shown]:
        marks = [
            Mark(ACTORS, place, len(row["runs"]), dots=dots(row, name))
            if row["label"] == ACTORS
            else study_page.mark(row, row["label"], place, name)
            for place, row in enumerate(rows)
        ]
        panels.append(Panel(title, "lag + 1", title, tuple(marks), levels, log_x=True, where=env))
    caption = (
        "Lines: IQM over seeds at a lag that is set, of returns with 95% bootstrap intervals. "
        "Dots: single runs with actors, at their mean measured lag."
    )
    return Plot(tuple(panels), caption, columns=2)


def section(env: str, rows: Sequence[Row], pictures: Path) -> list[str]:
    """The part of the page about one environment."""
    pictures.mkdir(parents=True, exist_ok=True)
    for file, shown in PICTURES.items():
        (pictures / f"{env}-{file}.svg").write_bytes(picture(plot(env, rows, shown), "svg"))
    lines = [f"## {env}", "", f"About {rows[0]['runs'][0]['env_steps']:,} env steps per run.", ""]
    lines += [*words(rows), ""]
    for file in PICTURES:
        lines += [f"![{file} against lag on {env}](pictures/lag/{env}-{file}.svg)", ""]
    if set_lags := lagged(rows):
        for name, title, form in FIGURES:
            lines += [*table(set_lags, name, title, form), ""]
    by_label = {row["label"]: row for row in rows}
    if ACTORS in by_label:
        lines += [*beside(by_label[ACTORS], by_label.get(WITH)), ""]
    return lines


def page(known: Rows, order: Sequence[str], pictures: Path) -> str:
    """The whole page."""
    lines = [HEAD]
    rows = [known[name] for name in order if name in known and known[name]["runs"]]
    for env in dict.fromkeys(row["env"] for row in rows):
        lines += section(env, [row for row in rows if row["env"] == env], pictures)
    lines += study_page.missing(known, order, "lag")
    lines += study_page.sources(rows, "scripts/lag.py")
    return "\n".join(lines).rstrip() + "\n"


def write(known: Rows, order: Sequence[str], path: Path) -> None:
    """The page and its pictures, in pictures/lag beside it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page(known, order, path.parent / "pictures" / "lag"))
