"""Names and ids of runs and sweeps that nothing else in the store has."""

from __future__ import annotations

import re
import secrets
import sqlite3
import time
from pathlib import Path
from typing import Literal

Table = Literal["runs", "sweeps"]


def new_ids(count: int, folder: Path) -> list[str]:
    """Return so many ids that no folder has yet: the time, and eight digits by chance."""
    ids: dict[str, None] = {}
    while len(ids) < count:
        made = f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(4)}"
        if not (folder / made).exists():
            ids[made] = None
    return list(ids)


def taken(connection: sqlite3.Connection, name: str, except_id: str = "", table: Table = "runs") -> bool:
    """Whether another row is called so, or has that id."""
    return connection.execute(f"SELECT 1 FROM {table} WHERE (name = ? OR id = ?) AND id != ?",
                              (name, name, except_id)).fetchone() is not None


def free_name(connection: sqlite3.Connection, wanted: str, table: Table = "runs") -> str:
    """Return the name, with a number behind it where it is taken."""
    numbered = re.search(r"(?<=.)-(\d{1,4})\Z", wanted)
    stem, count = (wanted[:numbered.start()], int(numbered[1])) if numbered else (wanted, 1)
    name = wanted
    while taken(connection, name, table=table):
        count += 1
        name = f"{stem[:74]}-{count}"
    return name
