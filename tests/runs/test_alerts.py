"""Alerts while training: each rule at its update, and actions that resume, repeat and touch no other run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rlcli.catalog.table import METRICS
from rlcli.config.alerts import FACTS, Rule, rules
from rlcli.config.compose import compose
from rlcli.config.groups import conf_root
from rlcli.config.overrides import parse_command
from rlcli.config.plain_yaml import read_yaml
from rlcli.config.schema.keys import KEYS
from rlcli.errors import UserError
from rlcli.runs.alerts import Alerts, alerts_fit
from rlcli.runs.reproduce import plan, reproduce
from rlcli.runs.resume import resume
from rlcli.runs.train import train
from rlcli.store.alert_rows import FILE
from tests.runs.resuming import assert_same_run, resumed, train_all_with_copies, train_with_copies
from tests.runs.tiny import BATCH, manifest_of, rows_of, tiny

SETTINGS: dict[str, Any] = {"total_steps": 8 * BATCH, "checkpoint__every": 2 * BATCH, "eval__episodes": 0,
    "algo__learning_rate": 0.02, "algo__learning_rate_schedule": "constant",
}  # fmt: skip
"""Eight updates, every second saved."""
BEYOND = {
    "ess": (0.5, 0.49), "khat": (0.7, 0.71), "kl": (3.0, 3.01), "clip_fraction": (0.5, 0.51),
    "step": (1.0, 4.0), "explained_variance": (-1.0, -1.01), "beta_low": (1e-3, 9e-4),
    "beta_high": (1e3, 1.1e3),
}  # fmt: skip
"""By rule: the last value that is fine, and one that is not."""


def fold(values: list[float | None], *, dimensions: int = 1, **settings: Any) -> list[tuple[str, int]]:
    """The alerts of rows with these values of the metric of one rule: its name and the update of each."""
    [name] = {key.split(".")[1] for key in settings} or {"ess"}
    metric = FACTS[name].metric
    rows = [
        {"update": update, "env_steps": 10 * update} | ({} if value is None else {metric: value})
        for update, value in enumerate(values, 1)
    ]
    found = Alerts(rules(settings), dimensions, rows).raised
    return [(one.rule.name, one.update) for one in found]


@pytest.mark.broken_by(
    "an alert of a low ESS on the wrong side",
    "config/alerts.py",
    "return value < self.limit if",
    "return value > self.limit if",
    case="ess",
)
@pytest.mark.broken_by(
    "a limit that is itself beyond",
    "config/alerts.py",
    "else value > self.limit",
    "else value >= self.limit",
    case="khat",
)
@pytest.mark.broken_by(
    "an alert at every update",
    "runs/alerts.py",
    "before, self._raised = self._raised, True",
    "before, self._raised = self._raised, False",
    case="kl",
)
@pytest.mark.parametrize("name", BEYOND)
def test_each_rule_is_raised_once_at_its_update(name: str) -> None:
    fine, bad = BEYOND[name]
    wanted = 50 if name.startswith("beta") else 1
    limit = {f"alerts.{name}.updates": wanted}
    values = [fine, *[bad] * (wanted - 1), fine, *[bad] * 60, fine, *[bad] * 60]
    first = 2 * wanted + 1 if wanted > 1 else 3
    assert fold(values, **limit) == [(name, first)]
    assert fold([fine] * 200, **limit) == []
    assert fold([None, float("nan")] * 100, **limit) == []


def test_rows_without_the_metric_are_passed_over() -> None:
    settings = {"alerts.ess.updates": 3}
    assert fold([0.4, None, 0.4, None, 0.4], **settings) == [("ess", 5)]
    assert fold([0.4, None, 0.9, 0.4, 0.4], **settings) == []


@pytest.mark.broken_by(
    "a drop of the entropy of all dimensions together",
    "runs/alerts.py",
    "- value) / self._dimensions",
    "- value)",
)
def test_a_drop_is_per_dimension_and_below_the_highest_of_ten_updates() -> None:
    limit = {"alerts.entropy_drop.limit": 0.5}
    assert fold([3.0, 2.9, 1.9], dimensions=2, **limit) == [("entropy_drop", 3)]
    assert fold([3.0, 2.9, 2.1], dimensions=2, **limit) == []
    assert fold([3.0, 2.9, 2.1], **limit) == [("entropy_drop", 3)]
    assert fold([0.69, *[0.5] * 9, 0.1], **limit) == [("entropy_drop", 11)]
    assert fold([0.69, *[0.5] * 10, 0.1], **limit) == []


def test_there_is_one_table_of_limits() -> None:
    """conf/alerts/default.yaml writes out what the schema declares; none.yaml switches everything off."""
    _, content = read_yaml(conf_root() / "alerts" / "default.yaml")
    written = {f"alerts.{name}.{key}": value for name, one in content.items() for key, value in one.items()}
    declared = {name: key.default for name, key in KEYS.items() if name.startswith("alerts.")}
    assert declared == written | {"alerts.more": {}}
    assert rules(written) == rules({})
    assert [one.metric for one in rules({}) if one.metric not in METRICS] == []
    off = compose(["alerts=none"]).config
    assert rules({f"alerts.{name}.action": getattr(off.alerts, name).action for name in FACTS}) == ()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["alerts.es.limit=0.1"], "Did you mean 'alerts.ess.limit'?"),
        (["alerts.ess.action=stopp"], "did you mean 'stop'?"),
        (["alerts=defualt"], "Did you mean 'default'?"),
        (["alerts.more={slow:{metric:train/retrn_100,below:1}}"], "Did you mean 'train/return_100'"),
        (["alerts.more={slow:{metric:train/return_100,belw:1}}"], "Did you mean 'below'"),
        (["alerts.more={slow:{metric:train/return_100,below:1,action:stp}}"], "Did you mean 'stop'"),
        (["alerts.more={slow:{metric:train/return_100,below:1,updates:0}}"], "from 1 on"),
        (["alerts.more={slow:{metric:train/return_100,below:1,above:2}}"], "give one limit"),
        (["alerts.more={slow:{metric:time/elapsed,above:1}}"], "could not be repeated"),
        (["alerts.more={ess:{metric:train/return_100,below:1}}"], "set alerts.ess.limit"),
        (["alerts.more={a-b:{metric:train/return_100,below:1}}"], "one word"),
        (["alerts.more={slow:3}"], "names its metric"),
        (["alerts.kl.action=stop", "logger=[console]"], "needs logger jsonl"),
        (["alerts.kl.action=reduce_lr", "algo=trpo"], "moves the value function alone"),
        (["alerts.kl.action=reduce_lr", "algo.learning_rate_schedule=adaptive_kl"], "raise the rate again"),
        (["alerts.kl.action=reduce_lr", "backend=sb3"], "keeps a rate of its own"),
    ],
)
def test_mistakes_are_refused(words: list[str], said: str) -> None:
    with pytest.raises(UserError) as caught:
        compose(words, checks=[alerts_fit])
    assert said in str(caught.value)


def limits(run_dir: Path, *, at: int, action: str) -> dict[str, Any]:
    """Settings with which a free run's explained variance raises an alert at update `at`, not before."""
    values = [row["update/explained_variance"] for row in rows_of(run_dir)]
    before, limit = min(values[: at - 1]), values[at - 1]
    assert before > limit, values
    return {
        "alerts__explained_variance__limit": (before + limit) / 2,
        "alerts__explained_variance__action": action,
    }


@pytest.fixture(scope="module")
def free(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run whose alerts do nothing."""
    run_dir = tmp_path_factory.mktemp("runs") / "free"
    train([tiny(**SETTINGS)], [run_dir])
    return run_dir


def rising(run_dir: Path) -> int:
    """An update between the third and the last whose explained variance is the lowest so far."""
    values = [row["update/explained_variance"] for row in rows_of(run_dir)]
    return next(at for at in range(3, 8) if values[at - 1] < min(values[: at - 1]))


@pytest.mark.broken_by(
    "a resumed run that forgets its alerts",
    "runs/stopped_run.py",
    "Alerts(rules_of(self.config), dimensions, self._rows.kept())",
    "Alerts(rules_of(self.config), dimensions)",
    case="reduce_lr",
)
@pytest.mark.parametrize("action", ["stop", "reduce_lr"])
def test_actions_are_exact_under_kill_resume_and_reproduce(action: str, free: Path, tmp_path: Path) -> None:
    at = rising(free)
    config = tiny(**SETTINGS, **limits(free, at=at, action=action))
    result, copies = train_with_copies(config, tmp_path / "run", (1, at - 1, at, 7))
    rows, unchanged = rows_of(result.dir), rows_of(free)
    [alert] = [
        row
        for row in map(json.loads, (result.dir / FILE).read_text().splitlines())
        if row["action"] == action
    ]
    assert (alert["update"], alert["alert"]) == (at, "explained_variance")
    rates = [row["update/learning_rate"] for row in rows]
    if action == "stop":
        assert (result.updates, result.status) == (at, "finished")
        assert rows == unchanged[:at]
        assert "explained variance" in str(manifest_of(result.dir)["message"])
    else:
        assert rows[:at] == unchanged[:at]
        assert rates[at:] == [rate / 2 for rate in [row["update/learning_rate"] for row in unchanged][at:]]
    for killed in copies:
        if not (killed / "checkpoints").is_dir():
            continue
        assert resume(killed).exit_code == 0
        assert_same_run(killed, result.dir)
        assert (killed / FILE).read_text() == (result.dir / FILE).read_text()
    again = reproduce(plan(result.dir), tmp_path / "again")
    assert again.comparison.difference is None
    assert again.comparison.updates == len(rows)


@pytest.mark.broken_by(
    "an alert that lowers the rate of the whole cohort",
    "backends/native.py",
    "rate[self._order.index(run)] *= factor",
    "rate *= factor",
)
def test_a_cohort_stops_and_lowers_the_rate_of_one_member_alone(free: Path, tmp_path: Path) -> None:
    at = rising(free)
    for action in ("stop", "reduce_lr"):
        calm = {"alerts__explained_variance__limit": -1e6, "alerts__explained_variance__action": action}
        configs = [
            tiny(seed=1, **SETTINGS, **calm),
            tiny(**SETTINGS, **limits(free, at=at, action=action)),
            tiny(seed=2, **SETTINGS, **calm),
        ]
        together = [tmp_path / action / f"{run}" for run in range(3)]
        train_all_with_copies(configs, together, ())
        for run, config in enumerate(configs):
            alone = tmp_path / action / f"alone {run}"
            train([config], [alone])
            assert (alone / "digests.txt").read_text() == (together[run] / "digests.txt").read_text()
        raised = [one for one in (together[1] / FILE).read_text().splitlines() if action in one]
        assert len(raised) == 1


def test_a_stopped_run_goes_on_when_its_action_is_changed(free: Path, tmp_path: Path) -> None:
    at = rising(free)
    config = tiny(**SETTINGS, **limits(free, at=at, action="stop"))
    [result] = train([config], [tmp_path / "run"])
    again = resume(result.dir)
    assert again.message is not None
    assert "alerts.explained_variance.action=warn" in again.message
    resumed(result.dir, "alerts.explained_variance.action=warn")
    assert rows_of(result.dir) == rows_of(free)
    outcome = reproduce(plan(result.dir), tmp_path / "again")
    assert outcome.comparison.difference is None
    with pytest.raises(UserError, match="reduce_lr is chosen before the start"):
        resume(result.dir, parse_command(["alerts.explained_variance.action=reduce_lr"]))


def test_rules_of_others_are_data() -> None:
    """A config.yaml may have anything there: what is no rule is none."""
    odd = {
        "a": 3, "b": {"metric": "x"}, "c": {"metric": 1, "below": 1}, "d": {"metric": "x", "below": "y"},
        "e f": {"metric": "x", "below": 1}, "g": {"metric": "x\x1b", "below": 1},
        "h": {"metric": "x", "above": 1, "action": []}, "i": {"metric": "x", "above": 1, "updates": True},
    }  # fmt: skip
    assert rules({"alerts.more": odd}) == rules({})
    own = rules({"alerts.more": {"slow": {"metric": "x", "below": 2, "updates": 3, "action": "stop"}}})[-1]
    assert isinstance(own, Rule)
    assert (own.name, own.metric, own.limit, own.updates, own.action) == ("slow", "x", 2.0, 3, "stop")
