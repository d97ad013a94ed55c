"""What `resume` finds in a directory, refuses, records and tells."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rlcli.config.overrides import parse_command
from rlcli.errors import EXIT_DONE, StorageError, UserError
from rlcli.runs.resume import resume
from rlcli.runs.train import train
from rlcli.store.checkpoints import Checkpoints
from rlcli.store.config_file import read_config
from rlcli.store.manifest import Manifest
from tests.runs.resuming import (
    assert_same_run,
    copy,
    read_rows,
    reset_manifest,
    resumed,
    train_with_copies,
    write_rows,
)
from tests.runs.tiny import BATCH, index_of, manifest_of, rows_of, tiny


def test_a_finished_run_has_nothing_to_do(tmp_path: Path) -> None:
    [result] = train([tiny()], [tmp_path / "run"])
    before = contents(result.dir)
    again = resume(result.dir)
    assert (again.status, again.exit_code, again.updates) == ("finished", EXIT_DONE, 3)
    assert "total_steps=192" in str(again.message)
    with pytest.raises(UserError, match=r"tags=\[a\] has nothing left to apply to"):
        resume(result.dir, parse_command(["tags=[a]"]))
    assert contents(result.dir) == before


def test_a_finished_run_has_its_index_made_whole(tmp_path: Path) -> None:
    """With the best by its final evaluation, which the course has not."""
    [result] = train([tiny(checkpoint__every=32)], [tmp_path / "run"])
    path = result.dir / "checkpoints" / "index.json"
    whole = path.read_bytes()
    assert index_of(result.dir)["best"] == 3
    path.write_bytes(whole[:50])
    said: list[str] = []
    assert resume(result.dir, notify=said.append).exit_code == EXIT_DONE
    assert "index.json is damaged" in said[0]
    assert path.read_bytes() == whole


def test_a_finished_run_whose_last_checkpoint_is_damaged_does_its_end_again(tmp_path: Path) -> None:
    config = tiny(checkpoint__every=32, total_steps=5 * BATCH)
    [result] = train([config], [tmp_path / "run"])
    whole = copy(result.dir, "whole")
    path = result.dir / "checkpoints" / "5.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    resumed(result.dir)
    assert_same_run(result.dir, whole)


def contents(run_dir: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(run_dir)): path.read_bytes() for path in run_dir.rglob("*") if path.is_file()
    }


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("seed=1", "seed=1: a resumed run keeps its seed=0"),
        ("algo.clip=0.3", "keeps its algo.clip=0.2"),
        ("schedule_past=[1,64]", "keeps its schedule_past=[]"),
        ("algo=trpo", "algo=trpo cannot be chosen"),
        ("env=Pendulum-v1", "started with env=CartPole-v1"),
        ("env.kwargs.x=1", "keeps its env.kwargs.x"),
        ("totl_steps=5", "Did you mean 'total_steps'?"),
        ("total_steps=many", "expected a whole number"),
        ("total_steps=${seed}", "give a value"),
        ("total_steps=32", "has done 64 steps already"),
        ("hydra.verbose=true", "Hydra composes nothing"),
        ("eval.episodes=1,2", "several values"),
        ("logger=[jsnl]", "choose from"),
    ],
)
def test_what_would_change_the_past_is_refused(override: str, said: str, tmp_path: Path) -> None:
    _, [killed] = train_with_copies(tiny(checkpoint__every=32), tmp_path / "run", (2,))
    before = contents(killed)
    with pytest.raises(UserError) as caught:
        resume(killed, parse_command([override]))
    assert said in str(caught.value)
    assert contents(killed) == before


def test_overrides_apply_and_are_recorded(tmp_path: Path) -> None:
    _, [killed] = train_with_copies(tiny(checkpoint__every=32), tmp_path / "run", (2,))
    words = [
        "eval.episodes=1",
        "eval.every=32",
        "tags=[b,c]",
        "notes=later",
        "total_steps=128",
        "logger=jsonl",
    ]
    before = read_config(killed)
    result = resumed(killed, *words)
    assert result.updates == 4
    assert [row.get("eval/episodes") for row in rows_of(killed)] == [None, None, 1, 1]
    manifest = Manifest.read(killed).content
    [entry] = manifest["resumes"]
    assert (entry["update"], entry["overrides"], entry["exact"]) == (2, words, True)
    assert entry["changed"]["total_steps"] == [96, 128]
    assert entry["changed"]["tags"] == [[], ["b", "c"]]
    assert (manifest["tags"], manifest["notes"], manifest["total_steps"]) == (["b", "c"], "later", 128)
    now = read_config(killed)
    assert (now.total_steps, now.schedule_steps, now.eval.episodes) == (128, 96, 1)
    assert now.algo == before.algo
    resumed(killed, "total_steps=160")
    assert [entry["update"] for entry in Manifest.read(killed).content["resumes"]] == [2, 4]


def test_rows_that_come_out_otherwise_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, [killed] = train_with_copies(tiny(checkpoint__every=64), tmp_path / "run", (3,))
    (killed / "checkpoints" / "3.safetensors").unlink(missing_ok=True)
    lines = read_rows(killed)
    row = json.loads(lines[2])
    write_rows(killed, [*lines[:2], json.dumps(row | {"behaviour/ess": 0.5})])
    resumed(killed)
    said = capsys.readouterr().err
    assert "Update 3 differs from before the resume: behaviour/ess." in said


@pytest.mark.parametrize("torn", ["", '{"update": 5, "env_st', "\n", '{"update": 5}\n', "\0\xff\n"])
def test_what_lies_after_the_checkpoint_is_dropped(torn: str, tmp_path: Path) -> None:
    whole, [killed] = train_with_copies(tiny(checkpoint__every=64, total_steps=160), tmp_path / "run", (3,))
    with (killed / "metrics.jsonl").open("a", encoding="latin-1") as file:
        file.write(torn)
    with (killed / "digests.txt").open("a") as file:
        file.write("4 12")
    for name in ("manifest.json.new", "checkpoints/5.safetensors.new"):
        (killed / name).write_bytes(b"half")
    resumed(killed)
    assert_same_run(killed, whole.dir)
    assert list(killed.rglob("*.new")) == []


def test_a_row_changed_since_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, [killed] = train_with_copies(tiny(checkpoint__every=64), tmp_path / "run", (2,))
    lines = read_rows(killed)
    write_rows(killed, [lines[0].replace('"train/episodes": ', '"train/episodes": 1'), *lines[1:]])
    resumed(killed)
    assert "the rows up to update 2 are not those that were written" in capsys.readouterr().err
    assert [row["update"] for row in rows_of(killed)] == [1, 2, 3]


def test_a_damaged_checkpoint_is_named_and_the_one_before_used(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tiny(checkpoint__every=32, eval__every=32, total_steps=5 * BATCH)
    whole, [killed] = train_with_copies(config, tmp_path / "run", (3,))
    path = killed / "checkpoints" / "3.safetensors"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)
    resumed(killed)
    said = capsys.readouterr().err
    assert "3.safetensors is damaged" in said
    assert "The one before it is used" in said
    assert_same_run(killed, whole.dir)


def test_without_a_whole_checkpoint_it_says_what_is_left_to_do(tmp_path: Path) -> None:
    _, [killed] = train_with_copies(tiny(checkpoint__every=32), tmp_path / "run", (2,))
    for path in (killed / "checkpoints").glob("*.safetensors"):
        path.write_bytes(path.read_bytes()[:-1])
    before = contents(killed)
    with pytest.raises(StorageError, match=r"2\.safetensors.*rlcli reproduce"):
        resume(killed)
    assert contents(killed) == before


def test_a_config_changed_by_hand_is_refused(tmp_path: Path) -> None:
    _, [killed] = train_with_copies(tiny(checkpoint__every=32), tmp_path / "run", (2,))
    path = killed / "config.yaml"
    path.write_text(path.read_text().replace("total_steps: 96", "total_steps: 97"))
    with pytest.raises(StorageError, match="is not the config this run trained with"):
        resume(killed)


def test_a_resume_killed_before_its_config_was_written_is_taken_up(tmp_path: Path) -> None:
    whole, [killed] = train_with_copies(tiny(checkpoint__every=32), tmp_path / "run", (2,))
    config = (killed / "config.yaml").read_bytes()
    before = copy(killed, "copy")
    resumed(killed, "tags=[a]")
    later = (killed / "manifest.json").read_bytes()
    (before / "manifest.json").write_bytes(later)
    assert (before / "config.yaml").read_bytes() == config
    resumed(before)
    assert_same_run(before, whole.dir)


def test_changed_packages_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, [killed] = train_with_copies(tiny(checkpoint__every=32), tmp_path / "run", (1,))
    recorded = manifest_of(killed)["packages"]
    reset_manifest(killed, packages=recorded | {"numpy": "1.0"})
    resumed(killed)
    assert f"numpy 1.0 -> {recorded['numpy']}" in capsys.readouterr().err
    [entry] = manifest_of(killed)["resumes"]
    assert entry["packages"] == {"numpy": ["1.0", recorded["numpy"]]}
    resumed(killed, "total_steps=128")
    assert "numpy" not in capsys.readouterr().err


def test_what_cannot_be_resumed_exactly_goes_on_at_episode_starts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tiny(env__id="tests.envs.probes:ProbeUnrepeatable-v0", checkpoint__every=32, eval__episodes=0)
    _, [killed] = train_with_copies(config, tmp_path / "run", (1,))
    episodes = Checkpoints(killed).load().tensors["collector.episodes"]
    resumed(killed)
    assert "Not resumed exactly, and unfinished episodes are given up" in capsys.readouterr().err
    manifest = manifest_of(killed)
    assert (manifest["status"], manifest["resumes"][0]["exact"]) == ("finished", False)
    assert (Checkpoints(killed).load().tensors["collector.episodes"] > episodes).all()


def test_an_episode_too_long_to_replay_is_given_up_and_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tiny(env__id="Pendulum-v1", env__replay_limit=20, checkpoint__every=64)
    _, [killed] = train_with_copies(config, tmp_path / "run", (2,))
    resumed(killed)
    assert "2 environments could not be restored" in capsys.readouterr().err


def test_tensorboard_leaves_out_what_comes_again(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    settings = {"checkpoint__every": 64, "total_steps": 5 * BATCH, "logger": ("jsonl", "tensorboard")}
    _, [killed] = train_with_copies(tiny(**settings), tmp_path / "run", (3,))
    resumed(killed)
    events = EventAccumulator(str(killed))
    events.Reload()
    assert [event.step for event in events.Scalars("update")] == [32, 64, 96, 128, 160]
