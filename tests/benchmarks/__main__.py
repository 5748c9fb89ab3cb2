"""Measure everything and print one table: python -m tests.benchmarks [engine] [first_loss] [app] [watchers] [chat] [classroom]"""

from __future__ import annotations

import importlib
import os
import platform
import sys
import tempfile
from datetime import date

from core.system.devices import devices
from core.system.provenance import versions
from tests.benchmarks.table import markdown

PARTS = ("engine", "first_loss", "app", "watchers", "chat", "classroom")


def main(wanted: list[str]) -> None:
    """Each part is imported only when its turn comes: one measures imports."""
    rows = []
    with tempfile.TemporaryDirectory() as home:
        os.environ["STILLHOUSE_HOME"] = home
        for part in wanted or PARTS:
            print(f"measuring: {part}", file=sys.stderr, flush=True)
            rows += importlib.import_module(f"tests.benchmarks.{part}").figures()
    print(markdown(rows))
    print(f"\n{date.today()}, {os.cpu_count()} cores, {devices()[-1].description}, {platform.system()}, torch {versions()['torch']}")


if __name__ == "__main__":
    main(sys.argv[1:])
