"""A folder given with --config-dir that was made to do harm ends a command with one message."""

from __future__ import annotations

from pathlib import Path

from tests.cli.conftest import Rlcli
from tests.config.test_config_dir import REFUSED


def test_the_command_ends_with_one_message(workplace: Path, rlcli: Rlcli) -> None:
    folder = workplace / "configs"
    folder.mkdir()
    REFUSED["a callback"][0](folder)
    for words in (["train"], ["train", "-m", "seed=0,1"], ["train", "--cfg", "all"]):
        ended = rlcli(*words, "experiment=x", "--config-dir", "configs")
        assert (ended.code, ended.out) == (2, "")
        assert ended.err.startswith("Error: ")
        assert len(ended.err.splitlines()) <= 2
    assert not list(workplace.rglob("pwned"))
