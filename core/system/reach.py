"""Which folders a process reads from by names that others give it.

Whoever sits at this machine may name any file. The server that answers other people, and the process that reads for it, are started with
a list of folders (`VARIABLE`): a path that leads elsewhere, by ``..`` or a link too, is refused. Runs are not limited: what
they name was checked when they were submitted.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

VARIABLE = "STILLHOUSE_REACH"  # folders, separated as in PATH; without it a process reads whatever its account may
# What ends like this is a file, wherever it is: another process may look for it from another folder.
SUFFIXES = (".txt", ".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".parquet", ".text", ".md", ".arrow", ".xlsx", ".gz", ".zip", ".zst",
            ".gguf", ".safetensors", ".bin", ".pt", ".npz", ".yaml", ".yml", ".sqlite", ".log")
FOLDERS = "STILLHOUSE_FOLDERS"  # the setting by which an owner adds some, for messages
ADDRESSES = "STILLHOUSE_TEACHERS"  # addresses of teachers' servers, separated by commas
HOSTS = "STILLHOUSE_HOSTS"  # names of hosts that jobs are submitted on by ssh, separated by commas


def limited_to(folders: Iterable[Path]) -> dict[str, str]:
    """Return the variable that limits a process to folders; one that does not exist yet counts when it does."""
    return {VARIABLE: os.pathsep.join(str(folder) for folder in folders)}


def is_limited() -> bool:
    """Return whether this process acts for visitors."""
    return VARIABLE in os.environ


def refusal(named: str) -> tuple[str, str, str] | None:
    """Return why this process does not read what a path names, as the three parts of an error; None for what it may read.

    Args:
        named: a path, or anything else that a user may write in the place of one, as the id of a model on the hub.
    """
    folders = os.environ.get(VARIABLE)
    if folders is None or not _is_path(named) or _is_inside(named, folders):
        return None
    return (f"'{named}' is not in a folder that visitors of this app may read.", "An upload, or a file in a folder that its owner names, "
            "was expected.", f"Upload it, or have the owner add its folder to {FOLDERS}.")


def allowed_addresses() -> list[str]:
    """Return the addresses of teachers' servers that the owner of this process lists; none where no list was made."""
    return [each.strip().rstrip("/") for each in os.environ.get(ADDRESSES, "").split(",") if each.strip()]


def address_refusal(url: str) -> tuple[str, str, str] | None:
    """Return why this process asks no server at an address, as the three parts of an error; None for one that it may ask."""
    if not is_limited() or url in allowed_addresses():
        return None
    return (f"The server at {url} is none that visitors of this app may have queried.", "An address that its owner lists was expected.",
            f"Have the owner add it to {ADDRESSES}.")


def host_refusal(name: str) -> tuple[str, str, str] | None:
    """Return why this process reaches no host by ssh, as the three parts of an error; None for one that it may reach."""
    if not is_limited() or name in [each.strip() for each in os.environ.get(HOSTS, "").split(",")]:
        return None
    return (f"The host '{name}' is none that visitors of this app may use.", "A host that its owner lists was expected.",
            f"Have the owner add it to {HOSTS}.")


def _is_path(named: str) -> bool:
    """Return whether a name is a path, whether or not anything is there: that is not for everybody to know."""
    path = os.path.expanduser(named)
    return (os.path.isabs(path) or named.startswith((".", "~")) or ".." in named or named.lower().endswith(SUFFIXES)
            or os.path.lexists(path))


def _is_inside(named: str, folders: str) -> bool:
    try:
        path = Path(os.path.expanduser(named)).resolve()
        return any(path.is_relative_to(Path(folder).resolve()) for folder in folders.split(os.pathsep) if folder)
    except (OSError, RuntimeError, ValueError):  # names that no file can have, links in a circle, a user who is not there
        return False
