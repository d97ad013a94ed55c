"""Entry point of `python -m rlcli`, the same as the command `rlcli`."""

from __future__ import annotations

import sys

if __name__ == "__main__":
    # `python -m` puts the current directory first: a file there must not shadow a library.
    if not sys.flags.safe_path:
        del sys.path[0]

    from rlcli.cli.main import main

    main()
