"""What the server remembers of chats: which tab is being answered now, and what was said in the latest chats."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from workbench.inference.client import Generation

KEPT_CHATS = 200
TAKEN_SECONDS = 3.0  # at most, from a question to the events that answer it: a round trip to the browser
FORGET_SECONDS = 60.0
DROP_SECONDS = 1.0
ENDING_SECONDS = 0.5  # at most, from the last view of an answer, or from Stop, to its end


@dataclass(eq=False, slots=True)
class Round:
    """One question of a tab and the answers to it.

    Attributes:
        taken: when it was asked, in seconds of the monotonic clock.
        begun: whether an answer ever began.
        columns: how many columns are answering now.
        stopped: whether its answers should end where they are.
        dropped: whether nothing more of them should be shown either.
    """

    taken: float
    begun: bool = False
    columns: int = 0
    stopped: bool = False
    dropped: bool = False
    _generations: list[Generation] = field(default_factory=list)

    def follow(self, generation: Generation) -> None:
        """Have a generation stopped with the question, at once if that was stopped before."""
        self._generations.append(generation)
        if self.stopped:
            generation.stop()

    def stop(self) -> None:
        """End all answers where they are, those too that have yet to begin."""
        self.stopped = True
        for generation in tuple(self._generations):
            generation.stop()

    def busy(self, now: float) -> bool:
        """Whether it is being answered, or about to be."""
        return bool(self.columns) or (not self.begun and not self.stopped and now < self.taken + TAKEN_SECONDS)


class Tabs:
    """The rounds of all tabs. A tab asks one question at a time."""

    def __init__(self) -> None:
        self._ended = threading.Condition()
        self._rounds: dict[str, Round] = {}

    def take(self, tab: str) -> bool:
        """Begin a question, after a moment if the answers to the one before are ending. False while they go on."""
        with self._ended:
            self._ended.wait_for(lambda: tab not in self._rounds or not self._rounds[tab].columns, ENDING_SECONDS)
            now = time.monotonic()
            if tab in self._rounds and self._rounds[tab].busy(now):
                return False
            self._rounds = {other: round_ for other, round_ in self._rounds.items()
                            if round_.columns or now < round_.taken + FORGET_SECONDS}
            self._rounds[tab] = Round(now)
            return True

    @contextmanager
    def answering(self, tab: str) -> Iterator[Round]:
        """The time during which one column answers the tab's question."""
        with self._ended:
            round_ = self._rounds.setdefault(tab, Round(time.monotonic()))
            round_.begun = True
            round_.columns += 1
        try:
            yield round_
        finally:
            with self._ended:
                round_.columns -= 1
                self._ended.notify_all()

    def stop(self, tab: str) -> None:
        """End all answers to a tab's question where they are."""
        if tab in self._rounds:
            self._rounds[tab].stop()

    def drop(self, tab: str) -> None:
        """End them and show nothing more of them; they are gone when this returns, unless one is still loading its model."""
        if tab in self._rounds:
            round_ = self._rounds[tab]
            round_.dropped = True
            round_.stop()
            with self._ended:
                self._ended.wait_for(lambda: not round_.columns, DROP_SECONDS)


class KeptChats:
    """The latest chats, each pane as the text of its turns, so that a tab finds them again after a reload.

    A chat is known by the id that its address carries and by its models; nothing else is needed to read it.
    """

    def __init__(self, limit: int = KEPT_CHATS) -> None:
        self._limit, self._lock = limit, threading.Lock()
        self._chats: OrderedDict[tuple[str, tuple[str, ...]], list[str]] = OrderedDict()

    def read(self, chat: str, models: Sequence[str]) -> list[str]:
        """The turns of every pane, empty texts for a chat that is not known."""
        with self._lock:
            return list(self._chats.get((chat, tuple(models)), [""] * len(models)))

    def write(self, chat: str, models: Sequence[str], pane: int, turns: str) -> None:
        """Keep what one pane says now; nothing for a chat without an id."""
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
