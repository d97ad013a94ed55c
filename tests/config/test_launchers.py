"""Who trains a sweep: what is typed is checked before anything is made."""

from __future__ import annotations

import shutil

import pytest

from rlcli.config import launchers
from rlcli.config.compose import compose
from rlcli.config.hydra_settings import settings_yaml
from rlcli.config.launchers import LAUNCHERS, Joblib, Launching, NoSettings, Ray, Submitit
from rlcli.errors import UserError
from tests.sweeps.composing import compose_multirun, multirun


@pytest.fixture(autouse=True)
def no_slurm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ("seed=0,1", Launching("cohort", NoSettings())),
        ("hydra/launcher=basic", Launching("basic", NoSettings())),
        ("hydra/launcher=ray hydra/launcher=joblib", Launching("joblib", Joblib())),
        ("hydra.launcher.n_jobs=3 hydra/launcher=joblib", Launching("joblib", Joblib(3))),
        ("hydra/launcher=submitit", Launching("submitit", Submitit("local"))),
        ("hydra/launcher=ray hydra.launcher.runtime_env={env_vars:{A:b}} hydra.launcher.num_cpus=0.5",
         Launching("ray", Ray(num_cpus=0.5, runtime_env={"env_vars": {"A": "b"}}))),
    ],
)  # fmt: skip
def test_what_is_chosen(words: str, wanted: Launching) -> None:
    assert multirun(words.split()).launching == wanted


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("hydra/launcher=joblibb", "Unknown launcher 'joblibb'. Did you mean 'joblib'"),
        ("hydra/launcher=null", "Unknown launcher 'null'"),
        ("hydra/launcher=joblib hydra.launcher.n_job=4", "'n_job'. Did you mean 'n_jobs'"),
        ("hydra.launcher.n_jobs=4", "no settings; did you mean to choose hydra/launcher=joblib"),
        ("hydra/launcher=joblib hydra.launcher.n_jobs=two", "expected a whole number"),
        ("hydra/launcher=joblib hydra.launcher.n_jobs=0", "give a number of processes"),
        ("hydra/launcher=joblib hydra.launcher.n_jobs=${seed}", "no interpolation"),
        ("hydra/launcher=ray hydra.launcher.num_cpus=0", "must be > 0"),
        ("hydra/launcher=submitit hydra.launcher.executor=slrum", "did you mean 'slurm'"),
        ("hydra/launcher=submitit hydra.launcher.executor=slurm", "sbatch and srun are not here"),
        ("hydra/launcher=submitit hydra.launcher.partition=gpu", "executor=local, and there is no Slurm"),
        ("hydra/launcher=joblib,ray", "cannot be swept over"),
        ("~hydra/launcher", "write hydra/launcher=NAME"),
        ("hydra.launcher={n_jobs:2}", "write hydra/launcher=NAME"),
    ],
)  # fmt: skip
def test_mistakes_are_told_with_all_others(words: str, said: str) -> None:
    with pytest.raises(UserError) as caught:
        compose_multirun(["sed=3", *words.split()])
    first, *others = caught.value.faults
    assert "Did you mean 'seed'" in first
    assert any(said in other for other in others), others


def test_a_package_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launchers.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(UserError, match=r"pip install 'rlcli\[ray\]'"):
        compose_multirun(["hydra/launcher=ray"])
    assert multirun([]).launching.name == "cohort"


def test_one_run_has_no_launcher() -> None:
    with pytest.raises(UserError, match="is for sweeps: add -m"):
        compose(["hydra/launcher=joblib"])


def test_slurm_is_taken_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    words = ["hydra/launcher=submitit", "hydra.launcher.setup=[module load x]"]
    found = multirun(words).launching
    assert (found.settings.executor, found.settings.setup, found.elsewhere) == (
        "slurm",
        ("module load x",),
        True,
    )


def test_hydra_takes_what_passed() -> None:
    """Every launcher with every setting, those that are mappings and lists too."""
    for name, declared in LAUNCHERS.items():
        shown = settings_yaml([f"hydra/launcher={name}"], None)
        assert all(f" {setting}: " in shown for setting in declared.keys)
    words = ["hydra/launcher=ray", "hydra.launcher.runtime_env={env_vars:{A:b}}"]
    assert "A: b" in settings_yaml(multirun(words).hydra_words(), None)
