"""Output of `--cfg`: the configuration of a command that is not carried out, each value with its origin."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rlcli.cli.output import emit, result

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rlcli.config.compose import Composed


class Cfg(StrEnum):
    """Choices of `--cfg`."""

    job = "job"
    hydra = "hydra"
    all = "all"


CfgOption = Annotated[
    Cfg | None,
    typer.Option("--cfg", "-c", help="Show the configuration with the origin of each value; train nothing."),
]


def print_config(
    cfg: Cfg, jobs: Sequence[Composed], words: Sequence[str], config_dir: str | None, as_json: bool
) -> None:
    """Print the configuration of each job, as YAML or JSON; `words` are all settings in Hydra's form."""
    (_emit if as_json else _show)(cfg, jobs, words, config_dir)


def _show(cfg: Cfg, jobs: Sequence[Composed], words: Sequence[str], config_dir: str | None) -> None:
    documents = [job.yaml for job in jobs] if cfg != Cfg.hydra else [""]
    if cfg != Cfg.job:
        from rlcli.config.hydra_settings import settings_yaml

        documents[0] += settings_yaml(words, config_dir)
    result("---\n".join(documents).rstrip("\n"))


def _emit(cfg: Cfg, jobs: Sequence[Composed], words: Sequence[str], config_dir: str | None) -> None:
    """Print one JSON object per job, the values and origins of all keys; the first has Hydra's settings."""
    from rlcli.config.serialise import flatten

    rows: list[dict[str, Any]] = [
        {"config": flatten(job.config), "origin": job.provenance, "overrides": list(job.overrides)}
        for job in (jobs if cfg != Cfg.hydra else ())
    ] or [{}]
    if cfg != Cfg.job:
        from rlcli.config.hydra_settings import settings

        rows[0] |= {"hydra": settings(words, config_dir)}
    for row in rows:
        emit(row)
