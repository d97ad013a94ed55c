"""Sweeps of W&B's server, whose agent calls rlcli: the recipe of docs/wandb.md, with the SDK's functions."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import yaml

from rlcli.config.compose import compose
from rlcli.config.overrides import parse_command
from tests.loggers.wandb_server import serving

RECIPE = Path(__file__).parents[2] / "docs" / "wandb.md"


def recipe():
    (text,) = re.findall(r"```yaml\n(.*?)```", RECIPE.read_text(), re.DOTALL)
    return yaml.safe_load(text)


def test_the_command_line_of_an_agent_is_one_of_rlcli():
    from wandb.sdk.launch.sweeps.utils import create_sweep_command, create_sweep_command_args

    found = recipe()
    chosen = {"algo.clip": 0.1, "algo.learning_rate": 0.00123, "seed": 2}
    assert set(chosen) == set(found["parameters"])
    args = create_sweep_command_args({"args": {name: {"value": value} for name, value in chosen.items()}})
    macros = {"${args_no_hyphens}": args["args_no_hyphens"], "${env}": ["/usr/bin/env"]}
    words = [word for part in create_sweep_command(found["command"]) for word in macros.get(part, [part])]
    assert words[:3] == ["/usr/bin/env", "rlcli", "train"]
    command = parse_command(words[3:])
    assert not command.faults
    config = compose(words[3:]).config
    assert (config.algo.clip, config.algo.learning_rate, config.seed) == (0.1, 0.00123, 2)
    assert (config.env.id, config.wandb.mode) == ("CartPole-v1", "online")


def test_the_metric_is_one_of_ours_and_the_parameters_are_keys():
    from rlcli.catalog.table import METRICS
    from rlcli.config.schema.keys import KEYS

    found = recipe()
    assert found["metric"]["name"] in METRICS
    assert METRICS[found["metric"]["name"]].direction == "higher"
    assert set(found["parameters"]) <= set(KEYS)


AGENT = """
import pathlib, sys
from rlcli.config.schema.record import WandbConfig
from rlcli.config.schema.run import RunConfig
from rlcli.loggers import wandb
from rlcli.loggers.interface import RunInfo
info = RunInfo(
    id="k3x9", name="run", dir=pathlib.Path("run").absolute(), config_dict={"seed": 2}, total_steps=1,
    config=RunConfig(wandb=WandbConfig(mode="online")),
)
logger = wandb.WandbLogger(info, lambda text: print(text))
logger.log({"update": 1, "env_steps": 1024})
logger.close("finished")
"""


def test_a_run_of_an_agent_is_the_one_that_the_server_waits_for(tmp_path):
    """The agent gives the path of the parameters relative to its folder."""
    (tmp_path / "run").mkdir()
    parameters = tmp_path / "wandb" / "sweep-abc" / "config-run1.yaml"
    parameters.parent.mkdir(parents=True)
    parameters.write_text("wandb_version: 1\nalgo.clip: {value: 0.1}\nseed: {value: 2}\n")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")}
    with serving() as server:
        environment |= {
            "HOME": str(tmp_path), "PYTHONPATH": str(Path.cwd()), "WANDB_API_KEY": "k" * 40,
            "WANDB_BASE_URL": server.url, "WANDB_SWEEP_ID": "abc", "WANDB_RUN_ID": "run1",
            "WANDB_PROJECT": "clipping", "WANDB_ENTITY": "my-team",
            "WANDB_SWEEP_PARAM_PATH": str(parameters.relative_to(tmp_path)),
        }  # fmt: skip
        done = subprocess.run(
            [sys.executable, "-c", AGENT],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        ((place, run),) = server.runs.items()
        assert place == ("my-team", "clipping", "run1")
        assert run.about["sweep"] == "abc"
        assert run.config["algo.clip"]["value"] == 0.1
        assert run.updates() == [1]
