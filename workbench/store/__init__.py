"""The run store: runs, metrics and events in one SQLite file, and what the names of models mean that runs made."""

from workbench.store.store import Store

__all__ = ["Store"]
