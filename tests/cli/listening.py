"""Server on this machine that records what is sent to it and answers nothing."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def server() -> Iterator[tuple[int, list[bytes]]]:
    """A port, and what is sent to it."""
    received: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def listen() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                with connection:
                    connection.settimeout(1.0)
                    try:
                        received.append(connection.recv(4096))
                    except OSError:
                        received.append(b"")

        thread = threading.Thread(target=listen, daemon=True)
        thread.start()
        yield listening.getsockname()[1], received
        listening.shutdown(socket.SHUT_RDWR)
    thread.join(5)
