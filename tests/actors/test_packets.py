"""Packets between processes."""

from __future__ import annotations

import pytest

from rlcli.actors.packets import Gone, packed, pair, receive, send, unpacked
from rlcli.errors import EXIT_NONFINITE, NonFiniteError


@pytest.mark.broken_by(
    "the last words of a process that did not read all are lost",
    "actors/packets.py",
    "except ConnectionResetError:",
    "except ConnectionResetError as error:\n        raise Gone from error",
)
def test_what_a_process_sent_last_arrives_though_it_did_not_read_all() -> None:
    ours, theirs = pair()
    send(ours, {"slot": 1})
    send(theirs, {"failed": "it is broken"})
    theirs.close()
    assert receive(ours) == ({"failed": "it is broken"}, [])
    with pytest.raises(Gone):
        receive(ours)
    with pytest.raises(Gone):
        send(ours, {"slot": 2})
    ours.close()


def test_an_error_keeps_its_words_and_its_exit_code() -> None:
    found = unpacked(packed(NonFiniteError("not a number")))
    assert (str(found), found.exit_code) == ("not a number", EXIT_NONFINITE)
    assert "rlcli.errors.NonFiniteError: not a number" in found.__notes__[0]
