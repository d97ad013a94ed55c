"""An environment that prints whatever it likes, and leaves a child behind, in every process but one.

The exception is the process that the variable NOT_NOISY names. The ids of the children go into the file that
LEFT_BEHIND names.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any, ClassVar

import gymnasium

from tests.envs.known import Constant

PRINTED = (
    b"\xff\xfe are no UTF-8\n",
    b'{"result": ["seed=0", {"status": "failed"}]}\n{"row": ["nobody", {"env_steps": 1}]}\n{"say": 1}\n[]\n',
    b"\x1b[2Jsteering\n",
    b"x" * 300_000 + b"\n",
    b"without an end",
)


class Noisy(Constant):
    """Prints to standard output and standard error."""

    begun: ClassVar[bool] = False

    def __init__(self) -> None:
        super().__init__()
        if not Noisy.begun and os.environ.get("NOT_NOISY", str(os.getpid())) != str(os.getpid()):
            Noisy.begun = True
            child = subprocess.Popen(["sleep", "60"])
            child.returncode = 0  # nobody waits for it
            with Path(os.environ["LEFT_BEHIND"]).open("a") as file:
                file.write(f"{child.pid}\n")
            for descriptor in (1, 2):
                for piece in PRINTED:
                    os.write(descriptor, piece)
            assert sys.stdin.read() == ""

    def step(self, action: Any) -> Any:
        print("a step")
        return super().step(action)


gymnasium.register("Noisy-v0", entry_point=Noisy)
