"""A parsed command line: its overrides as typed settings, the launcher, and everything wrong with them.

`rlcli.config.overrides.parse_command` makes it once, where a command line or a program's texts come in. Every
later stage takes the command or parts of it, and no override is parsed again.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass

from rlcli.config.faults import Fault, texts
from rlcli.config.launchers import HERE, Launching
from rlcli.config.setting import Element, Setting
from rlcli.errors import UserError

MAGIC = re.compile(r"_[a-z]+_")
"""Keys that make Hydra instantiate objects: `_target_`, `_partial_`, `_args_` and so on."""


Chosen = dict[str, Element]
"""The value of each key, for one job."""


@dataclass(frozen=True)
class Command:
    """Every override that is sound, and everything wrong with the others."""

    typed: tuple[str, ...] = ()
    """The overrides as they were typed."""
    settings: tuple[Setting, ...] = ()
    """In order; of a key given twice the last."""
    faults: tuple[Fault, ...] = ()
    launching: Launching = HERE
    """The launcher of a sweep's jobs."""
    multirun: bool = False
    """Whether every combination of the values is to be run."""
    config_dir: str | None = None
    """A folder of the user's own configs."""

    def of_kind(self, *kinds: str) -> list[Setting]:
        """The settings of some kinds, in order."""
        return [setting for setting in self.settings if setting.kind in kinds]

    def jobs(self) -> Iterator[tuple[Chosen, tuple[str, ...]]]:
        """`({key: value}, lines)` of each combination of swept values, the last key varying fastest."""
        settings = self.of_kind("group", "value")
        for combination in itertools.product(*(setting.values for setting in settings)):
            chosen = {setting.key: value for setting, value in zip(settings, combination, strict=True)}
            yield chosen, tuple(f"{key}={value.text}" for key, value in chosen.items())

    def varied(self) -> list[str]:
        """The keys that are swept over."""
        return [setting.key for setting in self.of_kind("group", "value") if len(setting.values) > 1]

    def of_sweep(self) -> list[Setting]:
        """The settings of the sweep itself, which no job has."""
        return [setting for setting in self.of_kind("group", "value") if of_sweep(setting.key)]

    def hydra_words(self) -> list[str]:
        """Every setting in the form Hydra itself takes, its own settings included."""
        return [setting.hydra_word for setting in self.settings]

    def require_sound(self) -> None:
        """Raises one `UserError` with everything that is wrong, if anything is."""
        if self.faults:
            raise UserError(*texts(self.faults))


NO_OVERRIDES = Command()


def of_sweep(key: str) -> bool:
    """Whether a key sets how a sweep searches."""
    return key == "sweep" or key.startswith("sweep.")


def key_of(text: str) -> str:
    """The key of an override as it was typed, whether or not the rest of it can be parsed."""
    return text.lstrip("+~").partition("=")[0].strip()
