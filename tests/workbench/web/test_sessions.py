from __future__ import annotations

import json
import os
import stat
import time
from pathlib import Path

import pytest

from workbench.errors import ServeError
from workbench.web import sessions
from workbench.web.sessions import SECONDS, Sessions, name_of


@pytest.fixture
def known(tmp_path: Path) -> Sessions:
    return Sessions(tmp_path / "sessions", "password")


def test_a_session_begins_and_ends(known: Sessions, tmp_path: Path) -> None:
    first, second = known.begin("203.0.113.9", "Firefox"), known.begin("198.51.100.4", "Chrome")
    assert first != second and known.is_valid(first)
    assert {each.browser for each in known.listed()} == {"Firefox", "Chrome"}
    assert Sessions(tmp_path / "sessions", "password").is_valid(first)  # after a restart, and in another process
    known.end(name_of(first))
    assert not known.is_valid(first) and known.is_valid(second)
    known.end(name_of(first))


def test_the_folder_is_private_and_holds_no_ids(known: Sessions, tmp_path: Path) -> None:
    identifier = known.begin("203.0.113.9", "Firefox")
    file, = (tmp_path / "sessions").iterdir()
    assert identifier not in file.name + file.read_text()
    if os.name == "posix":
        assert stat.S_IMODE(file.stat().st_mode) == 0o600 and stat.S_IMODE(file.parent.stat().st_mode) == 0o700


def test_it_is_over_after_its_time(known: Sessions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    identifier, now = known.begin("203.0.113.9", ""), time.time()
    monkeypatch.setattr(sessions.time, "time", lambda: now + SECONDS - 1)
    assert known.is_valid(identifier)
    monkeypatch.setattr(sessions.time, "time", lambda: now + SECONDS)
    assert not known.is_valid(identifier)
    assert list((tmp_path / "sessions").iterdir()) == []


def test_one_that_began_under_a_clock_far_ahead_is_over(known: Sessions, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time()
    monkeypatch.setattr(sessions.time, "time", lambda: now + 400 * 86_400)
    far = known.begin("203.0.113.9", "")
    monkeypatch.setattr(sessions.time, "time", lambda: now + 60)
    near = known.begin("203.0.113.9", "")
    monkeypatch.setattr(sessions.time, "time", lambda: now)
    assert known.is_valid(near) and not known.is_valid(far)


def test_its_last_use_is_noted(known: Sessions, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = known.begin("a", "first"), known.begin("b", "second")
    now = time.time()
    monkeypatch.setattr(sessions.time, "time", lambda: now + 1000)
    assert known.is_valid(first)
    assert [each.browser for each in known.listed()] == ["first", "second"]
    assert known.listed()[0].seen == pytest.approx(now + 1000, abs=2)
    assert known.is_valid(second)


@pytest.mark.parametrize("name", ["", "../gate", "/etc/hostname", "A" * 64, "0" * 63, f"{'0' * 64}\n", "0" * 5000])
def test_what_is_no_name_of_a_session_removes_nothing(known: Sessions, tmp_path: Path, name: str) -> None:
    (tmp_path / "gate.json").write_text("{}")
    known.begin("a", "b")
    known.end(name)
    assert (tmp_path / "gate.json").exists() and len(known.listed()) == 1


def test_files_that_are_none_of_ours_are_no_sessions(known: Sessions, tmp_path: Path) -> None:
    identifier = known.begin("a", "b")
    file = tmp_path / "sessions" / f"{name_of(identifier)}.json"
    for text in ("", "[]", "{}", json.dumps({**json.loads(file.read_text()), "more": 1}), "\ud800".encode("utf-8", "surrogatepass")):
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        assert not known.is_valid(identifier) and known.listed() == []


def test_another_password_has_other_sessions(known: Sessions, tmp_path: Path) -> None:
    known.begin("a", "b")
    assert Sessions(tmp_path / "sessions", "another").listed() == []


def test_of_too_many_the_oldest_end(known: Sessions, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "MOST", 3)
    begun = [known.begin("a", str(number)) for number in range(5)]
    assert [known.is_valid(each) for each in begun] == [False, False, True, True, True]


def test_long_words_are_cut(known: Sessions) -> None:
    known.begin("a" * 5000, "b" * 5000)
    assert len(known.listed()[0].browser) == len(known.listed()[0].address) == sessions.LONGEST


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ServeError, match="session cannot be kept"):
        Sessions(tmp_path / "file", "password").begin("a", "b")
