"""The Python interface as a whole: public names, imports on first use, the snippets of the pages."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import rlcli

ROOT = Path(__file__).parents[1]
PAGES = (ROOT / "README.md", ROOT / "docs" / "python.md")
SNIPPETS: list[str] = [
    snippet for page in PAGES for snippet in re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)
]


def test_every_public_name_is_there_and_documented() -> None:
    assert set(rlcli.__all__) <= set(dir(rlcli))
    assert [name for name in rlcli.__all__ if not getattr(rlcli, name).__doc__] == []
    with pytest.raises(AttributeError, match="no attribute 'tain'"):
        rlcli.tain  # noqa: B018


def test_importing_rlcli_loads_no_torch() -> None:
    """Nor does listing its names, or an error that a program wants to catch."""
    code = (
        "import sys, rlcli; dir(rlcli); rlcli.UserError; rlcli.__version__; "
        "print([name for name in ('torch', 'numpy', 'hydra', 'gymnasium') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_snippets_of_the_pages_run_as_printed(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All in one program, in order; only the number of steps is smaller."""
    assert len(SNIPPETS) == 3
    program = "\n".join(SNIPPETS)
    assert "total_steps=20000" in program
    exec(compile(program.replace("total_steps=20000", "total_steps=2048"), "README.md", "exec"), {})
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("finished runs/")
    assert lines[1] in ("0", "1")
    assert 0.0 < float(lines[2]) <= 1.0
    assert [line.split()[0] for line in lines[4:7]] == ["0", "1", "2"]
    assert lines[-4].startswith("finished ")
    assert lines[-1] == "('action', 'logits', 'value') True"
