"""`python -m rlcli` is `rlcli`."""

from __future__ import annotations

from rlcli.cli.main import main

if __name__ == "__main__":
    main()
