"""An actor on a Ray cluster that collects unrolls: plain data comes in, and plain data goes out."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from typing import Any

from rlcli import __version__
from rlcli.actors.packets import Packet, packed
from rlcli.envs.interface import Array


class RayActor:
    """What Ray makes an actor of; errors are packets, so that Ray's own mean that the actor is lost."""

    def __init__(self, config: str, part: Packet) -> None:
        """`config` is the run's, as YAML. Environments are made with the first unroll."""
        self._text, self._part = config, part
        self._actor: Any = None

    def here(self) -> Packet:
        """That it runs, where, and with which rlcli."""
        return {"here": os.getpid(), "node": platform.node(), "rlcli": __version__}

    def collect(self, version: int, policy: Mapping[str, Array]) -> tuple[Packet, dict[str, Array]]:
        """An unroll under the policy of these arrays, and its arrays."""
        try:
            if self._actor is None:
                self._actor = self._made()
            from rlcli.actors.unrolls import policy_of

            packet, arrays = self._actor.collect(version, policy_of(policy, self._actor.blank))
        except Exception as error:
            return {"failed": packed(error)}, {}
        return packet, arrays

    def _made(self) -> Any:
        from rlcli.actors.unrolls import UnrollActor
        from rlcli.config.serialise import from_yaml
        from rlcli.extend import importing

        return UnrollActor(importing.complete(from_yaml(self._text)), self._part)
