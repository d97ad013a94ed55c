"""Provenance of the runs of a report: code, packages, machine, kernel; and the commands that repeat them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from rlcli.analysis.selection import Run
from rlcli.config.quoting import shell_word
from rlcli.config.values import display
from rlcli.errors import StorageError
from rlcli.store.manifest import Manifest
from rlcli.text import shortened, visible

COMMIT = re.compile(r"[0-9a-f]{7,64}")
LONGEST_WORD = 2_000
"""Maximum characters of one word of a command."""
OF_JOB = re.compile(r"[+~]*(name|sweep[./]?\w*|hydra[./]\S*|runs_dir)=")
"""Overrides that place a run, or belong to its sweep; they do not change what is trained."""


def manifest(run: Run) -> Mapping[str, Any]:
    """The manifest of a run; empty where it has become unreadable since the run was selected."""
    try:
        return Manifest.read(run.dir).content
    except StorageError:
        return {}


def facts(content: Mapping[str, Any]) -> dict[str, str]:
    """What a manifest says about code, machine and packages, by name."""
    if not content:
        return {}
    code, own = content["code"], content["own_code"]
    inexact = content.get("inexact_reason") or "no reason recorded"
    modules = [one.get("module", one) if isinstance(one, dict) else one for one in own]
    found: dict[str, Any] = {
        "commit": code.get("commit") or "not recorded",
        "uncommitted changes": {True: "yes", False: "no"}.get(code.get("dirty"), "not recorded"),
        "own code": ", ".join(map(str, modules)) or "none",
        "kernel": content["kernel"],
        "kernel version": content["kernel_version"],
        "threads": content["threads"],
        "determinism": content["determinism"],
        "tolerance because": content.get("tolerance_reason"),
        "resumes exactly": "yes" if content["exact_resume"] else f"no: {inexact}",
        "backend": content["backend"],
        "environment stepped by": content["env_backend"],
        **content["machine"],
        **content["packages"],
    }
    return {text(name): text(display(value)) for name, value in found.items() if value is not None}


def compared(found: Sequence[Mapping[str, str]]) -> list[dict[str, Any]]:
    """Per fact its values, each with the numbers of the runs that have it; facts that differ come first."""
    names = dict.fromkeys(name for facts in found for name in facts)
    rows = []
    for name in names:
        values: dict[str, list[int]] = {}
        for place, facts in enumerate(found):
            values.setdefault(facts.get(name, "not recorded"), []).append(place)
        rows.append(
            {"name": name, "values": [{"text": value, "runs": runs} for value, runs in values.items()]}
        )
    return sorted(rows, key=lambda row: len(row["values"]) == 1)


def commands(run: Run, content: Mapping[str, Any]) -> list[dict[str, str | None]]:
    """What repeats a run: each with a sentence, and the command, or None where none can be copied safely.

    Text of a run directory becomes words of a shell here: it is quoted, and a word with characters that
    control a terminal gives no command at all.
    """
    folder = str(run.dir)
    found = [("Train again from the run directory and compare every update", ["rlcli", "reproduce", folder])]
    commit = str(content.get("code", {}).get("commit") or "")
    if COMMIT.fullmatch(commit):
        found.append(
            (
                "The same with the recorded code and its uncommitted changes; this executes code.diff",
                ["rlcli", "reproduce", folder, "--checkout"],
            )
        )
    listed = [_line(text, words) for text, words in found]
    if content and not content["parent"] and not content["reproduces"]:
        overrides = [str(one) for one in content["overrides"] if not OF_JOB.match(str(one))]
        command = _shell(["rlcli", "train"], overrides)
        if command is not None and COMMIT.fullmatch(commit):
            command = f"git checkout {commit} && {command}"
        changed = content["code"].get("dirty")
        note = " (without the uncommitted changes of its code)" if changed else ""
        listed.append({"text": f"Without the run directory, in a clone of rlcli{note}", "command": command})
    return listed


def _line(text: str, words: Sequence[str]) -> dict[str, str | None]:
    return {"text": text, "command": _shell([shlex.quote(word) for word in words], ())}


def _shell(quoted: Sequence[str], overrides: Sequence[str]) -> str | None:
    words = [*quoted, *(shell_word(one) for one in overrides)]
    safe = all(visible(word) == word and "\n" not in word and "\t" not in word for word in words)
    return " ".join(words) if safe and max(map(len, words)) <= LONGEST_WORD else None


def text(value: Any) -> str:
    """Text of a run directory, harmless and of limited length."""
    return visible(shortened(str(value)))
