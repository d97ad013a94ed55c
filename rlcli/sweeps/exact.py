"""Whether runs that train together give, on this machine, the very numbers they give alone."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence

import torch

from rlcli.backends.native import NativeSession
from rlcli.backends.session import Failure
from rlcli.config.schema import RunConfig
from rlcli.config.shape import shape

_found: dict[tuple[str, int], bool] = {}


def exact_together(configs: Sequence[RunConfig]) -> bool:
    """Trains one update of all together and of the first and the last alone, and compares every bit.

    Another processor or another library of products may round a stack of them otherwise; one epoch of the
    update has products of every shape. Only asked where the bits are promised: on the CPU with one thread.
    Remembered per process for the shape and the number. Runs that cannot even begin are no question of bits:
    training will say why.
    """
    config = configs[0]
    if config.device != "cpu" or config.compute.threads > 1 or config.backend != "native":
        return True
    key = json.dumps(shape(config), sort_keys=True), len(configs)
    if key not in _found:
        ends = (0, len(configs) - 1)
        try:
            short = [_one_epoch(one) for one in configs]
            together = _after_an_update(short)
            _found[key] = all(_same(together[run], _after_an_update([short[run]])[0]) for run in ends)
        except Exception:
            return True
    return _found[key]


def _one_epoch(config: RunConfig) -> RunConfig:
    return dataclasses.replace(config, algo=dataclasses.replace(config.algo, epochs=1))


def _after_an_update(configs: Sequence[RunConfig]) -> list[dict[str, torch.Tensor]]:
    """The state of each run after its first update; nothing of a run that failed."""
    session = NativeSession(configs)
    try:
        rows = session.update()
        return [
            {} if isinstance(rows[run], Failure) else session.state(run).tensors
            for run in range(len(configs))
        ]
    finally:
        session.close()


def _same(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)
