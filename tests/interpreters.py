"""Programs in an interpreter of their own, for what must not be loaded."""

from __future__ import annotations

import subprocess
import sys

from core.system.paths import PROJECT

HEAVY = ("torch", "transformers", "datasets")


def heavy_modules(program: str, *arguments: object) -> list[str]:
    """Return which of `HEAVY` the program has loaded at its end; what it prints is left out.

    Args:
        program: Python, with `sys` imported.
        arguments: its ``sys.argv[1:]``.

    Raises:
        AssertionError: it failed; what it said is in the message.
    """
    whole = f"import sys\n{program}\nprint('\\n' + ' '.join(name for name in {HEAVY!r} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", whole, *map(str, arguments)], cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1].split()
