"""The kernel of a sweep's jobs: decided when the sweep begins, and kept by trials that come later."""

from __future__ import annotations

import json

import pytest

from rlcli.config.serialise import from_yaml
from rlcli.errors import UserError
from rlcli.kernels import library
from rlcli.sweeps.search.loop import resume_search
from rlcli.sweeps.search.objectives import read_settings
from rlcli.sweeps.sweep import Sweep
from tests.sweeps.composing import compose_multirun
from tests.sweeps.conftest import SMALL, Sweeping

NOTHING = library.Loaded(None, "no library was built")
SEARCH = ("sweep.sampler=random", "sweep.trials=1", "algo.clip=interval(0.1,0.4)", "total_steps=32")


@pytest.fixture(autouse=True)
def present() -> None:
    """The library, or no test."""
    if library.problem() is not None:
        pytest.skip(str(library.problem()))


def test_each_job_has_its_kernel_before_any_trains(tmp_path) -> None:
    jobs = compose_multirun([*SMALL, "env.backend=array,torch"])
    sweep = Sweep.begin(tmp_path, [], ["a", "b"], jobs)
    written = [from_yaml((tmp_path / name / "config.yaml").read_text()) for name in ("a", "b")]
    assert [config.compute.kernel for config in written] == ["c", "torch"]
    assert [sweep.config(job) for job in sweep.jobs] == written


@pytest.mark.broken_by(
    "later trials of a search in torch decide anew",
    "sweeps/search/loop.py",
    "!= (AUTO, TORCH):",
    "!= (TORCH, TORCH):",
)
def test_a_search_that_began_with_torch_keeps_it(searched: Sweeping, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(library, "load", lambda: NOTHING)
        done = searched(*SEARCH)
    assert read_settings(done.dir).compute.kernel == "torch"
    again = resume_search(done.dir, trials=2, quiet=True)
    assert [again.config(job).compute.kernel for job in again.jobs] == ["torch", "torch"]


def test_a_search_with_kernels_is_not_resumed_without(
    searched: Sweeping, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = searched(*SEARCH)
    assert read_settings(done.dir).compute.kernel == "c"
    with monkeypatch.context() as patch:
        patch.setattr(library, "load", lambda: NOTHING)
        with pytest.raises(UserError, match="was begun with the kernels in C"):
            resume_search(done.dir, trials=2, quiet=True)
    again = resume_search(done.dir, trials=2, quiet=True)
    kernels = [
        json.loads((again.dir / job.name / "manifest.json").read_text())["kernel"] for job in again.jobs
    ]
    assert kernels == [f"c ({library.instruction_set()})"] * 2
