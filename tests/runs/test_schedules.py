"""A run whose schedules end before it does: what is said, and how they are made longer from then on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rlcli.config.amend import amend
from rlcli.config.overrides import parse_command
from rlcli.config.schema.run import RunConfig
from rlcli.errors import UserError
from rlcli.runs.reproduce import plan, reproduce
from rlcli.runs.schedules import schedule_warnings
from rlcli.runs.train import train
from rlcli.store.checkpoints import Checkpoints
from rlcli.store.config_file import read_config
from tests.runs.continuing import play
from tests.runs.resuming import assert_same_run, resumed, train_with_copies
from tests.runs.test_continue import assert_same
from tests.runs.tiny import BATCH, manifest_of, rows_of, tiny

LINEAR: dict[str, Any] = {
    "algo__learning_rate": 3e-2, "algo__learning_rate_schedule": "linear", "algo__clip_schedule": "linear",
    "eval__episodes": 0,
}  # fmt: skip
LONGER = ("total_steps=256", "schedule_steps=256")
"""Eight updates instead of four."""


def short(**changes: Any) -> RunConfig:
    """Four updates, at the end of which the schedules are at 0."""
    return tiny(**{"total_steps": 4 * BATCH} | LINEAR | changes)


def whole(past: tuple[int, ...] = (4, 4 * BATCH), **changes: Any) -> RunConfig:
    """Eight updates of a run that had the longer schedules from the fifth on."""
    return short(**{"total_steps": 8 * BATCH, "schedule_steps": 8 * BATCH, "schedule_past": past} | changes)


@pytest.mark.parametrize("backend", ["native", "sb3"])
def test_a_longer_schedule_holds_from_the_resume_on(backend: str, tmp_path: Path) -> None:
    settings = {"backend": backend, "checkpoint__every": 4 * BATCH}
    train([short(**settings)], [tmp_path / "run"])
    before = rows_of(tmp_path / "run")
    resumed(tmp_path / "run", *LONGER)
    train([whole(**settings)], [tmp_path / "whole"])
    assert_same_run(tmp_path / "run", tmp_path / "whole")
    rows = rows_of(tmp_path / "run")
    assert rows[:4] == before
    shares = [row["update/learning_rate"] / 3e-2 for row in rows]
    assert shares == pytest.approx([1, 3 / 4, 2 / 4, 1 / 4, 4 / 8, 3 / 8, 2 / 8, 1 / 8])
    assert read_config(tmp_path / "run") == read_config(tmp_path / "whole")


@pytest.mark.broken_by(
    "a longer schedule that begins an update late",
    "config/schema/run.py",
    "if update < until)",
    "if update <= until)",
)
def test_it_is_the_session_that_had_the_longer_schedule_from_then_on(tmp_path: Path) -> None:
    """Two configs one after the other, neither of which knows of the other's schedule."""
    [saved], _ = play([short()], None, 4)
    [wanted], [rows] = play([short(total_steps=8 * BATCH)], [saved], 4)
    train([short()], [tmp_path / "run"])
    resumed(tmp_path / "run", *LONGER)
    assert_same(Checkpoints(tmp_path / "run").load(), wanted)
    assert rows_of(tmp_path / "run")[4:] == rows


def test_such_a_run_is_recorded_and_reproduced(tmp_path: Path) -> None:
    train([short()], [tmp_path / "run"])
    resumed(tmp_path / "run", *LONGER)
    [entry] = manifest_of(tmp_path / "run")["resumes"]
    assert entry["changed"] == {
        "total_steps": [128, 256], "schedule_steps": [128, 256], "schedule_past": [[], [4, 128]]
    }  # fmt: skip
    resumed(tmp_path / "run", "total_steps=320", "schedule_steps=320")
    assert read_config(tmp_path / "run").schedule_past == (4, 128, 8, 256)
    for until in (None, 6):
        again = reproduce(plan(tmp_path / "run", until), tmp_path / f"again {until}")
        assert again.identical


@pytest.mark.parametrize("killed_after", [1, 2, 3])
def test_what_a_kill_left_undone_keeps_the_schedule_it_had(killed_after: int, tmp_path: Path) -> None:
    """Rows after the checkpoint are computed again as they were; what follows has the longer schedule."""
    _, [killed] = train_with_copies(short(checkpoint__every=2 * BATCH), tmp_path / "run", (killed_after,))
    resumed(killed, *LONGER)
    past = (killed_after, 4 * BATCH)
    train([whole(past, checkpoint__every=2 * BATCH)], [tmp_path / "whole"])
    assert_same_run(killed, tmp_path / "whole")
    assert "came out otherwise" not in (killed / "train.log").read_text()


@pytest.mark.broken_by(
    "a longer schedule that changes what was trained before",
    "config/schema/run.py",
    "if update < until)",
    "if False)",
)
def test_a_run_that_falls_back_behind_the_change_repeats_the_schedule_before(tmp_path: Path) -> None:
    settings = {"checkpoint__every": 2 * BATCH, "checkpoint__keep": 1}
    train([short(**settings)], [tmp_path / "run"])
    resumed(tmp_path / "run", *LONGER)
    for damaged in (4, 6, 8):
        path = tmp_path / "run" / "checkpoints" / f"{damaged}.safetensors"
        path.write_bytes(path.read_bytes()[:-1])
    resumed(tmp_path / "run")
    train([whole(**settings)], [tmp_path / "whole"])
    assert rows_of(tmp_path / "run") == rows_of(tmp_path / "whole")
    assert (tmp_path / "run" / "digests.txt").read_text() == (tmp_path / "whole" / "digests.txt").read_text()


@pytest.mark.parametrize(
    ("past", "now", "updates", "typed", "wanted"),
    [
        ((), 100, 0, 200, ()),
        ((), 100, 5, 100, ()),
        ((), 100, 5, 200, (5, 100)),
        ((5, 100), 200, 5, 300, (5, 100)),
        ((5, 100), 200, 5, 100, ()),
        ((5, 100), 200, 3, 300, (3, 100)),
        ((5, 100), 200, 9, 300, (5, 100, 9, 200)),
        ((5, 100), 200, 9, 100, (5, 100, 9, 200)),
    ],
)
def test_what_schedules_ran_over_is_kept(
    past: tuple[int, ...], now: int, updates: int, typed: int, wanted: tuple[int, ...]
) -> None:
    config = tiny(total_steps=10_000, schedule_steps=now, schedule_past=past)
    amended = amend(config, parse_command([f"schedule_steps={typed}"]), updates=updates).config
    assert (amended.schedule_steps, amended.schedule_past) == (typed, wanted)
    assert [amended.horizon(update) for update in range(updates)] == [
        config.horizon(update) for update in range(updates)
    ]
    assert amended.horizon(updates) == typed


def test_null_is_the_whole_run() -> None:
    amended = amend(tiny(), parse_command(["total_steps=960", "schedule_steps=null"]), updates=3).config
    assert (amended.schedule_steps, amended.schedule_past) == (960, (3, 96))


@pytest.mark.parametrize("past", [(1,), (3, 5, 2, 5), (3, 5, 3, 6)])
def test_what_is_no_past_of_schedules_is_refused(past: tuple[int, ...]) -> None:
    with pytest.raises(UserError, match="give pairs of an update and env steps"):
        amend(tiny(schedule_past=past), parse_command(["notes=x"]), updates=0)


def said(**changes: Any) -> str:
    return " ".join(
        schedule_warnings(tiny(total_steps=8 * BATCH, schedule_steps=4 * BATCH, **changes), 4, "RUN")
    )


def test_what_is_at_its_end_is_said_by_name() -> None:
    rate, clip = {"algo__learning_rate_schedule": "linear"}, {"algo__clip_schedule": "linear"}
    still = {"algo__learning_rate_schedule": "constant"}
    assert "algo.learning_rate_schedule=linear ends at schedule_steps=128" in said(**rate)
    assert "from update 5 on algo.learning_rate=0, so that nothing is learnt" in said(**rate)
    assert "rlcli resume RUN total_steps=256 schedule_steps=256" in said(**rate)
    assert "algo.clip=0, so that the policy learns nothing" in said(**still, **clip)
    assert "algo.learning_rate=0 and algo.clip=0, so that nothing is learnt" in said(**rate, **clip)
    natural = {"algo__step_rule": "natural", "algo__surrogate": "ratio"}
    assert "the value function learns nothing" in said(**rate, **natural)
    beta = {"algo__penalty": "kl_anchor_pi", "algo__beta_schedule": "linear"}
    assert said(**still, **beta).endswith("schedule_steps=256")
    assert "from update 5 on algo.beta keeps its last value" in said(**still, **beta)
    assert "learns" not in said(**still, **beta)


def test_nothing_is_said_where_nothing_has_ended() -> None:
    assert said(algo__learning_rate_schedule="constant") == ""
    assert said(algo__learning_rate_schedule="linear", schedule_past=()) != ""
    config = short(total_steps=4 * BATCH - 1)
    assert list(schedule_warnings(config, 0, "RUN")) == []
    assert list(schedule_warnings(whole(), 4, "RUN")) == []
    assert list(schedule_warnings(short(total_steps=2**52, schedule_steps=2**52 - BATCH), 0, "RUN")) != []


def test_it_is_said_when_the_run_goes_on_and_stands_in_its_log(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train([short()], [tmp_path / "run"])
    assert "schedule" not in capsys.readouterr().err
    resumed(tmp_path / "run", "total_steps=192")
    warned = (
        "Warning: algo.learning_rate_schedule=linear and algo.clip_schedule=linear end at schedule_steps=128"
    )
    assert warned in capsys.readouterr().err
    assert "from update 5 on algo.learning_rate=0" in (tmp_path / "run" / "train.log").read_text()
    resumed(tmp_path / "run", *LONGER)
    assert "Warning" not in capsys.readouterr().err
    assert "schedule_steps=" in str(resumed(tmp_path / "run").message)
    train([short(schedule_steps=2 * BATCH)], [tmp_path / "new"], quiet=True)
    assert "from update 3 on" in capsys.readouterr().err
