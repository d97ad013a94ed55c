"""Installed packages compared with the requirements of rlcli and of each of its extras.

Requirements come from pyproject.toml where rlcli runs from a checkout, since the metadata of an editable
install may be older, else from the metadata of the installed package.
"""

from __future__ import annotations

import importlib.metadata
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from rlcli.extras import extra_command
from rlcli.store.provenance import checkout

OURS = "rlcli"
NOT_EXTRAS = ("all", "dev")
"""Sets of other extras, and of tools for development."""
ADDS: Mapping[str, str] = {
    "tensorboard": "logger=tensorboard",
    "mlflow": "logger=mlflow",
    "box2d": "LunarLander, BipedalWalker",
    "mujoco": "MuJoCo's environments, such as HalfCheetah-v5",
    "atari": "Atari's environments, such as ALE/Pong-v5",
    "sb3": "algo=trpo with backend=sb3",
    "optuna": "hyperparameter search, sweep.sampler",
    "joblib": "hydra/launcher=joblib",
    "submitit": "hydra/launcher=submitit, for Slurm",
    "ray": "hydra/launcher=ray",
    "plots": "figures",
    "report": "rlcli report",
    "onnx": "rlcli export RUN --format onnx",
    "minari": "rlcli rollouts RUN --format minari",
    "video": "rlcli eval RUN --video, eval.video_every",
}
"""What each extra is for."""


class Package(NamedTuple):
    """A package that rlcli needs."""

    name: str
    version: str | None
    """The version that is installed; None if none is."""
    unmet: tuple[str, ...]
    """Requirements that are not met, such as `torch>=2.13 (2.10 is installed)`."""


class Extra(NamedTuple):
    """An optional set of packages, `pip install 'rlcli[NAME]'`."""

    name: str
    adds: str
    unmet: tuple[str, ...]
    """Requirements that are not met; empty where the extra is installed."""

    @property
    def command(self) -> str:
        """The command that installs it."""
        return extra_command(self.name)


def core_packages() -> list[Package]:
    """The packages that rlcli needs for everything."""
    needed = [one for one in _requirements(OURS) if _applies(one, "")]
    return [Package(one.name, version_of(one.name), tuple(_unmet(one))) for one in needed]


def extras() -> list[Extra]:
    """The extras, installed or not, in their order."""
    found: dict[str, list[str]] = {}
    requirements = _requirements(OURS)
    for name in _names_of_extras(requirements):
        needed = [one for one in requirements if not _applies(one, "") and _applies(one, name)]
        found[name] = [text for one in needed for text in _unmet(one)]
    return [Extra(name, ADDS.get(name, ""), tuple(unmet)) for name, unmet in found.items()]


def version_of(package: str) -> str | None:
    """The installed version of a package; None if it is not installed."""
    try:
        return importlib.metadata.version(package) or None
    except importlib.metadata.PackageNotFoundError:
        return None


def _unmet(needed: Requirement) -> Iterator[str]:
    """What a requirement lacks, its extras included."""
    installed = version_of(needed.name)
    if installed is None:
        yield f"{needed.name} (not installed)"
        return
    if not needed.specifier.contains(installed, prereleases=True):
        yield f"{needed.name}{needed.specifier} ({installed} is installed)"
    for extra in needed.extras:
        for one in _requirements(needed.name):
            if not _applies(one, "") and _applies(one, extra):
                yield from _unmet(one)


def _applies(needed: Requirement, extra: str) -> bool:
    """Whether a requirement applies to this Python and platform, with an extra or without ('')."""
    return needed.marker is None or needed.marker.evaluate({"extra": extra})


def _requirements(package: str) -> list[Requirement]:
    """All requirements of an installed package; those of an extra have it in their marker."""
    if package == OURS and (own := _of_checkout()) is not None:
        return own
    try:
        texts = importlib.metadata.requires(package) or []
    except importlib.metadata.PackageNotFoundError:
        return []
    return [Requirement(text) for text in texts]


def _of_checkout() -> list[Requirement] | None:
    """The requirements in the checkout's pyproject.toml; None where rlcli runs from an installed wheel."""
    try:
        project = tomllib.loads((checkout() / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    except (OSError, ValueError, KeyError):
        return None
    if project.get("name") != OURS:
        return None
    optional: Mapping[str, Sequence[str]] = project["optional-dependencies"]
    return [
        *map(Requirement, project["dependencies"]),
        *(Requirement(f'{text}; extra == "{name}"') for name, texts in optional.items() for text in texts),
    ]


def _names_of_extras(requirements: Sequence[Requirement]) -> list[str]:
    """Extras in the order in which they are declared."""
    names = (value for one in requirements for value in _extras_in(str(one.marker or "")))
    return [name for name in dict.fromkeys(names) if name not in NOT_EXTRAS]


def _extras_in(marker: str) -> Iterator[str]:
    for part in marker.split(" and "):
        variable, _, value = part.strip("() ").partition(" == ")
        if variable == "extra":
            yield canonicalize_name(value.strip("\"'"))
