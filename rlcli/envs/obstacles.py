"""Reasons why registered environments cannot be trained as they are, found without making them."""

from __future__ import annotations

import importlib.metadata
import importlib.util

import gymnasium

from rlcli.envs.construct import NAMESPACES, known_ids, missing_package, module_of
from rlcli.extras import install_command

IMAGE_MODULES = {
    "gymnasium.envs.box2d.car_racing": "images: network=nature_cnn",
    "ale_py": "images: network=nature_cnn",
}
"""Module prefix of environments that observe pixels -> the reason."""
BEFORE_MUJOCO_3 = {"Pusher-v4": "Pusher-v5"}
"""Environments that refuse MuJoCo 3 and later -> their successors."""


def obstacles() -> dict[str, str]:
    """The reason for each id that cannot be trained as it is; `NAME/...` for a namespace not installed."""
    found = {}
    for name, (module, package) in NAMESPACES.items():
        if importlib.util.find_spec(module) is None:
            found[f"{name}/..."] = _needs(module, package)
    for env_id in known_ids():
        reason = _obstacle(env_id)
        if reason is not None:
            found[env_id] = reason
    return found


def _obstacle(env_id: str) -> str | None:
    registered = gymnasium.registry[env_id]
    missing = missing_package(registered)
    if missing is not None:
        return _needs(*missing)
    if env_id in BEFORE_MUJOCO_3 and int(importlib.metadata.version("mujoco").partition(".")[0]) >= 3:
        return f"needs mujoco<3; its successor is {BEFORE_MUJOCO_3[env_id]}"
    module = module_of(registered)
    return next((reason for prefix, reason in IMAGE_MODULES.items() if module.startswith(prefix)), None)


def _needs(module: str, package: str) -> str:
    return f"needs {module}: {install_command(package)}"
