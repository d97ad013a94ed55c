"""What is said when a run has ended: the same after `rlcli train` and `rlcli resume`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rlcli.cli.output import count, emit, number, result, say

if TYPE_CHECKING:
    from rlcli.runs.train import Result


def conclude(outcome: Result, title: str, reference: object, as_json: bool) -> int:
    """Tells how a run ended; `reference` is what names it on the command line. The exit code."""
    if as_json:
        emit(outcome_row(outcome))
    elif outcome.exit_code == 0:
        result(f"{title}: {_achieved(outcome)}")
        result(f"It lies in {outcome.dir}")
        result(f"Next: rlcli eval {reference}, or rlcli show {reference}")
    if outcome.exit_code != 0:
        say(f"{outcome.status}: {outcome.message or 'no reason given'}")
        say(f"What there is lies in {outcome.dir}; its train.log tells more.")
        if outcome.status != "finished":
            say(f"Go on with: rlcli resume {reference}")
    return int(outcome.exit_code)


def outcome_row(outcome: Result) -> dict[str, Any]:
    """A `Result` as plain data."""
    return {
        "id": outcome.id,
        "dir": str(outcome.dir),
        "status": outcome.status,
        "env_steps": outcome.env_steps,
        "updates": outcome.updates,
        "eval_return_mean": outcome.eval_return_mean,
        "exit_code": outcome.exit_code,
        "message": outcome.message,
    }


def _achieved(outcome: Result) -> str:
    steps = f"{count(outcome.env_steps)} steps"
    if outcome.eval_return_mean is None:
        return f"trained for {steps}, not evaluated"
    return f"return {number(outcome.eval_return_mean)} after {steps}"
