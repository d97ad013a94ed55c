"""The table of a sweep at its end."""

from __future__ import annotations

import json
import shlex

import pytest

from tests.cli.conftest import Rlcli
from tests.sweeps.conftest import SMALL


@pytest.mark.broken_by(
    "small divergences are all 0.0000",
    "cli/outcome.py",
    '"behaviour/kl_mu_pi", None',
    '"behaviour/kl_mu_pi", 4',
)
def test_a_small_divergence_is_shown_with_its_size(rlcli: Rlcli) -> None:
    words = ("train", "-m", "seed=0,1", *SMALL, "total_steps=16", "algo.learning_rate=1e-4", "name=slow")
    assert rlcli(*words).code == 0
    rows = [json.loads(line) for line in rlcli("show", "slow", "--json").out.splitlines()]
    lines = rlcli("show", "slow").out.splitlines()
    place = lines[0].split().index("KL")
    shown = [float(line.split()[place]) for line in lines[1 : 1 + len(rows)]]
    exact = [row["health"]["behaviour/kl_mu_pi"] for row in rows]
    assert 1e-9 < max(exact) < 4e-5
    assert shown == pytest.approx(exact, rel=0.1, abs=0)


@pytest.mark.broken_by(
    "a suggested command does not quote the folder",
    "text.py",
    "return shlex.quote(str(value))",
    "return str(value)",
)
def test_suggested_commands_quote_folders_with_spaces(rlcli: Rlcli) -> None:
    for words in (("name=one",), ("-m", "seed=0,1", "name=two")):
        ended = rlcli("train", *words, *SMALL, "total_steps=16", "runs_dir=my runs")
        suggested = next(line for line in ended.out.splitlines() if line.startswith("Next: "))
        for command in suggested.removeprefix("Next: ").split(", or "):
            named = shlex.split(command)
            assert rlcli(*named[1:]).code == 0, command
