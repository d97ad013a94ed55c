"""Rows of an offline W&B run as the messages that W&B's process stores, a whole batch in one hand-over.

`run.log` prepares a row for anything that a row may contain (images, tables), lets W&B's process merge it
with others of its step, and waits for each row: 0.7 ms. What comes of it in the offline file is the message
`HistoryRecord`, and a row of numbers can be one from the start: 0.2 ms, most of it W&B's own process. Online
the merging also keeps the summary, so there `run.log` is used for the rows of this process. For those of
earlier ones it is not: it gives each the time at which it is handed over.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Mapping, Sequence
from math import isfinite
from typing import Any

Batch = Sequence[tuple[Mapping[str, Any], float]]
"""Rows, each with its time in seconds since 1970."""
Send = Callable[[Batch], None]

KNOWN = "0.31."
"""Versions of the SDK whose messages these are; with any other rows go through `run.log`."""
NOT_FINITE = {"nan": '"NaN"', "inf": '"Infinity"', "-inf": '"-Infinity"'}
"""W&B's spelling of numbers that JSON lacks."""


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
    except (ImportError, AttributeError):
        return None

    def request(row: Mapping[str, Any], at: float) -> Any:
        message = make_request()
        message.record_publish._info.stream_id = stream
        history = message.record_publish.history
        history.step.num = row["update"]
        add = history.item.add
        for name, value in row.items():
            if value != []:
                add(nested_key=(name,), value_json=as_json(_last(value)))
        for name, value in (("_timestamp", at), ("_runtime", at - since), ("_step", row["update"])):
            add(nested_key=(name,), value_json=as_json(value))
        return message

    def send(batch: Batch) -> None:
        requests = [request(row, at) for row, at in batch]

        async def publish() -> None:
            for one in requests:
                await client.publish(one)

        threads.run(publish)

    return send


def as_json(value: Any) -> str:
    """A number as JSON, with every digit."""
    if isinstance(value, float):
        text = float.__repr__(value)
        return text if isfinite(value) else NOT_FINITE[text]
    return json.dumps(value)


def _last(value: Any) -> Any:
    return value[-1] if isinstance(value, list) else value
