"""A lock keeps others out, is waited for, and is let go."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from filelock import FileLock

from core.system import locks
from core.system.locks import alone


def held(path: Path) -> bool:
    lock = FileLock(path, blocking=False)
    try:
        with lock:
            return False
    except TimeoutError:
        return True


def test_it_is_held_inside_the_block_alone(tmp_path: Path) -> None:
    with alone(tmp_path / "lock", lambda: None):
        assert held(tmp_path / "lock")
    assert not held(tmp_path / "lock")


def test_an_error_inside_lets_it_go(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), alone(tmp_path / "lock", lambda: None):
        _ = 1 / 0
    assert not held(tmp_path / "lock")


def test_whoever_has_it_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "LOOK_SECONDS", 0.01)
    entered, waited = threading.Event(), threading.Event()

    def enter() -> None:
        with alone(tmp_path / "lock", waited.set):
            entered.set()

    with FileLock(tmp_path / "lock"):
        thread = threading.Thread(target=enter, daemon=True)
        thread.start()
        assert waited.wait(60) and not entered.is_set()
    assert entered.wait(60)
    thread.join()


def test_the_wait_ends_with_what_is_raised_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "LOOK_SECONDS", 0.01)

    def stop() -> None:
        raise InterruptedError

    with FileLock(tmp_path / "lock"), pytest.raises(InterruptedError), alone(tmp_path / "lock", stop):
        pytest.fail("two are inside")
