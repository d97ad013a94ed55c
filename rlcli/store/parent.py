"""The parent of a fork, as its manifest names it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Parent:
    """The run that a fork was made from."""

    id: str
    dir: str
    """As it was given on the command line, or found."""
    update: int
    """Of the checkpoint."""
    digest: str
    """SHA-256 of the tensors that were taken."""
    carried: tuple[str, ...]
    """What was taken: parameters, optimiser, and so on."""

    @classmethod
    def of(cls, about: dict[str, Any]) -> Parent:
        """The parent from plain data that `is_parent` accepts."""
        return cls(**about | {"carried": tuple(about["carried"])})

    def row(self) -> dict[str, Any]:
        """Plain data, as manifest.json has it."""
        return asdict(self) | {"carried": list(self.carried)}


def is_parent(about: Any) -> bool:
    """Whether plain data has the fields of a `Parent`, each of its type."""
    if not isinstance(about, dict) or about.keys() != Parent.__dataclass_fields__.keys():
        return False
    texts = [about["id"], about["dir"], about["digest"]]
    carried, update = about["carried"], about["update"]
    if not isinstance(carried, list) or not all(isinstance(one, str) for one in (*texts, *carried)):
        return False
    return type(update) is int and 0 <= update < 2**63
