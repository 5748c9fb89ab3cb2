"""The numbers of runs as tables, read once for everybody who looks: of a run that many watch only what is new is read, and only once."""

from __future__ import annotations

import threading

import numpy as np
import pandas as pd

from core.metrics import METRICS
from core.recorder import CONTROL, STUDENT
from workbench.screens.shared import charts
from workbench.screens.shared.run_cache import RunCache
from workbench.store import Store

VARIANTS, NAMES = pd.CategoricalDtype([STUDENT, CONTROL]), pd.CategoricalDtype(list(METRICS))  # ten times faster to select by than text


class Curves:
    """Every number of one run that was read so far; `fetch` reads only what is new. Threads may share it.

    Attributes:
        table: columns ``rowid``, "arm" (the variant), ``step``, ``name``, ``value``; steps ascend within each curve.
        revisions: metric -> the largest rowid of its rows: what a figure of that metric depends on.
        lines: every curve of the table.
            All three are replaced, never changed, so that others may still hold the earlier ones.
    """

    def __init__(self) -> None:
        self.table: pd.DataFrame | None = None
        self.revisions: dict[str, int] = {}
        self.lines: charts.Lines = {}
        self._ends: dict[tuple[str, str], int] = {}  # (variant, name) -> the last step of that curve
        self._seen = 0  # the largest rowid of the whole store at the last look
        self._lock = threading.Lock()

    def fetch(self, source: Store, run_id: str) -> pd.DataFrame:
        """Read what came since the last call, and return the whole table."""
        return self.look(source, run_id)[0]

    def look(self, source: Store, run_id: str) -> tuple[pd.DataFrame, dict[str, int], charts.Lines]:
        """Return the whole table, up to date, with the `revisions` and the `lines` that belong to it."""
        with self._lock:
            newest = source.last_rowid()
            if self.table is None or newest != self._seen:
                # Rowids ascend over the whole store in the order of commits, so what was below `newest` once stays read.
                last = max(self._seen, *self.revisions.values(), 0)
                self.table, self.revisions, self.lines = self._joined(source.metrics(run_id, after_rowid=last))
                self._seen = newest
            return self.table, self.revisions, self.lines

    def _joined(self, rows: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, int], charts.Lines]:
        if self.table is not None and rows.empty:
            return self.table, self.revisions, self.lines
        new = rows.astype({"arm": VARIANTS, "name": NAMES})
        revisions, ends = dict(self.revisions), dict(self._ends)
        again = False
        for variant, name, step, rowid in zip(rows["arm"], rows["name"], rows["step"].tolist(), rows["rowid"].tolist(), strict=True):
            again |= step <= self._ends.get((variant, name), -1)
            ends[variant, name] = max(step, ends.get((variant, name), -1))
            revisions[name] = rowid
        self._ends = ends
        if self.table is None:
            table = new.sort_values("step", kind="stable", ignore_index=True)
        else:
            table = pd.concat([self.table, new], ignore_index=True)
            if again:  # steps come again after a resume: their new values replace the old ones
                table = table.drop_duplicates(["arm", "name", "step"], keep="last").sort_values("step", kind="stable", ignore_index=True)
            else:
                added = {key: _longer(self.lines.get(key), curve) for key, curve in charts.split(new).items()}
                return table, revisions, {**self.lines, **added}
        return table, revisions, charts.split(table)


def _longer(curve: charts.Curve | None, more: charts.Curve) -> charts.Curve:
    return more if curve is None else charts.Curve(*(np.concatenate(pair) for pair in zip(curve, more, strict=True)))


CURVES = RunCache(Curves, kept=24)  # 10,000 steps of ten metrics are about 4 MB
