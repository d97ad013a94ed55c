"""Alerts as analysis shows them: limits in plots, rules of a run's own config, silent runs."""

from __future__ import annotations

from pathlib import Path

from rlcli.analysis.alerts import levels, recorded_rules, silence
from rlcli.config.alerts import DEFAULT_RULES
from rlcli.runs.alerts import Alerts
from tests.analysis.made import Maker
from tests.runs.tiny import finished

__all__ = ["finished"]


def present(**figures: float) -> list[tuple[str, float]]:
    """The texts and severities of alerts of one row."""
    named = {name.replace("__", "/"): value for name, value in figures.items()}
    found = Alerts(DEFAULT_RULES, 1)
    found.add({"update": 1, "env_steps": 1, **named})
    return [(one.alert.text, round(one.severity, 9)) for one in found.present]


def test_figures_beyond_their_limits_are_alerts() -> None:
    assert present(behaviour__ess=0.5, update__budget_used=3.0, behaviour__clip_fraction=0.5) == []
    assert present() == []
    assert present(
        behaviour__ess=0.25, update__budget_used=9.0, behaviour__clip_fraction=0.6, update__step_outcome=4.0
    ) == [
        ("ESS 0.2500: few samples decide the update (behaviour/ess below 0.5)", 2.0),
        ("KL 9.00 x its budget (update/budget_used above 3)", 3.0),
        ("clip fraction 0.6000: most ratios left 1 ± 0.2 (behaviour/clip_fraction above 0.5)", 1.2),
        ("the natural step failed (outcome 4.00) (update/step_outcome above 1)", 4.0),
    ]  # fmt: skip


def test_an_alert_stands_as_long_as_rows_are_beyond_the_limit() -> None:
    found = Alerts(DEFAULT_RULES, 1)
    stands = []
    for update, ess in enumerate((0.4, 0.3, 0.9, 0.4), 1):
        found.add({"update": update, "env_steps": update, "behaviour/ess": ess})
        stands.append(len(found.present))
    assert stands == [1, 1, 0, 1]
    assert [one.update for one in found.raised] == [1]


def test_a_run_has_the_limits_of_its_own_config(tmp_path: Path, finished: Path) -> None:
    own = Maker(tmp_path, finished).run("own", (1.0,), alerts__ess__limit=0.3, alerts__kl__action="none")
    found = {rule.name: rule.limit for rule in recorded_rules(own)}
    assert found["ess"] == 0.3
    assert "kl" not in found
    (own / "config.yaml").write_text("{")
    assert recorded_rules(own) == DEFAULT_RULES


def test_lines_of_a_plot_are_the_limits_of_its_runs() -> None:
    usual: dict[str, float] = {}
    assert list(levels("update/budget_used", [usual, usual])) == [(3.0, "alert")]
    assert list(levels("behaviour/ess", [usual, {"alerts.ess.limit": 0.3}])) == [
        (0.5, "alert"),
        (0.3, "alert"),
    ]
    assert list(levels("update/step_outcome", [usual])) == []


def test_a_run_is_silent_after_a_minute_or_twenty_updates() -> None:
    assert silence(None, 1.0) is None
    assert silence(59.0, None) is None
    assert silence(90.0, 10.0) is None
    found = silence(400.0, 10.0)
    assert found is not None
    assert (found.text, found.severity) == ("no row for 6 m 40 s", 2.0)
