"""What a fork inherits where it has another algorithm, or other settings, than its parent.

With another algorithm, values that the parent had from the preset of its own, or from tuned settings, are
those of the other preset. Values that the user set stay as far as they fit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from rlcli.config.command import key_of
from rlcli.config.compose import tuned_files, with_tuned
from rlcli.config.groups import choices
from rlcli.config.rules.effect import without_effect
from rlcli.config.rules.table import RULES
from rlcli.config.schema.keys import KEYS
from rlcli.config.schema.run import RunConfig
from rlcli.config.sequences import COUNT, ENVS, fit_minibatches
from rlcli.config.serialise import build, flatten, leaves
from rlcli.config.setting import Element
from rlcli.config.values import convert, display

PARENT = "parent"
"""Origin of an inherited value."""
SEQUENCES = "algo.minibatch_of"
"""A key of the algorithm that is as the network needs it, which stays."""


class Preset(NamedTuple):
    """What another algorithm brings: keys of algo and collect, and what its preset or the parent's sets."""

    values: dict[str, Any]
    labels: dict[str, str]
    """The source of each value."""
    own: frozenset[str]
    """Keys of these that the user set on the parent."""


def preset(choice: Element, parent: RunConfig, typed: Sequence[str], config_dir: str | None) -> Preset:
    """What the algorithm `choice` brings to a fork of a run that was started with the overrides `typed`."""
    base = with_tuned((f"algo={choice.text}", "tuned=none"), config_dir)[0]
    values, before = dict(leaves(base.with_values([]))), flatten(parent)
    earlier = list(_earlier(parent, config_dir))
    keys = {"lag", *(name for name in values if name.startswith(("algo.", "collect.")))}
    for labels in (base.labels, *(labels for _, labels in earlier[:1])):
        keys |= {name for name, label in labels.items() if label.startswith("algo/")}
    keys = {name for name in keys if not name.startswith("network.")} - {SEQUENCES, "algo.name"}
    named = {key_of(text) for text in typed}
    own = {
        name
        for name in keys & before.keys()
        if name in named or (earlier and not any(same(name, flat[name], before[name]) for flat, _ in earlier))
    }
    keys.add("algo.name")
    return Preset(
        {name: values[name] for name in keys},
        {name: base.labels.get(name, "default") for name in keys},
        frozenset(own),
    )


def _earlier(parent: RunConfig, config_dir: str | None) -> Iterator[tuple[dict[str, Any], Mapping[str, str]]]:
    """Values and their sources that the parent's algorithm brought, without and with tuned settings."""
    name = parent.algo.name
    if name not in choices("algo", config_dir):
        return
    wanted = (parent.tuned, f"{name}/{parent.env.id}")
    tuned = dict.fromkeys(found for one in wanted for found in tuned_files(one, config_dir)[-1:])
    for choice in ("none", *tuned):
        base = with_tuned((f"algo={name}", f"tuned={choice}"), config_dir)[0]
        flat = dict(leaves(base.with_values([])))
        flat |= {SEQUENCES: parent.algo.minibatch_of, ENVS: parent.env.num_envs}
        fit_minibatches(flat, {COUNT: ""})
        yield flat, base.labels


def without_misfits(
    flat: Mapping[str, Any], provenance: Mapping[str, str], instead: Mapping[str, Any]
) -> dict[str, Any]:
    """What takes the place of those of the keys `instead` whose inherited values break a rule."""
    left = {name: value for name, value in instead.items() if value != flat[name]}
    replaced: dict[str, Any] = {}
    while True:
        sources = {**provenance, **dict.fromkeys(left, "command line")}
        tried = {**flat, **replaced}
        fit_minibatches(tried, sources)
        config = build(tried)
        broken = {key for rule in RULES for fault in rule(config, sources) for key in fault.keys}
        wrong = broken & left.keys()
        if not wrong:
            return replaced
        replaced |= {name: left.pop(name) for name in wrong}


def without_idle(config: RunConfig, parent: RunConfig, provenance: Mapping[str, str]) -> dict[str, Any]:
    """Defaults of keys whose inherited values had an effect in the parent, and have none in the fork."""
    before, now = flatten(parent), flatten(config)
    return {
        name: KEYS[name].default
        for name, value in now.items()
        if provenance[name] == PARENT
        and not same(name, value, KEYS[name].default)
        and without_effect(name, now) is not None
        and without_effect(name, before) is None
    }


def replaced_text(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """A sentence on inherited values that were replaced by those of `now`."""
    changes = (f"{name} {display(before[name])} -> {display(now[name])}" for name in KEYS if name in now)
    return f"Not kept, since it does not fit the fork or has no effect in it: {', '.join(changes)}."


def same(name: str, left: Any, right: Any) -> bool:
    """Whether two values of a key are equal, however they are written."""
    return bool(convert(KEYS[name], left) == convert(KEYS[name], right))
