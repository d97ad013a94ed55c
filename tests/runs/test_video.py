"""Videos of evaluations: which episodes, what is in them, refusals; and no figure depends on them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rlcli.collect.tape import Tape
from rlcli.config.overrides import parse_command
from rlcli.config.schema.env import EnvConfig
from rlcli.envs import pictures
from rlcli.envs.pictures import check_drawn
from rlcli.errors import RlcliError, UserError
from rlcli.runs import video
from rlcli.runs.cadence import video_due
from rlcli.runs.evaluate import evaluate_run
from rlcli.runs.resume import resume
from rlcli.runs.train import Result
from rlcli.sweeps.preflight import videos_can_be_made
from tests.runs.tiny import index_of, rows_of, tiny

ffmpeg = pytest.importorskip("imageio_ffmpeg")

Trained = Callable[..., Result]
DRAWN = "tests.envs.probes:ProbeDrawn-v0"


def frames(path: Path) -> np.ndarray:
    """The pictures of a video, [T, H, W, 3]."""
    made = [ffmpeg.get_ffmpeg_exe(), "-i", str(path), "-f", "image2pipe", "-vcodec", "ppm", "-"]
    content = subprocess.run(made, capture_output=True, check=True).stdout
    header = b"\n".join(content.split(b"\n", 3)[:3]) + b"\n"
    width, height = (int(word) for word in header.split()[1:3])
    length = len(header) + width * height * 3
    rows = np.frombuffer(content, np.uint8).reshape(-1, length)[:, len(header) :]
    return rows.reshape(-1, height, width, 3)


def names(run_dir: Path) -> list[str]:
    return sorted(path.name for path in (run_dir / "videos").iterdir())


def test_the_best_the_worst_then_the_first_are_filmed(trained: Trained) -> None:
    run_dir = trained(env__id=DRAWN, eval__episodes=0).dir
    figures = evaluate_run(run_dir, episodes=25, video=4)
    best, worst = figures["return_max"], figures["return_min"]
    written = [Path(path).name for path in figures["videos"]]
    assert written[:2] == [f"eval-3-best-{best:g}.mp4", f"eval-3-worst-{worst:g}.mp4"]
    others = {f"eval-3-episode-{number}" for number in range(4)}
    assert {name.rsplit("-", 1)[0] for name in written[2:]} <= others
    assert names(run_dir) == sorted(written)
    shown = frames(run_dir / "videos" / written[0])
    assert shown.shape == (best + 1, 8, 10, 3)
    brightness = shown.mean((1, 2, 3))
    assert np.abs(brightness - 30 * np.arange(best + 1)).max() < 8
    without = evaluate_run(run_dir, episodes=25)
    assert {name: value for name, value in figures.items() if name != "videos"} == without


def test_what_steps_the_evaluation_is_replayed_by_gymnasium(trained: Trained) -> None:
    """The replay's return is compared with the evaluation's to the last bit."""
    for env_id in ("CartPole-v1", "Pendulum-v1"):
        run_dir = trained(env_id, env__id=env_id, eval__episodes=0).dir
        figures = evaluate_run(run_dir, episodes=12, video=1)
        [path] = figures["videos"]
        total = f"{figures['return_max']:.2f}".rstrip("0").rstrip(".")
        assert Path(path).name == f"eval-3-best-{total}.mp4"
        assert len(frames(Path(path))) > 1


def test_mujoco_without_gymnasium_is_drawn_by_it(trained: Trained) -> None:
    pytest.importorskip("mujoco")
    config = tiny(env__id="InvertedPendulum-v5")
    try:
        check_drawn(config.env)
    except UserError:
        pytest.skip("there is no OpenGL here")
    run_dir = trained(env__id="InvertedPendulum-v5", network__log_std_init=-2.0, eval__episodes=0).dir
    [path] = evaluate_run(run_dir, episodes=2, video=1)["videos"]
    assert len(frames(Path(path))) > 1


def test_a_library_of_drawing_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mujoco")
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MUJOCO_GL", "glfw")
    monkeypatch.setattr(pictures, "_drawn", set())
    with pytest.raises(UserError, match="InvertedPendulum-v5 cannot be drawn: ") as refused:
        check_drawn(tiny(env__id="InvertedPendulum-v5").env)
    assert "MUJOCO_GL=egl or MUJOCO_GL=osmesa" in str(refused.value.hint)


def test_training_films_without_a_change_of_any_figure(trained: Trained) -> None:
    settings: dict[str, Any] = {"eval__every": 32, "eval__episodes": 4, "total_steps": 160, "env__id": DRAWN}
    plain = trained("plain", **settings).dir
    filmed = trained("filmed", **settings, eval__video_every=64).dir
    assert rows_of(filmed) == rows_of(plain)
    assert (filmed / "digests.txt").read_text() == (plain / "digests.txt").read_text()
    assert {name.split("-")[1] for name in names(filmed)} == {"2", "4"}
    assert not (plain / "videos").exists()
    assert [name.split("-")[2] for name in names(filmed)] == ["best", "worst"] * 2


def test_a_failure_of_a_video_is_a_warning_in_training(trained: Trained, capsys: Any) -> None:
    result = trained(env__id=DRAWN, env__kwargs={"fault": "raise"}, eval__every=32, eval__video_every=64)
    assert result.status == "finished"
    assert "no video of the evaluation after update 2: " in capsys.readouterr().err
    assert "warning: no video" in (result.dir / "train.log").read_text()


@pytest.mark.parametrize(
    ("steps", "every", "wanted", "due"),
    [
        (32, 32, 32, [1, 2, 3, 4, 5, 6]),
        (32, 32, 64, [2, 4, 6]),
        (32, 64, 32, [2, 4, 6]),
        (32, 96, 64, [3, 6]),
        (32, 0, 64, [6]),
        (32, 50, 100, [4, 7]),
        (32, 32, 0, []),
        (32, 32, 1_000_000, []),
    ],
)
def test_the_first_evaluation_that_reaches_a_multiple(
    steps: int, every: int, wanted: int, due: list[int]
) -> None:
    config = tiny(eval__video_every=wanted, eval__every=every, total_steps=max(due or [6]) * steps)
    evaluated = [
        number
        for number in range(1, config.updates + 1)
        if number == config.updates or (every and number * steps // every > (number - 1) * steps // every)
    ]
    assert [number for number in evaluated if video_due(config, number, every)] == due


@pytest.mark.parametrize(
    ("env_id", "kwargs", "said"),
    [
        ("tests.envs.probes:ProbeChoice-v0", {}, "has no pictures for a video: it has no render modes"),
        (DRAWN, {"fault": "raise"}, "cannot be drawn: tests/envs/drawn.py"),
        (DRAWN, {"fault": "shape"}, "drew ndarray of shape (7, 9) and type uint8"),
    ],
)
def test_environments_without_pictures_are_refused_first(
    env_id: str, kwargs: dict[str, Any], said: str, trained: Trained
) -> None:
    run_dir = trained(env__id=env_id, env__kwargs=kwargs, eval__episodes=0).dir
    with pytest.raises(UserError) as refused:
        evaluate_run(run_dir, episodes=1, video=1)
    assert said in str(refused.value)
    assert not (run_dir / "videos").exists()
    config = tiny(env__id=env_id, env__kwargs=kwargs, eval__video_every=10)
    [fault] = videos_can_be_made(config, {})
    assert fault.text.startswith(f"eval.video_every: {env_id}")
    [fault] = videos_can_be_made(tiny(eval__video_every=10, eval__episodes=0), {})
    assert fault.text == "eval.video_every has no effect with eval.episodes=0."


def test_a_package_that_is_missing_is_named(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="Videos need the package imageio-ffmpeg") as refused:
        evaluate_run(finished, episodes=1, video=1)
    assert "video" in str(refused.value.hint)


@pytest.mark.broken_by(
    "a replay that differs is kept", "runs/video.py", "if total != taped.total:", "if False:"
)
def test_an_environment_that_does_not_repeat_has_no_video(trained: Trained) -> None:
    run_dir = trained(env__id=DRAWN, env__kwargs={"fault": "unrepeatable"}, eval__episodes=0).dir
    with pytest.raises(RlcliError, match="it does not repeat its episodes, so there is no video of it"):
        evaluate_run(run_dir, episodes=3, video=1)
    assert names(run_dir) == []


def test_a_resumed_run_goes_on_filming(trained: Trained) -> None:
    run_dir = trained(env__id=DRAWN, eval__every=32, eval__video_every=32, total_steps=64).dir
    resume(run_dir, parse_command(["total_steps=128"]))
    assert index_of(run_dir)["last"] == 4
    assert {name.split("-")[1] for name in names(run_dir)} == {"1", "2", "3", "4"}


def test_a_tape_keeps_what_may_be_chosen() -> None:
    tape, returns = Tape(3), [3.0, 5.0, 5.0, -1.0, -1.0, 4.0]
    for number in (1, 0, 2, 5, 4, 3):  # in the order in which they ended
        for _ in range(number + 1):
            tape.step(np.array([number]), np.array([number]))
        tape.end(number, 100 + number, returns[number])
    chosen = [(what, taped.episode, taped.seed, len(taped.actions)) for what, taped in tape.chosen()]
    assert chosen == [("best", 1, 101, 2), ("worst", 3, 103, 4), ("episode", 0, 100, 1)]
    assert len(tape._done) <= 5
    assert Tape(2).chosen() == []


def test_one_episode_is_the_best_alone() -> None:
    tape = Tape(5)
    for number in (0, 1):
        tape.step(np.array([number]), np.zeros((1, 2)))
        tape.end(number, number, 0.0)
    assert [(what, taped.episode) for what, taped in tape.chosen()] == [("best", 0), ("episode", 1)]
    assert video.name(7, *tape.chosen()[0]) == "eval-7-best-0"
    assert video.name(7, *tape.chosen()[1]) == "eval-7-episode-1-0"
    assert video.name(7, "best", tape.chosen()[0][1]._replace(total=-154.026)) == "eval-7-best--154.03"
    assert video.name(7, "best", tape.chosen()[0][1]._replace(total=-0.001)) == "eval-7-best-0"


def test_odd_pictures_become_even() -> None:
    picture = np.arange(63, dtype=np.uint8).reshape(3, 7, 3)
    assert video.even(picture).shape == (4, 8, 3)
    assert (video.even(picture)[3, 7] == picture[2, 6]).all()
    assert video.even(picture[:2, :4]) is not None


@pytest.mark.broken_by(
    "triton is loaded by torch after something was drawn, which ends the process",
    "envs/pictures.py",
    "    _load_triton()\n    with _offscreen():",
    "    with _offscreen():",
)
def test_triton_is_loaded_before_anything_is_drawn(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "triton.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "triton", raising=False)
    loaded: list[bool] = []
    made = pictures.instance

    def instance(config: EnvConfig, rendered: bool = False) -> Any:
        loaded.extend(["triton" in sys.modules] if rendered else [])
        return made(config, rendered=rendered)

    monkeypatch.setattr(pictures, "instance", instance)
    pictures.close("", pictures._rendered(tiny(env__id=DRAWN).env))
    assert loaded == [True]
    monkeypatch.delitem(sys.modules, "triton")
