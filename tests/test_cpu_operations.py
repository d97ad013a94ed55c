"""Every operation of docs/results/cpu_dependence.md can be computed, in torch or numpy and in C."""

from __future__ import annotations

from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[1] / "scripts"


def test_every_operation_gives_results(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(SCRIPTS)
    import cpu_operations

    for operation in cpu_operations.OPERATIONS:
        for run in (operation.run, operation.in_c):
            assert run is None or next(iter(run())) is not None, operation.name
