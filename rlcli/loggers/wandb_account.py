"""Weights & Biases account: whether runs would be uploaded, and where, without asking a server.

Mode, server and entity come from where W&B's logger reads them: the config, the user's environment and the
user's own settings files. Of the API key only its presence is known here.
"""

from __future__ import annotations

import os
from typing import NamedTuple

from rlcli.config.schema.record import WandbConfig
from rlcli.loggers.wandb import MODES, Mode, asked_mode
from rlcli.loggers.wandb_process import in_the_root_folder
from rlcli.text import message_of

KEY_VARIABLES = ("WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE")


class Account(NamedTuple):
    """Destination of the runs of a config."""

    mode: Mode
    logged_in: bool | None
    """Whether there are credentials; None where the mode needs none."""
    source: str | None
    """Where the credentials come from."""
    server: str
    entity: str | None
    """The team or user; None: the account's default, which the server knows."""
    project: str
    problem: str | None
    """Why the credentials cannot be used."""


def account(config: WandbConfig) -> Account:
    """The account that a run with this config would log to.

    Raises whatever W&B's SDK raises where it is not installed or its settings cannot be read.
    """
    import wandb
    from wandb.sdk import wandb_setup

    with in_the_root_folder():
        settings = wandb_setup.singleton().settings  # unlike wandb.setup(), it starts no process
        settings.silent = True  # else W&B asks its server for the user's name, to print it
        wandb.termsetup(settings, None)
        mode: Mode = asked_mode(config.mode) or MODES.get(settings.mode, "online")
        logged_in, problem = None, None
        if mode == "online":
            settings.mode = mode  # in another one it says that nobody is logged in
            logged_in, problem = _credentials()
            mode = "online" if logged_in else "offline"
    source = next((name for name in KEY_VARIABLES if os.environ.get(name)), "netrc or W&B's settings")
    return Account(
        mode=mode,
        logged_in=logged_in,
        source=source if logged_in else None,
        server=str(settings.base_url),
        entity=config.entity or settings.entity,
        project=config.project,
        problem=problem,
    )


def _credentials() -> tuple[bool, str | None]:
    """Whether W&B finds credentials, and why it cannot use them; they are not verified."""
    import wandb

    try:
        return bool(wandb.login(prompt=False, verify=False)), None
    except wandb.errors.AuthenticationError as error:
        return False, message_of(error)
