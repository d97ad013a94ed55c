"""Shell completion, asked as the shells ask: by environment variables, and by bash itself."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from rlcli.cli.complete import answer, candidates
from tests.cli.conftest import ALGORITHMS

BASH = shutil.which("bash")


def words(line: str, current: str) -> list[str]:
    return [word for word, _ in candidates(line.split(), current)]


@pytest.mark.parametrize(
    ("line", "current", "expected"),
    [
        ("", "tr", ["train"]),
        (
            "",
            "",
            [
                "train",
                "resume",
                "fork",
                "eval",
                "export",
                "runs",
                "show",
                "reproduce",
                "diff",
                "list",
                "explain",
                "new",
                "doctor",
                "sweep",
            ],
        ),
        ("", "--ver", ["--version"]),
        ("sweep", "", ["status", "best"]),
        ("sweep best", "la", ["last"]),
        ("sweep best", "--j", ["--json"]),
        ("train -m", "sweep=tr", ["sweep=trpo"]),
        (
            "train -m",
            "sweep.sampler=",
            [f"sweep.sampler={name}" for name in ("none", "tpe", "random", "grid", "nsgaii")],
        ),
        ("train", "algo=ppo_", ["algo=ppo_clip", "algo=ppo_kl"]),
        ("train", "+experiment=b", ["+experiment=benchmark_shape"]),
        ("train", "tuned=ppo/P", ["tuned=ppo/Pendulum-v1"]),
        ("train", "env=CartPole-v1", ["env=CartPole-v1"]),
        (
            "train",
            "algo.cl",
            ["algo.clip=", "algo.clip_schedule=", "algo.clip_high=", "algo.clip_dual="],
        ),
        ("train", "algo.anch", ["algo.anchor=update", "algo.anchor=behaviour", "algo.anchor="]),
        ("train seed=1", "network.shared=", ["network.shared=true", "network.shared=false"]),
        ("train", "algo.gamma=", ["algo.gamma=0.99"]),
        ("train -m", "network.activation=tanh,re", ["network.activation=tanh,relu"]),
        ("train", "logger=[console,ts", []),
        ("train", "logger=[console,te", ["logger=[console,tensorboard"]),
        ("train --cfg", "", ["job", "hydra", "all"]),
        ("train", "--mul", ["--multirun"]),
        ("train", "--dr", ["--dry-run"]),
        ("doctor", "--j", ["--json"]),
        ("doctor", "", []),
        ("train", "nothing.like=", []),
        ("list", "al", ["algos"]),
        ("explain", "behaviour/es", ["behaviour/ess"]),
        ("eval last", "--chec", ["--checkpoint"]),
        ("eval last --checkpoint", "b", ["best"]),
        ("resume last", "checkpoint.k", ["checkpoint.keep="]),
        ("resume -q last", "see", []),
        ("resume last tags=[a]", "wandb.mode=off", ["wandb.mode=offline"]),
        ("resume last", "logger=[jsonl,te", ["logger=[jsonl,tensorboard"]),
        ("resume", "la", ["last"]),
        ("fork", "la", ["last"]),
        (
            "fork last",
            "algo.cl",
            ["algo.clip=", "algo.clip_schedule=", "algo.clip_high=", "algo.clip_dual="],
        ),
        ("fork --at best", "la", ["last"]),
        ("fork --at best last", "la", ["lag=0", "lag="]),
        ("resume --import mine", "la", ["last"]),
        ("fork last", "network.", []),
        ("fork last --at", "b", ["best"]),
        ("runs --rm", "la", ["last"]),
        ("runs", "--ol", ["--older"]),
        ("train -m", "hydra/launcher=j", ["hydra/launcher=joblib"]),
        (
            "train -m hydra/launcher=ray",
            "hydra.launcher.num_",
            ["hydra.launcher.num_cpus=", "hydra.launcher.num_gpus="],
        ),
        ("resume sweep", "hydra/launcher=s", ["hydra/launcher=submitit"]),
        ("nosuchverb", "x", []),
    ],
)
def test_candidates(line: str, current: str, expected: list[str]) -> None:
    assert words(line, current) == expected


def test_ids_without_a_file_are_candidates() -> None:
    assert {"env=MountainCar-v0", "env=MountainCarContinuous-v0"} <= set(words("train", "env=Mountain"))


def test_ones_own_configs_are_candidates(workplace: Path) -> None:
    (workplace / "own" / "algo").mkdir(parents=True)
    (workplace / "own" / "algo" / "mine.yaml").touch()
    assert words("train --config-dir own", "algo=mi") == ["algo=mine"]


def ask(shell: str, capsys: pytest.CaptureFixture[str], **variables: str) -> list[str]:
    assert answer(shell, variables) == 0
    return capsys.readouterr().out.splitlines()


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        (["rlcli", "train", "algo", "=", "ppo_c"], ["ppo_clip"]),
        (["rlcli", "train", "algo", "="], ALGORITHMS),
        (["rlcli", "train", "algo=ppo_c"], ["algo=ppo_clip"]),
        (["rlcli", "train", "seed", "=", "1", "tuned", "=", "no"], ["none"]),
        (["rlcli", "tra"], ["train"]),
    ],
)
def test_bash_breaks_words_at_equals(
    pieces: list[str], expected: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    position = str(len(pieces) - 1)
    assert ask("bash", capsys, COMP_WORDS="\n".join(pieces), COMP_CWORD=position) == expected
    assert ask("bash", capsys, COMP_WORDS=" ".join(pieces), COMP_CWORD=position) == expected


def test_a_new_word_in_bash(capsys: pytest.CaptureFixture[str]) -> None:
    assert "--quiet" not in ask("bash", capsys, COMP_WORDS="rlcli list ", COMP_CWORD="2")
    assert ask("bash", capsys, COMP_WORDS="rlcli list ", COMP_CWORD="2") == [
        "algos",
        "envs",
        "configs",
        "networks",
        "launchers",
        "wrappers",
    ]


def test_zsh_and_fish(capsys: pytest.CaptureFixture[str]) -> None:
    (line, *rest) = ask("zsh", capsys, _TYPER_COMPLETE_ARGS="rlcli train algo=ppo")
    assert line.startswith('_arguments \'*: :(("algo=ppo":')
    assert "'" not in "".join([line.removeprefix("_arguments '"), *rest]).removesuffix("'")
    asked = {"_TYPER_COMPLETE_ARGS": "rlcli train algo=ppo_c", "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    (line,) = ask("fish", capsys, **asked)
    assert line.startswith("algo=ppo_clip\t")
    asked["_TYPER_COMPLETE_FISH_ACTION"] = "is-args"
    assert answer("fish", asked) == 0
    assert answer("fish", asked | {"_TYPER_COMPLETE_ARGS": "rlcli train algo=zzz"}) == 1


@pytest.mark.skipif(BASH is None, reason="no bash here")
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("rlcli tra", ["train"]),
        ("rlcli train algo=ppo_c", ["ppo_clip"]),
        ("rlcli train algo=", ALGORITHMS),
        ("rlcli train --quiet algo.clip_s", ["algo.clip_schedule=constant", "algo.clip_schedule=linear",
                                             "algo.clip_schedule="]),
        ("rlcli train env=Pendulum-v", ["Pendulum-v1"]),
    ],
)  # fmt: skip
def test_under_bash_itself(line: str, expected: list[str], tmp_path: Path) -> None:
    """The installed script in bash, with the words as bash splits them."""
    command = tmp_path / "rlcli"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m rlcli "$@"\n')
    command.chmod(0o755)
    pieces = line.replace("=", " = ").split()
    array = " ".join(f'"{piece}"' for piece in pieces)
    script = (
        f'PATH="{tmp_path}:$PATH"\n'
        'eval "$(_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION=1 rlcli --show-completion bash)"\n'
        f"COMP_WORDS=({array}); COMP_CWORD={len(pieces) - 1}\n"
        "eval \"$(complete -p rlcli | sed 's/.*-F \\([^ ]*\\).*/\\1/') rlcli\"\n"
        'printf "%s\\n" "${COMPREPLY[@]}"\n'
    )
    assert BASH is not None
    done = subprocess.run(
        [BASH, "--norc", "-c", script], capture_output=True, text=True, env=dict(os.environ)
    )
    assert done.stderr == ""
    assert done.stdout.split() == expected


def test_completion_loads_neither_torch_nor_hydra(workplace: Path) -> None:
    script = (
        "import sys\n"
        "from rlcli.cli.complete import candidates\n"
        "assert candidates(['train'], 'env=Cart') and candidates(['show'], '')\n"
        "assert candidates(['explain'], 'behaviour/e') and candidates(['train'], '--q')\n"
        "print(sorted({'torch', 'hydra', 'wandb'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("[]\n", "")
