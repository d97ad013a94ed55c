"""Command-line arguments and flags shared by several verbs."""

from __future__ import annotations

from typing import Annotated

import typer

AsJson = Annotated[bool, typer.Option("--json", help="One JSON object, or one per line, and nothing else.")]
Imports = Annotated[
    list[str] | None,
    typer.Option(
        "--import",
        metavar="MODULE",
        help="Module of yours that has an environment, a network, an algorithm or metrics.",
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress; results only.")]
Run = Annotated[
    str,
    typer.Argument(metavar="RUN", help="A run's folder, a prefix of its id, or last.", show_default=False),
]
