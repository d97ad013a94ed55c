"""Size and speed of a report on many long runs: `make report-speed`.

Writes 200 runs of 2,000 updates (40 groups of 5 seeds) to a temporary folder without training, makes their
report, and opens it several times in a browser: median time to the first paint, and until two charts are
drawn.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from browser import address, browser, missing
from report_runs import made_runs

RLCLI = str(Path(sys.executable).with_name("rlcli"))
PAINT = (
    "performance.getEntriesByType('paint').find((one) => one.name === 'first-contentful-paint')?.startTime"
)
DRAWN = "performance.getEntriesByName('drawn')[1]?.startTime"
PATIENCE = 300
"""Looks, 100 ms apart, before a time is given up."""


def measured(page: Any, expression: str) -> float:
    """A time that the page measures, in milliseconds, once it is there."""
    for _ in range(PATIENCE):
        found = page.evaluate(expression)
        if found is not None:
            return float(found)
        page.wait_for_timeout(100)
    raise SystemExit(f"nothing measured: {expression}")


def main() -> None:
    """Make, write, open, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--groups", type=int, default=40)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--updates", type=int, default=2_000)
    parser.add_argument("--repeats", type=int, default=7)
    chosen = parser.parse_args()
    reason = missing()
    if reason:
        raise SystemExit(reason)
    with tempfile.TemporaryDirectory() as folder:
        made_runs(Path(folder), chosen.groups, chosen.seeds, chosen.updates)
        runs = [str(path) for path in sorted(Path(folder).iterdir())]
        report, began = Path(folder) / "report.html", time.perf_counter()
        subprocess.run([RLCLI, "report", *runs, "-q", "--out", str(report)], check=True)
        print(f"{len(runs)} runs of {chosen.updates} updates: made in {time.perf_counter() - began:.1f} s")
        times: dict[str, list[float]] = {"first paint": [], "two charts drawn": []}
        with browser() as started:
            for _ in range(chosen.repeats):
                page = started.new_page(viewport={"width": 1440, "height": 2400})
                page.goto(address(report))
                for name, expression in zip(times, (PAINT, DRAWN), strict=True):
                    times[name].append(measured(page, expression))
                page.close()
        for name, found in times.items():
            print(f"{name}: median {statistics.median(found):.0f} ms, longest {max(found):.0f} ms")


if __name__ == "__main__":
    main()
