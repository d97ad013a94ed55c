"""`rlcli list`: lists algorithms, environments, configs, networks, launchers and wrappers."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import typer

from rlcli.cli.options import AsJson, Imports
from rlcli.cli.output import emit, table
from rlcli.cli.own_code import import_own_code


class Kind(StrEnum):
    """What can be listed."""

    algos = "algos"
    envs = "envs"
    configs = "configs"
    networks = "networks"
    launchers = "launchers"
    wrappers = "wrappers"


def list_(
    kind: Annotated[Kind, typer.Argument(help="What to list.", show_default=False)],
    config_dir: Annotated[
        str | None, typer.Option("--config-dir", metavar="DIR", help="Folder of your own configs.")
    ] = None,
    imports: Imports = None,
    as_json: AsJson = False,
) -> None:
    """List algorithms, environments, networks, wrappers, or configs.

    Also launchers of sweeps, with their settings. Environments marked `array` have a batched numpy version,
    and those marked `mujoco` or `box2d` are stepped without Gymnasium: faster, and bit for bit equal. Any
    other Gymnasium id, also `module:Id`, works as well. The last column has why one cannot be trained yet:
    a package to install, or observations that no network reads.

    Examples:
      rlcli list algos
      rlcli list envs --json
    """
    import_own_code(imports or ())
    rows = _LISTS[kind](config_dir)
    if as_json:
        for row in rows:
            emit(row)
        return
    headings = list(rows[0]) if rows else ["name"]
    titles = [heading.replace("_", " ") for heading in headings]
    table(titles, [[_cell(heading, row[heading]) for heading in headings] for row in rows])


def _cell(heading: str, value: Any) -> str:
    if isinstance(value, bool):
        return heading if value else ""
    return " ".join(value) if isinstance(value, list) else str(value)


def _group(group: str, config_dir: str | None) -> list[dict[str, Any]]:
    from rlcli.config.extensions import ROWS
    from rlcli.config.groups import files, summary

    found = {name: summary(path) for name, path in files(group, config_dir).items()}
    found |= {name: row.doc for name, row in ROWS.get(group, {}).items() if name not in found}
    return [{"name": name, "description": text} for name, text in found.items()]


def _algos(config_dir: str | None) -> list[dict[str, Any]]:
    return _group("algo", config_dir)


def _networks(config_dir: str | None) -> list[dict[str, Any]]:
    return _group("network", config_dir)


def _configs(config_dir: str | None) -> list[dict[str, Any]]:
    from rlcli.config.groups import group_names

    return [
        {"group": group, **row}
        for group in group_names(config_dir)
        for row in _group(group, config_dir)
    ]  # fmt: skip


def _envs(config_dir: str | None) -> list[dict[str, Any]]:
    from rlcli.config.groups import files
    from rlcli.envs.backend import ARRAY_ENVS, STEPPED
    from rlcli.envs.obstacles import obstacles
    from rlcli.envs.registry import known_ids

    tuned: dict[str, list[str]] = {}
    for name in files("tuned", config_dir):
        algo, _, env = name.partition("/")
        tuned.setdefault(env, []).append(algo)

    def algos(name: str) -> list[str]:
        """Algorithms with tuned settings of an environment, or of its family."""
        family = name.rpartition("/")[0]
        return list(dict.fromkeys([*tuned.get(family, []), *tuned.get(name, [])]))

    reasons = obstacles()
    names = dict.fromkeys([*files("env", config_dir), *known_ids(), *reasons])
    return [
        {
            "name": name,
            "array": name in ARRAY_ENVS,
            **{backend: name in known for backend, (_, known, _) in STEPPED.items()},
            "tuned": algos(name),
            "cannot_train": reasons.get(name, ""),
        }
        for name in names
    ]


def _launchers(_: str | None) -> list[dict[str, Any]]:
    from rlcli.config.launchers import LAUNCHERS
    from rlcli.config.values import display

    rows = []
    for name, declared in LAUNCHERS.items():
        rows.append({"name": name, "setting": "", "default": "", "description": declared.doc})
        for key in declared.keys.values():
            default = display(key.default)
            row = {"setting": key.name, "default": default, "description": key.declaration.doc}
            rows.append({"name": name, **row})
    return rows


def _wrappers(_: str | None) -> list[dict[str, Any]]:
    from rlcli.envs.wrappers import OWN, REFUSED, known

    rows = [{"name": name, "of": "rlcli", "cannot_be_used": ""} for name in OWN]
    return rows + [
        {"name": name, "of": "gymnasium.wrappers", "cannot_be_used": REFUSED.get(name, "")}
        for name in known()
    ]


_LISTS = {
    Kind.algos: _algos,
    Kind.envs: _envs,
    Kind.configs: _configs,
    Kind.networks: _networks,
    Kind.launchers: _launchers,
    Kind.wrappers: _wrappers,
}
