"""What plots show: metrics that are named, groups and their styles, panels, levels, slices."""

from __future__ import annotations

import numpy as np
import pytest

from rlcli.analysis.plots.curves import STYLES, curves
from rlcli.analysis.plots.metrics import EVALUATED, HEALTH, TRAINED, choose
from rlcli.analysis.plots.plot import OTHERS, Bars, Panel, Plot
from rlcli.analysis.plots.slices import slices
from rlcli.analysis.selection import Run
from rlcli.errors import UserError
from tests.analysis.plots.made import made

RISING = [1.0, 2.0, 3.0, 4.0, 5.0]


def panels(plot: Plot) -> list[Panel]:
    return [panel for panel in plot.panels if isinstance(panel, Panel)]


def seeds(name: str, count: int, **settings: object) -> list[Run]:
    columns = {TRAINED: RISING, "behaviour/ess": [0.9] * 5, "loss/policy": RISING, "loss/value": RISING}
    return [made(f"{name}{seed}", columns, seed=seed, **settings) for seed in range(count)]  # type: ignore[arg-type]


def test_runs_that_differ_in_seeds_are_one_line_with_a_band() -> None:
    [panel] = panels(curves(seeds("a", 3), [TRAINED], "steps", None))
    [mark] = panel.marks
    assert (panel.title, panel.x_label, panel.y_label) == ("CartPole-v1", "env steps", f"{TRAINED} (reward)")
    assert mark.line[0].tolist() == [100, 200, 300, 400, 500]
    assert mark.line[1].tolist() == RISING
    assert mark.band is not None
    assert len(mark.singles) == 3
    [alone] = panels(curves(seeds("b", 1), [TRAINED], "updates", None))[0].marks
    assert alone.band is None
    assert alone.line[0].tolist() == [1, 2, 3, 4, 5]


def test_a_group_has_one_style_in_all_panels_and_environments() -> None:
    runs = [run for env in ("A-v0", "B-v0") for algo in ("trpo", "ppo") for run in
            seeds(f"{env}{algo}", 2, env=env, algo=algo)]  # fmt: skip
    plot = curves(runs, [TRAINED, "behaviour/ess"], "steps", None)
    assert [panel.title for panel in panels(plot)] == [
        f"{TRAINED} (reward), A-v0", f"{TRAINED} (reward), B-v0",
        "behaviour/ess, A-v0", "behaviour/ess, B-v0",
    ]  # fmt: skip
    assert plot.columns == 2
    assert plot.labels == [(0, "trpo"), (1, "ppo")]
    assert all([(mark.place, mark.label) for mark in panel.marks] == plot.labels for panel in panels(plot))


def test_more_groups_than_styles_leave_the_worst_grey() -> None:
    runs = [
        made(f"r{place}", {TRAINED: [0.0, float(place)]}, algo__clip=0.01 * (place + 1))
        for place in range(12)
    ]
    plot = curves(runs, [TRAINED], "steps", None)
    marks = panels(plot)[0].marks
    assert len(plot.labels) == STYLES
    assert [mark.last[1] for mark in marks if mark.place == OTHERS] == [0, 1, 2, 3]
    assert "12 groups" in plot.notes[0]
    assert "--by" in plot.notes[0]


def test_levels_are_drawn_where_they_are_near() -> None:
    far, near = (
        panels(curves([made(str(ess), {"behaviour/ess": [ess, 0.99]})], ["behaviour/ess"], "steps", None))[0]
        for ess in (0.98, 0.4)
    )
    assert far.shown_levels() == []
    assert far.range()[0] > 0.9
    assert [level.value for level in near.shown_levels()] == [0.5]
    stop = {"stop_at__metric": TRAINED, "stop_at__threshold": 475.0}
    [panel] = panels(curves([made("s", {TRAINED: RISING}, **stop)], [TRAINED], "steps", None))  # type: ignore[arg-type]
    assert panel.range()[1] > 475


def test_metrics_are_named_by_pattern_group_or_last_part() -> None:
    runs = seeds("m", 1)
    assert choose(runs, ["loss"], health=False) == ["loss/policy", "loss/value"]
    assert choose(runs, ["loss/*", "ess", TRAINED], health=False) == [
        "loss/policy", "loss/value", "behaviour/ess", TRAINED,
    ]  # fmt: skip
    assert choose(runs, [], health=True) == ["behaviour/ess"]
    assert choose(runs, ["policy"], health=True) == ["loss/policy", "behaviour/ess"]
    assert choose([made("k", dict.fromkeys(HEALTH, RISING))], [], health=True) == list(HEALTH)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("behaviour/es", "Did you mean 'behaviour/ess'"),
        ("update/entropy", "none of these runs has it"),
        ("clip_fractio", "Unknown metric 'clip_fractio'"),
    ],
)
def test_a_metric_that_no_run_has_is_refused_with_the_nearest(name: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        choose(seeds("m", 1), [name], health=False)


def test_all_wrong_metrics_are_named_at_once() -> None:
    with pytest.raises(UserError) as caught:
        choose(seeds("m", 1), ["nope/nope", "behaviour/es"], health=False)
    assert len(caught.value.faults) == 2


def test_the_default_is_the_evaluated_return_where_it_is_a_curve() -> None:
    evaluated = made("e", {EVALUATED: RISING, TRAINED: RISING})
    rarely = made("f", {EVALUATED: [np.nan, np.nan, np.nan, np.nan, 5.0], TRAINED: RISING})
    assert choose([evaluated], [], health=False) == [EVALUATED]
    assert choose([evaluated, rarely], [], health=False) == [TRAINED]
    with pytest.raises(UserError, match="as where no episode ended"):
        choose([made("g", {"behaviour/ess": RISING})], [], health=False)
    with pytest.raises(UserError, match="no rows yet"):
        choose([made("h", {})], [], health=False)


def grid(**more: object) -> list[Run]:
    return [
        made(
            f"{rate}{clip}{seed}", {EVALUATED: [0.0, -abs(np.log10(rate) + 3) + 0.1 * seed]}, seed=seed,
            overrides=[f"algo.learning_rate={rate}", f"algo.clip={clip}", f"seed={seed}"],
            algo__learning_rate=rate, algo__clip=clip, algo__gamma=0.9 + rate, **more,  # type: ignore[arg-type]
        )
        for rate in (1e-5, 1e-4, 1e-3, 1e-2) for clip in (0.1, 0.2, 0.3) for seed in range(3)
    ]  # fmt: skip


def test_slices_are_the_settings_that_commands_vary_and_their_importance() -> None:
    plot = slices(grid(), [EVALUATED], None)
    rate, clip = panels(plot)
    assert (rate.where, clip.where) == ("algo.learning_rate", "algo.clip"), "gamma only follows from the rate"
    assert (rate.log_x, clip.log_x) == (True, False)
    [mark] = rate.marks
    assert len(mark.dots[0]) == 36
    assert mark.line[0].tolist() == [1e-5, 1e-4, 1e-3, 1e-2]
    assert mark.line[1] == pytest.approx([-1.9, -0.9, 0.1, -0.9])
    [bars] = [panel for panel in plot.panels if isinstance(panel, Bars)]
    assert [name for name, _ in bars.bars] == ["learning_rate", "clip"]
    assert bars.bars[0][1] > 0.9


def test_slices_leave_runs_out_that_have_not_finished() -> None:
    runs = [*grid(), *[made("p", {EVALUATED: [99.0]}, status="pruned", algo__learning_rate=1.0)]]
    plot = slices(runs, [EVALUATED], None)
    assert max(panels(plot)[0].marks[0].dots[1]) < 1
    assert plot.notes == ("1 of 37 runs are left out: they have not finished.",)


def test_slices_need_a_number_that_varies() -> None:
    with pytest.raises(UserError, match="no numeric setting"):
        slices(seeds("a", 2), [TRAINED], None)
