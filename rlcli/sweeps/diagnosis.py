"""Checks of the installation and of this machine, as `rlcli doctor` shows them; nothing is written.

Each check yields findings: what there is, whether it is in order, and what to do. A check that raises becomes
a finding of its own, so that one broken package does not hide the rest.
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from rlcli.config.schema.record import WandbConfig
from rlcli.store.installation import core_packages, extras
from rlcli.store.provenance import checkout, code
from rlcli.sweeps import machine_checks
from rlcli.sweeps.findings import Finding, Status, tilde
from rlcli.text import described

FAILED = "If the message does not say what to repair, report it with this whole output."


def diagnose() -> Iterator[Finding]:
    """All findings, each as soon as it is known."""
    for topic, check in CHECKS.items():
        try:
            yield from check()
        except Exception as error:
            yield Finding(topic, Status.BROKEN, described(error), FAILED)


def _rlcli() -> Iterator[Finding]:
    from rlcli import __version__

    found = code()
    commit = "no git checkout"
    if found.commit is not None:
        commit = f"commit {found.commit[:8]}" + (", with uncommitted changes" if found.dirty else "")
    facts = {"version": __version__, "commit": found.commit, "dirty": found.dirty, "folder": str(checkout())}
    yield Finding("rlcli", Status.OK, f"{__version__}, {commit}, in {tilde(checkout())}", facts=facts)


def _python() -> Iterator[Finding]:
    facts = {
        "version": platform.python_version(),
        "executable": sys.executable,
        "platform": platform.platform(),
    }
    text = f"{facts['version']}, {tilde(Path(sys.executable))}, {facts['platform']}"
    yield Finding("python", Status.OK, text, facts=facts)


def _packages() -> Iterator[Finding]:
    found = core_packages()
    versions = {package.name: package.version for package in found}
    text = ", ".join(f"{name} {version}" for name, version in versions.items() if version is not None)
    unmet = [text for package in found for text in package.unmet]
    if unmet:
        advice = f"pip install -e {checkout()}" if (checkout() / "pyproject.toml").is_file() else "pip check"
        text = f"not as required: {'; '.join(unmet)}. Installed: {text}"
        yield Finding("packages", Status.BROKEN, text, advice, facts=versions)
    else:
        yield Finding("packages", Status.OK, text, facts=versions)


def _extras() -> Iterator[Finding]:
    found = extras()
    installed = [extra.name for extra in found if not extra.unmet]
    text = ", ".join(installed) or "none installed"
    yield Finding("extras", Status.OK, text, facts={extra.name: not extra.unmet for extra in found})
    for extra in found:
        if extra.unmet:
            lacking = ", ".join(extra.unmet)
            text = f"{lacking}; for {extra.adds}" if extra.adds else lacking
            yield Finding(f"extra {extra.name}", Status.NOTE, text, extra.command, {"unmet": extra.unmet})


def _wandb() -> Iterator[Finding]:
    from rlcli.loggers import wandb

    if missing := wandb.available():
        yield Finding("wandb", Status.BROKEN, missing, "Or leave it out: logger=[console,jsonl]")
        return
    from rlcli.loggers.wandb_account import account

    found = account(WandbConfig())
    target = f"{found.entity or 'the default entity of the account'}/{found.project}"
    facts = found._asdict()
    if found.problem is not None:
        text = f"the credentials cannot be used: {found.problem}; runs are logged offline"
        yield Finding("wandb", Status.NOTE, text, "wandb login --relogin", facts)
    elif found.mode == "online":
        text = f"logged in (key from {found.source}); runs upload to {found.server}, {target}"
        yield Finding("wandb", Status.OK, text, "wandb.mode=offline uploads nothing.", facts)
    elif found.mode == "disabled":
        text = "disabled by the environment or by W&B's settings: nothing is logged to it"
        yield Finding("wandb", Status.OK, text, "wandb.mode=online or offline switches it on.", facts)
    elif found.logged_in is None:
        text = "offline, by the environment or by W&B's settings: runs are logged in their own folders"
        advice = f"`rlcli sync RUN` uploads one later, to {found.server}."
        yield Finding("wandb", Status.OK, text, advice, facts)
    else:
        text = "nobody is logged in: nothing is uploaded, runs are logged offline in their own folders"
        advice = f"To upload to {found.server}: wandb login. For earlier runs: rlcli sync RUN"
        yield Finding("wandb", Status.OK, text, advice, facts)


CHECKS: Mapping[str, Callable[[], Iterator[Finding]]] = {
    "rlcli": _rlcli,
    "python": _python,
    "packages": _packages,
    "extras": _extras,
    "torch": machine_checks.torch_build,
    "kernels": machine_checks.kernels,
    "gpu": machine_checks.gpu,
    "processor": machine_checks.processor,
    "memory": machine_checks.memory,
    "threads": machine_checks.threads,
    "runs": machine_checks.runs,
    "wandb": _wandb,
    "training": machine_checks.training,
    "cohorts": machine_checks.exactness,
}
"""The checks by topic, in the order of the report."""
