"""`rlcli export`: writes a trained policy for use without rlcli."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from rlcli.cli.checkpoint_name import which_checkpoint
from rlcli.cli.named import named_run
from rlcli.cli.options import AsJson, Imports, Run
from rlcli.cli.out_file import check_out_folder
from rlcli.cli.output import emit, result


class FormatName(StrEnum):
    """Formats of an export."""

    torch = "torch"
    onnx = "onnx"
    sb3 = "sb3"
    safetensors = "safetensors"


def export(
    run: Run,
    form: Annotated[
        FormatName, typer.Option("--format", "-f", help="Format of the policy.")
    ] = FormatName.torch,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="PATH",
            help="New folder to write; default: exports/FORMAT-UPDATE of the run.",
        ),
    ] = None,
    at: Annotated[
        str,
        typer.Option(
            "--at", metavar="last|best|N", help="Checkpoint to export; N is the number of an update."
        ),
    ] = "last",
    imports: Imports = None,
    as_json: AsJson = False,
) -> None:
    """Write a trained policy for use elsewhere.

    The folder has the policy and a model card. Observations go in as the environment gives them: encoding,
    whitening, masks and bounds of actions are inside. torch: a TorchScript file that needs torch alone.
    onnx: an ONNX file. sb3: a zip that Stable-Baselines3 loads, and a VecNormalize file where the run
    whitens. safetensors: named weights.

    What is written is compared with the run's own policy on 1,000 observations first. What a format cannot
    express is refused, with the formats that can.

    Examples:
      rlcli export last
      rlcli export last --format onnx --at best
      rlcli export runs/my-run --format sb3 --out my-policy
    """
    which = which_checkpoint("--at", at)
    if out is not None:
        check_out_folder(out)

    from rlcli.export.run import export_run

    done = export_run(named_run(run, quiet=as_json), form.value, out=out, which=which, imports=imports or ())
    if as_json:
        emit(
            {
                "dir": str(done.dir), "files": list(done.files), "format": form.value, "update": done.update,
                "observations": done.agreement.observations, "ties": done.agreement.ties,
                "differences": done.agreement.differences,
            }
        )  # fmt: skip
        return
    result(f"{done.dir}: {', '.join(done.files)}")
    result(f"update {done.update}. {done.agreement.text}")
