"""What holds for every test, however pytest is started: no upload, one thread, nobody's own runs."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import pytest

os.environ |= {
    "WANDB_MODE": "offline",
    "WANDB_SILENT": "true",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}
for name in ("WANDB_API_KEY", "WANDB_PROJECT", "WANDB_ENTITY", "RLCLI_RUNS"):
    os.environ.pop(name, None)


@pytest.fixture(autouse=True, scope="session")
def no_network() -> Any:
    """Connections to other machines are refused: a test that uploads fails, whoever is logged in."""
    connect = socket.socket.connect

    def local_only(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6) and address[0] not in ("127.0.0.1", "::1"):
            raise ConnectionRefusedError(f"tests reach no network: {address}")
        connect(self, address)

    socket.socket.connect = local_only  # type: ignore[method-assign]
    yield
    socket.socket.connect = connect  # type: ignore[method-assign]


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current directory whose `runs/` takes the runs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RLCLI_RUNS", raising=False)
    return tmp_path
