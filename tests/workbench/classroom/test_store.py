"""A class on the disk: joining, guesses, votes, texts, and that nothing is left of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import StillhouseError
from workbench import classroom
from workbench.classroom import store as class_store
from workbench.classroom.store import ClassStore
from workbench.store import Store


@pytest.fixture
def room(home: Path) -> ClassStore:
    return class_store.create("Tuesday")


def test_the_same_name_is_the_same_class(room: ClassStore):
    again = class_store.create("Tuesday")
    assert (again.id, again.code, again.secret) == (room.id, room.code, room.secret)
    assert class_store.create("Friday").code != room.code


def test_joining_takes_the_code_and_a_nickname_of_ones_own(room: ClassStore):
    ada = room.join("  Ada  Lovelace ", room.code.lower())
    assert (ada.nickname, ada.number) == ("Ada Lovelace", 1)
    for nickname, code in (("Bea", "WRONG1"), ("ada lovelace", room.code), ("", room.code), ("x" * 25, room.code), ("a\x00b", room.code)):
        with pytest.raises(StillhouseError):
            room.join(nickname, code)
    assert [each.nickname for each in room.participants()] == ["Ada Lovelace"]


def test_a_guess_is_committed_once(room: ClassStore):
    ada = room.join("Ada", room.code)
    room.commit(ada.id, "temperature", "q", "T = 4")
    with pytest.raises(StillhouseError, match="committed already"):
        room.commit(ada.id, "temperature", "q", "T = 1")
    assert room.guess(ada.id, "temperature", "q") == "T = 4"
    assert [guess.value for guess in room.guesses("temperature")] == ["T = 4"] and not room.guesses("other")


def test_a_vote_counts_once_and_only_while_it_is_open(room: ClassStore):
    ada, bea = room.join("Ada", room.code), room.join("Bea", room.code)
    ballot = room.open_ballot("Hi", ("teacher", "student"), ("good", "bad"))
    room.vote(ballot, ada.id, 0)
    room.vote(ballot, ada.id, 1)
    room.vote(ballot, bea.id, 1)
    with pytest.raises(StillhouseError):
        room.vote(ballot, bea.id, 2)
    assert sorted(room.votes(ballot).values()) == [1, 1]
    room.reveal(ballot)
    with pytest.raises(StillhouseError, match="not open"):
        room.vote(ballot, ada.id, 0)
    second = room.open_ballot("Again", ("a", "b"), ("x", "y"))
    assert [each.id for each in room.ballots()] == [second, ballot]


def test_texts_are_handed_in_within_a_length(room: ClassStore):
    ada = room.join("Ada", room.code)
    room.hand_in(ada.id, " seen ")
    assert [each.text for each in room.handed_in()] == ["seen"]
    for text in ("  ", "x" * 3000):
        with pytest.raises(StillhouseError):
            room.hand_in(ada.id, text)


def test_who_is_taken_out_leaves_nothing_of_theirs(room: ClassStore):
    ada = room.join("Ada", room.code)
    room.commit(ada.id, "temperature", "q", 1.5)
    room.hand_in(ada.id, "seen")
    room.submit(ada.id, "temperature", "r", [("a", "{}", "d1")])
    room.remove(ada.id)
    with pytest.raises(StillhouseError, match="no longer"):
        room.participant(ada.id)
    assert not room.guesses() and not room.handed_in() and not room.items(state="waiting") and not room.participants()
    assert room.join("Ada", room.code).number == 2  # the name is free again


def test_settings_are_kept(room: ClassStore):
    assert room.change(paused=True, models=("a", "b")) == ClassStore(room.id).settings()
    assert room.settings().models == ("a", "b") and room.settings().paused


def test_one_switch_deletes_everything(room: ClassStore, home: Path, monkeypatch: pytest.MonkeyPatch):
    from tests.pages import examples

    store = Store()
    monkeypatch.setenv("STILLHOUSE_CLASS", room.id)
    current = classroom.current()
    assert current is not None
    ada = room.join("Ada", room.code)
    run, other = examples.finished(store), examples.finished(store, "other")
    room.submit(ada.id, "temperature", "r", [("a", "{}", "d1")])
    room.place(room.items()[0], run.id)
    classroom.delete(current, store)
    assert classroom.current() is None
    assert not list((home / "classes").iterdir()) and not run.directory.exists()
    assert [each.id for each in store.runs(include_deleted=True)] == [other.id]
    with pytest.raises(StillhouseError, match="class is over"):
        room.participants()
    with pytest.raises(StillhouseError, match="class is over"):
        ClassStore(room.id)
    assert not (home / "classes").joinpath(f"{room.id}.sqlite").exists()  # looking made no empty one


@pytest.mark.parametrize("class_id", ["", "../store", "0" * 11, "zzzzzzzzzzzz"])
def test_only_the_id_of_a_class_names_one(home: Path, class_id: str):
    assert not class_store.exists(class_id)
