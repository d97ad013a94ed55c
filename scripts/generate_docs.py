"""Generator of the reference pages in docs/: `make docs`; `--check` compares.

docs/cli.md has the help of every verb, docs/keys.md the configuration schema, docs/metrics.md the catalogue
of metrics, docs/coming_from.md the names in other libraries.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import functools
import io
import json
import os
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rlcli.catalog.table import METRICS
from rlcli.config.peer_names import PEER_NAMES
from rlcli.config.schema.keys import KEYS, Key
from rlcli.config.schema.run import RunConfig

ROOT = Path(__file__).parents[1]
PLAIN = {"COLUMNS": "100", "TERMINAL_WIDTH": "100", "NO_COLOR": "1", "TERM": "dumb"}
SOURCE = "<!-- Written by scripts/generate_docs.py from {}: change that, then `make docs`. -->"


@functools.cache
def command() -> Any:
    """What `rlcli` calls."""
    import typer

    from rlcli.cli.app import app

    return typer.main.get_command(app)


def help_of(*verb: str) -> str:
    """The help text of one verb, 100 columns wide, without colours."""
    os.environ |= PLAIN
    with contextlib.redirect_stdout(io.StringIO()) as shown, contextlib.suppress(SystemExit):
        command()([*verb, "--help"], prog_name="rlcli")
    return "\n".join(line.rstrip() for line in shown.getvalue().strip("\n").splitlines()).strip("\n")


def verbs() -> list[str]:
    """The verbs of the command line, in the order its help gives them."""
    found: list[str] = []
    for name, verb in command().commands.items():
        found += [name, *(f"{name} {inner}" for inner in getattr(verb, "commands", ()))]
    return found


def cli_page() -> str:
    """Every verb's help."""
    lines = ["# Command line", "", SOURCE.format("the help texts"), ""]
    for verb in ("", *verbs()):
        title = f"rlcli {verb}".strip()
        lines += [f"## {title}", "", "```text", help_of(*verb.split()), "```", ""]
    return "\n".join(lines)


def type_name(hint: Any) -> str:
    """Name of a type for readers."""
    if isinstance(hint, types.UnionType):
        return " or ".join("null" if part is type(None) else type_name(part) for part in hint.__args__)
    origin = getattr(hint, "__origin__", None)
    if origin is tuple:
        return f"list of {type_name(hint.__args__[0])}"
    named = {str: "text", dict: "mapping", bool: "true or false", int: "integer", float: "number"}
    return named[origin or hint]


def literal(value: Any) -> str:
    """A default as written on the command line."""
    if isinstance(value, float):
        return f"{value:g}" if value == float(f"{value:g}") else f"{value:.6g}"
    return json.dumps(list(value) if isinstance(value, tuple) else value)


def cell(text: str) -> str:
    """Text escaped for a cell of a markdown table."""
    return text.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")


def key_row(key: Key) -> str:
    """One key as a row of a table."""
    declared = key.declaration
    admitted = ", ".join(declared.written_choices) if declared.written_choices else declared.bounds()
    notes = declared.doc
    if declared.unit:
        notes += f" Unit: {declared.unit}."
    if declared.used_by:
        field, values = declared.used_by
        notes += f" Used with {field}={'|'.join(values)}."
    marks = ("yes" if marked else "" for marked in (declared.cohort, declared.resumable))
    columns = (f"`{key.name}`", type_name(key.type), f"`{literal(key.default)}`", admitted, *marks, notes)
    return "| " + " | ".join(map(cell, columns)) + " |"


def keys_page() -> str:
    """Every key by its section."""
    sections = {"": RunConfig} | {
        field.name: field.default_factory
        for field in dataclasses.fields(RunConfig)
        if dataclasses.is_dataclass(field.default_factory)
    }
    lines = [
        "# Configuration keys",
        "",
        SOURCE.format("rlcli/config/schema"),
        "",
        "`rlcli explain KEY` shows the same. Defaults are those of the schema; an algorithm's config and",
        "tuned settings may set others, which `rlcli train --cfg job` shows with their origin. Keys marked",
        "*cohort* may differ between runs that train together, those marked *resume* may be changed by",
        "`rlcli resume`.",
        "",
    ]
    for section, cls in sections.items():
        keys = [key for name, key in KEYS.items() if name.rpartition(".")[0] == section]
        lines += [
            f"## {section or 'Run'}",
            "",
            (cls.__doc__ or "").strip(),
            "",
            "| key | type | default | values | cohort | resume | meaning |",
            "|---|---|---|---|---|---|---|",
            *map(key_row, keys),
            "",
        ]
    return "\n".join(lines)


def metrics_page() -> str:
    """Every metric by its group."""
    lines = [
        "# Metrics",
        "",
        SOURCE.format("rlcli/catalog"),
        "",
        "`rlcli explain METRIC` shows the same. A metric undefined for an update is absent from its row.",
        "",
    ]
    groups: dict[str, list[Any]] = {}
    for name, metric in METRICS.items():
        groups.setdefault(name.rpartition("/")[0], []).append(metric)
    for group, metrics in groups.items():
        lines += [
            f"## {group + '/' if group else 'Position'}",
            "",
            "| metric | unit | formula | better | meaning |",
            "|---|---|---|---|---|",
        ]
        for metric in metrics:
            columns = (f"`{metric.name}`", metric.unit, metric.formula, metric.direction, metric.definition)
            lines.append("| " + " | ".join(map(cell, columns)) + " |")
        lines.append("")
    return "\n".join(lines)


INTRODUCTION = """
`rlcli explain NAME` and the message about an unknown key know these names too, in any case and with any
section: `algo.lr`, `n_steps`, `--num-envs`. Where a value has another unit, the message converts it with the
numbers of the command:

```console
$ rlcli train n_envs=4 n_steps=256 batch_size=64
Error: Unknown key 'n_envs'. n_envs of Stable-Baselines3 is env.num_envs here. Write env.num_envs=4.
...
$ rlcli train env.num_envs=4 algo.rollout_steps=256 algo.minibatches=16
```

Four differences matter most:

- Sizes of batches are not set but follow: an update trains on `algo.rollout_steps` x `env.num_envs` samples,
  divided into `algo.minibatches` minibatches.
- Settings tuned for an algorithm and an environment are applied where they exist; `tuned=none` starts from
  the algorithm's own defaults, and `rlcli train --cfg job` shows each value with its origin.
- Defaults differ. What `PPO` of Stable-Baselines3 takes without arguments is here `tuned=none env.num_envs=1
  algo.rollout_steps=2048 algo.minibatches=32 algo.epochs=10 algo.learning_rate=3e-4
  algo.learning_rate_schedule=constant`; the default learning rate here falls linearly to 0.
- `backend=sb3` trains PPO, A2C and TRPO with Stable-Baselines3 from the same keys, for comparison.

## A script of Stable-Baselines3, translated

```python
env = make_vec_env("CartPole-v1", n_envs=4)
model = PPO(
    "MlpPolicy",
    env,
    n_steps=256,
    batch_size=64,
    n_epochs=4,
    gamma=0.98,
    gae_lambda=0.9,
    ent_coef=0.01,
    clip_range=0.1,
    learning_rate=1e-3,
    policy_kwargs=dict(net_arch=[32, 32]),
    seed=1,
)
model.learn(total_timesteps=20_000)
print(evaluate_policy(model, env, n_eval_episodes=20))
model.save("first")
```

The same settings, then an evaluation, and a file that `PPO.load` of Stable-Baselines3 reads:

```sh
rlcli train env=CartPole-v1 tuned=none env.num_envs=4 algo.rollout_steps=256 algo.minibatches=16 \\
    algo.epochs=4 algo.gamma=0.98 algo.gae_lambda=0.9 algo.entropy_coef=0.01 algo.clip=0.1 \\
    algo.learning_rate=1e-3 algo.learning_rate_schedule=constant \\
    'network.hidden=[32,32]' seed=1 total_steps=20000 name=ported
rlcli eval ported --episodes 20
rlcli export ported --format sb3
```

Other parts of a script:

| Stable-Baselines3 | here |
|---|---|
| `model.save`, `CheckpointCallback` | every run is saved, and resumed with `rlcli resume RUN` |
| `PPO.load`, `model.predict` | `rlcli.load(RUN)` and its `act(observation)`: [python.md](python.md) |
| `evaluate_policy`, `EvalCallback` | `rlcli eval RUN`; during training, `eval.every` and `eval.episodes` |
| `BaseCallback` | `rlcli.train(..., on_row=f)`: [python.md](python.md) |
| `StopTrainingOnRewardThreshold` | `stop_at.threshold`: [early_stopping.md](early_stopping.md) |
| `VecNormalize` | `env.normalize_observation`, `env.normalize_reward` |
| `SubprocVecEnv` | `collect.mode=process`: [actors.md](actors.md) |
| `Monitor` | nothing: returns and lengths of episodes are always recorded |
| `VecFrameStack`, `AtariWrapper` | `env.atari.frame_stack` and other keys: [pixels.md](pixels.md) |
| `tensorboard_log` | the logger `tensorboard`: [loggers.md](loggers.md) |
"""
LIBRARIES = ("Stable-Baselines3", "CleanRL", "RLlib")


def coming_from_page() -> str:
    """Every name of another library: by key first, then by library with what differs."""
    lines = [
        "# Coming from Stable-Baselines3, CleanRL, RLlib",
        "",
        SOURCE.format("rlcli/config/peer_names.py"),
    ]
    lines += [INTRODUCTION, "## By key", "", "A name in italics has another meaning or unit: see below.", ""]
    lines += [f"| rlcli | {' | '.join(LIBRARIES)} |", "|---|---|---|---|"]
    names: dict[str, dict[str, list[str]]] = {}
    for entry in PEER_NAMES:
        for ours in entry.ours:
            shown = f"*`{entry.name}`*" if entry.note else f"`{entry.name}`"
            names.setdefault(ours, {}).setdefault(entry.library, []).append(shown)
    order = [*KEYS, *METRICS]
    for ours in sorted(names, key=lambda name: order.index(name) if name in order else -1):
        cells = (", ".join(dict.fromkeys(names[ours].get(library, ()))) for library in LIBRARIES)
        lines.append(f"| `{ours}` | {' | '.join(cells)} |")
    for library in LIBRARIES:
        lines += ["", f"## {library}", "", "| name | declared by | rlcli | difference |", "|---|---|---|---|"]
        for entry in PEER_NAMES:
            if entry.library == library:
                here = ", ".join(f"`{ours}`" for ours in entry.ours) or "none"
                columns = (f"`{entry.name}`", f"`{entry.source}`", here, entry.note)
                lines.append("| " + " | ".join(map(cell, columns)) + " |")
    return "\n".join(lines) + "\n"


def pages() -> Iterator[tuple[Path, str]]:
    """Every generated file with its text."""
    yield ROOT / "docs" / "cli.md", cli_page()
    yield ROOT / "docs" / "keys.md", keys_page()
    yield ROOT / "docs" / "metrics.md", metrics_page()
    yield ROOT / "docs" / "coming_from.md", coming_from_page()


def main() -> None:
    """Write the pages, or print which differ."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 when a page is outdated")
    check = parser.parse_args().check
    outdated = [(path, text) for path, text in pages() if not path.exists() or path.read_text() != text]
    for path, text in outdated:
        print(path.relative_to(ROOT), "is outdated: run make docs" if check else "written")
        if not check:
            path.write_text(text)
    sys.exit(bool(outdated and check))


if __name__ == "__main__":
    main()
