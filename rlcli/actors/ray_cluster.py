"""Connection to a Ray cluster: one that runs, or one of this machine that is started and ended here."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import signal
import socket
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import ray

from rlcli.errors import UserError

CONNECT_TIMEOUT = 10
"""Seconds a cluster may take to answer at all."""

PATIENCE = 120_000
"""Milliseconds that a process of a cluster started here may take to start, on a busy machine."""

UNREFERENCED = "all references to the actor were removed"
"""Ray's words for an actor that was never wanted, or whose cluster cannot ask this process about it."""


def connect(address: str | None, key: str, *, cores: int, store: int) -> bool:
    """Connects to the cluster at `address`, unless this process is connected to one; whether it did.

    `key` is the key of the address, for messages. None starts a cluster of this machine, with so many `cores`
    and a `store` of so many bytes of shared memory, which `ray.shutdown` ends.

    Raises:
        UserError: none answers there.
    """
    if ray.is_initialized():
        return False
    given: Mapping[str, Any] = {"address": address}
    if address is None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # no usage reports of a cluster started here
        os.environ.setdefault("RAY_agent_register_timeout_ms", str(PATIENCE))
        given = {
            "address": "local", "num_cpus": cores, "include_dashboard": False, "object_store_memory": store,
        }  # fmt: skip
    try:
        if address is not None:
            _check_listening(address)
        with _signal_handlers_kept(), _found_modules(own=address is None):
            ray.init(**given, log_to_driver=False, logging_level=logging.ERROR)
    except Exception as error:
        if address is None:
            raise UserError(f"Ray does not start on this machine: {error}") from error
        raise UserError(
            f"{key}={address}: no Ray cluster answers there.",
            hint=f"ray status --address {address} asks it; null starts one on this machine. "
            "RAY_AUTH_MODE=token connects to one that has a token.",
        ) from error
    _silence()
    return True


def reason_of(error: BaseException) -> str:
    """What Ray says of a lost actor, without the lines that name it."""
    lines = str(error).strip().splitlines()
    if UNREFERENCED in str(error):
        return (
            "the cluster has another token than this machine, or none (RAY_AUTH_MODE=disabled goes without)."
        )
    return " ".join(line.strip() for line in lines[1:] or lines if not line.startswith("\t"))


def _check_listening(address: str) -> None:
    """Raises `OSError` unless a process listens there: Ray would retry for many minutes."""
    found = re.fullmatch(r"(?:ray://)?\[?([^/]+?)\]?:(\d+)", address)
    if found is not None:
        socket.create_connection((found[1], int(found[2])), timeout=CONNECT_TIMEOUT).close()


@contextmanager
def _signal_handlers_kept() -> Iterator[None]:
    """Restores the signal handlers that Ray replaces: signals are handled by the training of the runs."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _found_modules(*, own: bool) -> Iterator[None]:
    """Workers of a cluster of one's own find modules where this process finds them."""
    before = os.environ.get("PYTHONPATH")
    if own:
        os.environ["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    try:
        yield
    finally:
        if before is None:
            os.environ.pop("PYTHONPATH", None)
        else:
            os.environ["PYTHONPATH"] = before


def _silence() -> None:
    """Keeps Ray's long reports of workers that ended off stdout, where it prints them without being asked."""
    with contextlib.suppress(AttributeError):  # it is private to Ray
        ray._private.worker._worker_logs_enabled = False
