"""Every mutation declared beside a test (`@pytest.mark.broken_by`) is noticed by that test."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.mutations import trials
from tests.mutations.declared import Mutation, mutations

ROOT = Path(__file__).parents[2]
MUTATIONS = mutations(ROOT / "tests")
PARTS = sorted({mutation.test.split("/")[0] for mutation in MUTATIONS})
"""Folders of tests/ that have mutations."""
OTHERS = (
    "pyproject.toml", "tests/conftest.py", "tests/forked.py", "docs/extending.md", "docs/coming_from.md",
    "scripts/processes.py", "scripts/report_runs.py",
)  # fmt: skip
"""Files beside them that the trials need."""
PASSED, FAILED = 0, 1
EVERY = 80
"""Of so many mutations one is tried in the fast suite; `make mutations` tries all, in CI too."""
TRIALS = [
    pytest.param(mutation, id=mutation.name, marks=() if number % EVERY == 0 else pytest.mark.slow)
    for number, mutation in enumerate(MUTATIONS)
]

pytestmark = pytest.mark.mutation


def copy_of_the_sources(directory: Path) -> Path:
    """The package and the tests that the trials need, with their compiled files."""
    shutil.copytree(ROOT / "rlcli", directory / "rlcli")
    for part in PARTS:
        shutil.copytree(ROOT / "tests" / part, directory / "tests" / part)
    for file in OTHERS:
        (directory / file).parent.mkdir(exist_ok=True)
        shutil.copy2(ROOT / file, directory / file)
    return directory


def occurrences(mutation: Mutation) -> int:
    """How often the text to replace occurs in its file; 0 when there is no such file."""
    path = ROOT / "rlcli" / mutation.file
    return path.read_text(encoding="utf-8").count(mutation.text) if path.is_file() else 0


def mutate(directory: Path, mutation: Mutation) -> None:
    """Applies the replacement; the text must be there once. Whatever else has a link to the file keeps it."""
    path = directory / "rlcli" / mutation.file
    source = path.read_text(encoding="utf-8")
    assert source.count(mutation.text) == 1, f"occurs {source.count(mutation.text)} times in {mutation.file}"
    path.unlink()
    path.write_text(source.replace(mutation.text, mutation.replacement), encoding="utf-8")
    for compiled in (path.parent / "__pycache__").glob(f"{path.stem}.*"):
        compiled.unlink()


@pytest.fixture(scope="module")
def outcomes(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, tuple[int, str]]:
    """By name of each selected mutation, and 'none': the exit code of its test and what it said."""
    names = {item.callspec.id for item in request.session.items if hasattr(item, "callspec")}
    chosen = [mutation for mutation in MUTATIONS if mutation.name in names]
    jobs: list[tuple[str, list[str]]] = []
    unchanged = copy_of_the_sources(tmp_path_factory.mktemp("none"))
    jobs.append((str(unchanged), sorted({f"tests/{mutation.test}" for mutation in chosen or MUTATIONS})))
    for mutation in chosen:
        directory = tmp_path_factory.mktemp("mutation") / "sources"
        shutil.copytree(unchanged, directory, copy_function=os.link)
        mutate(directory, mutation)
        jobs.append((str(directory), [f"tests/{mutation.test}"]))
    switches = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "PYTEST_DISABLE_PLUGIN_AUTOLOAD")
    done = subprocess.run(
        [sys.executable, trials.__file__], input=json.dumps(jobs), capture_output=True, text=True,
        env=os.environ | dict.fromkeys(switches, "1"), cwd=unchanged,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    said = [(Path(directory) / "output.txt").read_text()[-3000:] for directory, _ in jobs]
    names_in_order = ["none", *(mutation.name for mutation in chosen)]
    return dict(zip(names_in_order, zip(json.loads(done.stdout), said, strict=True), strict=True))


def test_no_two_are_the_same_but_for_their_names() -> None:
    assert len({mutation[1:] for mutation in MUTATIONS}) == len(MUTATIONS)


def test_each_text_occurs_once_in_its_file() -> None:
    assert {f"{one.name} ({one.file})": count for one in MUTATIONS if (count := occurrences(one)) != 1} == {}


def test_without_a_mutation_all_these_tests_pass(outcomes: dict[str, tuple[int, str]]) -> None:
    code, said = outcomes["none"]
    assert code == PASSED, said


@pytest.mark.parametrize("mutation", TRIALS)
def test_a_mutation_is_noticed(mutation: Mutation, outcomes: dict[str, tuple[int, str]]) -> None:
    code, said = outcomes[mutation.name]
    assert code == FAILED, f"{mutation.test} ended with {code}:\n{said}"
