"""Rules of alerts: which figures need attention."""

from __future__ import annotations

import pytest

from rlcli.analysis.alerts import LEVELS, RULES, alerts, silence
from rlcli.catalog import METRICS


@pytest.mark.broken_by(
    "an alert of a low ESS on the wrong side", "analysis/alerts.py",
    'Rule("behaviour/ess", 0.5, False,', 'Rule("behaviour/ess", 0.5, True,',
)  # fmt: skip
def test_figures_beyond_their_limits_are_alerts() -> None:
    fine = {"behaviour/ess": 0.5, "update/budget_used": 3.0, "behaviour/clip_fraction": 0.5,
            "update/step_outcome": 1.0}  # fmt: skip
    assert alerts(fine) == []
    assert alerts({}) == []
    bad = {"behaviour/ess": 0.25, "update/budget_used": 9.0, "behaviour/clip_fraction": 0.6,
           "update/step_outcome": 4.0}  # fmt: skip
    found = alerts(bad)
    assert [alert.text for alert in found] == [
        "ESS 0.2500: few samples decide the update", "KL 9.00 x its budget",
        "clip fraction 0.6000: most ratios left 1 ± 0.2", "the natural step failed (outcome 4.00)",
    ]  # fmt: skip
    assert [alert.severity for alert in found] == pytest.approx([2.0, 3.0, 1.2, 4.0])


def test_rules_are_of_metrics_that_exist() -> None:
    assert {rule.metric for rule in RULES} <= set(METRICS)
    assert LEVELS["update/budget_used"] == (3.0, "alert")
    assert "update/step_outcome" not in LEVELS


def test_a_run_is_silent_after_a_minute_or_twenty_updates() -> None:
    assert silence(None, 1.0) is None
    assert silence(59.0, None) is None
    assert silence(90.0, 10.0) is None
    found = silence(400.0, 10.0)
    assert found is not None
    assert (found.text, found.severity) == ("no row for 6 m 40 s", 2.0)
