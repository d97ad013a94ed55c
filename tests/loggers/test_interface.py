from __future__ import annotations

from typing import Any

import pytest

from rlcli.errors import StorageError
from rlcli.loggers.interface import MAKERS, Loggers, make_loggers


class Member:
    """A logger that keeps what it is told and raises where it is asked to."""

    def __init__(self, broken: str = "", error: BaseException | None = None) -> None:
        self.calls: list[tuple[str, Any]] = []
        self.broken, self.error = broken, error or RuntimeError("out of order")
        self._called("start", None)

    def log(self, row: Any, /) -> None:
        self._called("log", row["update"])

    def message(self, text: str, /) -> None:
        self._called("message", text)

    def close(self, status: str, /) -> None:
        self._called("close", status)

    def _called(self, name: str, value: Any) -> None:
        self.calls.append((name, value))
        if name == self.broken:
            raise self.error


@pytest.mark.parametrize("broken", ["start", "log", "message", "close"])
def test_a_failing_logger_is_reported_once_and_the_others_go_on(broken):
    said: list[str] = []
    record, other = Member(), Member()
    loggers = Loggers(
        {"jsonl": lambda: record, "wandb": lambda: Member(broken), "console": lambda: other}, said.append
    )
    for update in (1, 2, 3):
        loggers.log({"update": update})
        loggers.message("hello")
    loggers.close("finished")
    assert len(said) == 1
    assert said[0].startswith("The wandb logger could not ")
    assert said[0].endswith("out of order")
    for member in (record, other):
        assert [value for name, value in member.calls if name == "log"] == [1, 2, 3]
        assert member.calls[-1] == ("close", "finished")


class Clock(Member):
    """A logger with a clock."""

    def tick(self, steps: int, phase: str, /) -> None:
        self._called("tick", (steps, phase))


def test_only_loggers_with_a_clock_tick_and_one_that_fails_is_switched_off():
    said: list[str] = []
    plain, good, broken = Member(), Clock(), Clock("tick")
    loggers = Loggers({"a": lambda: plain, "b": lambda: good, "c": lambda: broken}, said.append)
    for steps in (1, 2):
        loggers.tick(steps, "collecting")
    assert plain.calls == [("start", None)]
    assert good.calls == [("start", None), ("tick", (1, "collecting")), ("tick", (2, "collecting"))]
    assert broken.calls[-1] == ("close", "failed")
    assert said == [
        "The c logger could not show the time and is switched off; training continues. out of order"
    ]


def test_a_logger_switched_off_is_ended_and_gets_no_more_rows():
    broken = Member("log")
    loggers = Loggers({"console": lambda: broken}, lambda _: None)
    loggers.log({"update": 1})
    loggers.log({"update": 2})
    loggers.close("finished")
    assert broken.calls == [("start", None), ("log", 1), ("close", "failed")]


@pytest.mark.parametrize("broken", ["start", "log", "close"])
def test_what_goes_wrong_with_the_record_is_raised(broken):
    other = Member()
    makers = {"jsonl": lambda: Member(broken, StorageError("disk full")), "wandb": lambda: other}

    def run() -> None:
        loggers = Loggers(makers, pytest.fail)
        loggers.log({"update": 1})
        loggers.close("finished")

    with pytest.raises(StorageError, match="disk full"):
        run()
    if broken == "close":
        assert other.calls[-1] == ("close", "finished")


def test_an_interrupt_is_no_failure_of_a_logger():
    loggers = Loggers({"console": lambda: Member("log", KeyboardInterrupt())}, pytest.fail)
    with pytest.raises(KeyboardInterrupt):
        loggers.log({"update": 1})


def test_closing_again_does_nothing():
    member = Member()
    loggers = Loggers({"jsonl": lambda: member}, pytest.fail)
    loggers.close("failed")
    loggers.close("finished")
    assert member.calls == [("start", None), ("close", "failed")]


def test_the_loggers_asked_for_are_made_and_no_others(make_info, make_row, capsys):
    loggers = make_loggers(make_info(logger=("jsonl", "console")), pytest.fail)
    loggers.log(make_row(1))
    loggers.close("finished")
    info = make_info()
    assert [path.name for path in info.dir.iterdir()] == ["metrics.jsonl"]
    captured = capsys.readouterr()
    assert "1,024" in captured.err
    assert captured.out == ""


def test_quiet_prints_nothing(make_info, make_row, capsys):
    loggers = make_loggers(make_info(logger=("jsonl", "console"), quiet=True), pytest.fail)
    loggers.log(make_row(1))
    loggers.message("hello")
    loggers.close("finished")
    assert capsys.readouterr() == ("", "")


def test_every_choice_of_the_schema_has_a_maker():
    from rlcli.config.schema.keys import KEYS

    assert set(MAKERS) == set(KEYS["logger"].declaration.choices)
    assert next(iter(MAKERS)) == "jsonl"
