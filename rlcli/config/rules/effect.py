"""Rules by which no key is set in vain."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rlcli.config.extensions import ADDITIONS, CHOSEN_BY, is_chosen, owner
from rlcli.config.faults import Fault
from rlcli.config.schema.keys import KEYS
from rlcli.config.schema.network import RECURRENT
from rlcli.config.schema.run import RunConfig
from rlcli.config.serialise import flatten
from rlcli.config.values import display

OF_ANY_NETWORK = ("network.name", "network.log_std", "network.log_std_init", "network.squash")
"""Keys that networks of the user's own have too."""


def keys_have_effect(config: RunConfig, provenance: Mapping[str, str]) -> Iterator[Fault]:
    """A key set on purpose must be used by the row it is set for."""
    flat = flatten(config)
    for name in KEYS:
        if set_on_purpose(provenance, name) and (fault := without_effect(name, flat)) is not None:
            yield fault


def without_effect(name: str, flat: Mapping[str, Any]) -> Fault | None:
    """Why a key has no effect with these values by dotted name; None if it has one."""
    own = owner(name)
    of_network = name.startswith("network.") and own is None and name not in OF_ANY_NETWORK
    if of_network and ("network", flat["network.name"]) in ADDITIONS:
        return Fault(
            f"{name} has no effect with network.name={flat['network.name']}, which has keys of its own.",
            frozenset({name, "network.name"}),
        )
    if own is not None and not is_chosen(name, flat):
        choices = " or ".join(f"{field}={own[1]}" for field in CHOSEN_BY[own[0]][:2])
        return Fault(f"{name} has no effect here; it needs {choices}.", frozenset({name}))
    # What a key needs may itself need something: kl_target adaptive coefficients, and those a penalty.
    asked = KEYS[name]
    while asked.declaration.used_by is not None:
        field, needed = asked.declaration.used_by
        other = f"{name.rpartition('.')[0]}.{field}"
        if display(flat[other]) not in needed:
            return Fault(
                f"{name} has no effect with {other}={display(flat[other])}; "
                f"it needs {other}={'|'.join(needed)}.",
                frozenset({name, other}),
            )
        asked = KEYS[other]
    return None


def activation_has_effect(config: RunConfig, provenance: Mapping[str, str]) -> Iterator[Fault]:
    """Convolutional networks have one activation, before a recurrent cell too."""
    network = config.network
    convolves = network.name in RECURRENT and network.before != "mlp"
    if convolves and set_on_purpose(provenance, "network.activation"):
        yield Fault(
            f"network.activation has no effect with network.before={network.before}, whose layers are ReLU; "
            "it needs network.before=mlp.",
            frozenset({"network.activation", "network.before"}),
        )


def set_on_purpose(provenance: Mapping[str, str], name: str) -> bool:
    """Whether a key has its value from the command line or an experiment."""
    source = provenance.get(name, "default")
    return source == "command line" or source.startswith("experiment/")
