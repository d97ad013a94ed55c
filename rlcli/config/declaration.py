"""Declaration of a key of the configuration: its meaning and its valid values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

DEFAULT: Any = object()
"""Value of `absent` that means the key's default."""

Effect = Literal["results", "maybe", "nothing"]


@dataclass(frozen=True)
class Declaration:
    """Declaration of one key: its meaning and its valid values."""

    doc: str
    unit: str = ""
    ge: float | None = None
    gt: float | None = None
    le: float | None = None
    lt: float | None = None
    choices: tuple[str, ...] | None = None
    prefix: str = ""
    """With a name behind it, valid beside the choices."""
    words: tuple[str, ...] = ()
    """Names that are valid beside numbers."""
    cohort: bool = False
    effect: Effect = "results"
    resumable: bool = False
    """Whether `rlcli resume` may change it: the steps done before would have been the same."""
    used_by: tuple[str, tuple[str, ...]] | None = None
    """`("surrogate", ("clipped",))`: no effect unless that field of the section has one of these values."""
    absent: Any = DEFAULT
    """Value for a config.yaml without the key, where runs did not use the default before the key existed."""

    @property
    def written_choices(self) -> list[str] | None:
        """The choices as they are shown to a person; None: there are none."""
        if self.choices is None:
            return None
        return [*self.choices, f"{self.prefix}NAME"] if self.prefix else list(self.choices)

    def bounds(self) -> str:
        """The valid range as text: '> 0, <= 1', or '' when there is none."""
        pairs = (("> ", self.gt), (">= ", self.ge), ("< ", self.lt), ("<= ", self.le))
        return ", ".join(f"{sign}{limit:g}" for sign, limit in pairs if limit is not None)

    def admits(self, value: float) -> bool:
        """Whether a number is in the declared range."""
        return (
            (self.ge is None or value >= self.ge)
            and (self.gt is None or value > self.gt)
            and (self.le is None or value <= self.le)
            and (self.lt is None or value < self.lt)
        )


def key(default: Any, doc: str, **declared: Any) -> Any:
    """A dataclass field with its declaration; a list or dict default is copied for each instance."""
    metadata = {"declaration": Declaration(doc, **declared)}
    if isinstance(default, (dict, list)):
        factory: Callable[[], Any] = lambda: type(default)(default)  # noqa: E731
        return field(default_factory=factory, metadata=metadata)
    return field(default=default, metadata=metadata)
