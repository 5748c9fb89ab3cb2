"""A run's recipe and command as they work on another machine: without this one's folders."""

from __future__ import annotations

import os
import re

from core.config import ChainConfig
from workbench import paths
from workbench.store.records import Run


def command(run: Run) -> str:
    """Return the line that repeats a run from its downloaded recipe."""
    return f"python -m workbench {'chain' if isinstance(run.config, ChainConfig) else 'distill'} {run.name}.yaml"


def recipe(text: str) -> str:
    """Return a recipe's YAML with uploads by their file names, and above it what has to lie beside it.

    What else is named by a path of this machine stays, and is listed: its place elsewhere is not known here.
    """
    uploads = re.escape(str(paths.uploads_dir()) + os.sep)
    upload = re.compile(rf"{uploads}([^\s'\"]+?)-[0-9a-f]{{10}}(\.\w+)")
    files = sorted({"".join(found.groups()) for found in upload.finditer(text)})
    text = upload.sub(r"\1\2", text)
    elsewhere = sorted(set(re.findall(r":\s+'?(/[^\s'\"]+)", text)))
    needs = [*(f"# Put {file} beside this recipe: the data that was uploaded.\n" for file in files),
             *(f"# Change this path to where it lies on your machine: {path}\n" for path in elsewhere)]
    return "".join(needs) + text
