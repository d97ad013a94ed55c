"""`rlcli export` and `rlcli eval RUN --video` on the command line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.cli.conftest import Rlcli


@pytest.fixture
def run(finished: Path, workplace: Path) -> Path:
    """A copy of a run that may be written to, in the current directory's runs/."""
    copy = Path("runs/one")
    shutil.copytree(finished, copy)
    return copy


def test_an_export_says_what_it_wrote(run: Path, rlcli: Rlcli) -> None:
    ended = rlcli("export", "last")
    assert ended.code == 0, ended.err
    first, second = ended.out.splitlines()
    assert first == "runs/one/exports/torch-3: README.md, policy.pt"
    assert second.startswith("update 3. On 1,000 observations drawn at random it chose the run's own most")
    ended = rlcli("export", "runs/one", "--format", "safetensors", "--at", "2", "--out", "out", "--json")
    assert ended.code == 0, ended.err
    said = json.loads(ended.out)
    assert (said["dir"], said["update"], said["files"]) == (
        str(Path("out").absolute()), 2, ["README.md", "policy.safetensors"],
    )  # fmt: skip
    assert ended.err == ""


def test_what_is_wrong_is_told_with_what_is_right(run: Path, rlcli: Rlcli) -> None:
    for words, told in (
        (("--format", "onx"), "onnx"),
        (("--at", "lats"), "Did you mean 'last'"),
        (("--at", "99"), "no checkpoint 99"),
        (("--out", "runs/one"), "exists already; an export writes a new folder"),
    ):
        ended = rlcli("export", "last", *words)
        assert ended.code == 2
        assert told in ended.err
        assert "Traceback" not in ended.err
    assert not (run / "exports").exists()


def test_a_folder_that_leads_out_of_the_run_is_refused(run: Path, rlcli: Rlcli, tmp_path: Path) -> None:
    for name in ("exports", "videos"):
        (tmp_path / "elsewhere").mkdir(exist_ok=True)
        (run / name).symlink_to(tmp_path / "elsewhere")
    ended = rlcli("export", "last")
    assert ended.code == 4
    assert "is a link; files of a run directory may not lead out of it" in ended.err
    pytest.importorskip("imageio_ffmpeg")
    assert rlcli("eval", "last", "-n", "1", "--video").code == 4
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_exports_and_videos_are_removed_with_their_run(run: Path, rlcli: Rlcli) -> None:
    assert rlcli("export", "last", "--format", "safetensors").code == 0
    (run / "videos").mkdir()
    (run / "videos" / "eval-3-best-1.mp4").touch()
    ended = rlcli("runs", "runs/one", "--rm", "--yes")
    assert ended.code == 0, ended.err
    assert not run.exists()


def test_the_number_of_videos_may_be_left_out(run: Path, rlcli: Rlcli) -> None:
    pytest.importorskip("imageio_ffmpeg")
    for words, count in (
        (("--video", "last", "-n", "3"), 1), (("last", "-n", "3", "--video"), 1),
        (("last", "--video", "2", "-n", "3"), 2), (("last", "-n", "3"), 0),
    ):  # fmt: skip
        ended = rlcli("eval", *words)
        assert ended.code == 0, ended.err
        assert len([line for line in ended.out.splitlines() if line.startswith("video ")]) == count
    assert rlcli("eval", "last", "--video=0", "-n", "1").code == 0
    assert rlcli("eval", "last", "--video", "-1").code == 2
