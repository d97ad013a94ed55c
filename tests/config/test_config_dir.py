"""A folder of configs may be anybody's: it sets keys, and does nothing else."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from rlcli.config import groups
from rlcli.config.compose import compose
from rlcli.config.interpolation import LARGEST, written_out
from rlcli.errors import UserError
from rlcli.sweeps.multirun import run_sweep
from rlcli.sweeps.plan import plan
from tests.config.test_plain_yaml import laughs
from tests.sweeps.composing import compose_multirun, multirun
from tests.sweeps.conftest import SMALL

GLOBAL = "# @package _global_\n"
EVIL = "{_target_: os.system, _args_: [touch pwned]}"
Make = Callable[[Path], object]


def experiment(text: str | bytes) -> Make:
    """`experiment/x.yaml` with that text."""

    def make(folder: Path) -> None:
        (folder / "experiment").mkdir(exist_ok=True)
        path = folder / "experiment" / "x.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())

    return make


def several(**files: str) -> Make:
    """`experiment/x.yaml` and others beside it."""

    def make(folder: Path) -> None:
        (folder / "experiment").mkdir(exist_ok=True)
        for name, text in files.items():
            (folder / "experiment" / f"{name}.yaml").write_text(text)

    return make


def doubling(levels: int = 40) -> str:
    """References that double in length at every level."""
    lines = "".join(f"    a{n}: '${{env.kwargs.a{n + 1}}}${{env.kwargs.a{n + 1}}}'\n" for n in range(levels))
    return f"{GLOBAL}env:\n  kwargs:\n{lines}    a{levels}: xx\n"


REFUSED: dict[str, tuple[Make, str]] = {
    "a callback": (experiment(f"{GLOBAL}hydra:\n  callbacks:\n    evil: {EVIL}\n"), "'hydra' is not taken"),
    "a launcher": (experiment(f"{GLOBAL}hydra:\n  launcher: {EVIL}\n"), "'hydra' is not taken"),
    "a sweeper": (experiment(f"{GLOBAL}hydra: {{sweeper: {EVIL}}}\n"), "'hydra' is not taken"),
    "a search path": (experiment(f"{GLOBAL}hydra: {{searchpath: [/etc]}}\n"), "'hydra' is not taken"),
    "a package": (experiment(f"# @package hydra.callbacks\nevil: {EVIL}\n"), "Hydra's own"),
    "a package from the root": (experiment(f"# @package _global_.hydra\ncallbacks: {EVIL}\n"), "Hydra's own"),
    "logging": (experiment(f"{GLOBAL}defaults: [{{override /hydra/job_logging: x}}]\n"), "Hydra's own"),
    "a launcher by default": (experiment(f"{GLOBAL}defaults: [/hydra/launcher: x]\n"), "Hydra's own"),
    "a default moved": (experiment(f"{GLOBAL}defaults: ['/env@hydra.callbacks: x']\n"), "Hydra's own"),
    "a target": (experiment(f"{GLOBAL}env: {{kwargs: {EVIL}}}\n"), "'_target_' is refused"),
    "a target in a list": (experiment(f"{GLOBAL}tags: [{{_partial_: true}}]\n"), "'_partial_' is refused"),
    "an environment variable": (experiment(GLOBAL + "notes: '${oc.env:HOME}'\n"), "'oc.env' is refused"),
    "a resolver that parses": (experiment(GLOBAL + "notes: '${oc.create:[1]}'\n"), "'oc.create' is refused"),
    "Hydra's resolver": (experiment(GLOBAL + "notes: '${hydra:runtime.cwd}'\n"), "'hydra' is refused"),
    "a nested reference": (experiment(GLOBAL + "notes: '${env.${seed}}'\n"), "within a reference"),
    "laughs": (experiment(laughs()), "more than"),
    "deep": (experiment("a: " + "[" * 50_000), "nested deeper"),
    "large": (experiment("# " + "x" * 2_000_000), "not a configuration"),
    "doubling": (experiment(doubling()), "references have no end"),
    "round in circles": (experiment(GLOBAL + "notes: '${name}'\nname: '${notes}'\n"), "references have no"),
    "latin": (experiment(b"notes: \xe4\n"), "not UTF-8"),
    "nothing but a list": (experiment("- 1\n"), "a mapping of keys"),
    "an object": (experiment("a: !!python/object/apply:os.system ['touch pwned']"), "not readable"),
    "defaults of one": (experiment("defaults: 3\n"), "'defaults' is a list"),
    "defaults of numbers": (experiment("defaults: [3]\n"), "neither a config nor"),
    "includes itself": (experiment("defaults: [x]\n"), "includes itself"),
    "includes itself by another": (several(x="defaults: [y]\n", y="defaults: [x]\n"), "includes itself"),
    "includes without end": (
        several(
            x="defaults: [l1@a, l1@b]\n",
            **{f"l{n}": f"defaults: [l{n + 1}@a, l{n + 1}@b]\n" for n in range(1, 30)},
        ),
        "more than 300 configs",
    ),
    "a header": (experiment("# @package a b c\nseed: 1\n"), "Too many components"),
}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "configs"
    made.mkdir()
    return made


@pytest.mark.parametrize(("make", "said"), REFUSED.values(), ids=REFUSED.keys())
def test_what_a_folder_may_not_hold(make: Make, said: str, folder: Path, workplace: Path) -> None:
    make(folder)
    # What comes of the files is the same; of Hydra's own settings a sweep makes more.
    for call in (compose, compose_multirun) if "hydra" in said.lower() else (compose,):
        begun = time.process_time()
        with pytest.raises(UserError) as caught:
            call(["experiment=x"], config_dir=str(folder))
        assert said in str(caught.value)
        assert len(str(caught.value)) < 1000
        assert time.process_time() - begun < 2.0
    assert not list(workplace.rglob("pwned"))


@pytest.mark.parametrize("name", ["train", "schema"])
def test_rlclis_own_configs_are_not_replaced(name: str, folder: Path) -> None:
    (folder / f"{name}.yaml").write_text("seed: 7\n")
    with pytest.raises(UserError, match=rf"{name}\.yaml: {name} is rlcli's own config"):
        compose(["tuned=none"], config_dir=str(folder))


@pytest.mark.parametrize("kind", ["pipe", "socketless device", "folder", "circle"])
def test_what_is_no_file_is_no_choice(kind: str, folder: Path) -> None:
    (folder / "experiment").mkdir()
    path = folder / "experiment" / "x.yaml"
    make: dict[str, Callable[[], object]] = {
        "pipe": lambda: os.mkfifo(path),
        "socketless device": lambda: path.symlink_to("/dev/zero"),
        "folder": lambda: path.mkdir(),
        "circle": lambda: path.symlink_to(path),
    }
    make[kind]()
    with pytest.raises(UserError, match="experiment"):
        compose(["experiment=x"], config_dir=str(folder))
    assert groups.summary(path) == ""


def test_a_folder_that_leads_round_in_circles_is_walked_once(folder: Path) -> None:
    experiment(GLOBAL + "seed: 1\n")(folder)
    (folder / "experiment" / "again").symlink_to(folder)
    (folder / "again").symlink_to(folder)
    assert "x" in groups.files("experiment", str(folder))
    assert "again/experiment/x" not in groups.files("experiment", str(folder))
    assert compose(["experiment=x"], config_dir=str(folder)).config.seed == 1


def test_nothing_leads_out_of_the_folder(folder: Path) -> None:
    (folder.parent / "secret.yaml").write_text("notes: hunter2\n")
    experiment(f"{GLOBAL}defaults: [/../secret]\n")(folder)
    with pytest.raises(UserError) as caught:
        compose(["experiment=x"], config_dir=str(folder))
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "word",
    ["+hydra.callbacks.evil._target_=os.system", "+hydra.callbacks={a:{_target_:os.system}}",
     "hydra.sweeper._target_=os.system", "++hydra.job.x=[{_target_:os.system}]"],
)  # fmt: skip
def test_a_command_line_makes_nothing_either(word: str) -> None:
    with pytest.raises(UserError, match="nothing is made"):
        compose_multirun([word, "seed=0,1"])


def test_a_sweep_with_an_honest_folder_trains(folder: Path, workplace: Path) -> None:
    experiment(f"{GLOBAL}defaults: [y]\nnotes: '${{algo.name}} with seed ${{seed}}'\n")(folder)
    (folder / "experiment" / "y.yaml").write_text("# @package _global_\nalgo: {clip: 0.3}\n")
    words = [*SMALL, "total_steps=16", "experiment=x", "seed=0,1", "name=sweep"]
    command = multirun(words, str(folder))
    sweep = run_sweep(plan(command), command)
    configs = [sweep.config(job) for job in sweep.jobs]
    assert [(one.notes, one.algo.clip) for one in configs] == [
        ("ppo with seed 0", 0.3), ("ppo with seed 1", 0.3)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("content", "size"),
    [
        ({"a": "xx", "b": "${a}${a}"}, 1 + 3 + 1 + 8 + 2 * 3),
        ({"a": {"b": "${.c}", "c": 1}}, 1 + 1 + (1 + 5 + 1) + 1),
        ({"a": {"b": "${..c}"}, "c": "xyz"}, 1 + (1 + 1 + 6 + 4) + 4),
        ({"a": "${missing.key}"}, 1 + 1 + 14 + 1),
    ],
)
def test_the_size_with_references_written_out(content: dict[str, object], size: int) -> None:
    assert written_out(content) == size


def test_what_refers_to_itself_has_no_size() -> None:
    for content in ({"a": "${a}"}, {"a": "${b}", "b": "${a}"}, {"a": {"b": "${a}"}}):
        assert written_out(content) > LARGEST
