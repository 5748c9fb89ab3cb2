"""State of chats on the server: which tabs are being answered now, and the history of the latest chats."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from workbench.inference.client import Generation

MAX_CHATS = 200
START_SECONDS = 3.0  # at most, from a question to the events that answer it: a round trip to the browser
FORGET_SECONDS = 60.0
DROP_SECONDS = 1.0
ENDING_SECONDS = 0.5  # at most, from the last view of an answer, or from Stop, to its end


@dataclass(eq=False, slots=True)
class PendingAnswers:
    """The answers to a tab's current question.

    Attributes:
        sent_at: when the question was sent, in seconds of the monotonic clock.
        started: whether any answer has started.
        columns: number of columns that are answering now.
        stopped: whether its answers are to end where they are.
        dropped: whether nothing more of them is to be shown either.
    """

    sent_at: float
    started: bool = False
    columns: int = 0
    stopped: bool = False
    dropped: bool = False
    _generations: list[Generation] = field(default_factory=list)

    def follow(self, generation: Generation) -> None:
        """Stop a generation together with the question; at once if that was stopped before."""
        self._generations.append(generation)
        if self.stopped:
            generation.stop()

    def stop(self) -> None:
        """End all answers where they are, those too that have yet to begin."""
        self.stopped = True
        for generation in tuple(self._generations):
            generation.stop()

    def busy(self, now: float) -> bool:
        """Whether the question is being answered, or about to be."""
        return bool(self.columns) or (not self.started and not self.stopped and now < self.sent_at + START_SECONDS)


class Tabs:
    """The pending answers of all tabs. A tab has one question at a time."""

    def __init__(self) -> None:
        self._ended = threading.Condition()
        self._pending: dict[str, PendingAnswers] = {}

    def try_start(self, tab: str) -> bool:
        """Start a question, waiting a moment for answers that are ending. Returns False while they continue."""
        with self._ended:
            self._ended.wait_for(lambda: tab not in self._pending or not self._pending[tab].columns, ENDING_SECONDS)
            now = time.monotonic()
            if tab in self._pending and self._pending[tab].busy(now):
                return False
            self._pending = {other: pending for other, pending in self._pending.items()
                            if pending.columns or now < pending.sent_at + FORGET_SECONDS}
            self._pending[tab] = PendingAnswers(now)
            return True

    @contextmanager
    def answering(self, tab: str) -> Iterator[PendingAnswers]:
        """Count one column as answering the tab's question, for the time of the context."""
        with self._ended:
            pending = self._pending.setdefault(tab, PendingAnswers(time.monotonic()))
            pending.started = True
            pending.columns += 1
        try:
            yield pending
        finally:
            with self._ended:
                pending.columns -= 1
                self._ended.notify_all()

    def stop(self, tab: str) -> None:
        """End all answers to a tab's question where they are."""
        if tab in self._pending:
            self._pending[tab].stop()

    def drop(self, tab: str) -> None:
        """End them and show nothing more of them; they are gone when this returns, unless one is still loading its model."""
        if tab in self._pending:
            pending = self._pending[tab]
            pending.dropped = True
            pending.stop()
            with self._ended:
                self._ended.wait_for(lambda: not pending.columns, DROP_SECONDS)


class ChatHistory:
    """The latest chats, each pane as the text of its turns, so that a tab finds them again after a reload.

    A chat is known by the id that its address carries and by its models; nothing else is needed to read it.
    """

    def __init__(self, limit: int = MAX_CHATS) -> None:
        self._limit, self._lock = limit, threading.Lock()
        self._chats: OrderedDict[tuple[str, tuple[str, ...]], list[str]] = OrderedDict()

    def read(self, chat: str, models: Sequence[str]) -> list[str]:
        """Return the turns of every pane, as text; empty for an unknown chat."""
        with self._lock:
            return list(self._chats.get((chat, tuple(models)), [""] * len(models)))

    def write(self, chat: str, models: Sequence[str], pane: int, turns: str) -> None:
        """Save the turns of one pane; nothing for a chat without an id."""
        if not chat:
            return
        with self._lock:
            panes = self._chats.setdefault((chat, tuple(models)), [""] * len(models))
            panes[pane] = turns
            self._chats.move_to_end((chat, tuple(models)))
            while len(self._chats) > self._limit:
                self._chats.popitem(last=False)

    def forget(self, chat: str, models: Sequence[str]) -> None:
        """Drop a chat."""
        with self._lock:
            self._chats.pop((chat, tuple(models)), None)
