"""Sweeps with a sampler whose study, settings or record were made to do harm."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from rlcli.sweeps.plan import plan_search
from rlcli.sweeps.search.loop import run_search
from tests.cli.conftest import Ended, Rlcli
from tests.cli.hostile.harm import (
    EVIL,
    REFUSED,
    STEERING,
    Harm,
    appends,
    relink,
    writes,
)
from tests.cli.hostile.sweeps import SEARCHES, harmed
from tests.sweeps.composing import multirun
from tests.sweeps.conftest import SMALL

SEARCH = [*SMALL, "sweep.sampler=random", "sweep.trials=2", "algo.clip=interval(0.1,0.3)", "total_steps=16"]


@pytest.fixture(scope="module")
def honest_search(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep of two trials, which a resumed one would make three."""
    words = [*SEARCH, f"runs_dir={tmp_path_factory.mktemp('search')}", "name=search"]
    search = plan_search(multirun(words))
    assert search is not None
    done = run_search(search, quiet=True).dir
    goes_on(done)
    return done


def goes_on(sweep: Path) -> None:
    base("trials", "3")(sweep)
    base("parallel", "3")(sweep)


def recorded(text: str, instead: str) -> Harm:
    """Replaces one of the overrides in sweep.json."""

    def harm(sweep: Path) -> None:
        record = json.loads((sweep / "sweep.json").read_text())
        record["overrides"] = [instead if word == text else word for word in record["overrides"]]
        (sweep / "sweep.json").write_text(json.dumps(record))

    return harm


def base(key: str, value: str) -> Harm:
    """Replaces a line of base.yaml."""

    def harm(sweep: Path) -> None:
        lines = (sweep / "base.yaml").read_text().splitlines()
        place = next(number for number, text in enumerate(lines) if text.strip().startswith(f"{key}:"))
        lines[place] = lines[place].partition(":")[0] + f": {value}"
        (sweep / "base.yaml").write_text("\n".join(lines) + "\n")

    return harm


def both(*harms: Harm) -> Harm:
    return lambda sweep: [harm(sweep) for harm in harms]


def entry_of(**content: Any) -> Harm:
    return appends("study.log", json.dumps({"worker_id": "x", **content}))


def evil_env(sweep: Path) -> None:
    """A module in the current directory, named by the settings and by what was typed alike."""
    (Path.cwd() / "evil.py").write_text(EVIL)
    base("id", "'evil:Evil-v0'")(sweep)
    recorded("tuned=none", "env=evil:Evil-v0")(sweep)
    base("tuned", "none")(sweep)


STUDIES: dict[str, Harm] = {
    "no settings": lambda sweep: (sweep / "base.yaml").unlink(),
    "settings that are none": writes("base.yaml", "!!python/object/apply:os.system ['touch pwned']"),
    "settings elsewhere": lambda sweep: relink(sweep / "base.yaml", "../secret"),
    "no sampler": base("sampler", "none"),
    "no such objective": base("objective", "[evil]"),
    "other objectives": base("objective", "[time/elapsed]"),
    "no study": lambda sweep: (sweep / "study.log").unlink(),
    "a study elsewhere": lambda sweep: relink(sweep / "study.log", "../secret"),
    "a study that is a pipe": lambda sweep: (sweep / "study.log").unlink() or os.mkfifo(sweep / "study.log"),
    "a pickle": writes("study.log", b"\x80\x04cos\nsystem\n(S'touch pwned'\ntR.\n"),
    "deep": writes("study.log", b"[" * 100_000 + b"\n"),
    "a database": writes("study.log", b"SQLite format 3\0\n"),
    "no event": appends("study.log", "evil"),
    "unknown": entry_of(op_code=77),
    "no study begun": writes("study.log", b""),
    "gone": entry_of(op_code=1, study_id=0),
}  # fmt: skip
RECORDS: dict[str, Harm] = {
    "a target": recorded("tuned=none", "hydra.launcher._target_=os.system"),
    "another sampler": recorded("sweep.sampler=random", "sweep.sampler=tpe"),
    "no override": recorded("tuned=none", STEERING),
    "a module": evil_env,
    "configs elsewhere": lambda sweep: (sweep / "sweep.json").write_text(
        (sweep / "sweep.json").read_text().replace('"config_dir": null', '"config_dir": "/etc"')
    ),
    "another space": recorded("algo.clip=interval(0.1,0.3)", "algo.clip=interval(0.1,0.2)"),
    "too large": both(base("hidden", "[1000000, 1000000]"),
                      recorded("network.hidden=[4]", "network.hidden=[1000000,1000000]")),
}  # fmt: skip


@pytest.fixture
def attack_search(honest_search: Path, workplace: Path, secret: Path, rlcli: Rlcli) -> Any:
    """As `attack_sweep`, of a sweep with a sampler."""

    def run(harm: Harm, verb: str) -> Ended:
        sweep = workplace / "stolen"
        shutil.copytree(honest_search, sweep)
        recorded(f"runs_dir={honest_search.parent}", "runs_dir=runs")(sweep)
        base("runs_dir", "runs")(sweep)
        return harmed(sweep, harm, verb, workplace, rlcli)

    return run


@pytest.mark.parametrize("verb", sorted(SEARCHES))
def test_an_honest_search_is_read(verb: str, attack_search: Any) -> None:
    assert attack_search(lambda sweep: None, verb).code == 0


@pytest.mark.parametrize("verb", sorted(SEARCHES))
@pytest.mark.parametrize("harm", STUDIES.values(), ids=STUDIES.keys())
def test_a_study_that_is_none(harm: Harm, verb: str, attack_search: Any) -> None:
    assert attack_search(harm, verb).code == 4


@pytest.mark.parametrize("harm", RECORDS.values(), ids=RECORDS.keys())
def test_a_record_that_asks_for_something_else(harm: Harm, attack_search: Any) -> None:
    assert attack_search(harm, "resume").code in REFUSED
    assert "evil" not in sys.modules


@pytest.mark.parametrize("verb", sorted(SEARCHES))
def test_nothing_of_a_study_steers_the_terminal(verb: str, attack_search: Any) -> None:
    def harm(sweep: Path) -> None:
        entry_of(op_code=8, trial_id=0, user_attr={"reason": STEERING})(sweep)
        space = {STEERING: '{"name": "FloatDistribution", "attributes": {"low": 0, "high": 1}}'}
        entry_of(
            op_code=4, study_id=0, datetime_start=None, state=3, value=None, values=None, system_attrs={},
            user_attrs={"reason": STEERING}, intermediate_values={}, params={STEERING: 0.5},
            distributions=space,
        )(sweep)  # fmt: skip

    attack_search(harm, verb)
