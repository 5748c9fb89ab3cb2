"""Programs that tests need and a machine may not have."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence

import pytest


def program(name: str) -> str | None:
    """Return the path of a program, where daemons lie too."""
    return shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")


def require_installed(names: Sequence[str], packages: str) -> None:
    """Skip the test where a program is not installed; fail with `CI` set.

    Args:
        packages: of Debian, which have them.
    """
    if missing := [name for name in names if program(name) is None]:
        reason = f"not installed: {', '.join(missing)}; apt-get install {packages}, or .ci/slurm"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
