"""How often a password may be guessed: limits for each address and over all of them, which never lock out whoever knows it.

Whoever guesses uses up the attempts of their own address. When many addresses guess together, each that was wrong once has to wait, while
one that was not may still try. A browser that knew the password once has attempts of its own: others behind its address use up none.
"""

from __future__ import annotations

import time

ALLOWED, WINDOW = 10, 60.0  # wrong passwords of one visitor, within seconds
ALLOWED_TOGETHER = 100  # wrong passwords of all unknown visitors within the window; beyond it each has one
MOST_VISITORS = 10_000  # remembered


class Attempts:
    """The wrong passwords of the last minute, by visitor."""

    def __init__(self) -> None:
        self._failures: dict[str, list[float]] = {}  # the one who failed last stands last
        self._known: set[str] = set()

    def allowed(self, visitor: str, *, known: bool = False) -> bool:
        """Return whether a visitor may try now.

        Args:
            visitor: an address, or what stands for a browser that knew the password before.
            known: whether it is such a browser.
        """
        now = time.monotonic()
        self._failures = {who: recent for who, times in self._failures.items()
                          if (recent := [then for then in times if now - then < WINDOW])}
        self._known &= self._failures.keys()
        failures = len(self._failures.get(visitor, ()))
        if known:
            return failures < ALLOWED
        together = sum(len(times) for who, times in self._failures.items() if who not in self._known)
        return failures < (ALLOWED if together < ALLOWED_TOGETHER else 1)

    def failed(self, visitor: str, *, known: bool = False) -> None:
        """Count a wrong password."""
        self._failures[visitor] = [*self._failures.pop(visitor, ()), time.monotonic()]
        if known:
            self._known.add(visitor)
        while len(self._failures) > MOST_VISITORS:
            del self._failures[next(iter(self._failures))]
