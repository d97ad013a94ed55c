"""Regression check of numbers: a fixed set of short runs trained at REV and in this tree, compared.

    make same-numbers REV=main

Each run is trained by the command line of the revision, in a temporary worktree, and by that of this tree,
uncommitted changes included. `identical` means: every digest of every update is the same. Where digests
differ, tensors and figures are compared by name. What only one side knows (a key, a figure, a tensor, a
version of the digests, a run) is left out and named. Kernels are left out too: the side that has them trains
in torch. The exit code is 1 when anything differs.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from run_comparison import Comparison, compare, flat_keys

ROOT = Path(__file__).parents[1]
SMALL = (
    "tuned=none", "env.num_envs=4", "algo.rollout_steps=32", "total_steps=1024", "network.hidden=[16,16]",
    "eval.episodes=0", "checkpoint.every=1", "checkpoint.keep=1", "logger=[jsonl]", "name=one",
)  # fmt: skip
"""Eight updates, each of which is kept as a checkpoint."""
WHERE_KNOWN = ("compute.kernel=torch", "checkpoint.seconds=0")
"""Set where a side has the key, so that both sides compute with torch and keep every checkpoint."""

ALGORITHMS = ("ppo", "ppo_kl", "trpo", "mdpo", "a2c", "impala", "reinforce", "spo", "dppo", "cispo", "ppg")
PHASES = "algo.auxiliary_every=4 algo.auxiliary_epochs=2 algo.auxiliary_minibatches=4"
DISCRETE, CONTINUOUS = "env=CartPole-v1", "env=Pendulum-v1"
RUNS: dict[str, str] = {
    **{f"{algo} discrete": f"algo={algo} {DISCRETE}" for algo in ALGORITHMS[:-1]},
    **{f"{algo} continuous": f"algo={algo} {CONTINUOUS}" for algo in ALGORITHMS[:-1]},
    "ppg discrete": f"algo=ppg {DISCRETE} {PHASES}",
    "ppg continuous": f"algo=ppg {CONTINUOUS} {PHASES}",
    "ppg, shared trunk": f"algo=ppg {DISCRETE} {PHASES} network.shared=true",
    "ppo_kl, beta doubled": f"algo=ppo_kl {DISCRETE} algo.kl_target=1e-5",
    "ppo, lag 2": f"algo=ppo {DISCRETE} lag=2",
    "trpo, lag 2": f"algo=trpo {CONTINUOUS} lag=2",
    "impala, lag 2": f"algo=impala {DISCRETE} lag=2",
    "mdpo, lag 2, anchor mu": f"algo=mdpo {CONTINUOUS} lag=2 algo.anchor=behaviour",
    "normalised": f"algo=ppo {CONTINUOUS} env.normalize_observation=true env.normalize_reward=true",
    "target_kl, whole epochs": f"algo=ppo {DISCRETE} algo.target_kl=0.001 algo.target_kl_rule=epoch_exact",
    "target_kl, minibatches": f"algo=ppo {DISCRETE} algo.target_kl=0.001 algo.target_kl_rule=minibatch_k3",
    "value clip": f"algo=ppo {CONTINUOUS} algo.value_clip=0.2",
    "shared trunk, relu": f"algo=ppo {DISCRETE} network.shared=true network.activation=relu",
    "recompute, batch whitening": (
        f"algo=ppo {DISCRETE} algo.recompute=epoch algo.normalize_advantage=batch algo.entropy_coef=0.01"
    ),
    "n-step, rmsprop": f"algo=a2c {DISCRETE} algo.targets=nstep algo.optimiser=rmsprop",
    "monte carlo, sgd": f"algo=a2c {CONTINUOUS} algo.targets=monte_carlo algo.optimiser=sgd",
    "whole episodes": (
        f"algo=reinforce {DISCRETE} collect.whole_episodes=true algo.rollout_steps=512 total_steps=8192"
    ),
    "gymnasium's environment": f"algo=ppo {DISCRETE} env.backend=gymnasium",
    "observations that are choices": "algo=ppo env=FrozenLake-v1",
    "clip-higher, dual clip": f"algo=ppo {CONTINUOUS} algo.clip_high=0.3 algo.clip_dual=3",
    "a rate that adapts": f"algo=ppo {DISCRETE} algo.learning_rate_schedule=adaptive_kl",
    "V-trace that mixes": (
        f"algo=impala {DISCRETE} algo.vtrace_bootstrap=lambda_mix algo.gae_lambda=0.9 algo.rho_bar_pg=2"
    ),
    "a critic of action values": f"algo=retrace {DISCRETE} lag=2",
    "off-policy actor-critic": f"algo=offpac {DISCRETE} lag=1",
    "cohort of 3": f"-m algo=ppo {CONTINUOUS} seed=0,1,2 cohort.workers=1",
    "cohort of 3, trpo": f"-m algo=trpo {DISCRETE} algo.delta=0.01,0.02,0.03 cohort.workers=1",
    "sb3 ppo": f"algo=ppo {CONTINUOUS} backend=sb3",
    "sb3 a2c": f"algo=a2c {DISCRETE} backend=sb3",
    "sb3 trpo": f"algo=trpo {DISCRETE} backend=sb3",
}
"""Name -> overrides, added to SMALL."""

START = """
import importlib.util
import sys
from pathlib import Path

tree = sys.argv.pop(1)
# An editable install would find its own configs for those of the tree.
sys.meta_path[:] = [one for one in sys.meta_path if "__editable__" not in getattr(one, "__module__", "")
                    and "__editable__" not in getattr(one, "__name__", "")]
sys.path.insert(0, tree)
import rlcli
configs = importlib.util.find_spec("rlcli.conf")
for place in (rlcli.__file__, *(configs.submodule_search_locations if configs else ())):
    if not Path(place).resolve().is_relative_to(tree):
        sys.exit(f"{place} is not in {tree}")
from rlcli.cli.main import main
main()
"""
"""The command line of a tree, and of no other that may be installed."""


@dataclass(frozen=True)
class Side:
    """A tree of rlcli's and the folder its runs are saved to."""

    tree: Path
    runs: Path

    def rlcli(self, runs: Path, words: Sequence[str]) -> subprocess.CompletedProcess[str]:
        """A command of this tree's, with an environment that is the same on every side."""
        quiet = {"WANDB_MODE": "disabled", "OMP_NUM_THREADS": "1", "RLCLI_RUNS": str(runs)}
        return subprocess.run(
            [sys.executable, "-P", "-W", "ignore", "-c", START, str(self.tree), *words],
            env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | quiet,
            cwd=self.tree, capture_output=True, text=True, check=False,
        )  # fmt: skip

    def keys(self) -> set[str]:
        """The keys this tree's configs have."""
        done = self.rlcli(self.runs, ["train", "--cfg", "job"])
        if done.returncode:
            sys.exit(f"{self.tree} cannot compose a config: {done.stderr.strip()}")
        return flat_keys(yaml.safe_load(done.stdout))

    def train(self, name: str, words: Sequence[str]) -> str | None:
        """Trains one of the runs; what was said when it could not be trained."""
        folder = self.runs / name.replace(" ", "-").replace(",", "")
        done = self.rlcli(folder, ["train", "-q", *words])
        return (done.stderr or done.stdout).strip() if done.returncode else None

    def directories(self, name: str) -> list[Path]:
        """The run directories of one of the runs: one, or those of a sweep's jobs."""
        folder = self.runs / name.replace(" ", "-").replace(",", "")
        return [path.parent for path in sorted(folder.rglob("digests.txt"))]


@contextmanager
def worktree(revision: str, folder: Path) -> Iterator[Path]:
    """The files of a revision in a folder, while the block runs."""
    tree = folder / "tree"
    git = ["git", "-C", str(ROOT), "-c", f"core.hooksPath={os.devnull}", "worktree"]
    done = subprocess.run(
        [*git, "add", "--detach", str(tree), revision], capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"There is no revision {revision}: {done.stderr.strip()}")
    try:
        yield tree
    finally:
        subprocess.run([*git, "remove", "--force", str(tree)], capture_output=True, check=False)


def overrides(name: str, keys: set[str]) -> list[str]:
    """The words of one of the runs for a side with these keys."""
    words = [*RUNS[name].split()]
    flags = [word for word in words if word.startswith("-")]
    named = {word.partition("=")[0] for word in words}
    small = [word for word in SMALL if word.partition("=")[0] not in named]
    known = [word for word in WHERE_KNOWN if word.partition("=")[0] in keys]
    return [*flags, *small, *known, *(word for word in words if word not in flags)]


def trained(sides: Sequence[Side], names: Sequence[str], workers: int) -> dict[tuple[int, str], str | None]:
    """Trains every run on both sides; what was said of those that could not be trained."""
    keys = [side.keys() for side in sides]
    with ThreadPoolExecutor(workers) as pool:
        jobs = {
            (index, name): pool.submit(side.train, name, overrides(name, keys[index]))
            for name in names
            for index, side in enumerate(sides)
        }
        return {key: job.result() for key, job in jobs.items()}


def compared(sides: Sequence[Side], name: str) -> Comparison:
    """The comparison of one of the runs; of all jobs of a sweep as one."""
    left, right = (side.directories(name) for side in sides)
    whole = Comparison()
    if len(left) != len(right) or not left:
        whole.differences.append(f"{len(left)} and {len(right)} run directories")
    for one, other in zip(left, right, strict=False):
        found = compare(one, other)
        where = f"{other.name}: " if len(left) > 1 else ""
        whole.updates += found.updates
        whole.digests += found.digests
        whole.differences += [where + text for text in found.differences]
        whole.left_out |= found.left_out
    return whole


def report(sides: Sequence[Side], names: Sequence[str], said: dict[tuple[int, str], str | None]) -> int:
    """Prints a line for each run, what was left out, and the verdict; the exit code."""
    width = max(map(len, names))
    different, updates, digests, left_out = [], 0, 0, dict[str, None]()
    for name in names:
        before, now = said[0, name], said[1, name]
        if now is not None:
            different.append(name)
            print(f"{name:{width}}  does not train in this tree: {now.splitlines()[0]}")
            continue
        if before is not None:
            left_out[f"run {name!r} (the revision does not train it: {before.splitlines()[0]})"] = None
            print(f"{name:{width}}  left out")
            continue
        found = compared(sides, name)
        updates, digests = updates + found.updates, digests + found.digests
        left_out |= found.left_out
        if not found.differences:
            print(f"{name:{width}}  identical: {found.updates} updates, {found.digests} equal digests")
            continue
        different.append(name)
        alone = " in figures alone," if found.figures_alone else ""
        print(f"{name:{width}}  differs{alone} first at {found.differences[0]}")
        for text in found.differences[1:4]:
            print(f"{'':{width}}  then at {text}")
    if left_out:
        print("\nLeft out, for only one side has it, or by rule:")
        print("\n".join(f"  {text}" for text in left_out))
    if different:
        print(f"\ndifferent: {len(different)} of {len(names)} runs ({', '.join(different)})")
        return 1
    print(f"\nidentical: {len(names)} runs, {updates} updates, {digests} equal digests")
    return 0


def main() -> None:
    """Parses the command line, trains both sides and compares."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("revision", help="a commit, branch or tag")
    parser.add_argument("--only", metavar="TEXT", default="", help="only runs whose name contains this")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes side by side")
    asked = parser.parse_args()
    names = [name for name in RUNS if asked.only in name]
    if not names:
        sys.exit(f"No run has {asked.only!r} in its name; there are: {', '.join(RUNS)}")
    with tempfile.TemporaryDirectory(prefix="rlcli-same-") as folder:
        place = Path(folder).resolve()
        with worktree(asked.revision, place) as tree:
            sides = Side(tree, place / "then"), Side(ROOT.resolve(), place / "now")
            code = report(sides, names, trained(sides, names, asked.workers))
    sys.exit(code)


if __name__ == "__main__":
    main()
