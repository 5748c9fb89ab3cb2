"""What the server remembers of chats: which tab is being answered now, and what was said in the latest chats."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from workbench.inference import Generation

KEPT_CHATS = 200
TAKEN_SECONDS = 1.0  # from a question to the events that answer it; longer than a round trip to the browser


class Tabs:
    """The answers under way, by tab. A tab asks one question at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._answers: defaultdict[str, set[Generation]] = defaultdict(set)
        self._taken: dict[str, float] = {}

    def take(self, tab: str) -> bool:
        """Begin a question. False while the one before is still being answered."""
        with self._lock:
            now = time.monotonic()
            self._taken = {other: until for other, until in self._taken.items() if until > now}
            if self._answers.get(tab) or tab in self._taken:
                return False
            self._taken[tab] = now + TAKEN_SECONDS
            return True

    @contextmanager
    def answering(self, tab: str, generation: Generation) -> Iterator[None]:
        """The time during which a generation answers a tab."""
        with self._lock:
            self._answers[tab].add(generation)
        try:
            yield
        finally:
            with self._lock:
                self._answers[tab].discard(generation)
                if not self._answers[tab]:
                    del self._answers[tab]

    def stop(self, tab: str) -> None:
        """End all answers of a tab where they are."""
        with self._lock:
            under_way = list(self._answers.get(tab, ()))
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
