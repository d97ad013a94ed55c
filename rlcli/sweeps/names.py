"""Folder names of a sweep's jobs: the names they were given, or the settings they differ in."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from rlcli.config.compose import Composed
from rlcli.config.names import LONGEST, safe, shortened
from rlcli.errors import UserError

SHORT = 100
"""Maximum bytes of a name made of settings."""
TAKEN = frozenset({
    "base.yaml", "launch", "lock", "results.csv", "study.log", "study.log.again", "sweep.json", "wandb",
})  # fmt: skip
"""Other files and folders in the directory of a sweep."""


def jobs_are_named(composed: Sequence[Composed]) -> bool:
    """Whether `name` is swept over or differs between jobs, so that it names jobs and not the sweep."""
    swept = any(text.startswith("name=") for text in composed[0].varied)
    return swept or len({job.config.name for job in composed}) > 1


def job_names(composed: Sequence[Composed]) -> list[str]:
    """A folder name for each job.

    `clip=0.1,seed=0` has the settings in which a job differs from the others. A name given to one job
    (`-m name=aa,bb`) is its folder's name; a name of several jobs comes before their other settings:
    `-m name=aa,bb seed=0,1` gives `aa,seed=0`.

    Raises:
        UserError: two jobs would have one name, or a job the name of another file of the sweep.
    """
    named = jobs_are_named(composed)
    having = Counter(job.config.name for job in composed)
    names: dict[str, None] = {}
    for number, job in enumerate(composed):
        differs = _differing([text for text in job.varied if not (named and text.startswith("name="))])
        name = job.config.name
        if named and name is not None:
            wanted = name if having[name] == 1 else ",".join(filter(None, (name, differs)))
            _refuse(wanted, names)
            names[_unique(wanted, LONGEST, number, names)] = None
        else:
            names[_unique(differs or "job", SHORT, number, names)] = None
    return list(names)


def trial_name(number: int, varied: Sequence[str]) -> str:
    """The folder of a trial's job, its trial first and its seed last: `t003,clip=0.1234,seed=1`."""
    pairs = _pairs(varied)
    words = [f"{key}={safe(rounded(value))}" for key, value in pairs]
    seed = words.pop() if pairs and varied[-1].startswith("seed=") else None
    name = shortened(",".join([f"t{number:03d}", *words]), SHORT)
    return f"{name},{seed}" if seed else name


def rounded(text: str) -> str:
    """A number rounded to four digits; other text unchanged."""
    if not re.fullmatch(r"-?\d+\.\d+(e-?\d+)?|-?\d+e-?\d+", text):
        return text
    return f"{float(text):.4g}"


def _differing(varied: Sequence[str]) -> str:
    return ",".join(f"{key}={safe(value)}" for key, value in _pairs(varied))


def _pairs(varied: Sequence[str]) -> list[tuple[str, str]]:
    """Keys with their values; keys by their last part if these differ."""
    pairs = [text.partition("=") for text in varied]
    leaves = [key.rpartition(".")[2] for key, _, _ in pairs]
    keys = leaves if len(set(leaves)) == len(leaves) else [key for key, _, _ in pairs]
    return [(key, value) for key, (_, _, value) in zip(keys, pairs, strict=True)]


def _refuse(name: str, taken: dict[str, None]) -> None:
    if name in taken:
        raise UserError(
            f"name={name} is given to two jobs of the sweep: it is the name of a job's folder.",
            hint="Give each name once: -m name=a,b",
        )
    if name in TAKEN:
        raise UserError(f"name={name}: a file of the sweep has that name; choose another.")


def _unique(name: str, size: int, number: int, taken: dict[str, None]) -> str:
    """The name cut to `size` bytes, followed by the job's number if it was cut or is taken."""
    found = shortened(name, size)
    if found == name and found not in taken:
        return found
    found = f"{found}-{number}"
    while found in taken:
        found = f"{found}-{number}"
    return found
