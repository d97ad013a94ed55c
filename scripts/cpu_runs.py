"""Short runs that train with kernels in C where these cover them, and the digests of their updates."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from same_numbers import RUNS, SMALL

from rlcli.config.compose import compose
from rlcli.runs.train import train
from rlcli.store.config_file import read_config
from rlcli.store.digests import QUANTITIES, read_lines

LENGTH = ("total_steps=512",)
"""Four updates."""


def digests() -> Iterator[tuple[str, dict[str, str]]]:
    """Of each run: its name, with what it trained by, and the digests of each quantity over all updates."""
    for name, words in RUNS.items():
        if "-m" in words:  # a sweep
            continue
        with tempfile.TemporaryDirectory() as folder:
            run_dir = Path(folder, "run")
            config = compose([*SMALL, *words.split(), *LENGTH]).config
            train([config], [run_dir], quiet=True)
            lines = [line.quantities for line in read_lines(run_dir)]
            by = read_config(run_dir).compute.kernel
        columns = map(" ".join, zip(*lines, strict=True))
        yield f"{name} ({by})", dict(zip(QUANTITIES, columns, strict=True))
