"""Packets between processes: plain data as JSON, one packet at a time, and descriptors with it."""

from __future__ import annotations

import json
import socket
from collections.abc import Sequence
from typing import Any

from rlcli.envs.user_code import reported
from rlcli.errors import EXIT_CRASH, RlcliError
from rlcli.text import shortened, trace

Packet = dict[str, Any]

LARGEST = 2**17
"""Bytes of a packet, which a socket takes at once."""
LONGEST_TRACE = 8_000
"""Characters of a traceback in a packet."""
MOST_DESCRIPTORS = 4


class ActorError(RlcliError):
    """An error in an actor, as it would have ended the run in this process; or the loss of an actor."""

    def __init__(self, message: str, exit_code: int = EXIT_CRASH) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class Gone(Exception):
    """The process at the other end of a socket has ended."""


def pair() -> tuple[socket.socket, socket.socket]:
    """Two connected ends; each packet arrives whole, and the end of a process is noticed."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def send(end: socket.socket, packet: Packet, descriptors: Sequence[int] = ()) -> None:
    """Sends plain data, and descriptors that the other process then has, too.

    Raises:
        Gone: the other process has ended.
    """
    try:
        socket.send_fds(end, [json.dumps(packet).encode()], descriptors)
    except (BrokenPipeError, ConnectionResetError) as error:
        raise Gone from error


def receive(end: socket.socket) -> tuple[Packet, list[int]]:
    """The next packet, and the descriptors that came with it.

    Raises:
        Gone: the other process has ended.
        TimeoutError: the socket has a timeout, and none came.
    """
    try:
        content, descriptors, _, _ = socket.recv_fds(end, LARGEST, MOST_DESCRIPTORS)
    except ConnectionResetError:
        # It ended without reading all; what it sent before comes after this error.
        content, descriptors, _, _ = socket.recv_fds(end, LARGEST, MOST_DESCRIPTORS)
    if not content:
        raise Gone
    return opened(content), list(descriptors)


def opened(content: bytes) -> Packet:
    """The packet in the bytes that came."""
    found: Packet = json.loads(content)
    return found


def packed(error: BaseException) -> Packet:
    """An error as plain data."""
    code = error.exit_code if isinstance(error, RlcliError) else EXIT_CRASH
    return {"message": reported(error), "exit_code": code, "trace": shortened(trace(error), LONGEST_TRACE)}


def unpacked(packet: Packet) -> ActorError:
    """The error that `packed` made plain data of."""
    found = ActorError(packet["message"], packet["exit_code"])
    found.add_note(f"In an actor:\n{packet['trace']}")
    return found
