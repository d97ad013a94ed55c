"""`make soak`: seconds of it, and its page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

SCRIPTS = Path(__file__).parents[1] / "scripts"
SETTINGS = (
    "algo=impala_async", "collect.actors=2", "env.num_envs=2", "network.hidden=[8]", "total_steps=1000000",
)  # fmt: skip


@pytest.fixture
def soak(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(SCRIPTS)
    import soak

    return soak


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="needs /proc")
def test_every_killed_actor_is_replaced_and_counted(
    soak: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    found = soak.soak(3.0, 0.6, SETTINGS, tmp_path)
    assert (found["kills"], found["restarts"], found["lost"]) == (4, 4, 0)
    assert found["seconds"] >= 3.0
    assert found["longest_gap"] < 3.0
    assert 0.0 < found["replaced"]["median"] <= found["replaced"]["worst"] < 0.6
    assert min(found[who][when] for who in ("learner", "actors") for when in ("quarter", "end")) > 10.0
    assert capfd.readouterr().err.count("killed by SIGKILL; another took its place") == 4
    control = {"seconds": 600.0, "env_steps": 2000, "longest_gap": 0.25, "returns": [10.0, None, 30.0]}
    text = soak.page(found | {"with": {"machine": "a test's"}, "control": control})
    assert "2,000 env steps in 600 s, at most 0.25 s between two rows: 10, none, 30.\n" in text
    assert "| killed actors | 4, one every 0.6 s |\n| restarts counted in rows | 4 |\n" in text


def test_memory_is_read_at_a_quarter_and_at_the_end(soak: Any) -> None:
    """10 MB more in each minute."""
    samples = [(60.0 * minute, 100.0 + 10.0 * minute, 50.0) for minute in range(40)]
    assert soak.memory(samples, 1) == pytest.approx({"quarter": 205.0, "end": 485.0, "slope": 10.0})
    assert soak.memory(samples, 2) == pytest.approx({"quarter": 50.0, "end": 50.0, "slope": 0.0}, abs=1e-9)
