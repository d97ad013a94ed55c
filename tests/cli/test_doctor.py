"""`rlcli doctor`: what is reported, what to do about it, and what is never shown, written or sent."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from rlcli.config.schema.run import RunConfig
from rlcli.extras import extra_command
from rlcli.store import installation
from rlcli.sweeps import cohort_job, diagnosis, machine_checks
from rlcli.sweeps.findings import Finding, Status
from tests.cli.conftest import Rlcli, on_a_terminal
from tests.cli.listening import server

ROOT = Path(__file__).parents[2]
KEY = "k" * 40


ONLY_WANDB = """
import sys
from rlcli.cli.main import main
from rlcli.sweeps import diagnosis
diagnosis.CHECKS = {"wandb": diagnosis.CHECKS["wandb"]}
sys.argv = ["rlcli", "doctor", "--json"]
main()
"""


def in_a_process(folder: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Python in a process of its own, with a home folder without anything in it."""
    home = folder / "home"
    home.mkdir(exist_ok=True)
    kept = {name: os.environ[name] for name in ("PATH", "MKL_CBWR") if name in os.environ}
    return subprocess.run(
        [sys.executable, *words],
        capture_output=True, text=True, cwd=folder,
        env={**kept, "PYTHONPATH": str(ROOT), "HOME": str(home), **variables},
    )  # fmt: skip


def by_topic(text: str) -> dict[str, Any]:
    return {row["topic"]: row for row in map(json.loads, text.splitlines())}


def test_the_report_has_every_topic_and_leaves_nothing_on_disk(rlcli: Rlcli, workplace: Path) -> None:
    ended = rlcli("doctor", "--json")
    assert ended.code == 0
    found = {row["topic"]: row for row in ended.rows()}
    topics = {topic for topic in found if not topic.startswith("extra ")}
    assert topics == {*diagnosis.CHECKS, "disk"}
    assert found["packages"]["facts"]["torch"]
    assert found["training"]["facts"]["steps_per_second"] > 0
    assert found["runs"]["facts"]["folder"] == str(workplace / "runs")
    assert all({"topic", "status", "finding", "advice", "facts"} == set(row) for row in ended.rows())
    assert list(workplace.iterdir()) == []


def test_the_text_ends_with_a_verdict(rlcli: Rlcli) -> None:
    ended = rlcli("doctor")
    assert ended.code == 0
    assert ended.out.splitlines()[-1] == "Nothing is broken."
    assert "\npackages    typer " not in ended.out
    assert any(line.startswith("python      3.") for line in ended.out.splitlines())


def test_no_line_is_wider_than_the_terminal(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(workplace)
    shown = on_a_terminal("doctor", columns=60).splitlines()
    assert len(shown) > 20
    assert [line for line in shown if len(line.rstrip()) > 60] == []


@pytest.mark.broken_by(
    "the source of a key replaced by the key",
    "loggers/wandb_account.py",
    "next((name for name in KEY_VARIABLES if os.environ.get(name)),",
    "next((os.environ[name] for name in KEY_VARIABLES if os.environ.get(name)),",
)
@pytest.mark.broken_by(
    "a server is asked by the doctor",
    "loggers/wandb_account.py",
    "wandb.login(prompt=False, verify=False)",
    "wandb.login(prompt=False, verify=True)",
)
def test_a_login_is_found_without_asking_the_server_or_showing_the_key(tmp_path: Path) -> None:
    with server() as (port, received):
        done = in_a_process(
            tmp_path, "-m", "rlcli", "doctor", "--json", WANDB_API_KEY=KEY, WANDB_ENTITY="team",
            WANDB_BASE_URL=f"http://127.0.0.1:{port}",
        )  # fmt: skip
    assert received == []
    assert KEY not in done.stdout + done.stderr
    found = by_topic(done.stdout)["wandb"]
    assert found["facts"]["logged_in"] is True
    assert found["facts"]["source"] == "WANDB_API_KEY"
    assert f"http://127.0.0.1:{port}, team/rlcli" in found["finding"]
    assert list((tmp_path / "home").rglob("*")) == []


def test_a_key_in_netrc_is_found_and_not_shown(tmp_path: Path) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text(f"machine api.wandb.ai\n  login user\n  password {KEY}\n")
    netrc.chmod(0o600)
    done = in_a_process(tmp_path, "-c", ONLY_WANDB, NETRC=str(netrc), WANDB_BASE_URL="https://api.wandb.ai")
    assert KEY not in done.stdout + done.stderr
    assert "logged in (key from netrc or W&B's settings); runs upload to https://api.wandb.ai" in done.stdout


@pytest.mark.parametrize(
    ("variables", "mode", "text"),
    [
        ({}, "offline", "nobody is logged in"),
        ({"WANDB_MODE": "offline", "WANDB_API_KEY": KEY}, "offline", "offline, by the environment"),
        ({"WANDB_MODE": "disabled"}, "disabled", "disabled by the environment"),
        ({"WANDB_API_KEY": "short"}, "offline", "the credentials cannot be used"),
    ],
)
def test_where_runs_are_logged_otherwise(
    variables: dict[str, str], mode: str, text: str, tmp_path: Path
) -> None:
    done = in_a_process(tmp_path, "-c", ONLY_WANDB, **variables)
    found = by_topic(done.stdout)["wandb"]
    assert (found["facts"]["mode"], done.returncode) == (mode, 0)
    assert text in found["finding"]


def test_a_home_that_cannot_be_written_to_breaks_nothing(tmp_path: Path) -> None:
    done = in_a_process(tmp_path, "-m", "rlcli", "doctor", HOME="/proc")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.broken_by(
    "a broken finding ends with exit code 0",
    "cli/doctor.py",
    "        if finding.status is Status.BROKEN:",
    "        if False:",
)
def test_a_file_in_the_place_of_runs_is_broken(
    rlcli: Rlcli, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (workplace / "taken").touch()
    monkeypatch.setenv("RLCLI_RUNS", "taken")
    monkeypatch.setattr(diagnosis, "CHECKS", {"runs": machine_checks.runs})
    ended = rlcli("doctor")
    assert ended.code == 1
    assert "broken: saved to " in ended.out
    assert "taken is a file" in ended.out
    assert "-> Another folder: runs_dir=FOLDER" in ended.out
    assert ended.out.endswith("Broken: runs.\n")


def test_a_full_disk_is_broken(rlcli: Rlcli, monkeypatch: pytest.MonkeyPatch, workplace: Path) -> None:
    class Usage:
        free = 1000

    monkeypatch.setattr(machine_checks.shutil, "disk_usage", lambda _: Usage)
    monkeypatch.setattr(diagnosis, "CHECKS", {"runs": machine_checks.runs})
    ended = rlcli("doctor", "--json")
    assert [(row["topic"], row["status"]) for row in ended.rows()] == [("runs", "ok"), ("disk", "broken")]
    assert ended.code == 1


def test_a_check_that_raises_is_a_finding_and_the_others_follow(
    rlcli: Rlcli, monkeypatch: pytest.MonkeyPatch
) -> None:
    def raises() -> Iterator[Finding]:
        raise ImportError("libcudart.so is missing")
        yield

    def works() -> Iterator[Finding]:
        yield Finding("works", Status.OK, "fine")

    monkeypatch.setattr(diagnosis, "CHECKS", {"gpu": raises, "works": works})
    ended = rlcli("doctor", "--json")
    assert ended.code == 1
    assert [(row["topic"], row["status"]) for row in ended.rows()] == [("gpu", "broken"), ("works", "ok")]
    assert "ImportError: libcudart.so is missing" in ended.rows()[0]["finding"]


@pytest.mark.broken_by(
    "a cohort that rounds otherwise reported as exact",
    "sweeps/machine_checks.py",
    "if not same_as_alone(",
    "if same_as_alone(",
)
def test_every_shape_is_exact_where_products_round_alike() -> None:
    [found] = machine_checks.exactness()
    assert (found.status, found.facts["differing"]) == (Status.OK, [])


@pytest.mark.parametrize("chosen", [None, "AUTO"])
def test_a_machine_that_rounds_otherwise_gets_the_advice_of_training(
    chosen: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def differs(configs: Sequence[RunConfig]) -> bool:
        return configs[0].network.hidden != (17, 5)

    monkeypatch.setattr(cohort_job, "same_as_alone", differs)
    monkeypatch.delenv("MKL_CBWR", raising=False)
    if chosen is not None:
        monkeypatch.setenv("MKL_CBWR", chosen)
    [found] = machine_checks.exactness()
    assert found.status is Status.NOTE
    assert found.facts["differing"] == ["ppo, CartPole-v1, hidden 17-5, odd sizes"]
    assert ("MKL_CBWR=AUTO" in (found.advice or "")) is (chosen is None)


@pytest.mark.broken_by(
    "versions of packages not compared",
    "store/installation.py",
    "if not needed.specifier.contains(installed, prereleases=True):",
    "if False:",
)
def test_a_package_that_is_too_old_or_missing_is_broken(
    rlcli: Rlcli, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions = {"torch": "1.0", "gymnasium": None}
    real = installation.version_of
    monkeypatch.setattr(
        installation, "version_of", lambda name: versions[name] if name in versions else real(name)
    )
    monkeypatch.setattr(diagnosis, "CHECKS", {"packages": diagnosis.CHECKS["packages"]})
    ended = rlcli("doctor")
    assert ended.code == 1
    assert "broken: not as required: gymnasium (not installed); torch>=2.13 (1.0 is installed)." in ended.out


def test_an_extra_that_is_missing_has_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where only a package of an extra of another package is missing: gymnasium[box2d] needs box2d."""
    real = installation.version_of
    monkeypatch.setattr(
        installation, "version_of", lambda name: None if name in ("box2d", "ray") else real(name)
    )
    lacking = {extra.name: extra for extra in installation.extras() if extra.unmet}
    assert {"box2d", "ray"} <= set(lacking)
    assert lacking["box2d"].unmet == ("box2d (not installed)",)
    assert lacking["ray"].command == extra_command("ray")


def test_every_extra_says_what_it_adds() -> None:
    optional = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    names = [name for name in optional if name not in installation.NOT_EXTRAS]
    assert [extra.name for extra in installation.extras()] == names
    assert set(installation.ADDS) == set(names)


def test_requirements_of_an_installed_wheel_are_those_of_its_metadata(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from_checkout = [extra.name for extra in installation.extras()]
    monkeypatch.setattr(installation, "checkout", lambda: tmp_path)
    assert [extra.name for extra in installation.extras()] == from_checkout
    assert {"torch", "gymnasium", "wandb"} <= {package.name for package in installation.core_packages()}
