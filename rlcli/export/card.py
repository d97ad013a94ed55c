"""The model card of an export, README.md: how to use it, what it achieved, and where it comes from."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rlcli.catalog.table import HEADLINES, METRICS
from rlcli.config.serialise import to_yaml
from rlcli.export.markdown import block, inline, table
from rlcli.runs.policy import Trained
from rlcli.standalone.policy import PolicyModule
from rlcli.store.manifest import Manifest
from rlcli.store.rows import read_rows

FILE = "README.md"
EVALUATED = ("eval/return_mean", "eval/return_std", "eval/return_min", "eval/return_max", "eval/episodes")
VERSIONS = ("rlcli", "torch", "numpy", "gymnasium", "stable-baselines3", "box2d", "mujoco", "ale-py")
"""Packages whose versions a card shows."""
SAMPLES = {
    "box": "a sample is `mean + exp(log_std) * noise`, then clipped to the bounds of the action space",
    "squashed": "a sample is `tanh(mean + exp(log_std) * noise)`, scaled to the bounds of the action space",
    "multibinary": "element i is 1 with probability `sigmoid(logits[i])`",
    "multidiscrete": "each element is drawn from the softmax of its own logits, which lie side by side",
    "discrete": "a sample is drawn from `softmax(logits)`",
}
"""By kind of action: how a stochastic policy samples."""


def card(run_dir: Path, trained: Trained, module: PolicyModule, usage: str, check: str) -> str:
    """The text of a model card.

    Raises:
        StorageError: the run's manifest or metrics are damaged.
    """
    about = Manifest.read(run_dir).content
    row, evaluated = _rows(run_dir, trained.update)
    config = trained.config
    parts = [
        f"# {inline(about['name'])}",
        f"A policy for {inline(config.env.id)}, trained with {inline(config.algo.name)} by rlcli: the "
        f"parameters after update {trained.update:,} ({row.get('env_steps', 0):,} environment steps).",
        "## Use",
        usage,
        *_interface(trained, module),
        check,
        "## Results",
        *_results(row, evaluated),
        "## Training",
        *_training(about),
        "The whole configuration:",
        block(to_yaml(config), "yaml"),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _interface(trained: Trained, module: PolicyModule) -> Iterator[str]:
    yield "Every input and output has the batch as its first axis."
    yield table(
        ("input", "type", "shape"),
        [(one.name, str(one.dtype).removeprefix("torch."), _shape(one.shape)) for one in module.inputs],
    )
    kind = "squashed" if trained.spec.action.squashed else trained.spec.action.kind
    memory = (
        " `next_state` is the `state` of the next step; zeros begin an episode."
        if trained.policy.model.network.memory_width
        else ""
    )
    yield (
        f"Outputs are {', '.join(f'`{name}`' for name in module.outputs)}. `action` is the most "
        f"probable one; {SAMPLES[kind]}. `value` is the critic's estimate of the discounted return.{memory}"
    )


def _results(row: Mapping[str, Any], evaluated: Mapping[str, Any]) -> Iterator[str]:
    found = [(name, _figure(evaluated[name])) for name in EVALUATED if name in evaluated]
    if found:
        yield f"The evaluation after update {evaluated['update']:,}, with the most probable actions:"
        yield table(("metric", "value"), found)
    else:
        yield "There was no evaluation."
    yield "Health at the exported update (`rlcli explain METRIC` defines each metric):"
    names = [name for name in HEADLINES if name in row and not name.startswith(("eval/", "time/"))]
    yield table(
        ("metric", "value", "unit"), [(name, _figure(row[name]), METRICS[name].unit) for name in names]
    )


def _training(about: Mapping[str, Any]) -> Iterator[str]:
    yield block(command(about), "sh")
    yield table(("fact", ""), list(_facts(about)))


def _facts(about: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "run id", about["id"]
    yield "status", about["status"]
    yield "seed", str(about["seed"])
    yield "started", about["started"]
    yield "steps", f"{about['env_steps']:,} of {about['total_steps']:,}"
    commit = about["code"].get("commit")
    if isinstance(commit, str):
        yield "commit of rlcli", commit + (" with uncommitted changes" if about["code"].get("dirty") else "")
    versions = about["packages"]
    yield "packages", ", ".join(f"{name} {versions[name]}" for name in VERSIONS if name in versions)
    yield (
        "machine",
        ", ".join(str(about["machine"][name]) for name in ("platform", "cpu") if about["machine"].get(name)),
    )
    yield "Python", str(about["machine"].get("python", "unknown"))
    yield "repeats", "to the last bit" if about["determinism"] == "bitwise" else "within a tolerance"
    if about["parent"]:
        yield "fork of", str(about["parent"].get("id"))
    if about["notes"]:
        yield "notes", about["notes"]


def command(about: Mapping[str, Any]) -> str:
    """The command that trained a run; of one that was trained from Python or by a sweep, an equal one."""
    given = about.get("command")
    if isinstance(given, list) and given and all(isinstance(word, str) for word in given):
        name, *words = given
        if Path(name).name == "rlcli" and "-m" not in words and "--multirun" not in words:
            return shlex.join(["rlcli", *words])
    overrides: Sequence[str] = about["overrides"]
    return shlex.join(["rlcli", "train", *overrides])


def _rows(run_dir: Path, update: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """The row of an update, and the last row up to it that has an evaluation; empty without one."""
    found: dict[str, Any] = {}
    evaluated: dict[str, Any] = {}
    for row in read_rows(run_dir):
        if row["update"] > update:
            break
        found = row
        if EVALUATED[0] in row:
            evaluated = row
    return found, evaluated


def _figure(value: Any) -> str:
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _shape(shape: tuple[int, ...]) -> str:
    return " x ".join(["batch", *map(str, shape)])
