"""What the server remembers of chats: which tab is being answered now, and what was said in the latest chats."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from workbench.inference import Generation

KEPT_CHATS = 200
TAKEN_SECONDS = 3.0  # at most, from a question to the events that answer it: a round trip to the browser
FORGET_SECONDS = 60.0


@dataclass(eq=False, slots=True)
class _Round:
    """One question of a tab and the answers to it."""

    taken: float
    under_way: set[Generation] = field(default_factory=set)
    begun: bool = False
    stopped: bool = False

    def busy(self, now: float) -> bool:
        return bool(self.under_way) or (not self.begun and not self.stopped and now < self.taken + TAKEN_SECONDS)


class Tabs:
    """The answers under way, by tab. A tab asks one question at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rounds: dict[str, _Round] = {}

    def take(self, tab: str) -> bool:
        """Begin a question. False while the one before is still being answered."""
        now = time.monotonic()
        with self._lock:
            if tab in self._rounds and self._rounds[tab].busy(now):
                return False
            self._rounds = {other: round_ for other, round_ in self._rounds.items()
                            if round_.under_way or now < round_.taken + FORGET_SECONDS}
            self._rounds[tab] = _Round(now)
            return True

    @contextmanager
    def answering(self, tab: str, generation: Generation) -> Iterator[None]:
        """The time during which a generation answers a tab; a question that was stopped before ends it at once."""
        with self._lock:
            round_ = self._rounds.setdefault(tab, _Round(time.monotonic()))
            round_.begun = True
            round_.under_way.add(generation)
            stopped = round_.stopped
        if stopped:
            generation.stop()
        try:
            yield
        finally:
            with self._lock:
                round_.under_way.discard(generation)

    def stop(self, tab: str) -> None:
        """End all answers to a tab's question where they are, those too that have yet to begin."""
        with self._lock:
            round_ = self._rounds.get(tab, _Round(0.0))
            round_.stopped = True
            under_way = list(round_.under_way)
        for generation in under_way:
            generation.stop()


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
        """Keep what one pane says now."""
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
