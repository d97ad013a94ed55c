"""What harms a run directory, and the commands that read one.

`VERBS` are those commands; a new one is added there.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import pytest

VERBS: dict[str, tuple[str, ...]] = {
    "eval": ("eval", "{run}", "--episodes", "1"),
    "export": ("export", "{run}", "--format", "safetensors", "--out", "runs/exported"),
    "show": ("show", "{run}"),
    "resume": ("resume", "{run}"),
    "show --json": ("show", "{run}", "--json"),
    "runs": ("runs", "{root}"),
    "compare": ("compare", "{run}"),
    "compare --json": ("compare", "{run}", "--json"),
    "plot": ("plot", "{run}"),
    "plot --health": ("plot", "{run}", "--health"),
    "watch": ("watch", "{run}"),
    "diff": ("diff", "{run}", "{good}"),
    "diff from": ("diff", "{good}", "{run}"),
    "reproduce": ("reproduce", "{run}", "--until", "1"),
    "sync": ("sync", "{run}", "--dry-run"),
    "report": ("report", "{run}", "-q"),
    "audit": ("audit", "{run}"),
    "rollouts": ("rollouts", "{run}", "--episodes", "1", "--out", "episodes.npz"),
    "ope": ("ope", "{run}", "--behaviour", "{good}", "--episodes", "2"),
    "ope from": ("ope", "{good}", "--behaviour", "{run}", "--episodes", "2"),
}
READS_CONFIG = {
    "eval", "show", "show --json", "plot", "plot --health", "diff", "diff from", "reproduce", "compare",
    "compare --json", "report", "export", "sync", "audit", "rollouts", "ope",
    "ope from",
}  # fmt: skip
BUILDS = {"eval", "export", "reproduce", "resume", "rollouts", "ope", "ope from"}
READS_ROWS = {"compare", "compare --json"}
"""Those that refuse a run without a single row."""
READS_DIGESTS = {"diff", "diff from", "reproduce"}
MADE = ("report.html", "episodes.npz")
"""Files that verbs write beside the runs."""
REFUSED = (2, 4)

Harm = Callable[[Path], object]


def sign(run: Path) -> None:
    """Whoever changes a config can change the checksum the manifest has of it."""
    path = run / "manifest.json"
    try:
        manifest = json.loads(path.read_bytes())
        manifest["config_sha256"] = hashlib.sha256((run / "config.yaml").read_bytes()).hexdigest()
    except (OSError, ValueError, TypeError, RecursionError):
        return
    if not path.is_symlink():
        path.write_text(json.dumps(manifest))


def contents(folder: Path) -> dict[str, bytes]:
    """Every plain file below a folder, but for runs/, where new runs go, and what verbs write."""
    return {
        str(path): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not path.is_symlink() and path.relative_to(folder).parts[0] != "runs"
        and "__pycache__" not in path.parts and path.name not in MADE and path.stat().st_size < 2**22
    }  # fmt: skip


def every(verbs: set[str] | None = None) -> Any:
    return pytest.mark.parametrize("verb", sorted(verbs or VERBS))


EACH = 4
"""Commands that each harm meets in the fast suite."""


def in_turn(harms: Mapping[str, Harm], verbs: set[str] | None = None, always: Collection[str] = ()) -> Any:
    """Cases of `harm` and `verb`: each harm with `EACH` of the commands, by turns, and those of `always`.

    One function reads a file for all commands. The other cases are slow ones.
    """
    names = sorted(verbs or VERBS)
    turns = [name for name in names if name not in always]
    step = len(turns) // EACH
    cases = []
    for number, (about, harm) in enumerate(harms.items()):
        chosen = {*always, *(turns[(number + step * turn) % len(turns)] for turn in range(EACH))}
        for name in names:
            marks = () if name in chosen else pytest.mark.slow
            cases.append(pytest.param(harm, name, id=f"{about}-{name}", marks=marks))
    return pytest.mark.parametrize(("harm", "verb"), cases)


def line(key: str, value: str) -> Harm:
    """Replaces the first line of config.yaml with that key."""

    def harm(run: Path) -> None:
        path = run / "config.yaml"
        lines = path.read_text().splitlines()
        found = next(number for number, text in enumerate(lines) if text.strip().startswith(f"{key}:"))
        indent = lines[found][: len(lines[found]) - len(lines[found].lstrip())]
        lines[found] = f"{indent}{key}: {value}"
        path.write_text("\n".join(lines) + "\n")

    return harm


def writes(file: str, content: str | bytes) -> Harm:
    """Replaces a file."""
    return lambda run: (run / file).write_bytes(content if isinstance(content, bytes) else content.encode())


def appends(file: str, text: str) -> Harm:
    """Adds a line to a file."""
    return lambda run: (run / file).write_text((run / file).read_text() + text + "\n")


EVIL = "from pathlib import Path\nPath('pwned').touch()\n"


def names_module(place: str, env: str = "evil:Evil-v0", kwargs: str = "{}") -> Harm:
    """A module that leaves a trace when imported, in the current or the run directory."""

    def harm(run: Path) -> None:
        folder = {"here": Path.cwd(), "run": run}[place]
        (folder / "evil.py").write_text(EVIL)
        (folder / "a:b.py").write_text(EVIL)
        line("id", json.dumps(env))(run)
        line("kwargs", kwargs)(run)

    return harm


def manifest(**changes: Any) -> Harm:
    def harm(run: Path) -> None:
        content = json.loads((run / "manifest.json").read_text())
        (run / "manifest.json").write_text(json.dumps(content | changes))

    return harm


STEERING = "x\x1b[2J\x1b]0;owned\x07\x9b31m\r\u202e\u2028"


def relink(path: Path, target: str) -> None:
    path.unlink()
    path.symlink_to(target)
