"""A person's mistake: exit code 2, one readable message on stderr, no traceback, nothing made on disk."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

import rlcli as package
from tests.cli.conftest import Rlcli

MISTAKES = {
    "algo=pppo": "Did you mean 'ppo'",
    "algo.clipp=0.1": "Did you mean 'algo.clip'",
    "env=CartPol-v1": "Did you mean 'CartPole-v1'",
    "algo.clip=abc": "expected a number",
    "total_steps=-5": "must be >= 1",
    "algo.gamma=1.5": "must be >= 0, <= 1",
    "seed = 1": "seed = 1: leave out the spaces around =; write seed=1.",
    "seed= 1 total_steps = 9": "total_steps = 9: leave out the spaces around =; write total_steps=9.",
    "algo.clip": "'algo.clip' is not a setting",
    "~algo": "cannot be removed",
    "+experiment=nothing": "benchmark_shape",
    "env=tests.envs.probes:ProbeSpaces-v0 env.kwargs.action=text": "Text(",
    "algo=trpo network.shared=true": "out of its trust region",
    "algo=trpo algo.anchor=behaviour lag=1": "use algo.anchor=update",
    "collect.mode=process collect.actors=9": "collect.actors=9 is more than env.num_envs=8",
    "collect.actors=2": "no effect with collect.mode=inline; it needs collect.mode=process",
    "collect.mode=process env.backend=torch": "collect.mode=process cannot step env.backend=torch",
    "collect.mode=process backend=sb3": "collect.mode=process",
    "algo=reinforce collect.whole_episodes=true": "CartPole-v1's 500 steps at least; algo.rollout_steps=128",
    "algo=reinforce collect.whole_episodes=true env=tests.envs.probes:ProbeChoice-v0": "has none",
    "algo=mdpo algo.clip=0.1": "algo.clip has no effect with algo.surrogate=ratio",
    "env=no_such_module:Thing-v0": "no_such_module",
    "env.kwargs.colour=red": "colour",
    "env=tests.envs.probes:ProbeChoice-v0 env.backend=array": "CartPole-v1",
    "device=cuda:7": "no CUDA device",
    "device=toaster": "choose cpu, cuda",
    "seed=1,2": "add -m",
    "-m algo.clip=0.1,7": "must be > 0, < 1",
    "-m env=CartPole-v1,CartPol-v1": "with env=CartPol-v1",
    "--config-dir nowhere": "no such folder",
    "--cfg jobs": "--cfg",
    "--quick": "--quick",
}


def made(workplace: Path) -> list[str]:
    return [path.name for path in workplace.rglob("*")]


@pytest.mark.parametrize("line", MISTAKES)
def test_mistakes_of_train(line: str, rlcli: Rlcli, workplace: Path) -> None:
    ended = rlcli("train", *line.split())
    assert ended.code == 2
    assert ended.out == ""
    assert MISTAKES[line] in ended.err
    assert "Traceback" not in ended.err
    assert made(workplace) == []


def test_all_mistakes_are_shown_together(rlcli: Rlcli) -> None:
    ended = rlcli("train", "algo.clipp=1", "--quiet", "env=CartPol-v1", "-m", "total_steps=-5,7", "~algo")
    assert ended.code == 2
    assert ended.err.count("Error: ") == 4


def test_a_missing_package_is_named_with_what_installs_it(
    rlcli: Rlcli, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    hidden = {"tensorboard", "wandb", "ale_py"}
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name in hidden else find(name, *rest)
    )
    ended = rlcli("train", "logger=[tensorboard,wandb]", "tuned=none", "algo.minibatches=3")
    assert ended.code == 2
    assert "pip install tensorboard" in ended.err
    assert "pip install wandb" in ended.err
    assert "nearest: 2 or 4" in ended.err


def test_runs_dir_may_not_be_a_file(rlcli: Rlcli, workplace: Path) -> None:
    (workplace / "file").touch()
    ended = rlcli("train", "runs_dir=file")
    assert (ended.code, "is a file" in ended.err) == (2, True)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("trian",), "Did you mean 'train'"),
        (("list", "algorithms"), "algos"),
        (("list",), "Missing argument 'kind'. Choose from: algos, envs"),
        (("resume",), "Missing argument 'RUN'. Example: rlcli resume last"),
        (("runs", "--sotr", "return"), "No such option: --sotr. Did you mean '--sort'"),
        (("export", "last", "--formt", "onnx"), "No such option: --formt. Did you mean '--format'?"),
        (("runs", "--sort"), "Option '--sort' needs a value. Choose from: started, name"),
        (("runs", "--last"), "Option '--last' needs a value. Write --last N."),
        (("runs", "--last", "two"), "'two' is not a whole number."),
        (("runs", "--last", "0"), "must be >= 1, not 0."),
        (("watch", "last", "--every", "often"), "'often' is not a number."),
        (("explain", "algo.clipp"), "Did you mean 'algo.clip'"),
        (("explain", "behavior/ess"), "'behaviour/ess'"),
        (("eval", "last"), "rlcli train"),
        (("show", "nothing"), "nothing"),
        (("eval", "last", "--checkpoint", "bset"), "last, best or the number"),
        (("eval", "last", "--episodes", "0"), "--episodes"),
    ],
)
def test_mistakes_of_other_verbs(words: tuple[str, ...], said: str, rlcli: Rlcli, workplace: Path) -> None:
    ended = rlcli(*words)
    assert ended.code == 2
    assert said in ended.err
    assert ended.out == ""
    assert made(workplace) == []


def test_the_command_itself_ends_the_same_way(workplace: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "rlcli", "train", "algo=pppo", "~algo"], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("Error: ") == 2
    assert made(workplace) == []


@pytest.mark.broken_by(
    "Ctrl-C while modules are imported shows a traceback",
    "cli/main.py",
    "except KeyboardInterrupt:",
    "except ZeroDivisionError:",
)
@pytest.mark.parametrize("module", ["typer", "rlcli.streams", "hydra"])
def test_ctrl_c_during_start_up_shows_no_traceback(module: str, workplace: Path) -> None:
    program = (
        "import sys\n"
        "class Pressed:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name == {module!r}: raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Pressed())\n"
        "from rlcli.cli.main import main\n"
        "main()\n"
    )
    words = [sys.executable, "-c", program, "train", "algo.clip=0.1", "total_steps=16"]
    sources = {"PYTHONPATH": str(Path(package.__path__[0]).parent)}
    done = subprocess.run(words, capture_output=True, text=True, env=os.environ | sources)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "Interrupted.\n")
