"""`rlcli compare`: what it prints, in each format, and what it refuses."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pytest

from tests.analysis.made import Maker
from tests.cli.conftest import Ended, Rlcli, on_a_terminal
from tests.runs.tiny import finished

assert finished


@pytest.fixture
def make(workplace: Path, finished: Path) -> Maker:
    return Maker(workplace / "runs", finished)


@pytest.fixture
def two(make: Maker) -> Maker:
    """Two algorithms with three seeds each."""
    make.seeds("ppo", [131.5, 441.0, 146.9], algo__name="ppo")
    make.seeds("trpo", [500.0, 484.3, 359.4], algo__name="trpo")
    return make


def names(make: Maker) -> list[str]:
    return sorted(path.parent.name for path in make.root.glob("*/manifest.json"))


def compared(rlcli: Rlcli, make: Maker, *flags: str, code: int = 0) -> Ended:
    ended = rlcli("compare", *names(make), *flags)
    assert ended.code == code, ended.err
    assert "Traceback" not in ended.err
    return ended


def test_groups_are_runs_that_differ_in_their_seeds_alone(rlcli: Rlcli, two: Maker) -> None:
    [found] = compared(rlcli, two, "--json").rows()
    assert found["metric"] == "eval/return_mean"
    assert found["groups"] == ["algo=ppo", "algo=trpo"]
    [place] = found["environments"]
    assert (place["env"], place["budget"], place["threshold"]) == ("CartPole-v1", 96, 475)
    ppo, trpo = place["groups"]
    assert ppo["seeds"] == trpo["seeds"] == [0, 1, 2]
    assert trpo["scores"]["final"]["mean"]["value"] == pytest.approx(447.9)
    assert trpo["scores"]["final"]["median"]["value"] == 484.3
    assert (trpo["reached"], trpo["median_steps"], trpo["median_seconds"]) == (2, 96, 3)
    assert (ppo["reached"], ppo["median_steps"]) == (0, None)
    assert ppo["health"]["behaviour/ess"] == {"mean": 0.9, "low": 0.9, "high": 0.9}
    assert [run["final"] for run in ppo["runs"]] == [131.5, 441.0, 146.9]
    [pair] = place["pairs"]
    assert pair["improvement"]["value"] == pytest.approx(1 / 9)
    assert pair["same_seeds"]["count"] == 3
    assert not pair["separate"]
    assert pair["seeds_needed"] == 8
    assert (
        found["verdicts"][0]
        == "3 seeds cannot separate algo=ppo and algo=trpo (p = 0.16); about 8 each would."
    )


def test_the_table_has_what_the_json_has(rlcli: Rlcli, two: Maker) -> None:
    out = compared(rlcli, two).out
    assert re.search(r"algo=trpo +3 +447\.9 \[359\.4, 500\.0\] +447\.9 +484\.3\n", out)
    assert re.search(r"algo=trpo .* 2/3 +96 +3\.00\n", out)
    assert re.search(r"algo=ppo .* 0/3 +never +never\n", out)
    assert re.search(r"algo=ppo +0\.0100 +0\.0200 +0\.900 +0\.900 +- +0\.100 +0\.500\n", out)
    assert "about 8 each would" in out


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_it_fits_the_terminal(two: Maker, columns: int) -> None:
    two.seeds("wide", [1.0, 2, 3], algo__name="ppo", algo__learning_rate=1e-4, algo__gae_lambda=0.5)
    shown = on_a_terminal("compare", *(str(two.root / name) for name in names(two)), columns=columns)
    lines = shown.splitlines()
    assert max(map(len, lines)) <= columns
    for figure in ("447.9 [359.4, 500.0]", "KL(mu||pi)", "mean difference [95%]", "wins"):
        assert figure in shown
    assert ("A: " in shown) == (columns < 120)


def test_the_csv_has_one_row_per_figure(rlcli: Rlcli, two: Maker) -> None:
    rows = list(csv.DictReader(compared(rlcli, two, "--csv").out.splitlines()))
    found = {(row["group"], row["against"], row["score"], row["statistic"]): row for row in rows}
    assert len(found) == len(rows)
    mean = found["algo=trpo", "", "final", "mean"]
    assert float(mean["value"]) == pytest.approx(447.9)
    assert float(mean["low"]) == pytest.approx(359.4)
    assert mean["runs"] == "3"
    assert float(found["algo=ppo", "algo=trpo", "final", "improvement"]["value"]) == pytest.approx(1 / 9)
    assert found["algo=ppo", "", "steps", "median"]["value"] == "inf"
    assert found["algo=trpo", "", "behaviour/ess", "mean"]["value"] == "0.9"


@pytest.mark.parametrize("flag", ["--latex", "--markdown"])
def test_tables_of_documents_have_all_rows(rlcli: Rlcli, two: Maker, flag: str) -> None:
    out = compared(rlcli, two, flag).out
    assert out.count("algo=trpo") >= 5
    assert "447.9" in out
    assert "about 8 each would" in out


def test_by_chooses_the_groups_and_names_what_they_mix(rlcli: Rlcli, two: Maker) -> None:
    two.seeds("other", [1.0, 2], algo__name="ppo", algo__learning_rate=1e-4)
    [found] = compared(rlcli, two, "--by", "algo", "--json").rows()
    assert found["groups"] == ["algo=ppo", "algo=trpo"]
    assert any("algo=ppo differ in learning_rate" in note for note in found["notes"])
    [found] = compared(rlcli, two, "--json").rows()
    assert found["groups"] == [
        "algo=ppo learning_rate=0.0001",
        "algo=ppo learning_rate=0.00025",
        "algo=trpo learning_rate=0.00025",
    ]
    assert "Did you mean 'algo'" in compared(rlcli, two, "--by", "alg", code=2).err


def test_several_environments_are_normalised(rlcli: Rlcli, make: Maker) -> None:
    make.seeds("a", [100.0, 200], algo__name="ppo")
    make.seeds("b", [300.0, 500], algo__name="trpo")
    make.seeds("c", [-200.0, -150], algo__name="ppo", env__id="Acrobot-v1", total_steps=192)
    make.seeds("d", [-100.0, -150], algo__name="trpo", env__id="Acrobot-v1", total_steps=192)
    [found] = compared(rlcli, make, "--json").rows()
    assert [place["env"] for place in found["environments"]] == ["CartPole-v1", "Acrobot-v1"]
    assert found["scales"] == {
        "CartPole-v1": {"low": 100, "high": 500},
        "Acrobot-v1": {"low": -200, "high": -100},
    }
    ppo, trpo = found["overall"]
    assert ppo["mean"]["value"] == pytest.approx((0.125 + 0.25) / 2)
    assert trpo["optimality_gap"]["value"] == pytest.approx(1 - (0.75 + 0.75) / 2)
    profile = dict(zip(ppo["profile"]["taus"], ppo["profile"]["fraction"], strict=True))
    assert (profile[0], profile[0.3], profile[1]) == (0.5, 0.25, 0)
    [improvement] = found["improvements"]
    assert improvement["value"] == pytest.approx((0 + 0.125) / 2)
    out = compared(rlcli, make).out
    assert "performance profile" in out
    assert "normalised by the range of these runs" in out


def test_scales_come_from_a_file_or_from_published_figures(
    rlcli: Rlcli, make: Maker, workplace: Path
) -> None:
    make.seeds("a", [100.0, 200], algo__name="ppo")
    make.seeds("c", [-200.0, -150], algo__name="ppo", env__id="Acrobot-v1")
    (workplace / "scales.csv").write_text("env,low,high\nCartPole-v1,0,400\nAcrobot-v1,-500,-100\n")
    [found] = compared(rlcli, make, "--normalise", "scales.csv", "--json").rows()
    assert found["overall"][0]["mean"]["value"] == pytest.approx((0.375 + 0.8125) / 2)
    assert found["normalised_by"] == "scales.csv"
    ended = compared(rlcli, make, "--normalise", "cleanrl")
    assert (
        "CartPole-v1 is left out over all environments: it cannot be normalised by the worst of" in ended.err
    )
    assert "no such file" in compared(rlcli, make, "--normalise", "clean", code=2).err


def test_published_figures_stand_beside_equal_runs_alone(rlcli: Rlcli, make: Maker) -> None:
    make.seeds("a", [100.0, 200], total_steps=500_000, metric="train/return_100", algo__learning_rate=1e-3)
    ended = compared(rlcli, make, "--against", "cleanrl", "--markdown")
    assert "| ppo | 3 | 490.0 | 6.12 (std of seeds) |" in ended.out
    assert "github.com/vwxyzjn/cleanrl" in ended.out.replace("&#58;", ":")
    [found] = compared(rlcli, make, "--against", "sb3_zoo", "--json").rows()
    assert found["environments"][0]["published"]["figures"] == []
    assert (
        "Of CartPole-v1, sb3_zoo has the return of the final policy, acting deterministically: --metric "
        "eval/return_mean."
    ) in found["notes"]
    [found] = compared(rlcli, make, "--against", "cleanrl", "--until", "400000", "--json").rows()
    assert "cleanrl has CartPole-v1 after 500,000 env steps; these runs have 400,000." in found["notes"]
    assert "Choose from: cleanrl" in compared(rlcli, make, "--against", "clean_rl", code=2).err


# -- what is refused, and what is left out


def test_environment_versions_budgets_and_metrics_are_not_mixed(rlcli: Rlcli, make: Maker) -> None:
    make.seeds("a", [1.0, 2])
    make.seeds("b", [1.0, 2], env__id="CartPole-v0")
    make.seeds("c", [1.0, 2], total_steps=192)
    make.run("d", (1.0, 2.0), metric="train/return_100", seed=9)
    ended = compared(rlcli, make, "--metric", "eval/return_mean", code=2)
    assert "Environment versions differ: CartPole-v1 (5 runs), CartPole-v0 (2 runs)." in ended.err
    assert "Budgets on CartPole-v1 differ: 96 env steps (3 runs), 192 env steps (2 runs)." in ended.err
    assert "Metrics differ: d has no eval/return_mean." in ended.err
    assert "--force" in ended.err
    assert "--until 96" in ended.err
    forced = compared(rlcli, make, "--metric", "eval/return_mean", "--force")
    assert "Note: Budgets on CartPole-v1 differ" in forced.err


def test_settings_of_the_environment_are_not_mixed(rlcli: Rlcli, make: Maker) -> None:
    make.run("a", (1.0, 2.0))
    make.run("b", (1.0, 2.0), env__kwargs={"sutton_barto_reward": True})
    assert (
        "env.kwargs of CartPole-v1 differ: {} (1 run), {sutton_barto_reward:true} (1 run)."
        in compared(rlcli, make, code=2).err
    )


def test_until_compares_budgets_where_they_overlap(rlcli: Rlcli, make: Maker) -> None:
    make.run("a", (1.0, 2.0, 3.0))
    make.run("b", (1.0, 2.0, 3.0, 4.0, 5.0, 6.0), total_steps=192, seed=1)
    make.run("c", (7.0, 8.0), total_steps=64, status="running", seed=2)
    make.run("d", (9.0,), total_steps=32, status="failed", seed=3)
    [found] = compared(rlcli, make, "--until", "64", "--json", "--by", "algo").rows()
    [group] = found["environments"][0]["groups"]
    assert [run["final"] for run in group["runs"]] == [2, 2, 8]
    assert any("d is left out: failed" in note for note in found["notes"])


def test_runs_that_have_not_finished_are_left_out_and_named(rlcli: Rlcli, make: Maker) -> None:
    make.seeds("a", [1.0, 2])
    make.run("b", (1.0,), status="failed", seed=5)
    make.run("c", (1.0,), status="running", seed=6)
    ended = compared(rlcli, make)
    assert "b is left out: failed, not finished" in ended.err
    assert "c is left out: killed, not finished" in ended.err
    assert "A group looks better than it is" in ended.err
    assert "No run is left to compare" in rlcli("compare", "b").err


def test_a_repetition_counts_once(rlcli: Rlcli, make: Maker) -> None:
    make.seeds("a", [1.0, 2])
    make.run("again", (0.0, 0.5, 1.0), seed=0)
    [found] = compared(rlcli, make, "--json").rows()
    assert found["environments"][0]["groups"][0]["seeds"] == [0, 1]
    assert "again is left out: the same seed and settings as another." in found["notes"]


def test_without_evaluations_the_return_of_training_is_compared_and_named(rlcli: Rlcli, make: Maker) -> None:
    make.run("a", (1.0, 2.0), extra={"train/return_100": 5.0})
    make.run("b", (7.0, 8.0), metric="train/return_100", seed=1)
    ended = compared(rlcli, make)
    assert "Compared by train/return_100: b has no evaluation." in ended.err
    assert "last train/return_100" in ended.out


def test_runs_without_any_return_are_one_message(rlcli: Rlcli, make: Maker) -> None:
    make.run("a", (None, None))
    ended = compared(rlcli, make, code=2)
    assert ended.err == (
        "Error: No row of these runs has a return, as where no episode ended: name a --metric.\n"
    )
    assert "Did you mean 'behaviour/ess'" in compared(rlcli, make, "--metric", "behaviour/es", code=2).err


def test_one_seed_has_no_interval_and_says_so(rlcli: Rlcli, make: Maker) -> None:
    make.run("a", (0.0, 1.0))
    make.run("b", (0.0, 3.0), algo__name="trpo")
    ended = compared(rlcli, make)
    assert "algo=ppo: one seed says nothing about the spread" in ended.out
    assert re.search(r"algo=trpo +1 +3\.00 +3\.00 +3\.00\n", ended.out)
    [found] = compared(rlcli, make, "--json").rows()
    assert found["environments"][0]["pairs"][0]["p"] is None


def test_runs_that_were_evaluated_at_their_end_alone(rlcli: Rlcli, make: Maker) -> None:
    make.run("a", (None, None, 7.0))
    ended = compared(rlcli, make)
    assert "All runs have one value only" in ended.err
    assert "--metric train/return_100 for these." in ended.err
    assert re.search(r"ppo +- +- +- +- +-\n", ended.out)


def test_damaged_rows_and_numbers_that_are_none_are_left_out(rlcli: Rlcli, make: Maker) -> None:
    folder = make.run("a", (1.0, 2.0))
    rows = (folder / "metrics.jsonl").read_text()
    bad = (
        '{"update": 3, "env_steps": 96, "eval/return_mean": NaN}\n{"update": 4, "eval/return_mean": "<b>"}\n'
    )
    (folder / "metrics.jsonl").write_text("{broken\n" + rows + bad)
    [found] = compared(rlcli, make, "--json").rows()
    assert found["environments"][0]["groups"][0]["scores"]["final"]["mean"]["value"] == 2
    assert any("1 line of its rows is damaged" in note for note in found["notes"])


def test_values_of_any_size_end_in_a_table(rlcli: Rlcli, make: Maker) -> None:
    make.seeds("a", [8e307, 8e307, 1e-300])
    make.seeds("b", [5.0, 5.0 + 1e-15, 5.0], algo__name="trpo")
    compared(rlcli, make)
    compared(rlcli, make, "--json")


def test_no_run_and_two_formats_are_refused(rlcli: Rlcli, two: Maker) -> None:
    assert rlcli("compare").code == 2
    assert "There is no run 'nope'" in rlcli("compare", "nope").err
    assert "Choose one of --json, --csv" in compared(rlcli, two, "--json", "--csv", code=2).err
    assert "--threshold inf: give a number" in compared(rlcli, two, "--threshold", "inf", code=2).err
    assert "--by 'algo,': give keys" in compared(rlcli, two, "--by", "algo,", code=2).err


MARKUP = "=cmd|'/c calc'!A1 <script>alert(1)</script> \\input{/etc/passwd} $x$ `a` [b](http://c) @d \x1b[2J"


@pytest.mark.parametrize("flag", ["--json", "--csv", "--latex", "--markdown", "--force"])
def test_text_of_runs_is_harmless_in_every_format(rlcli: Rlcli, make: Maker, flag: str) -> None:
    make.run("a", (0.0, 1.0), env__kwargs={"a": MARKUP})
    make.run("b", (0.0, 1.0), env__kwargs={"a": "x"})
    ended = compared(rlcli, make, "--force", flag)
    assert not set("\x1b\x07\x9b\r") & set(ended.out + ended.err)
    if flag == "--json":
        json.loads(ended.out)
    elif flag == "--csv":
        cells = [cell for row in csv.reader(ended.out.splitlines()) for cell in row]
        assert any("script" in cell for cell in cells)
        assert not [cell for cell in cells if cell.startswith(("=", "@", "+"))]
    elif flag == "--latex":
        assert "\\input" not in ended.out
        assert not re.search(r"(?<!\\)[$#]", ended.out)
    elif flag == "--markdown":
        assert "<script>" not in ended.out
        assert not re.search(r"(?<!\\)\]\(", ended.out)
        assert "://" not in ended.out
        assert not re.search(r"(?<!\\)`", ended.out)


def test_hundreds_of_runs_and_many_groups(rlcli: Rlcli, make: Maker) -> None:
    for number in range(60):
        make.run(
            f"r{number:03d}",
            (0.0, float(number)),
            seed=number % 2,
            algo__learning_rate=1e-4 * (1 + number // 2),
        )
    [found] = compared(rlcli, make, "--json").rows()
    [place] = found["environments"]
    assert len(place["groups"]) == 30
    assert len(place["pairs"]) == 29, "each with the best"
    assert {pair["first"] for pair in place["pairs"]} == {"learning_rate=0.003"}


def test_runs_trained_together_share_their_seconds(rlcli: Rlcli, make: Maker) -> None:
    make.run("a", (0.0, 500.0), cohort=("a", "b"))
    assert "Seconds of runs that trained together" in compared(rlcli, make).err
