"""Text stays the characters that were typed, wherever a key takes text; Hydra composes the same."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from rlcli.config.amend import amend
from rlcli.config.compose import compose, from_yaml, to_yaml
from rlcli.config.hydra_grammar import parse, spelled
from rlcli.config.launchers import takes_text
from rlcli.config.overrides import parse_command
from rlcli.config.schema.keys import KEYS
from rlcli.config.schema.run import RunConfig
from rlcli.config.serialise import flatten
from rlcli.errors import UserError
from tests.sweeps.composing import compose_multirun, multirun

READ_OTHERWISE = (
    "1e3", "2.10", "1_000", "01", "007", "0x10", "0b1", "-5", "+5", ".5", "5.", "inf", "-inf", "NaN", "true",
    "FALSE", "on", "yes", "n", "09:30", "1:30", "2026-11-05", "12:30:45", "~",
)  # fmt: skip
"""Words that Hydra's grammar or YAML reads as a number, a switch or a date."""
FREE = [
    name for name, key in KEYS.items() if key.takes_text and key.declaration.choices is None
    and name not in ("algo.name", "env.id", "network.name", "tuned", "sweep.objective", "imports")
]  # fmt: skip


@pytest.mark.parametrize("key", FREE)
def test_text_is_what_was_typed(key: str) -> None:
    for word in READ_OTHERWISE:
        found = parse_command([f"{key}={word}"])
        assert found.faults == ()
        [(text, value)] = parse(f"{key}={found.settings[0].texts[0]}").values
        assert value == word == found.settings[0].values[0].data, text


@pytest.mark.parametrize("word", [word for word in READ_OTHERWISE if word != "~"])
def test_text_comes_through_composition_yaml_and_what_was_recorded(word: str) -> None:
    name = word.replace(":", "-") if word[0] not in "+-." else "1e3"
    job = compose(
        [f"name={name}", f"notes={word}", f"tags=[a,{word}]", f"wandb={{group:{word}}}", f"env={word}"]
    )
    config = job.config
    assert (config.name, config.notes) == (name, word)
    assert (config.tags, config.wandb.group, config.env.id) == (("a", word), word, word)
    assert from_yaml(job.yaml) == config == from_yaml(to_yaml(config))
    assert compose(job.overrides).config == config


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("é", "é"), ("naïve 100%", "naïve 100%"), ("a=b", "a=b"), ("#1; <2> & 3!", "#1; <2> & 3!"),
        (" 1e3 ", "1e3"), ("'1e3'", "1e3"), ('"1e3"', "1e3"), ("1e3\\,2", "1e3,2"), ("C:\\x", "C:\\x"),
        ("'a\\'b'", "a'b"), ("str(1e3)", "1e3"), ("'null'", "null"), ("", ""), ("${seed}", "7"),
        ("s${seed}", "s7"),
    ],
)  # fmt: skip
def test_hydras_grammar_still_holds_in_text(typed: str, meant: str) -> None:
    job = compose([f"notes={typed}", "seed=7"])
    assert compose(job.overrides).config.notes == meant
    assert job.config.notes == meant


def test_null_is_no_text() -> None:
    assert compose(["name=null"]).config.name is None
    with pytest.raises(UserError, match="notes=null: must not be null"):
        compose(["notes=null"])


def test_numbers_and_switches_of_other_keys_are_as_before() -> None:
    config = compose(["total_steps=1e5", "algo.line_search=TRUE", "env.kwargs.a=1e3", "algo=trpo"]).config
    assert (config.total_steps, config.algo.line_search, config.env.kwargs) == (100_000, True, {"a": 1000.0})


def test_text_of_a_sweep_is_what_was_typed() -> None:
    def names(text: str) -> list[str | None]:
        return [job.config.name for job in compose_multirun([text])]

    assert names("name=1e3,2.10,true") == ["1e3", "2.10", "true"]
    assert names("name=choice(1e3,007)") == ["1e3", "007"]
    assert names("name=sort(9,10)") == ["10", "9"]
    assert names("name=range(2)") == ["0", "1"]
    assert [job.config.tags for job in compose_multirun(["tags=[1e3],[on,1_0]"])] == [("1e3",), ("on", "1_0")]


def test_hydra_composes_the_same() -> None:
    settings = multirun(["name=1e3", "tags=[2.10,x]", "algo.clip=1e-1"]).hydra_words()
    assert settings == ["name='1e3'", "tags=['2.10',x]", "algo.clip=1e-1"]


def test_text_of_a_launcher_is_what_was_typed() -> None:
    assert takes_text("hydra.launcher.account")
    assert not takes_text("hydra.launcher.gpus_per_node")
    words = ["hydra/launcher=submitit", "hydra.launcher.executor=local", "hydra.launcher.setup=[1e3,on]"]
    found = multirun(words)
    assert [one.texts for one in found.settings] == [("submitit",), ("local",), ("['1e3',on]",)]


def test_text_of_a_resumed_run_is_what_was_typed() -> None:
    amended = amend(RunConfig(), parse_command(["notes=1e3", "tags=[2.10,07]"]), updates=0)
    assert (amended.config.notes, amended.config.tags) == ("1e3", ("2.10", "07"))


@pytest.mark.parametrize("line", ["name: 1e3", "tags: [a, 0x10]", "notes: on", "wandb: {group: 1_000}"])
def test_a_file_that_yaml_reads_otherwise_is_refused(line: str, tmp_path: Path) -> None:
    folder = tmp_path / "experiment"
    folder.mkdir()
    (folder / "mine.yaml").write_text(f"# @package _global_\n{line}\n")
    with pytest.raises(UserError, match=r"in experiment/mine: the key takes text.*put it in quotes"):
        compose(["experiment=mine"], config_dir=str(tmp_path))


def test_a_file_with_quotes_is_as_written(tmp_path: Path) -> None:
    folder = tmp_path / "experiment"
    folder.mkdir()
    (folder / "mine.yaml").write_text("# @package _global_\nname: '1e3'\ntags: ['2.10', b]\n")
    config = compose(["experiment=mine"], config_dir=str(tmp_path)).config
    assert (config.name, config.tags) == ("1e3", ("2.10", "b"))


def test_text_that_needs_quotes_comes_with_them() -> None:
    with pytest.raises(UserError) as caught:
        compose(["notes=it's"])
    [word] = shlex.split(caught.value.faults[0].partition(" Write ")[2])
    assert compose([word]).config.notes == "it's"


@pytest.mark.parametrize(
    "value",
    ["1e3", "a b", "it's", "C:\\", "x\\'", "${a}", "", [1, "1", None, True, 2.5], {"a b": [{}, "c:d"]}],
)
def test_what_is_spelled_is_read_back(value: object) -> None:
    [(_, found)] = parse(f"env.kwargs.x={spelled(value)}").values
    assert found == value


def test_every_key_that_takes_text_is_known() -> None:
    assert {"name", "tags", "notes", "wandb.group", "env.id", "device"} <= {
        name for name, key in KEYS.items() if key.takes_text
    }
    assert set(flatten(RunConfig())) == set(KEYS)
