"""A paragraph that models read now, in a thread of its own: their notes as they come, how far they are, and the way to stop them."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from core.errors import StillhouseError
from core.reading.notes import BEHAVIOURS, Behaviour
from workbench.inference.client import Engine, Reading

Notes = dict[tuple[str, int, Behaviour], str]  # who, number of the sentence, behaviour -> what was noted, with its label


class LiveReading:
    """Notes of models on sentences while they are written.

    Args:
        models: who -> model reference.
        sentences: of the paragraph, in order.
        separator: as the models were trained.

    Attributes:
        notes: so far.
        error: what ended it early, if anything did.
    """

    def __init__(self, engine: Engine, models: dict[str, str], sentences: Sequence[str], separator: str) -> None:
        self.sentences, self.notes, self.error = tuple(sentences), Notes(), None
        self.total, self.stopped = len(models) * len(sentences) * len(BEHAVIOURS), False
        self._who, self._reading = tuple(models), None
        self._thread = threading.Thread(target=self._follow, args=(engine, tuple(models.values()), separator), name="read together",
                                        daemon=True)
        self._thread.start()

    error: StillhouseError | None
    _reading: Reading | None

    @property
    def running(self) -> bool:
        """Return whether more notes may come."""
        return self._thread.is_alive()

    def stop(self) -> None:
        """End it within a token; the notes so far stay."""
        self.stopped = True
        if self._reading is not None:
            self._reading.stop()

    def _follow(self, engine: Engine, models: Sequence[str], separator: str) -> None:
        try:
            self._reading = engine.read(models, self.sentences, separator)
            if self.stopped:  # before there was anything to stop
                self._reading.stop()
            for note in self._reading:
                self.notes[self._who[note.reader], note.sentence, note.behaviour] = note.text
        except StillhouseError as error:
            self.error = error
