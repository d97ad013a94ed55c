"""The choice between kernels in C and torch: what is covered, what is recorded, what is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rlcli.backends import kernel
from rlcli.backends.kernel import COVERED, Choice, choose, covers, decided
from rlcli.backends.sb3_mapping import refusals
from rlcli.config.overrides import parse_command
from rlcli.config.schema.keys import KEYS
from rlcli.config.schema.run import RunConfig
from rlcli.config.shape import shape
from rlcli.envs import registry
from rlcli.errors import UserError
from rlcli.kernels import library
from rlcli.runs.reproduce import plan, reproduce
from rlcli.runs.resume import resume
from rlcli.runs.train import Result, train
from rlcli.store.config_file import read_config
from rlcli.sweeps.preflight import CHECKS, kernels_compute_it
from tests.cli.conftest import Rlcli, rlcli
from tests.runs.tiny import finished, manifest_of, tiny, trained

__all__ = ["finished", "rlcli", "trained"]

LONGER = parse_command(["total_steps=128"])
NOTHING = library.Loaded(None, "no library was built: nowhere/kernels.so does not exist")


@pytest.fixture
def missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """No library of kernels."""
    monkeypatch.setattr(library, "load", lambda: NOTHING)


@pytest.fixture
def present() -> None:
    """The library, or no test."""
    if library.problem() is not None:
        pytest.skip(str(library.problem()))


def chosen(config: RunConfig) -> Choice:
    return choose(config, registry.describe(config.env))


UNCOVERED: dict[str, dict[str, Any]] = {
    "backend": {"backend": "sb3"},
    "device": {"device": "cuda"},
    "env.backend": {"env__backend": "torch"},
    "network.name": {"network__name": "gru"},
    "env.action_mask": {"env__id": "Taxi-v4", "env__action_mask": "info"},
    "network.log_std": {"env__id": "Pendulum-v1", "network__log_std": "state"},
    "network.squash": {"env__id": "Pendulum-v1", "network__squash": "tanh"},
    "network.hidden": {"network__hidden": (4,) * 9},
    "network.critic": {"network__critic": "q", "algo__targets": "retrace"},
    "algo.surrogate": {"algo__surrogate": "weighted"},
    "algo.clip_high": {"algo__clip_high": 0.3},
    "algo.clip_dual": {"algo__clip_dual": 3.0},
    "algo.reuse": {"algo__reuse": 2},
    "collect.unrolls": {
        "env__id": "Pendulum-v1",
        "lag": 1,
        "collect__mode": "process",
        "collect__order": "free",
        "collect__unrolls": 2,
    },
    "algo.rho_bar_pg": {"algo__targets": "vtrace", "algo__rho_bar_pg": 2.0},
    "algo.vtrace_bootstrap": {"algo__targets": "vtrace", "algo__vtrace_bootstrap": "lambda_mix"},
}


def test_no_limit_depends_on_what_may_differ_within_a_cohort() -> None:
    assert [limit.key for limit in COVERED if KEYS[limit.key].declaration.cohort] == []
    assert "compute.kernel" in shape(tiny())


@pytest.mark.usefixtures("present")
def test_auto_is_c_where_everything_is_covered() -> None:
    config = tiny()
    assert chosen(config) == ("c", library.instruction_set())
    assert str(chosen(config)) == f"c ({library.instruction_set()})"
    assert decided(config, registry.describe(config.env)).compute.kernel == "c"


@pytest.mark.broken_by(
    "kernels chosen for what they do not cover",
    "backends/kernel.py",
    "obstacle = covers(config, spec) or library.problem()",
    "obstacle = library.problem()",
    case="device",
)
@pytest.mark.parametrize("key", UNCOVERED)
def test_what_is_not_covered_trains_in_torch_and_c_is_refused_with_the_key(key: str) -> None:
    config = tiny(**UNCOVERED[key])
    found = chosen(config)
    assert found.kernel == "torch"
    assert str(found).startswith(f"torch, because {key}=")
    assert "is not covered, only" in str(found)
    with pytest.raises(UserError, match=rf"compute\.kernel=c: {key}=.*compute\.kernel=auto"):
        chosen(tiny(**UNCOVERED[key], compute__kernel="c"))


@pytest.mark.parametrize("surrogate", ["dppo", "cispo"])
def test_surrogates_that_torch_alone_has(surrogate: str) -> None:
    found = chosen(tiny(algo__surrogate=surrogate))
    assert str(found) == (
        f"torch, because algo.surrogate={surrogate} is not covered, only clipped, ratio, score and spo"
    )


@pytest.mark.usefixtures("missing")
def test_without_a_library_auto_is_torch_and_c_is_refused_with_the_command() -> None:
    assert str(chosen(tiny())) == f"torch, because {NOTHING.problem}"
    asked = tiny(compute__kernel="c")
    with pytest.raises(UserError, match=r"no library was built.*Build it: "):
        chosen(asked)
    [fault] = kernels_compute_it(asked, {})
    assert fault.keys == {"compute.kernel"}


def test_torch_is_torch() -> None:
    config = tiny(compute__kernel="torch")
    assert covers(config, registry.describe(config.env)) is None
    assert chosen(config).kernel == "torch"


def test_stable_baselines3_has_no_kernels() -> None:
    assert kernels_compute_it in CHECKS
    config = tiny(backend="sb3", compute__kernel="c")
    assert any("compute.kernel=c is not possible with backend=sb3" in one.text for one in refusals(config))
    assert list(kernels_compute_it(config, {})) == []


# --- what a run records, and what it is resumed and reproduced with


@pytest.mark.usefixtures("present")
def test_a_run_records_the_choice(finished: Path, rlcli: Rlcli) -> None:
    assert read_config(finished).compute.kernel == "c"
    about = manifest_of(finished)
    assert (about["kernel"], about["kernel_version"]) == (
        f"c ({library.instruction_set()})", library.version()
    )  # fmt: skip
    shown = rlcli("show", str(finished)).out
    assert f"\nkernel: c ({library.instruction_set()})\n" in shown
    assert "compute.kernel" not in shown


def test_a_run_in_torch_records_why(trained: Callable[..., Result]) -> None:
    run = trained(compute__kernel="torch").dir
    assert manifest_of(run)["kernel"].startswith("torch, because ")
    assert manifest_of(run)["kernel_version"] is None


@pytest.fixture
def older(finished: Path, trained: Callable[..., Result]) -> Path:
    """A run from before there were kernels."""
    run = trained(compute__kernel="torch", checkpoint__every=32).dir
    text = (run / "config.yaml").read_text().replace("  kernel: torch\n", "")
    (run / "config.yaml").write_text(text)
    content = manifest_of(run) | {"config_sha256": None}
    del content["kernel"], content["kernel_version"]
    (run / "manifest.json").write_text(json.dumps(content))
    return run


@pytest.mark.broken_by(
    "a run from before there were kernels resumed with them",
    "config/schema/compute.py",
    'choices=("auto", "c", "torch"), absent="torch"',
    'choices=("auto", "c", "torch")',
)
def test_a_run_from_before_there_were_kernels_keeps_torch(older: Path, tmp_path: Path) -> None:
    assert read_config(older).compute.kernel == "torch"
    planned = plan(older)
    assert any("config.yaml is older than compute.kernel=torch" in note for note in planned.notes)
    assert reproduce(planned, tmp_path / "again").identical
    assert resume(older, LONGER, quiet=True).status == "finished"
    assert read_config(older).compute.kernel == "torch"


@pytest.fixture
def copied(finished: Path, tmp_path: Path) -> Path:
    """A run with kernels in C, to be changed."""
    run = tmp_path / "copied"
    shutil.copytree(finished, run)
    return run


def content_of(run: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in sorted(run.rglob("*")) if path.is_file()}


@pytest.mark.broken_by(
    "a run with kernels resumed without",
    "runs/stopped_run.py",
    '        check_recorded(run_dir, before, self._manifest.content["kernel_version"])\n',
    "",
)
@pytest.mark.usefixtures("present")
def test_a_run_with_kernels_is_not_resumed_or_reproduced_without(
    copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(library, "load", lambda: NOTHING)
    before = content_of(copied)
    for act in (lambda: resume(copied, LONGER, quiet=True), lambda: plan(copied)):
        with pytest.raises(
            UserError, match=r"was begun with the kernels in C.*no library was built"
        ) as caught:
            act()
        assert str(caught.value.hint).startswith("Build the library: ")
    assert content_of(copied) == before


@pytest.mark.usefixtures("present")
def test_a_run_with_other_kernels_is_not_resumed_or_reproduced(
    copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = library.version()
    monkeypatch.setattr(library, "version", lambda: now + 1)
    before = content_of(copied)
    for act in (lambda: resume(copied, LONGER, quiet=True), lambda: plan(copied)):
        with pytest.raises(UserError, match=f"version {now} of the kernels.*version {now + 1}") as caught:
            act()
        assert "--checkout" in str(caught.value.hint)
    assert content_of(copied) == before


@pytest.mark.usefixtures("present")
def test_a_resume_keeps_the_kernel(copied: Path) -> None:
    with pytest.raises(UserError, match=r"a resumed run keeps its compute\.kernel=c"):
        resume(copied, parse_command(["compute.kernel=torch"]), quiet=True)
    assert resume(copied, LONGER, quiet=True).status == "finished"
    assert read_config(copied).compute.kernel == "c"


@pytest.fixture
def plainest(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Another instruction set than usual."""
    monkeypatch.setenv(library.FORCED, (library.available() or ("plain",))[-1])
    library.function.cache_clear()
    yield
    library.function.cache_clear()


@pytest.mark.usefixtures("present", "plainest")
def test_a_run_is_reproduced_with_another_instruction_set(finished: Path, tmp_path: Path) -> None:
    outcome = reproduce(plan(finished), tmp_path / "again")
    assert outcome.identical
    assert manifest_of(tmp_path / "again")["kernel"] == f"c ({library.available()[-1]})"


def test_runs_of_a_cohort_agree_on_the_kernel(tmp_path: Path) -> None:
    configs = [tiny(compute__kernel="torch"), tiny(seed=1, compute__kernel="c")]
    with pytest.raises(UserError, match=r"must agree on compute\.kernel"):
        train(configs, [tmp_path / "a", tmp_path / "b"])


OF_USERS = ("algo.targets", "algo.penalty", "algo.step_rule")
"""Keys whose uncovered values are functions of the user's: tests/extend/test_training.py."""


def test_the_table_has_every_reason() -> None:
    assert {limit.key for limit in COVERED} == {*UNCOVERED, *OF_USERS}
    assert kernel.DEEPEST == 8
