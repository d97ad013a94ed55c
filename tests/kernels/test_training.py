"""Training gives the same bits with every instruction set: whole runs, each in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from rlcli.kernels import library

SMALL = (
    "tuned=none", "env.num_envs=4", "algo.rollout_steps=32", "total_steps=512", "network.hidden=[17,16]",
    "eval.episodes=2", "eval.every=256", "logger=[jsonl]", "compute.kernel=c",
)  # fmt: skip
RUNS = {
    "ppo": "algo=ppo env=CartPole-v1",
    "a2c": "algo=a2c env=Pendulum-v1 env.normalize_observation=true env.normalize_reward=true",
    "trpo": "algo=trpo env=Acrobot-v1 network.activation=relu",
}
TRAIN = """
import json, sys
from rlcli.config.compose import compose
from rlcli.runs.train import train
from pathlib import Path
for name, words in json.loads(sys.argv[1]).items():
    [result] = train([compose(words).config], [Path(sys.argv[2], name)], quiet=True)
    assert result.status == "finished", result
"""


def trained(folder: Path, isa: str) -> dict[str, tuple[str, str]]:
    """Digests and kernel of each run, trained with an instruction set."""
    words = {name: [*text.split(), *SMALL] for name, text in RUNS.items()}
    done = subprocess.run(
        [sys.executable, "-c", TRAIN, json.dumps(words), str(folder)], capture_output=True, text=True,
        env=os.environ | {library.FORCED: isa, "OMP_NUM_THREADS": "1"}, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return {
        name: (
            (folder / name / "digests.txt").read_text(),
            json.loads((folder / name / "manifest.json").read_text())["kernel"],
        )
        for name in RUNS
    }


@pytest.mark.skipif(len(library.available()) < 2, reason="there is one instruction set here")
def test_runs_have_equal_digests_with_every_instruction_set(tmp_path: Path) -> None:
    found = {isa: trained(tmp_path / isa, isa) for isa in library.available()}
    first, *others = found
    for isa in others:
        for name in RUNS:
            assert found[isa][name][0] == found[first][name][0], (name, isa)
    assert {isa: found[isa]["ppo"][1] for isa in found} == {isa: f"c ({isa})" for isa in found}
