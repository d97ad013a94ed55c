"""Checkpoints that are none, with checksums that fit."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save

from tests.cli.hostile.harm import (
    REFUSED,
    Harm,
    every,
    relink,
)


def index(**changes: Any) -> Harm:
    def harm(run: Path) -> None:
        path = run / "checkpoints" / "index.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return harm


def checkpoint(content: bytes | Callable[[dict[str, torch.Tensor]], bytes]) -> Harm:
    """The last checkpoint replaced, with a checksum that fits."""

    def harm(run: Path) -> None:
        path = run / "checkpoints" / "3.safetensors"
        made = content if isinstance(content, bytes) else content(load_file(path))
        path.write_bytes(made)
        kept = json.loads((run / "checkpoints" / "index.json").read_text())["kept"]
        kept["3"] |= {"bytes": len(made), "sha256": hashlib.sha256(made).hexdigest()}
        index(kept=kept)(run)

    return harm


def header(text: str, size: int | None = None) -> bytes:
    return struct.pack("<Q", len(text) if size is None else size) + text.encode() + b"\0" * 64


ABOUT = {"rlcli": json.dumps({"version": 1, "update": 3, "env_steps": 96})}


def tensors(change: Callable[[dict[str, torch.Tensor]], Any], about: dict[str, str] | None = None) -> Harm:
    def content(found: dict[str, torch.Tensor]) -> bytes:
        change(found)
        return save(found, metadata=ABOUT if about is None else about)

    return checkpoint(content)


def entry(shape: Any, dtype: str = "F32", offsets: Any = (0, 64)) -> str:
    return json.dumps({"x": {"dtype": dtype, "shape": shape, "data_offsets": offsets}, "__metadata__": ABOUT})


PARAMETERS = "train.policy.parameters"
FORGED: dict[str, Harm] = {
    "no header": checkpoint(b""),
    "short": checkpoint(b"\1\2\3"),
    "endless header": checkpoint(header("{}", 2**63)),
    "header beyond the file": checkpoint(header("{}", 10_000)),
    "no json": checkpoint(header("x" * 30)),
    "deep json": checkpoint(header("[" * 50_000)),
    "huge shape": checkpoint(header(entry([2**60, 2**60]))),
    "huge side": checkpoint(header(entry([2**63]))),
    "negative side": checkpoint(header(entry([-1]))),
    "nan side": checkpoint(header(entry([float("nan")]))),
    "text side": checkpoint(header(entry(["16"]))),
    "no such type": checkpoint(header(entry([16], "EVIL"))),
    "offsets beyond": checkpoint(header(entry([16], offsets=(0, 2**40)))),
    "offsets backwards": checkpoint(header(entry([16], offsets=(64, 0)))),
    "pickle": checkpoint(b"\x80\x04cos\nsystem\n(S'touch pwned'\ntR."),
    "deep metadata": tensors(lambda found: None, {"rlcli": "[" * 100_000}),
    "no metadata": tensors(lambda found: None, {}),
    "metadata that is none": tensors(lambda found: None, {"rlcli": "[1]"}),
    "another version": tensors(lambda found: None, {"rlcli": json.dumps({"version": 9, "update": 3})}),
    "another update": tensors(lambda found: None, {"rlcli": json.dumps({"version": 1, "update": 4})}),
    "half floats": tensors(lambda found: found.update({PARAMETERS: found[PARAMETERS].bfloat16()})),
    "a longer one": tensors(lambda found: found.update({PARAMETERS: torch.zeros(10_000)})),
    "without": tensors(lambda found: found.pop(PARAMETERS)),
    "collector of half floats": tensors(
        lambda found: found.update({"collector.returns": found["collector.returns"].bfloat16()})
    ),
    "collector of another size": tensors(
        lambda found: found.update({"collector.lengths": torch.zeros(7, dtype=torch.int64)})
    ),
    "history without a time": tensors(lambda found: found.update({"collector.history": torch.tensor(3)})),
    "not numbers": tensors(lambda found: found[PARAMETERS].fill_(float("nan"))),
    "not finite": tensors(lambda found: found["train.policy.moments.mean"].fill_(float("inf"))),
    "index beyond": index(last=10**6),
    "index outside": index(kept={"../../../secret": {"number": 1, "env_steps": 1, "bytes": 1, "sha256": ""}}),
    "index of negatives": index(kept={"3": {"number": -1, "env_steps": 1, "bytes": 1, "sha256": ""}}),
    "index of another kind": index(kept=[1, 2]),
    "index of another version": index(version=7),
    "index of text": index(last="3"),
    "a link": lambda run: relink(run / "checkpoints" / "3.safetensors", "../../../secret"),
    "a linked folder": lambda run: shutil.move(run / "checkpoints", run.parent / "there")
    and (run / "checkpoints").symlink_to("../there"),
    "a pipe": lambda run: (run / "checkpoints" / "3.safetensors").unlink()
    or os.mkfifo(run / "checkpoints" / "3.safetensors"),
}  # fmt: skip


@every({"eval"})
@pytest.mark.parametrize("harm", FORGED.values(), ids=FORGED.keys())
def test_a_checkpoint_that_is_none(harm: Harm, verb: str, attack: Any) -> None:
    assert attack(harm, verb).code in REFUSED
