"""Settings of W&B's and of git's in folders that may be anybody's choose nothing; nothing is sent or run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rlcli.errors import StorageError
from rlcli.loggers.wandb import WandbLogger
from tests.cli.listening import server
from tests.loggers.wandb_file import finished, of_type

KEY = "k" * 40


START = """
import os, pathlib, sys
from rlcli.config.schema.record import WandbConfig
from rlcli.config.schema.run import RunConfig
from rlcli.loggers import wandb, wandb_process
from rlcli.loggers.interface import RunInfo
wandb_process.INIT_TIMEOUT = 2.0
info = RunInfo(
    id="k3x9", name="run", dir=pathlib.Path(sys.argv[1]), config_dict={}, total_steps=1,
    config=RunConfig(wandb=WandbConfig(mode=sys.argv[2])),
)
logger = wandb.WandbLogger(info, lambda text: print(text))
logger.log({"update": 1, "env_steps": 1024})
logger.close("finished")
print(os.getcwd())
"""


def settings(port: int) -> str:
    chosen = {"mode": "online", "project": "theirs", "entity": "theirs", "api_key": "e" * 40}
    chosen |= dict.fromkeys(("base_url", "http_proxy", "https_proxy"), f"http://127.0.0.1:{port}")
    return "[default]\n" + "".join(f"{name} = {value}\n" for name, value in chosen.items())


def hostile(folder: Path, port: int, trace: Path) -> None:
    """Settings, defaults and a repository whose configuration names a program."""
    for name in ("wandb", ".wandb"):
        (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / name / "settings").write_text(settings(port))
    (folder / "config-defaults.yaml").write_text("stolen: {value: 1}\n")
    subprocess.run(["git", "init", "-q", str(folder)], check=True)
    with (folder / ".git" / "config").open("a") as config:
        config.write(
            f'[core]\n\tfsmonitor = "touch {trace}; false"\n[remote "origin"]\n\turl = http://x/theirs\n'
        )


@pytest.mark.parametrize(("place", "mode"), [("run", "online"), ("here", "auto")])
def test_settings_lying_about_choose_nothing(place: str, mode: str, tmp_path: Path) -> None:
    """With a key in the environment: the server that is named is asked nothing, and nothing is executed."""
    home, here, run = (tmp_path / name for name in ("home", "here", "here/run"))
    home.mkdir()
    run.mkdir(parents=True)
    trace = tmp_path / "pwned"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")}
    environment |= {
        "HOME": str(home), "PYTHONPATH": str(Path.cwd()), "WANDB_API_KEY": KEY,
        "WANDB_BASE_URL": "http://127.0.0.1:9",
    }  # fmt: skip
    with server() as (port, heard):
        hostile(run if place == "run" else here, port, trace)
        done = subprocess.run(
            [sys.executable, "-c", START, str(run) if place == "run" else "run", mode],
            cwd=run if place == "run" else here, env=environment, capture_output=True, text=True, timeout=60,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert heard == []
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == str(run if place == "run" else here)
    assert not trace.exists()
    found = finished(run)
    [started] = of_type(found, "run")
    assert (started.project, started.entity) == ("rlcli", "")
    assert "stolen" not in {item.key for item in started.config.update}
    assert KEY not in done.stdout + done.stderr


def test_without_a_key_nothing_is_read_either(tmp_path: Path) -> None:
    """Default settings: no server of the user's own is named."""
    here = tmp_path / "here"
    (here / "run").mkdir(parents=True)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")}
    environment |= {"HOME": str(tmp_path), "PYTHONPATH": str(Path.cwd())}
    with server() as (port, heard):
        hostile(here, port, tmp_path / "pwned")
        done = subprocess.run(
            [sys.executable, "-c", START, "run", "auto"],
            cwd=here, env=environment, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert heard == []
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "pwned").exists()


@pytest.mark.parametrize("name", ["wandb", "wandb/cache", "wandb/latest-run"])
def test_links_where_wandb_writes_are_refused(name, make_info, tmp_path):
    info = make_info(wandb={"mode": "offline"}, dir=tmp_path / "run")
    outside = tmp_path / "outside"
    outside.mkdir()
    (info.dir / name).parent.mkdir(parents=True)
    (info.dir / name).symlink_to(outside)
    with pytest.raises(StorageError, match="is a link"):
        WandbLogger(info, pytest.fail)
    assert list(outside.iterdir()) == []


def test_the_current_folder_is_as_before(make_info, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    WandbLogger(make_info(wandb={"mode": "offline"}), pytest.fail).close("finished")
    assert Path.cwd() == tmp_path
