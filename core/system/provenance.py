"""What a result depends on besides its configuration: releases of the libraries and the commit of this code."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from functools import cache

from core import __version__
from core.system.paths import PROJECT, SOURCE

LIBRARIES = ("torch", "transformers", "datasets", "accelerate", "peft", "tokenizers", "safetensors", "numpy", "onnx",
             "onnxruntime")


def versions() -> dict[str, str]:
    """Return the release of every library by its name, without importing anything heavy; libraries that are not installed are left out."""
    found = {"stillhouse": __version__, "python": platform.python_version()}
    return found | {library: release for library in LIBRARIES if (release := _release(library)) is not None}


@cache
def _release(library: str) -> str | None:
    """Return the release of a library, None where it is not installed; every record of a run asks, and the answer is read from disk."""
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return None


def git_commit() -> str | None:
    """Return the checked-out commit, with ``+changes`` when files differ from it; None outside a git checkout."""
    if PROJECT != SOURCE:  # installed: a repository there, as with pip's --target, is not this code's
        return None
    try:
        # The ceiling keeps git from answering for a repository around this one.
        described = subprocess.run(
            ["git", "--no-optional-locks", "-C", str(SOURCE), "describe", "--always", "--abbrev=40", "--dirty=+changes", "--match="],
            env={**os.environ, "GIT_CEILING_DIRECTORIES": str(SOURCE.parent)}, capture_output=True, text=True, timeout=5, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return described.stdout.strip()
