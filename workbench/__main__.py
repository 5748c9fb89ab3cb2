"""``python -m workbench``, installed as ``stillhouse``: the app without a verb, the command line with one."""

import io
import os
import sys

from core.system import ranks
from workbench.terminal.cli import main


def run() -> int:
    """Run the command line and return its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without UTF-8 shows a question mark instead of ending the command
    # Bars of the libraries, as for loading weights, write over the progress line; tqdm reads this when it is imported.
    os.environ.setdefault("TQDM_DISABLE", "1")
    code = main()
    ranks.leave(code)
    return code


if __name__ == "__main__":
    raise SystemExit(run())
