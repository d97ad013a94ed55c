"""The formats of an export, and what each cannot express."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from rlcli.config.schema.run import RunConfig
from rlcli.envs.spec import EnvSpec
from rlcli.errors import UserError


class Format(NamedTuple):
    """One format."""

    name: str
    file: str
    """The file that holds the policy."""
    modules: tuple[str, ...]
    """Packages beside rlcli's own that writing it needs; the extra of the format's name installs them."""
    obstacle: Callable[[RunConfig, EnvSpec], str | None]
    """Why it cannot express a policy; None: it can."""


def _none(config: RunConfig, spec: EnvSpec) -> None:
    """Every policy can be expressed."""


def _of_sb3(config: RunConfig, spec: EnvSpec) -> str | None:
    from rlcli.backends import sb3_zip

    return sb3_zip.obstacle(config, spec)


FORMATS = {
    found.name: found
    for found in (
        Format("torch", "policy.pt", (), _none),
        Format("onnx", "policy.onnx", ("onnx", "onnxruntime"), _none),
        Format("sb3", "policy.zip", (), _of_sb3),
        Format("safetensors", "policy.safetensors", (), _none),
    )
}


def refuse(name: str, reason: str, config: RunConfig, spec: EnvSpec) -> UserError:
    """The refusal of a policy by a format, with the formats that take it."""
    able = [
        other.name for other in FORMATS.values() if other.name != name and not other.obstacle(config, spec)
    ]
    return UserError(
        f"--format {name} cannot express this policy of {spec.id}: {reason}.",
        hint=f"Formats that can: {', '.join(able)}.",
    )
