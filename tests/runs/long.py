"""Runs with as many rows as weeks of training leave, made in a second from one short run.

As `python -m tests.runs.long DIR ROWS` one is made; with `resume` behind it, it is resumed, and what that
took is printed: seconds, and MB of memory at its peak beyond what a run of few rows takes.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import resource
import sys
import time
from pathlib import Path

import torch

from rlcli.backends.session import Checkpoint
from rlcli.config.serialise import to_yaml
from rlcli.runs.resume import resume
from rlcli.runs.train import train
from rlcli.store.checkpoints import Checkpoints
from rlcli.store.digests import HEADER
from rlcli.store.manifest import Manifest, fingerprint
from rlcli.store.rows import TIMES, Span
from tests.runs.tiny import BATCH, tiny


def make_long(run_dir: Path, rows: int, more: int = 1) -> None:
    """A run that was killed right after its checkpoint of update `rows`, with `more` updates to go."""
    short = tiny(checkpoint__every=BATCH)
    train([short], [run_dir])
    state = Checkpoints(run_dir).load()
    config = dataclasses.replace(short, total_steps=(rows + more) * BATCH)
    content = _rows(run_dir, rows)
    (run_dir / "metrics.jsonl").write_bytes(content)
    _digests(run_dir, rows)
    for path in (run_dir / "checkpoints").iterdir():
        path.unlink()
    tensors = state.tensors | {"train.update": torch.tensor(rows)}
    span = Span(rows, hashlib.sha256(TIMES.sub(b"", content)).hexdigest())
    Checkpoints(run_dir).save(Checkpoint(tensors, rows), rows * BATCH, rows=span)
    (run_dir / "config.yaml").write_text(to_yaml(config))
    manifest = Manifest.read(run_dir)
    manifest.update(
        status="running", updates=rows, env_steps=rows * BATCH, total_steps=config.total_steps, saved=rows,
        config_sha256=fingerprint(config), finished=None, exit_code=None,
    )  # fmt: skip


def _rows(run_dir: Path, rows: int) -> bytes:
    """The last row of a run so many times, each with its update."""
    first = json.loads((run_dir / "metrics.jsonl").read_text().splitlines()[-2])
    assert [*first][:2] == ["update", "env_steps"]
    rest = json.dumps(first).partition(f'"env_steps": {first["env_steps"]}')[2]
    return "".join(
        f'{{"update": {update}, "env_steps": {update * BATCH}{rest}\n' for update in range(1, rows + 1)
    ).encode()


def _digests(run_dir: Path, rows: int) -> None:
    """A chain of digests of equal updates."""
    quantities, before = ["0" * 32] * 5, ""
    lines = [HEADER]
    for update in range(1, rows + 1):
        linked = " ".join((before, str(update), *quantities))
        before = hashlib.sha256(linked.encode()).hexdigest()[:32]
        lines.append(" ".join((str(update), *quantities, before)))
    (run_dir / "digests.txt").write_text("\n".join(lines) + "\n")


def peak() -> float:
    """MB of memory this process has had at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main(run_dir: Path, rows: int, then: str | None) -> None:
    """Makes a long run, or resumes one."""
    if then is None:
        make_long(run_dir, rows)
        return
    train([tiny()], [run_dir.with_name(f"{run_dir.name} beside")], quiet=True)
    before, begun = peak(), time.perf_counter()
    result = resume(run_dir, quiet=True)
    print(f"{result.status} {time.perf_counter() - begun:.2f} s {peak() - before:.0f} MB")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3] if len(sys.argv) > 3 else None)
