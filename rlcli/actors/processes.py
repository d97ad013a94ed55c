"""Actors as the process that learns sees them: the fork server, started once, and the actors it forks."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rlcli.actors.memory import Shared
from rlcli.actors.packets import ActorError, Gone, Packet, pair, receive, send, unpacked
from rlcli.config.schema.run import RunConfig
from rlcli.config.serialise import to_yaml

PATIENCE = 10.0
"""Seconds that the fork server may take to end, before it is killed."""


class Actor:
    """One actor: its process, and the socket to it."""

    def __init__(self, process: int, end: socket.socket) -> None:
        self.process = process
        self.end = end


class ForkServer:
    """The fork server of one run or cohort; nothing of it is left after `close`, or after this process."""

    def __init__(self, config: RunConfig) -> None:
        """Starts it and waits until it has loaded what environments need.

        Raises:
            ActorError: that failed, in the words of its error.
        """
        content = np.frombuffer(to_yaml(config).encode(), np.uint8)
        shared = Shared({"config": (content.shape, np.uint8)})
        shared["config"][:] = content
        self._control, theirs = pair()
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "rlcli.actors.server", str(theirs.fileno())],
            stdin=subprocess.DEVNULL,
            pass_fds=(theirs.fileno(),),
            # It finds the modules of environments where this process finds them.
            env=os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
            # A session of its own: Ctrl-C of the terminal is for the process that learns.
            start_new_session=True,
        )
        theirs.close()
        try:
            send(self._control, {"bytes": len(content)}, [shared.descriptor])
            self._answer("ready")
        except BaseException as error:
            self.close()
            if isinstance(error, ActorError):
                text = (
                    f"collect.mode=process makes environments in processes of their own, and there: {error}"
                )
                raise ActorError(text, error.exit_code) from error
            raise
        finally:
            shared.close()

    def start(self, work: str, part: Mapping[str, Any], descriptors: Sequence[int]) -> Actor:
        """Forks an actor for a part of a work, with these descriptors."""
        ours, theirs = pair()
        try:
            send(self._control, {"work": work, **part}, [theirs.fileno(), *descriptors])
            return Actor(self._answer("started"), ours)
        except BaseException as error:
            ours.close()
            if isinstance(error, Gone):
                raise ActorError("The process that starts actors has ended.") from error
            raise
        finally:
            theirs.close()

    def end(self, actor: Actor) -> str:
        """Kills an actor if it is still there; how it ended, in words."""
        actor.end.close()
        try:
            send(self._control, {"end": actor.process})
            status = self._answer("status")
        except (ActorError, Gone):
            return "ended with the process that starts actors"
        if status >= 0:
            return f"ended with exit code {status}"
        return f"was killed by {_name(-status)}"

    def close(self) -> None:
        """Ends the server and with it all actors."""
        self._control.close()
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _answer(self, name: str) -> int:
        try:
            packet: Packet = receive(self._control)[0]
        except Gone as error:
            raise ActorError("The process that starts actors has ended.") from error
        if "failed" in packet:
            raise unpacked(packet["failed"])
        answer: int = packet[name]
        return answer


def _name(number: int) -> str:
    with contextlib.suppress(ValueError):
        return signal.Signals(number).name
    return f"signal {number}"
