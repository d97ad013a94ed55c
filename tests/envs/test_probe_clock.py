"""The status line while an environment is probed: on a terminal alone, drawn on one line, and erased."""

from __future__ import annotations

import io

import pytest

from rlcli.config.schema.env import EnvConfig
from rlcli.envs import probe_clock, registry
from rlcli.envs.probe_clock import ERASE, StatusLine, shown
from rlcli.streams import Writer

PROBED = EnvConfig(id="tests.envs.probes:ProbeMatch-v0")


class Terminal(io.StringIO):
    """Text that is written to a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    made = Terminal()
    monkeypatch.setattr(probe_clock, "err", lambda: Writer(made))
    monkeypatch.setenv("TERM", "xterm")
    return made


@pytest.fixture
def drawn(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """A terminal on which each tick draws, and no environment has been described yet."""
    monkeypatch.setattr(probe_clock, "PATIENCE", 0.0)
    monkeypatch.setattr(probe_clock, "REFRESH", 0.0)
    monkeypatch.setattr(registry, "_described", {})
    return terminal


@pytest.mark.broken_by(
    "a silent replay probe",
    "envs/registry.py",
    "    found = probe(create, spec, tick)",
    "    found = probe(create, spec)",
)
def test_a_probe_shows_what_it_does_and_leaves_nothing(drawn: Terminal) -> None:
    with shown(True):
        registry.describe(PROBED)
    lines = drawn.getvalue().split(ERASE)
    assert set(lines[1:-1]) == {f"checking that {PROBED.id} repeats its episodes … 0 s"}
    assert len(lines) > 10
    assert (lines[0], lines[-1]) == ("", "")
    before = drawn.getvalue()
    with shown(True):
        registry.describe(PROBED)
    assert drawn.getvalue() == before  # known by now


def test_an_environment_that_is_not_probed_shows_nothing(drawn: Terminal) -> None:
    with shown(True):
        registry.describe(EnvConfig(id="CartPole-v1"))
    assert drawn.getvalue() == ""


def test_an_environment_that_fails_leaves_no_line(drawn: Terminal) -> None:
    with shown(True):
        spec = registry.describe(EnvConfig(id="tests.envs.probes:ProbeUnrepeatable-v0"))
    assert not spec.exact_resume
    assert drawn.getvalue().endswith(ERASE)


def test_nothing_is_shown_unless_asked_for_or_without_a_terminal(
    drawn: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.describe(PROBED)
    registry._described.clear()
    with shown(False):
        registry.describe(PROBED)
    registry._described.clear()
    with shown(True), pytest.MonkeyPatch.context() as dumb:
        dumb.setenv("TERM", "dumb")
        registry.describe(PROBED)
    assert drawn.getvalue() == ""
    pipe = io.StringIO()
    monkeypatch.setattr(probe_clock, "err", lambda: Writer(pipe))
    registry._described.clear()
    with shown(True):
        registry.describe(PROBED)
    assert pipe.getvalue() == ""


def test_the_clock_ticks_after_some_patience(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe_clock, "_width", lambda: 12)
    with shown(True):
        times = iter([100.0, 100.4, 100.6, 100.6, 100.6, 100.7, 103.2, 103.2, 103.2])
        line = StatusLine("checking", clock=lambda: next(times))
        for _ in range(4):
            line.tick()
        line.erase()
        line.erase()
    assert terminal.getvalue() == f"{ERASE}checking … {ERASE}checking … {ERASE}"
    terminal.truncate(0)
    terminal.seek(0)
    monkeypatch.setattr(probe_clock, "_width", lambda: 80)
    with shown(True):
        times = iter([103.0, 104.0, 104.0, 104.0, 107.2, 107.2, 107.2])
        line = StatusLine("checking", clock=lambda: next(times))
        line.tick()
        line.tick()
    assert terminal.getvalue() == f"{ERASE}checking … 1 s{ERASE}checking … 4 s"
