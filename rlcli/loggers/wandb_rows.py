"""Rows of an offline W&B run as the messages that W&B's process stores, a whole batch in one hand-over.

`run.log` prepares a row for anything that a row may contain (images, tables), lets W&B's process merge it
with others of its step, and waits for each row: 0.7 ms. What comes of it in the offline file is the message
`HistoryRecord`, and a row of numbers can be one from the start: 0.2 ms, most of it W&B's own process. Its
items are encoded here (protocol buffers' wire format), which is faster than adding them one by one. Online
the merging also keeps the summary, so there `run.log` is used for the rows of this process. For those of
earlier ones it is not: it gives each the time at which it is handed over.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from rlcli.loggers.numbers import texts

Batch = Sequence[tuple[Mapping[str, Any], float]]
"""Rows, each with its time in seconds since 1970."""
Send = Callable[[Batch], None]

KNOWN = "0.31."
"""Versions of the SDK whose messages these are; with any other rows go through `run.log`."""
NOT_FINITE = {"nan": '"NaN"', "inf": '"Infinity"', "-inf": '"-Infinity"'}
"""W&B's spelling of numbers that JSON lacks."""
LENGTH_DELIMITED = 2
"""The wire type of texts and of messages in messages."""


def sender(run: Any, begun: float | None = None) -> Send:
    """The function that hands rows to a W&B run: as messages where those are known, else with `run.log`.

    `begun` is the start of the run, in seconds since 1970, where it is not that of this process.
    """
    return messages(run, begun) or through_log(run)


def through_log(run: Any) -> Send:
    """Hands over rows one by one with the SDK's public function."""

    def send(batch: Batch) -> None:
        for row, at in batch:
            figures = {name: _last(value) for name, value in row.items() if value != []}
            run.log(figures | {"_timestamp": at}, step=row["update"])

    return send


def messages(run: Any, begun: float | None = None) -> Send | None:
    """Hands over rows as messages, all at once; None if this SDK is not known to take them."""
    import wandb

    if not wandb.__version__.startswith(KNOWN):
        return None
    try:
        make_request = importlib.import_module("wandb.proto.wandb_server_pb2").ServerRequest
        interface, since = run._interface, begun or run.start_time
        threads, client, stream = interface._asyncer, interface._client, interface._stream_id
        items = Items(make_request().record_publish.history.DESCRIPTOR)
    except (ImportError, AttributeError, KeyError):
        return None

    def request(row: Mapping[str, Any], at: float) -> Any:
        message = make_request()
        message.record_publish._info.stream_id = stream
        history = message.record_publish.history
        history.step.num = row["update"]
        shown = {name: _last(value) for name, value in row.items() if value != []}
        shown |= {"_timestamp": at, "_runtime": at - since, "_step": row["update"]}
        history.MergeFromString(items.encode([*zip(shown, as_json(shown.values()), strict=True)]))
        return message

    def send(batch: Batch) -> None:
        requests = [request(row, at) for row, at in batch]

        async def publish() -> None:
            for one in requests:
                await client.publish(one)

        threads.run(publish)

    return send


class Items:
    """Encoder of the items of a `HistoryRecord`, each a name and its value as JSON."""

    def __init__(self, history: Any) -> None:
        """`history` describes that message.

        Raises:
            KeyError: it has other fields.
        """
        item = history.fields_by_name["item"]
        fields = item.message_type.fields_by_name
        numbers = item.number, fields["nested_key"].number, fields["value_json"].number
        self._item, self._name, self._value = (_varint(number << 3 | LENGTH_DELIMITED) for number in numbers)
        self._before = lru_cache(maxsize=8192)(self._begun)

    def encode(self, items: Sequence[tuple[str, str]]) -> bytes:
        """The items in their order."""
        parts: list[bytes] = []
        for name, value in items:
            content = value.encode()
            parts += (self._before(name, len(content)), content)
        return b"".join(parts)

    def _begun(self, name: str, size: int) -> bytes:
        """An item up to its value, of `size` bytes."""
        content = name.encode()
        begun = self._name + _varint(len(content)) + content + self._value + _varint(size)
        return self._item + _varint(len(begun) + size) + begun


def _varint(number: int) -> bytes:
    """A number of 0 or more, seven bits a byte, the lowest first."""
    found = bytearray()
    while number > 127:
        found.append(number & 127 | 128)
        number >>= 7
    found.append(number)
    return bytes(found)


def as_json(values: Iterable[Any]) -> list[str]:
    """Numbers as JSON, with every digit."""
    given = [*values]
    floats = iter(texts([value for value in given if isinstance(value, float)]))
    found = [next(floats) if isinstance(value, float) else json.dumps(value) for value in given]
    return found if NOT_FINITE.keys().isdisjoint(found) else [NOT_FINITE.get(text, text) for text in found]


def _last(value: Any) -> Any:
    return value[-1] if isinstance(value, list) else value
