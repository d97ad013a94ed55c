"""Rules of a run as a whole: its name, its schedules."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from rlcli.config import names
from rlcli.config.faults import Fault
from rlcli.config.schema.run import RunConfig
from rlcli.config.values import display


def name_is_a_folder(config: RunConfig, _: Mapping[str, str]) -> Iterator[Fault]:
    """`name` becomes a folder."""
    wrong = None if config.name is None else names.fault(config.name)
    if wrong is not None:
        yield Fault(wrong, frozenset({"name"}))


def schedules_follow_each_other(config: RunConfig, _: Mapping[str, str]) -> Iterator[Fault]:
    """What schedules ran over before is given in pairs, in the order of updates."""
    past = config.schedule_past
    if len(past) % 2 or list(past[::2]) != sorted(set(past[::2])):
        yield Fault(
            f"schedule_past={display(past)}: give pairs of an update and env steps, later updates later, "
            "such as [4,4096].",
            frozenset({"schedule_past"}),
        )
