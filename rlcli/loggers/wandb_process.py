"""Process of W&B's SDK: the settings it starts with, and what it may read and write.

Server, mode, key and project come from the config, the user's environment and the user's own settings file
(`~/.config/wandb/settings`, or that of WANDB_CONFIG_DIR). W&B by itself also reads `wandb/settings`,
`.wandb/settings` and `config-defaults.yaml` in the current folder, and runs git there and in the run
directory, whose `.git/config` may name programs; these folders may be anybody's. So it starts in the root
folder, and without git.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from rlcli.errors import StorageError
from rlcli.loggers.interface import RunInfo
from rlcli.plain import check_folder
from rlcli.variables import variables

INIT_TIMEOUT = 10.0
"""Seconds to wait for W&B's server before a run is logged offline."""
FINISH_TIMEOUT = 60.0
"""Seconds to wait for the last rows to upload; `rlcli sync` uploads what is left."""

SWEEP_PARAMETERS = "WANDB_SWEEP_PARAM_PATH"


def begin(
    info: RunInfo,
    mode: Literal["online", "offline"],
    wandb_id: str,
    folder: Path,
    resume: Literal["allow"] | None,
    **more: Any,
) -> Any:
    """Begins a W&B run that describes a run; its files go to `folder`, `more` are settings.

    Raises whatever the SDK raises.
    """
    import wandb

    chosen = info.config.wandb
    return wandb.init(
        id=wandb_id,
        resume=resume,
        project=chosen.project,
        entity=chosen.entity,
        group=chosen.group or info.sweep,
        name=info.name,
        tags=info.config.tags,
        notes=info.config.notes or None,
        config={**info.config_dict, "run_id": info.id},
        dir=folder,
        mode=mode,
        reinit="create_new",
        settings=settings(**more),
    )


def settings(**more: Any) -> Any:
    """W&B settings: quiet, with timeouts, without costly extras; private ones only where the SDK has them.

    `more` are further ones, or other values.
    """
    import wandb

    wanted: dict[str, Any] = {
        "silent": True,
        "init_timeout": INIT_TIMEOUT,
        "finish_timeout": FINISH_TIMEOUT,
        "console": "off",
        "disable_code": True,
        "disable_git": True,
        "save_code": False,
        "symlink": False,
        "use_dot_wandb": False,
        "x_disable_stats": True,
        "x_save_requirements": False,
        **more,
    }
    return wandb.Settings(
        **{name: value for name, value in wanted.items() if name in wandb.Settings.model_fields}
    )


def check_links(directory: Path) -> None:
    """Refuses links where W&B writes: `wandb` in the run directory, and its direct entries.

    Raises:
        StorageError: there is one.
    """
    folder = directory / "wandb"
    if check_folder(folder):
        check_folder(folder / "cache")
        for path in folder.iterdir():
            if path.is_symlink():
                raise StorageError(f"{path} is a link; files of a run directory may not lead out of it.")


@contextlib.contextmanager
def contained(directory: Path) -> Iterator[None]:
    """Environment in which W&B starts its process: logs in the run directory, no error reports to its maker.

    The user's own variables win; none is left behind for child processes. The current folder is the root
    folder meanwhile: where only the machine's owner writes, no settings of somebody else are found.
    """
    wanted = {
        "WANDB_CACHE_DIR": str(directory / "wandb" / "cache"),
        "WANDB_ERROR_REPORTING": "false",
        "WANDB_DISABLE_GIT": "true",
    }
    parameters = os.environ.get(SWEEP_PARAMETERS)
    if parameters:  # an agent of W&B's gives it relative to the current folder
        os.environ[SWEEP_PARAMETERS] = str(Path(parameters).absolute())
    with variables(wanted), in_the_root_folder():
        yield


@contextlib.contextmanager
def in_the_root_folder() -> Iterator[None]:
    """Makes the root folder the current one for the length of a `with`."""
    before = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.chdir("/")
        yield
    finally:
        os.fchdir(before)
        os.close(before)
