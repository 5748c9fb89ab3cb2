from __future__ import annotations

import pytest

from workbench.web import attempts
from workbench.web.attempts import ALLOWED, ALLOWED_TOGETHER, WINDOW, Attempts


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr(attempts.time, "monotonic", lambda: now[0])
    return now


def fail(count: Attempts, visitor: str, times: int, *, known: bool = False) -> int:
    """The wrong passwords that were let through."""
    through = 0
    for _ in range(times):
        if count.allowed(visitor, known=known):
            count.failed(visitor, known=known)
            through += 1
    return through


def test_a_visitor_has_so_many_and_again_after_the_window(clock: list[float]) -> None:
    count = Attempts()
    assert fail(count, "a", 50) == ALLOWED
    assert fail(count, "b", 50) == ALLOWED
    clock[0] += WINDOW
    assert fail(count, "a", 50) == ALLOWED


def test_many_together_have_one_each(clock: list[float]) -> None:
    count = Attempts()
    assert sum(fail(count, f"address {number}", ALLOWED) for number in range(1000)) == ALLOWED_TOGETHER + 1000 - ALLOWED_TOGETHER // ALLOWED
    assert count.allowed("somebody else")
    clock[0] += WINDOW
    assert fail(count, "address 1", ALLOWED) == ALLOWED


def test_known_browsers_are_counted_apart(clock: list[float]) -> None:
    count = Attempts()
    for number in range(ALLOWED_TOGETHER):
        fail(count, f"address {number}", 1)
    assert fail(count, "browser", 50, known=True) == ALLOWED
    assert fail(count, "address", 50) == 1
    count = Attempts()
    for number in range(ALLOWED_TOGETHER):
        fail(count, f"browser {number}", 1, known=True)
    assert fail(count, "address", 50) == ALLOWED


def test_no_more_than_so_many_are_remembered(clock: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "MOST_VISITORS", 3)
    count = Attempts()
    for visitor in "abca":
        count.failed(visitor)
    count.failed("d")
    assert list(count._failures) == ["c", "a", "d"]
