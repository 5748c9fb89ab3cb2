"""``python -m workbench``: the app without a verb, the command line with one."""

import os
import sys

from workbench.terminal.cli import main

if __name__ == "__main__":
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # a terminal without UTF-8 shows a question mark instead of ending the command
    # Bars of the libraries, as for loading weights, write over the progress line; tqdm reads this when it is imported.
    os.environ.setdefault("TQDM_DISABLE", "1")
    raise SystemExit(main())
