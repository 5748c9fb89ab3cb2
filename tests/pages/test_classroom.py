"""The pages of a class: a participant's few, the board, and the instructor's; and that a participant has no others."""

from __future__ import annotations

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from tests.pages import examples
from tests.pages.conftest import Open, button, fault_free, texts
from tests.waiting import PATIENCE
from workbench.classroom import store as class_store
from workbench.classroom.board import Tally
from workbench.classroom.records import Participant
from workbench.classroom.store import ClassStore
from workbench.lessons.blocks import Question
from workbench.screens.classroom import board_view, seat_view, seats
from workbench.store import Store

ROOT = Path(__file__).resolve().parents[2]
LOCKED = """---
title: Locked
---
```slider
name: T
label: Temperature
min: 1
max: 8
value: 2
```
```slider
name: steps
label: Steps
min: 2
max: 40
value: 20
```
```recipe
name: r
recipe: micro
label: Train
set: {losses.temperature: $T, train.max_steps: $steps}
```
"""


@pytest.fixture
def room(home: Path, monkeypatch: pytest.MonkeyPatch) -> ClassStore:
    room = class_store.create("Tuesday")
    monkeypatch.setenv("STILLHOUSE_CLASS", room.id)
    return room


@pytest.fixture
def ada(room: ClassStore, monkeypatch: pytest.MonkeyPatch) -> Participant:
    """Who looks at the pages."""
    ada = room.join("Ada", room.code)
    monkeypatch.setattr(seats, "participant_id", lambda: ada.id)
    return ada


def opened(name: str) -> AppTest:
    page = AppTest.from_file(str(ROOT / "workbench" / "ui.py"), default_timeout=PATIENCE)
    if name != "lesson":
        page.switch_page(str(ROOT / "pages" / f"{name}.py"))
    return fault_free(page.run())


def test_a_participant_guesses_runs_and_sees_their_place(room: ClassStore, ada: Participant):
    page = opened("lesson")
    assert "you are **Ada**" in texts(page) and "Search" not in [each.label for each in page.button]
    page.radio[0].set_value("T = 4")
    fault_free(next(each for each in page.button if each.label == "Commit this guess").click().run())
    fault_free(button(page, "Train both").click().run())
    assert room.guess(ada.id, "temperature", "which-temperature") == "T = 4"
    assert [item.state for item in room.items(ada.id)] == ["waiting", "waiting"]
    assert "Place 1 in the queue, next." in texts(page) and button(page, "Run it again").disabled
    fault_free(button(opened("mine"), "Withdraw what waits (2)").click().run())
    assert not room.items(ada.id, "waiting")


@pytest.mark.parametrize("name", ["runs", "run", "new", "models", "classroom", "home", "learn", "compare"])
def test_a_participant_has_no_other_page(room: ClassStore, ada: Participant, name: str):
    page = AppTest.from_file(str(ROOT / "workbench" / "ui.py"), default_timeout=PATIENCE)
    page.switch_page(str(ROOT / "pages" / f"{name}.py"))
    page.run()
    assert page.exception or page.title[0].value == "Dark knowledge: the temperature"  # the first of theirs, in its place


def test_a_vote_shows_no_names_until_it_is_revealed(room: ClassStore, ada: Participant):
    assert "No vote yet" in texts(opened("vote"))
    ballot = room.open_ballot("Hi", ("house-chat", "student"), ("good", "bad"))
    page = opened("vote")
    assert "house-chat" not in texts(page)
    fault_free(button(page, "Vote for B").click().run())
    assert room.votes(ballot) == {ada.id: 1}
    room.reveal(ballot)
    assert "house-chat" in texts(opened("vote")) and "Votes: A 0, B 1" in texts(opened("vote"))


def test_a_participant_asks_only_what_the_instructor_allows_and_their_own_students(room: ClassStore, ada: Participant, store: Store):
    mine, other = examples.finished(store), examples.finished(store, "other")
    room.submit(ada.id, "temperature", "r", [("T = 1", "{}", "d")])
    room.place(room.items()[0], mine.id)
    assert set(seat_view.models(room, ada)) == {"house-chat", mine.id}
    assert other.id not in opened("ask").selectbox(key="ask.model").options


def test_who_is_no_longer_in_the_class_hears_of_it(room: ClassStore, ada: Participant):
    room.remove(ada.id)
    assert "no longer in this class" in opened("lesson").error[0].value


def test_the_board_shows_guesses_points_and_ranks_and_hides_names(room: ClassStore, ada: Participant, store: Store):
    assert "No finished run yet" in texts(opened("board"))
    room.commit(ada.id, "temperature", "which-temperature", "T = 4")
    done = examples.finished(store)
    room.submit(ada.id, "temperature", "two-temperatures", [("T = 1", "{}", "d")])
    room.place(room.items()[0], done.id)

    def table(page: AppTest) -> str:
        return next(element.proto.body for element in page.get("html") if "Leaderboard" in element.proto.body)

    page = opened("board")
    assert "T = 4: 1" in texts(page) and "Ada" in table(page)
    room.change(names_hidden=True)
    assert "Ada" not in table(opened("board"))


def test_guessed_numbers_are_a_histogram_with_what_was_measured_as_lines():
    question = Question(name="q", text="How many?", unit="nats", answer=1.0)
    figure = board_view.numbers(Tally(question, {}, [1.0, 2.0, 2.0], {}, [1.5]))
    assert list(figure.data[0].x) == [1.0, 2.0, 2.0] and [line.x0 for line in figure.layout.shapes] == [1.5]


def test_the_instructor_pauses_stops_and_deletes(open_page: Open, room: ClassStore, store: Store):
    who = room.join("Ada", room.code)
    room.submit(who.id, "temperature", "r", [("T = 1", "{}", "d")])
    page = open_page("class")
    assert room.code in texts(page) and "1 here, 0 running, 1 waiting" in [each.value for each in page.subheader]
    fault_free(button(page, "Pause the queue").click().run())
    assert room.settings().paused
    fault_free(button(page, "Hide names").click().run())
    assert room.settings().names_hidden
    fault_free(button(page, "Stop all").click().run())
    assert not room.items(state="waiting")
    page.number_input(key="class.steps").set_value(30).run()
    assert room.settings().most_steps == 30
    assert button(page, "Delete the class").disabled
    page.text_input(key="end.name").set_value("Tuesday").run()
    fault_free(button(page, "Delete the class").click().run())
    assert not class_store.exists(room.id)
    for name in ("class", "board"):
        assert "holds no class" in texts(open_page(name))


def test_a_locked_slider_is_shown_and_does_not_move(room: ClassStore, ada: Participant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "temperature.md").write_text(LOCKED)
    (tmp_path / "micro.yaml").write_text("teacher: {model: house-chat}\nstudent: {layers: 2}\ntrain: {max_steps: 20}\n")
    monkeypatch.setenv("STILLHOUSE_LESSONS", str(tmp_path))
    page = opened("lesson")
    page = fault_free(page.slider[0].set_value(5).run())  # moved before the instructor locks it
    room.change(locked=("T",))
    page = fault_free(page.run())
    assert [(slider.value, slider.disabled) for slider in page.slider] == [(2, True), (20, False)]
    page.session_state["slider.temperature.0.fixed"] = 7.0  # as a message past the page would
    fault_free(page.slider[1].set_value(10).run())
    fault_free(button(page, "Train").click().run())
    item, = room.items(ada.id)
    assert '"temperature": 2.0' in item.config_json and '"max_steps": 10' in item.config_json
