"""Typer application of rlcli: its verbs, and the flags before them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Annotated

import typer

from rlcli.cli.audit import audit
from rlcli.cli.compare import compare
from rlcli.cli.diff import diff
from rlcli.cli.doctor import doctor
from rlcli.cli.eval import evaluate
from rlcli.cli.explain import explain
from rlcli.cli.export import export
from rlcli.cli.flags import Verbs
from rlcli.cli.fork import fork
from rlcli.cli.list import list_
from rlcli.cli.new import new
from rlcli.cli.ope import ope
from rlcli.cli.options import Quiet
from rlcli.cli.output import emit, result
from rlcli.cli.plot import plot
from rlcli.cli.report import report
from rlcli.cli.reproduce import reproduce
from rlcli.cli.resume import resume
from rlcli.cli.rollouts import rollouts
from rlcli.cli.runs import runs
from rlcli.cli.show import show
from rlcli.cli.sweep import best, status
from rlcli.cli.sync import sync
from rlcli.cli.theory import theory
from rlcli.cli.train import train
from rlcli.cli.verb import Verb
from rlcli.cli.watch import watch

app = typer.Typer(
    name="rlcli",
    cls=Verbs,
    help="Train, compare and inspect trust-region policy optimisation.\n\n"
    "\b\nExamples:\n"
    "  rlcli train                            PPO on CartPole-v1\n"
    "  rlcli train algo=ppo env=Pendulum-v1   another environment\n"
    "  rlcli train -m seed=0,1,2              three runs, trained together\n"
    "  rlcli resume last                      resume from the last checkpoint\n"
    "  rlcli eval last                        evaluate the latest run\n"
    "  rlcli export last --format onnx        write the policy for use elsewhere\n"
    "  rlcli explain behaviour/ess            definition of a metric or a key\n"
    "  rlcli new algorithm my_objective       begin code of your own\n"
    "  rlcli doctor                           check the installation\n",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
_VERBS: dict[str, Callable[..., None]] = {
    "train": train,
    "resume": resume,
    "fork": fork,
    "eval": evaluate,
    "export": export,
    "runs": runs,
    "show": show,
    "watch": watch,
    "plot": plot,
    "compare": compare,
    "report": report,
    "audit": audit,
    "reproduce": reproduce,
    "diff": diff,
    "rollouts": rollouts,
    "ope": ope,
    "theory": theory,
    "sync": sync,
    "list": list_,
    "explain": explain,
    "new": new,
    "doctor": doctor,
}


def _help(verb: Callable[..., None]) -> str:
    """Help text of a verb: its docstring, with the layout of its examples kept."""
    return inspect.cleandoc(verb.__doc__ or "").replace("Examples:", "\b\nExamples:")


for name, verb in _VERBS.items():
    app.command(name, cls=Verb, help=_help(verb))(verb)

sweeps = typer.Typer(
    cls=Verbs,
    help="Show the status of a sweep, or its best trial.",
    rich_markup_mode=None,
    no_args_is_help=True,
)
for name, verb in (("status", status), ("best", best)):
    sweeps.command(name, cls=Verb, help=_help(verb))(verb)
app.add_typer(sweeps, name="sweep")


def _version(context: typer.Context, requested: bool) -> None:
    if requested:
        from rlcli import __version__

        if context.params.get("as_json"):
            emit({"version": __version__})
        else:
            result(f"rlcli {__version__}")
        raise typer.Exit()


@app.callback()
def root(
    context: typer.Context,
    version: Annotated[  # noqa: ARG001 (handled by its callback)
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
    quiet: Quiet = False,
    as_json: Annotated[
        bool,
        typer.Option("--json", is_eager=True, help="One JSON object, or one per line, and nothing else."),
    ] = False,
) -> None:
    """Flags of every verb."""
    context.obj = {"quiet": quiet, "as_json": as_json}
