"""The order in which files of tests are handed out."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from tests.conftest import LONGEST, ROOT, SECONDS, Stopwatch, estimate


def test_the_files_that_come_first_are_there() -> None:
    assert [file for file in LONGEST if not (ROOT / file).is_file()] == []
    assert len(set(LONGEST)) == len(LONGEST)


def test_files_that_were_timed_come_by_their_time_and_the_others_by_the_list() -> None:
    files = ["a.py", "b.py", LONGEST[1], LONGEST[0], "new.py"]
    assert sorted(files, key=lambda file: -estimate(file, {}))[:2] == [LONGEST[0], LONGEST[1]]
    seconds = {"a.py": 1.0, "b.py": 3.0, LONGEST[0]: 2.0}
    by_time = [LONGEST[1], "b.py", LONGEST[0], "a.py", "new.py"]
    assert sorted(files, key=lambda file: -estimate(file, seconds)) == by_time


class Cache(dict[str, Any]):
    set = dict.__setitem__


def session(cache: Cache | None, **changed: Any) -> Any:
    given: dict[str, Any] = {
        "keyword": "",
        "markexpr": "not slow",
        "args": ["tests"],
        "shouldfail": False,
    } | changed
    config = SimpleNamespace(option=SimpleNamespace(**given), args=given["args"], cache=cache)
    return SimpleNamespace(config=config, shouldstop=False, shouldfail=given["shouldfail"])


def test_times_of_whole_runs_alone_are_kept() -> None:
    watch, cache = Stopwatch(), Cache({SECONDS: {"old.py": 5.0, "cli/a.py": 9.0}})
    for nodeid, took in (
        ("tests/cli/a.py::one", 1.0),
        ("tests/cli/a.py::two[x]", 2.0),
        ("tests/b.py::c", 0.5),
    ):
        watch.pytest_runtest_logreport(SimpleNamespace(nodeid=nodeid, duration=took))  # type: ignore[arg-type]
    before = dict(cache)
    for changed in (
        {"keyword": "one"},
        {"args": ["tests/b.py::c"]},
        {"markexpr": ""},
        {"shouldfail": "first"},
    ):
        watch.pytest_sessionfinish(session(cache, **changed))
    assert cache == before
    watch.pytest_sessionfinish(session(None))
    watch.pytest_sessionfinish(session(cache))
    assert cache[SECONDS] == {"old.py": 5.0, "cli/a.py": 3.0, "b.py": 0.5}
