"""`rlcli resume`: a run goes on where it stopped."""

from __future__ import annotations

from typing import Annotated

import typer

from rlcli.cli.options import AsJson, Quiet, Run
from rlcli.cli.outcome import conclude, outcome_row
from rlcli.cli.output import emit, result, say


def resume(
    context: typer.Context,
    run: Run,
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="OVERRIDE", help="KEY=VALUE of a key that leaves the past as it was."),
    ] = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Go on with a run that was killed, interrupted, failed, or finished.

    It goes on in its own directory from the last whole checkpoint, and ends as if it had never stopped: the
    same weights, the same rows, to the last bit. Rows after the checkpoint are computed again. Where that
    cannot be, it says so and why.

    Overrides may set total_steps (more of it lets a finished run go on; schedules keep the length they began
    with), eval.*, checkpoint.*, logger, wandb.mode, tags and notes. Everything else made the past of the run
    and is refused. Each resume is recorded in manifest.json.

    Examples:
      rlcli resume last
      rlcli resume 73973d4e total_steps=200000
      rlcli resume runs/my-run checkpoint.every=5000 logger=[console,jsonl]
    """
    quiet = quiet or bool((context.obj or {}).get("quiet"))

    from rlcli.runs.directory import find_run, runs_root, summary
    from rlcli.runs.resume import resume as go_on
    from rlcli.sweeps.preflight import CHECKS

    root = runs_root()
    found = find_run(run, root)
    about = summary(found)

    def tell(text: str) -> None:
        if not quiet:
            say(f"{found}: {text}")

    outcome = go_on(found, overrides or [], checks=CHECKS, tell=tell, quiet=quiet)
    if outcome.exit_code == 0 and outcome.message is not None:
        if as_json:
            emit(outcome_row(outcome))
        else:
            result(f"{found}: {outcome.message}")
        return
    title = f"{about['algo']} on {about['env']}, seed {about['seed']}"
    known = outcome.id if found.parent == root else found
    code = conclude(outcome, title, known, as_json)
    if code != 0:
        raise typer.Exit(code)
