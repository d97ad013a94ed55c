"""What a command line with a sampler searches: the space, what is refused, what a trial is composed to."""

from __future__ import annotations

from pathlib import Path

import pytest

from rlcli.config.compose import compose
from rlcli.config.groups import files
from rlcli.config.schema.sweep import SweepConfig
from rlcli.config.search import Search, compose_search
from rlcli.errors import UserError
from tests.sweeps.composing import compose_multirun, multirun

PLAIN = ("tuned=none",)


def search(*overrides: str, config_dir: str | None = None) -> Search:
    found = compose_search(multirun([*PLAIN, *overrides], config_dir))
    assert found is not None
    return found


def space(*overrides: str) -> dict[str, tuple[object, ...]]:
    found = search("sweep.sampler=tpe", *overrides)
    return {
        one.key: one.setting.texts if one.kind == "choice" else (one.low, one.high, one.log, one.step)
        for one in found.dimensions
    }


def refusal(*overrides: str) -> str:
    with pytest.raises(UserError) as caught:
        compose_search(multirun([*PLAIN, *overrides]))
    return str(caught.value)


def test_dimensions_as_they_are_typed() -> None:
    assert space(
        "algo.clip=interval(0.1,0.3)", "algo.learning_rate=tag(log,interval(1e-5,1e-2))",
        "algo.epochs=interval(1,8)", "env.num_envs=range(8,33,8)", "algo.minibatches=choice(2,4)",
        "network.hidden=[8],[8,9]",
    ) == {
        "algo.clip": (0.1, 0.3, False, 1),
        "algo.learning_rate": (1e-5, 1e-2, True, 1),
        "algo.epochs": (1, 8, False, 1),
        "env.num_envs": (8, 32, False, 8),
        "algo.minibatches": ("2", "4"),
        "network.hidden": ("[8]", "[8,9]"),
    }  # fmt: skip


def test_what_is_typed_wins_over_the_space() -> None:
    found = search("sweep=ppo", "algo.clip=0.1", "algo.epochs=3,5")
    keys = [one.key for one in found.dimensions]
    assert keys == ["algo.epochs", "algo.learning_rate", "algo.gae_lambda", "algo.entropy_coef"]
    assert found.dimensions[0].setting.texts == ("3", "5")
    [job] = found.compose({key: "3" if key == "algo.epochs" else "0.1" for key in keys})
    assert (job.config.algo.clip, job.config.algo.epochs) == (0.1, 3)


def test_a_trial_is_what_the_command_line_composes_to() -> None:
    found = search("sweep.sampler=random", "sweep.replicas=2", "seed=5", "algo=ppo,trpo",
                   "total_steps=interval(1000,2000)", "algo.gamma=0.9")  # fmt: skip
    for algo in ("ppo", "trpo"):
        jobs = found.compose({"algo": algo, "total_steps": "1500"})
        typed = (*PLAIN, f"algo={algo}", "total_steps=1500", "algo.gamma=0.9")
        assert [job.config for job in jobs] == [compose([*typed, f"seed={seed}"]).config for seed in (5, 6)]
        assert jobs[1].varied == (f"algo={algo}", "total_steps=1500", "seed=6")
        assert compose(jobs[1].overrides).config == jobs[1].config, "it trains again from its own overrides"
        assert jobs[1].config.sweep == SweepConfig()


def test_a_combination_that_cannot_be_trained_is_refused_by_itself() -> None:
    found = search("sweep.sampler=random", "algo.minibatches=4,3")
    assert len(found.compose({"algo.minibatches": "4"})) == 1
    with pytest.raises(UserError, match="does not divide"):
        found.compose({"algo.minibatches": "3"})


def test_how_many_trials() -> None:
    grid = ("sweep.sampler=grid", "algo.clip=0.1,0.2,0.3", "algo.epochs=range(1,5)")
    assert (search(*grid).trials, search(*grid).parallel) == (12, 12)
    assert search(*grid, "sweep.trials=5").trials == 5
    assert search(*grid, "sweep.trials=50").trials == 12
    assert search(*grid, "sweep.pruner=median").parallel == 8
    tpe = search("sweep.sampler=tpe", "algo.clip=interval(0.1,0.2)")
    assert (tpe.trials, tpe.parallel) == (20, 8)
    assert (tpe.settled().sweep.trials, tpe.settled().sweep.parallel) == (20, 8)


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (("sweep.sampler=tpe",), "has nothing to search"),
        (("sweep.sampler=tpe", "seed=1,2", "algo.clip=0.1,0.2"), "gives each trial five seeds"),
        (("sweep.sampler=grid", "algo.clip=interval(0.1,0.2)"), "takes values that can be counted"),
        (("sweep.sampler=tpe", "algo.clip=interval(0.1,1.5)"), "algo.clip=1.5: must be > 0, < 1"),
        (("sweep.sampler=tpe", "algo.clip=interval(0.3,0.1)"), "the lower end of an interval comes first"),
        (("sweep.sampler=tpe", "algo.gamma=tag(log,interval(0,1))"), "orders of magnitude begin above 0"),
        (("sweep.sampler=tpe", "algo.epochs=interval(1.5,3)"), "expected a whole number"),
        (("sweep.sampler=tpe", "algo.clipp=0.1,0.2"), "Did you mean 'algo.clip'"),
        (("sweep.sampler=tpe", "algo.delta=interval(0.1,0.2)"), "has no effect with algo.step_rule=sgd"),
        (("sweep=ppo", "algo=trpo"), "algo.clip has no effect"),
        (("sweep.sampler=tpe", "sweep.trials=3,4", "algo.clip=0.1,0.2"), "give one value"),
        (("sweep.sampler=tpe", "hydra/sweeper=basic", "algo.clip=0.1,0.2"), "leave hydra/sweeper out"),
        (("sweep.sampler=tpe", "sweep.pruner=median", "sweep.replicas=2", "hydra/launcher=basic",
          "algo.clip=0.1,0.2"), "hydra/launcher=basic trains apart"),
    ],
)  # fmt: skip
def test_mistakes(overrides: tuple[str, ...], said: str) -> None:
    found = refusal(*overrides)
    assert said in found
    assert len(found.splitlines()) <= 3


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("algo.clipp: choice(0.1)", "sweep.space: Unknown key 'algo.clipp'. Did you mean 'algo.clip'"),
        ("algo.clip: interval(0.1, 2)", "sweep.space: algo.clip=2.0: must be > 0, < 1"),
        ("algo.clip: 0.1", "algo.clip: 0.1 is not text such as choice(2,4,8)"),
        ("algo.clip: '0.1'", "algo.clip: 0.1 is one value"),
        ("seed: range(5)", "seed is not searched over"),
        ("algo.clip: 'interval(0.1'", "Cannot read the override"),
    ],
)
def test_mistakes_of_a_space(entry: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "sweep").mkdir()
    (tmp_path / "sweep" / "mine.yaml").write_text(f"sampler: tpe\nspace:\n  {entry}\n")
    with pytest.raises(UserError) as caught:
        compose_search(multirun(["sweep=mine"], str(tmp_path)))
    assert said in str(caught.value)


def test_a_sampler_is_chosen_by_an_experiment_too(tmp_path: Path) -> None:
    (tmp_path / "experiment").mkdir()
    text = "# @package _global_\nsweep: {sampler: random, trials: 3, space: {algo.clip: 'choice(0.1,0.2)'}}\n"
    (tmp_path / "experiment" / "mine.yaml").write_text(text)
    found = search("experiment=mine", config_dir=str(tmp_path))
    assert (found.trials, [one.key for one in found.dimensions]) == (3, ["algo.clip"])
    assert found.compose({"algo.clip": "0.1"})[0].config.algo.clip == 0.1


def test_settings_of_a_sweep_without_a_sampler() -> None:
    with pytest.raises(UserError, match=r"sweep\.trials has no effect with sweep\.sampler=none"):
        compose_multirun([*PLAIN, "sweep.trials=3"])
    with pytest.raises(UserError, match=r"have a sampler choose: sweep\.sampler=tpe"):
        compose_multirun([*PLAIN, "algo.clip=interval(0.1,0.2)"])
    assert compose_search(multirun([*PLAIN, "seed=0,1"])) is None


@pytest.mark.parametrize("name", files("sweep"))
def test_every_space_of_ours_can_be_searched(name: str) -> None:
    algo = name if name in ("trpo", "ppo_kl") else "ppo"
    assert search(f"sweep={name}", f"algo={algo}").trials > 1
