"""Paths of the code, of the assets that ship with it, and of the home folder (STILLHOUSE_HOME)."""

from __future__ import annotations

import os
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2]  # holds core/ and workbench/; a process that imports them needs it on its path
INSTALLED = SOURCE / "stillhouse"  # where a wheel puts pages/ and assets/ (docs/decisions/0011-wheel-layout.md)
PROJECT = INSTALLED if INSTALLED.is_dir() else SOURCE  # holds pages/ and assets/
ASSETS = PROJECT / "assets"
HOUSE_MODELS = ASSETS / "models"


def home() -> Path:
    """Return the folder of all state: the environment variable STILLHOUSE_HOME, or ``~/.stillhouse``."""
    return Path(os.path.expanduser(os.environ.get("STILLHOUSE_HOME") or "~/.stillhouse")).absolute()


def models_dir() -> Path:
    """Return the folder of models that were fetched or converted."""
    return home() / "models"


def cache_dir() -> Path:
    """Return the folder of what can be made again: packed blocks."""
    return home() / "cache"


def signals_dir() -> Path:
    """Return the folder of what teachers answered: it can be made again, at the price of asking them."""
    return home() / "signals"
