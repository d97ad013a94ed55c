"""`rlcli runs` and `rlcli show`: what is listed, how it fits a terminal, and what is not loaded for it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from rlcli.cli.complete import candidates
from rlcli.runs.train import train
from tests.cli.conftest import Rlcli, on_a_terminal
from tests.cli.loaded import loaded_by
from tests.runs.tiny import manifest_of, tiny

NAME = "ppo-CartPole-v1-s0-20240101-000000"


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that finished, to be copied."""
    run = tmp_path_factory.mktemp("model") / "run"
    train([tiny()], [run])
    return run


@pytest.fixture
def runs(workplace: Path, model: Path) -> Path:
    """Runs of several kinds: named by default or by hand, a reproduction, a damaged one, a sweep."""
    root = workplace / "runs"

    def add(folder: str, day: int, **changes: Any) -> None:
        shutil.copytree(model, root / folder)
        about = {"name": Path(folder).name, "started": f"2024-01-{day:02}T10:20:30.123456+00:00"}
        content = manifest_of(model) | about | changes
        (root / folder / "manifest.json").write_text(json.dumps(content))

    add(NAME, 1, id="11111111", eval_return_mean=487.312, overrides=["algo=ppo", "env=CartPole-v1"])
    add("wide", 2, id="22222222", eval_return_mean=12.5, env="Pendulum-v1", algo="trpo", seed=4,
        overrides=["algo=trpo", "env=Pendulum-v1", "seed=4", "network.hidden=[128,128]", "eval.every=500",
                   "name=wide", "tags=[x]", "tuned=none"])  # fmt: skip
    add("wide-reproduction", 3, id="33333333", reproduces="22222222", eval_return_mean=11.0,
        overrides=["algo=trpo"])  # fmt: skip
    for seed in range(2):
        overrides = ["algo.clip=0.3", f"seed={seed}"]
        add(f"grid/seed={seed}", 4 + seed, id=f"4444444{seed}", seed=seed, sweep="grid", overrides=overrides,
            eval_return_mean=100.0 + seed, status=("finished", "failed")[seed])  # fmt: skip
    job = {"name": "", "overrides": [], "varied": [], "status": "finished", "exit_code": 0, "message": None}
    content = {"version": 2, "overrides": [], "started": "2024-01-04T10:20:30+00:00",
               "jobs": [job | {"name": f"seed={seed}"} for seed in range(2)]}  # fmt: skip
    (root / "grid" / "sweep.json").write_text(json.dumps(content))
    return root


def test_a_line_has_name_result_and_what_differs_from_the_default(runs: Path, rlcli: Rlcli) -> None:
    heading, *lines = rlcli("runs").out.splitlines()
    assert heading.split() == ["name", "status", "return", "steps", "settings", "id", "started", "(UTC)"]
    assert [line.split()[0] for line in lines] == [NAME, "wide", "wide-reproduction", "grid/"]
    assert lines[0].split() == [NAME, "finished", "487.3", "96", "-", "11111111", "2024-01-01", "10:20"]
    assert "  algo=trpo env=Pendulum-v1 seed=4 hidden=[128,128] eval.every=500 tuned=none  " in lines[1]
    assert "  reproduction of 22222222  " in lines[2]
    assert "  1 finished, 1 failed  " in lines[3]
    assert "  2 runs: clip=0.3 seed=0,1  " in lines[3]
    assert "  100.5  " in lines[3], "the median"


def test_a_job_of_a_sweep_does_not_repeat_its_name(runs: Path, rlcli: Rlcli) -> None:
    listed = rlcli("runs", "grid").out
    assert [line.split()[0] for line in listed.splitlines()[1:]] == ["seed=0", "seed=1"]
    assert all("  clip=0.3  " in line for line in listed.splitlines()[1:])
    assert rlcli("runs", "last").out == listed
    shutil.rmtree(runs / "grid")
    ended = rlcli("runs", "last")
    assert ended.code == 2
    assert "is a run, not a sweep" in ended.err


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--algo", "trpo"), ["wide"]),
        (("--env", "Pend*"), ["wide"]),
        (("--algo", "trpo,ppo", "--env", "CartPole-v1"), [NAME, "wide-reproduction", "grid/"]),
        (("--status", "failed"), ["grid/"]),
        (("--last", "2"), ["wide-reproduction", "grid/"]),
        (("--sort", "return"), ["wide-reproduction", "wide", "grid/", NAME]),
        (("--sort", "steps", "--last", "1"), ["grid/"]),
        (("--sort", "name"), ["grid/", NAME, "wide", "wide-reproduction"]),
    ],
    ids=" ".join,
)
def test_lines_are_filtered_and_sorted(
    words: tuple[str, ...], expected: list[str], runs: Path, rlcli: Rlcli
) -> None:
    assert [line.split()[0] for line in rlcli("runs", *words).out.splitlines()[1:]] == expected
    rows = rlcli("runs", *words, "--json").rows()
    assert (
        list(dict.fromkeys(f"{row['sweep']}/" if row["sweep"] else row["name"] for row in rows)) == expected
    )


def test_a_wanted_value_that_no_run_has_is_named(runs: Path, rlcli: Rlcli) -> None:
    ended = rlcli("runs", "--algo", "trpo,trop")
    assert [line.split()[0] for line in ended.out.splitlines()[1:]] == ["wide"]
    assert ended.err == "No run has algo trop. Did you mean 'trpo'? There are: ppo, trpo.\n"


def test_filters_that_match_nothing_name_what_there_is(runs: Path, rlcli: Rlcli) -> None:
    ended = rlcli("runs", "--algo", "a2c")
    assert (ended.code, ended.out) == (0, "No run in runs has algo a2c. There are: algo ppo, trpo.\n")
    assert rlcli("runs", "--algo", "a2c", "--json").out == ""
    ended = rlcli("runs", "--status", "finnished")
    assert ended.code == 2
    assert "Unknown status 'finnished'. Did you mean 'finished'" in ended.err


def test_damaged_folders_are_explained_with_their_path(runs: Path, rlcli: Rlcli) -> None:
    (runs / "bad one").mkdir()
    (runs / "bad one" / "manifest.json").write_text("{")
    (runs / "killed").mkdir()
    (runs / "killed" / "lock").touch()
    ended = rlcli("runs")
    assert ended.code == 0
    damaged, begun = ended.err.splitlines()
    assert damaged.startswith("runs/bad one: runs/bad one/manifest.json is damaged: ")
    assert damaged.endswith(
        "Restore the file from a copy, or remove the run: rlcli runs --rm --force 'runs/bad one'"
    )
    assert begun == "runs/killed: killed before it started; name=killed may be used again."
    assert [line.split()[:3] for line in ended.out.splitlines()[1:2]] == [["bad", "one", "damaged"]]
    assert rlcli("runs", "--status", "finished").err == ""
    for number in range(9):
        shutil.copytree(runs / "bad one", runs / f"bad {number}")
    assert "6 more: rlcli runs --status 'damaged,not begun' --json" in rlcli("runs").err


@pytest.mark.parametrize("columns", [20, 40, 60, 80, 120, 160])
def test_the_list_fits_the_terminal(columns: int, runs: Path) -> None:
    lines = on_a_terminal("runs", columns=columns).splitlines()
    assert max(len(line) for line in lines if NAME not in line) <= max(columns, 23)
    assert any(line.startswith(NAME) for line in lines)
    text = " ".join(" ".join(line.split()) for line in lines)
    assert "reproduction of 22222222" in text
    if columns < 80:
        assert "algo=trpo env=Pendulum-v1 seed=4 hidden=[128,128] eval.every=500 tuned=none" in text
        assert "finished, return 487.3, 96 steps, id 11111111" in text
    else:
        assert lines[0].split()[:3] == ["name", "status", "return"]
        assert ("1 finished, 1 failed" if columns == 160 else "1/2 failed") in text
        assert "algo=trpo ..." in text if columns == 80 else "algo=trpo env=Pendulum-v1" in text


def test_last_is_the_sweep_where_a_sweep_was_started_last(runs: Path, rlcli: Rlcli) -> None:
    assert rlcli("show", "last").out.splitlines()[-1] == "1 finished, 1 failed"
    assert rlcli("show", "last").out == rlcli("show", "grid").out
    ended = rlcli("diff", "last", "wide")
    assert ended.err == "last is the sweep runs/grid; this takes its run started last: seed=1\n"
    assert ended.out.startswith("A: runs/grid/seed=1\n")
    ended = rlcli("eval", "last", "--episodes", "1", "--json")
    assert ended.err == "last is the sweep runs/grid; this takes its run started last: seed=1\n"
    assert len(ended.rows()) == 1
    assert rlcli("eval", "grid/seed=1", "--episodes", "1").err == ""
    assert "There is no run" not in rlcli("resume", "last").err


def test_a_run_is_shown_in_rounded_figures_and_readable_times(runs: Path, rlcli: Rlcli) -> None:
    manifest = runs / NAME / "manifest.json"
    content = json.loads(manifest.read_text()) | {
        "eval_return_mean": 487.31249, "best_return_mean": 1234.5678, "total_steps": 1000,
        "finished": "2024-01-01T10:23:37.987654+00:00",
    }  # fmt: skip
    manifest.write_text(json.dumps(content))
    shown = dict(line.split(": ", 1) for line in rlcli("show", NAME).out.splitlines() if ": " in line)
    assert shown["run"] == "ppo on CartPole-v1, seed 0"
    assert shown["return"] == "487.3, best 1,235"
    assert shown["steps"] == "96 of 1,000 (10%), 3 updates"
    assert shown["started"] == "2024-01-01 10:20:30 UTC"
    assert shown["ended"] == "2024-01-01 10:23:37 UTC"
    assert shown["duration"] == "3 m 08 s"
    health = dict(line.split() for line in rlcli("show", NAME).out.splitlines() if line.startswith("behav"))
    assert all(len(figure) <= 9 for figure in health.values())
    assert health["behaviour/ess"].startswith(("0.", "1."))
    assert len(health["behaviour/ess"]) == 5
    assert rlcli("show", NAME, "--json").rows()[0]["eval_return_mean"] == 487.31249
    manifest.write_text(json.dumps(content | {"started": "yesterday", "finished": None, "total_steps": 0}))
    assert "started: yesterday UTC" in rlcli("show", NAME).out


@pytest.mark.broken_by(
    "torch loaded to list runs",
    "store/rows.py",
    "from rlcli.errors import StorageError\n",
    "from rlcli.errors import StorageError\nimport torch\n",
    case="show NAME",
)
@pytest.mark.parametrize(
    "command",
    [("runs",), ("runs", "--json"), ("show", NAME), ("show", "last"), ("show", "grid", "--json")],
    ids=lambda words: " ".join(words).replace(NAME, "NAME"),
)
def test_nothing_heavy_is_loaded_to_list_and_show(command: tuple[str, ...], runs: Path) -> None:
    assert loaded_by(*command) == set()


def test_nothing_heavy_is_loaded_to_refuse_a_name(runs: Path) -> None:
    assert loaded_by("show", "nope", code=2) == set()


@pytest.mark.parametrize(
    ("line", "current", "expected"),
    [
        ("runs", "--al", ["--algo"]),
        ("runs", "--s", ["--status", "--sort"]),
        ("runs --status", "f", ["finished", "failed"]),
        ("runs --sort", "s", ["started", "status", "steps"]),
        ("runs --algo", "", ["ppo", "trpo"]),
        ("runs --env", "Pend", ["Pendulum-v1"]),
        ("runs --last", "", []),
        ("runs", "", ["grid", "last"]),
    ],
)
def test_completion_knows_the_filters(line: str, current: str, expected: list[str], runs: Path) -> None:
    assert [word for word, _ in candidates(line.split(), current)] == expected
