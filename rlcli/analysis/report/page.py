r"""The page of a report: one HTML file with style, scripts, data and the charts' library inside.

Nothing from a run directory is markup or code in it. Data are JSON blocks in which every `<` is written
`\u003c`; scripts set text only as text; and a Content-Security-Policy admits the page's own scripts by their
hashes, no evaluation of strings, and no connection at all.
"""

from __future__ import annotations

import base64
import datetime
import hashlib
import html
import json
import re
from collections.abc import Mapping
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from rlcli import __version__
from rlcli.analysis.report.content import Report
from rlcli.errors import StorageError, UserError
from rlcli.extras import extra_command
from rlcli.plain import open_linked
from rlcli.store.files import write_atomically
from rlcli.text import counted

SCRIPTS = ("dom.js", "table.js", "chart.js", "panel.js", "slices.js", "main.js")
START = "window.startCharts();"
LIBRARY = "window.vegaEmbed = vegaEmbed;"
"""What is bundled of the library: Vega-Embed, with Vega, Vega-Lite and the interpreter of expressions."""
ENDINGS = (".html", ".htm")
MARK = b"<!doctype html>\n<!-- rlcli report -->\n"
"""How every report begins."""


def check_library() -> None:
    """Raises `UserError` where the package with the charts' library is not installed."""
    try:
        import vl_convert  # noqa: F401
    except ImportError:
        raise UserError(
            "A report needs the package vl-convert-python, which has the library that draws its charts.",
            hint=f"Install it: {extra_command('report')}",
        ) from None


def check_target(path: Path) -> None:
    """Raises `UserError` where a report would replace another file, or no browser would show it."""
    if path.exists() and _beginning(path) != MARK:
        raise UserError(f"{path} exists and is not a report: it stays.", hint="Choose another --out.")
    if path.suffix.lower() not in ENDINGS:
        name = path.with_suffix(".html") if path.name else "report.html"
        raise UserError(
            f"{path}: the name of a report has to end in {' or '.join(ENDINGS)}, or no browser shows it.",
            hint=f"Name it: --out {name}",
        )


def _beginning(path: Path) -> bytes:
    """The first bytes of a file; none of a pipe or a device, nor of a file that cannot be read."""
    try:
        with open_linked(path) as file:
            return file.read(len(MARK))
    except (StorageError, OSError):
        return b""


def write(report: Report, path: Path) -> int:
    """Writes the page, whole or not at all; its size in bytes.

    Raises:
        StorageError: it cannot be written.
    """
    content = page(report).encode()
    write_atomically(path, content)
    return len(content)


def page(report: Report) -> str:
    """The page as HTML."""
    script = "(() => {\n'use strict';\n" + "\n".join(map(_template, SCRIPTS)) + "\n})();"
    scripts = {"script": script, "library": _in_script(library()), "start": START}
    style = _template("page.css")
    content = report.content | {
        "videos": [{"run": video.run, "name": video.name} for video in report.videos]
    }  # fmt: skip
    parts = {
        **scripts,
        "style": style,
        "policy": policy(tuple(scripts.values()), style),
        "title": html.escape(_title(report)),
        "summary": html.escape(_summary(report)),
        "made": html.escape(f"Made by rlcli {__version__} on {_now()}."),
        "content": as_data(content),
        "blocks": "\n".join(
            f'<script type="application/json" id="{name}">{as_data(block)}</script>'
            for name, block in report.blocks.items()
        ),
        "videos": "\n".join(
            f'<script type="text/plain" class="video" id="video-{place}">{video.content}</script>'
            for place, video in enumerate(report.videos)
        ),
    }
    # In one pass: what is filled in is not searched for places again.
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], _template("page.html"))


def policy(scripts: tuple[str, ...], style: str) -> str:
    """The Content-Security-Policy of the page: its own scripts and style by hash, and no connection."""
    hashes = " ".join(map(_hash, scripts))
    return (
        f"default-src 'none'; script-src {hashes}; style-src {_hash(style)}; img-src data:; media-src blob:; "
        "base-uri 'none'; form-action 'none'"
    )


def as_data(value: Mapping[str, Any]) -> str:
    """JSON in ASCII without `<`, `>` and `&`, so that no text in it can end a script or begin a comment."""
    text = json.dumps(value, allow_nan=False, ensure_ascii=True, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


@cache
def library() -> str:
    """The source of the charts' library."""
    import vl_convert

    return str(vl_convert.javascript_bundle(LIBRARY))


def _in_script(source: str) -> str:
    """Source with texts that would end its script element, or begin a comment in it, written otherwise."""
    return re.sub(r"<(/script|!--)", r"\\x3c\1", source, flags=re.IGNORECASE)


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _template(name: str) -> str:
    return (resources.files("rlcli.analysis.report") / "templates" / name).read_text(encoding="utf-8")


def _title(report: Report) -> str:
    names = [env["id"] for env in report.content["environments"]]
    return "Report on " + (", ".join(names) if len(names) <= 3 else f"{len(names)} environments")


def _summary(report: Report) -> str:
    runs, groups = len(report.content["runs"]), len(report.content["groups"])
    parts = (
        counted(runs, "run"),
        counted(groups, "group"),
        counted(len(report.content["environments"]), "environment"),
    )
    return ", ".join(parts)


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")
