"""`--out`: a file that cannot be written is refused before anything is computed, by every verb alike."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from rlcli.cli.out_file import PICTURES, check_out, check_out_folder
from rlcli.errors import UserError
from tests.cli.conftest import Rlcli

VERBS = {
    "theory": ("theory drift", "a.png"),
    "plot": ("plot nothing", "a.svg"),
    "report": ("report nothing", "a.html"),
    "rollouts": ("rollouts nothing", "a.npz"),
    "rollouts minari": ("rollouts nothing --format minari", "a-v0"),
    "export": ("export nothing", "a"),
}
"""Each with a name that its file may have. That no run is named 'nothing' is not reached."""


@pytest.mark.broken_by(
    "a folder that takes no files is accepted",
    "cli/out_file.py",
    "with tempfile.TemporaryFile(dir=folder):\n            pass",
    "pass",
    case="theory",
)
@pytest.mark.parametrize("verb", VERBS)
def test_a_folder_that_takes_no_files_is_refused_first(rlcli: Rlcli, workplace: Path, verb: str) -> None:
    words, name = VERBS[verb]
    ended = rlcli(*words.split(), "--out", f"/proc/{name}")
    assert (ended.code, ended.out) == (2, "")
    assert f"Error: --out /proc/{name}: the folder /proc cannot be written to: " in ended.err
    assert "Traceback" not in ended.err


@pytest.mark.parametrize("verb", ["theory", "plot", "report"])
def test_a_folder_of_the_name_is_refused_first(rlcli: Rlcli, workplace: Path, verb: str) -> None:
    words, name = VERBS[verb]
    (workplace / name).mkdir()
    ended = rlcli(*words.split(), "--out", name)
    assert (ended.code, ended.out) == (2, "")
    assert f"Error: --out {name}: it is a folder." in ended.err


@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb != "export"])
def test_a_missing_folder_is_refused_first(rlcli: Rlcli, workplace: Path, verb: str) -> None:
    words, name = VERBS[verb]
    ended = rlcli(*words.split(), "--out", f"nowhere/{name}")
    assert (ended.code, ended.out) == (2, "")
    assert f"Error: --out nowhere/{name}: there is no folder nowhere." in ended.err


def test_a_check_leaves_nothing_behind(workplace: Path) -> None:
    (workplace / "notes").write_text("mine")
    check_out(Path("plot.PNG"), PICTURES)
    check_out(Path("notes"))
    check_out_folder(Path("new/folder"))
    with pytest.raises(UserError, match=r"notes is not a folder\."):
        check_out_folder(Path("notes/folder"))
    assert [path.name for path in workplace.iterdir()] == ["notes"]
    assert (workplace / "notes").read_text() == "mine"


@pytest.mark.parametrize("verb", ["theory", "plot"])
def test_without_matplotlib_a_picture_is_refused_first(
    rlcli: Rlcli, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    words, name = VERBS[verb]
    ended = rlcli(*words.split(), "--out", name)
    assert (ended.code, ended.out) == (2, "")
    assert "--out needs matplotlib." in ended.err
