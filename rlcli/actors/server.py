"""Fork server: a process that has loaded what actors need and forks them, so that each begins at once.

`python -m rlcli.actors.server DESCRIPTOR` is one; the descriptor is a socket to the process that learns.
The first packet has the config. Then each `start` forks an actor with the descriptors that come with it,
and each `end` kills one. When the socket is at its end, because the process that learns has
ended, the server kills its actors and ends; when the server is killed, the system kills its actors.
"""

from __future__ import annotations

import ctypes
import importlib
import os
import signal
import socket
import sys
import warnings
from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np

from rlcli.actors.memory import Shared
from rlcli.actors.packets import Gone, Packet, packed, receive, send
from rlcli.actors.stepping import step_environments
from rlcli.config.schema.run import RunConfig
from rlcli.config.serialise import from_yaml
from rlcli.envs import construct
from rlcli.errors import EXIT_CRASH, EXIT_DONE
from rlcli.extend import importing
from rlcli.streams import prints_to_stderr, say
from rlcli.text import trace

_PDEATHSIG = 1
"""Of Linux's prctl: the signal that a process gets when its parent ends."""

Work = Callable[[RunConfig, socket.socket, list[int], Packet], None]
"""(config, socket to the learning process, descriptors, its part of the work) -> until the socket's end."""


def _collect_unrolls(*arguments: Any) -> None:
    from rlcli.actors.unrolls import collect_unrolls  # torch is heavy, and stepping needs none of it

    collect_unrolls(*arguments)


WORK: dict[str, Work] = {"steps": step_environments, "unrolls": _collect_unrolls}
"""What an actor does, by its name in the packet that starts it."""


def main() -> None:
    """Serves until the socket's end."""
    prints_to_stderr()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # A fork is safe here: whatever threads libraries have begun, none is at work while this process waits.
    warnings.filterwarnings("ignore", category=DeprecationWarning, message=".*fork.*")
    control = socket.socket(fileno=int(sys.argv[1]))
    children: set[int] = set()
    try:
        config = _config(control)
        while True:
            packet, descriptors = receive(control)
            if "end" in packet:
                children.discard(packet["end"])
                send(control, {"status": _end(packet["end"])})
                continue
            child = _fork(control, config, packet, descriptors)
            children.add(child)
            send(control, {"started": child})
    except Gone:
        pass
    finally:
        for child in children:
            _end(child)
    os._exit(EXIT_DONE)


def _config(control: socket.socket) -> RunConfig:
    """The run's config, with all code of the user's loaded that environments need."""
    packet, (descriptor,) = receive(control)
    text = Shared({"config": ((packet["bytes"],), np.uint8)}, descriptor)
    try:
        config = importing.complete(from_yaml(text["config"].tobytes().decode()))
        construct.registration(config.env.id)
        if config.collect.order == "free":
            importlib.import_module("rlcli.actors.unrolls")
    except Exception as error:
        send(control, {"failed": packed(error)})
        raise Gone from error
    finally:
        text.close()
    send(control, {"ready": os.getpid()})
    return config


def _fork(control: socket.socket, config: RunConfig, packet: Packet, descriptors: list[int]) -> int:
    """Forks an actor; its process id."""
    server = os.getpid()
    child = os.fork()
    if child == 0:
        control.close()
        _become_actor(server, config, packet, descriptors)
    for descriptor in descriptors:
        os.close(descriptor)
    return child


def _become_actor(server: int, config: RunConfig, packet: Packet, descriptors: list[int]) -> NoReturn:
    """Does an actor's work in this process, then ends it."""
    code = EXIT_CRASH
    try:
        _end_with_parent(server)
        end = socket.socket(fileno=descriptors[0])
        try:
            WORK[packet["work"]](config, end, descriptors[1:], packet)
            code = EXIT_DONE
        except Gone:
            code = EXIT_DONE
        except Exception as error:
            send(end, {"failed": packed(error)})
    except BaseException as error:
        say(f"An actor failed: {trace(error)}")
    finally:
        os._exit(code)


def _end_with_parent(parent: int) -> None:
    """Has the system kill this process when its parent ends, where it can."""
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is not None:
        prctl(_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent:  # it has ended already
        os._exit(EXIT_CRASH)


def _end(child: int) -> int:
    """Kills an actor, if it is still there; its exit code, or less than 0 the signal that it ended by."""
    os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    main()
