"""The campaign of `make faults`, small: nothing is lost, nothing different, no damage unnoticed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
SMALL = (
    "--kills",
    "4",
    "--commands",
    "1",
    "--every",
    "31",
    "--places",
    "24",
    "--runs",
    "2",
    "--streams",
    "6",
    "--settings",
    "8",
)


def test_a_small_campaign(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "scripts" / "faults.py"), *SMALL, "--out", str(tmp_path)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    results = json.loads((tmp_path / "faults.json").read_text())
    assert results["failures"] == []
    assert results["kills"]["at random moments"]["kills"] >= 4
    assert results["kills"]["before each operation on the disk"]["same"] > 3
    assert sum(sum(counts.values()) for counts in results["damage"].values()) == 24
    assert results["classes"]["streams"] == {"same": 6}
    assert set(results["environments"]) == {"contained"}
    assert sum(results["settings"].values()) >= 8
