"""A class: who takes part, what they guess, run, vote and hand in; a fair queue; and one switch that removes it all."""

from __future__ import annotations

import threading

from workbench import settings
from workbench.classroom import queue
from workbench.classroom import store as class_store
from workbench.classroom.store import ClassStore
from workbench.store import Store

DELETING = threading.Lock()


def current() -> ClassStore | None:
    """Return the class that this app holds; None where it holds none, or it was deleted."""
    class_id = settings.CLASS.read()
    return ClassStore(class_id) if class_id and class_store.exists(class_id) else None


def delete(room: ClassStore, store: Store) -> None:
    """Remove everything about a class: runs with their folders, guesses, votes, texts, nicknames; everybody is out at once."""
    with DELETING:
        room.change(paused=True)  # nothing new begins meanwhile
        queue.delete_runs(room, store)
        class_store.remove_files(room.id)
