"""Export of a run's policy: `rlcli export`."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from rlcli.envs.untrusted import close
from rlcli.errors import RlcliError, UserError, unknown
from rlcli.export import card, files, usage
from rlcli.export.check import Agreement, Disagreement, check
from rlcli.export.formats import FORMATS, Format, refuse
from rlcli.export.observations import drawn
from rlcli.extras import extra_command
from rlcli.plain import is_there, make_folder, storage_error
from rlcli.runs.policy import Trained, read_policy
from rlcli.standalone.policy import PolicyModule, policy_module
from rlcli.store.checkpoints import Which
from rlcli.store.manifest import Manifest
from rlcli.text import shortened, visible

FOLDER = "exports"
"""Folder of a run directory with its exports."""
METADATA_VERSION = 1
EXAMPLES = 2
"""Observations that a policy is traced with."""


class Exported(NamedTuple):
    """An export that was written."""

    dir: Path
    files: tuple[str, ...]
    update: int
    agreement: Agreement


def export_run(
    run_dir: Path, name: str, *, out: Path | None = None, which: Which = "last", imports: Sequence[str] = ()
) -> Exported:
    """Writes a run's policy in a format, beside a model card, into a new folder.

    The folder is `<run>/exports/<format>-<update>` unless `out` names another. What was written is compared
    with the run's own policy before it gets its name.

    Raises:
        UserError: the format is unknown, cannot express the policy, or needs a package; there is no such
            checkpoint; the folder exists.
        StorageError: the run's files are damaged, or the folder cannot be written.
    """
    if name not in FORMATS:
        raise UserError(unknown("format", name, list(FORMATS)))
    form = FORMATS[name]
    _check_packages(form)
    trained = read_policy(run_dir, which, imports)
    reason = form.obstacle(trained.config, trained.spec)
    if reason is not None:
        raise refuse(name, reason, trained.config, trained.spec)
    with _new_folder(run_dir, out, f"{name}-{trained.update}") as (folder, final):
        module = policy_module(*trained.policy, trained.spec)
        try:
            with torch.random.fork_rng(devices=[]):
                agreement, how = _written(folder, form, run_dir, trained, module)
        except Disagreement as error:
            raise refuse(name, f"once exported, {error}", trained.config, trained.spec) from error
        text = card.card(run_dir, trained, module, how, agreement.text)
        (folder / card.FILE).write_text(text, encoding="utf-8")
        names = tuple(sorted(path.name for path in folder.iterdir()))
    return Exported(final, names, trained.update, agreement)


def _check_packages(form: Format) -> None:
    missing = [module for module in form.modules if importlib.util.find_spec(module) is None]
    if missing:
        raise UserError(
            f"--format {form.name} needs {' and '.join(missing)}, which "
            f"{'is' if len(missing) == 1 else 'are'} not installed.",
            hint=f"Install with: {extra_command(form.name)}",
        )


def _written(
    folder: Path, form: Format, run_dir: Path, trained: Trained, module: PolicyModule
) -> tuple[Agreement, str]:
    """Writes the files of a format; how they compare, and how they are used."""
    if form.name == "sb3":
        return _sb3(folder, trained, module)
    writers = {
        "torch": (files.write_torch, usage.of_torch),
        "onnx": (files.write_onnx, usage.of_onnx),
        "safetensors": (files.write_safetensors, usage.of_safetensors),
    }
    write, how = writers[form.name]
    example = drawn(trained.spec.observation, module, EXAMPLES)
    about = metadata(run_dir, trained, module)
    try:
        agreement = check(trained, module, write(folder / form.file, module, example, about))
    except (RlcliError, OSError, Disagreement):
        raise
    except Exception as error:
        # Exporters fail in many ways of their own, for what the user's network does.
        lines = str(error).strip().splitlines()[-1:] or [type(error).__name__]
        reason = f"its network cannot be traced: {visible(shortened(lines[0]))}"
        raise refuse(form.name, reason.rstrip("."), trained.config, trained.spec) from error
    return agreement, how(module)


def _sb3(folder: Path, trained: Trained, module: PolicyModule) -> tuple[Agreement, str]:
    from rlcli.backends import sb3_zip
    from rlcli.envs.instance import instance

    config = trained.config
    missing = sb3_zip.missing(config)
    if missing is not None:
        raise UserError(
            f"--format sb3 needs {missing} for this algorithm, which is not installed.",
            hint=f"Install with: {extra_command('sb3')}",
        )
    env = instance(config.env)
    try:
        made = sb3_zip.as_sb3(config, trained.spec, trained.policy, env)
    finally:
        close(config.env.id, env)
    agreement = check(trained, module, lambda inputs: {"action": made.act(*inputs.values())})
    made.save(folder)
    shared = config.network.shared and bool(config.network.hidden)
    arguments = sb3_zip.arguments_known(config)
    return agreement, usage.of_sb3(made.kind, made.statistics is not None, arguments, shared)


def metadata(run_dir: Path, trained: Trained, module: PolicyModule) -> dict[str, Any]:
    """What a file says of its policy."""
    about = Manifest.read(run_dir).content
    return {
        "version": METADATA_VERSION,
        "env": trained.spec.id,
        "algo": trained.config.algo.name,
        "network": trained.config.network.name,
        "update": trained.update,
        "run": about["id"],
        "inputs": [
            {"name": one.name, "dtype": str(one.dtype).removeprefix("torch."), "shape": list(one.shape)}
            for one in module.inputs
        ],
        "outputs": list(module.outputs),
    }


@contextlib.contextmanager
def _new_folder(run_dir: Path, out: Path | None, name: str) -> Iterator[tuple[Path, Path]]:
    """A folder to write to, and the name that it gets at the end; nothing is left of one that fails."""
    parent = run_dir / FOLDER if out is None else out.absolute().parent
    final = parent / (name if out is None else out.name)
    if is_there(final):
        raise UserError(
            f"{final} exists already; an export writes a new folder.",
            hint="Remove it, or name another folder with --out.",
        )
    made = [folder for folder in (parent, *parent.parents) if not is_there(folder)]
    if out is None:
        make_folder(parent)
    folder = parent / f".{final.name}.{os.getpid()}.new"
    try:
        folder.mkdir(parents=True)
        yield folder, final
        folder.rename(final)
    except OSError as error:
        raise storage_error(folder, error) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if not is_there(final):
            _remove_empty(made)


def _remove_empty(folders: Sequence[Path]) -> None:
    """Removes folders, innermost first, that have nothing in them."""
    with contextlib.suppress(OSError):
        for folder in folders:
            folder.rmdir()
