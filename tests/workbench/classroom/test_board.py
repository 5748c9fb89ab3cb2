"""The board, the hand-outs and the blind vote of a class, on runs that were written as a worker would have."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from core.errors import StillhouseError
from tests.pages import examples
from workbench import lessons
from workbench.classroom import ballots, handout
from workbench.classroom import board as board_module
from workbench.classroom import store as class_store
from workbench.classroom.board import Board, leaderboard, shared_board
from workbench.classroom.store import ClassStore
from workbench.store import Store
from workbench.store.database import Database


@pytest.fixture
def store(home: Path) -> Store:
    return Store()


@pytest.fixture
def room(store: Store) -> ClassStore:
    """Ada and Bea have guessed and run, Bea with a formula for a name; Cid only joined."""
    room = class_store.create("Tuesday <b>")
    ada, bea, cid = (room.join(name, room.code) for name in ("Ada", "=Bea", "Cid"))
    for who, guess in ((ada, "T = 4"), (bea, "T = 1"), (cid, "T = 4")):
        room.commit(who.id, "temperature", "which-temperature", guess)
    for who in (ada, bea):
        runs = [examples.finished(store, f"{who.nickname[-3:].lower()}-{label}") for label in "14"]
        room.submit(who.id, "temperature", "two-temperatures", [("T = 1", "{}", f"{who.id}1"), ("T = 4", "{}", f"{who.id}4")])
        for item, run in zip(room.items(who.id), runs, strict=True):
            room.place(item, run.id)
    room.hand_in(ada.id, "<script>alert(1)</script> seen")
    return room


def test_guesses_stand_against_outcomes(room: ClassStore, store: Store):
    tally, = Board(room, store).tallies(lessons.lesson("temperature"))
    assert tally.guesses == {"T = 1": 1, "T = 4": 2, "Too close to call": 0} and tally.count == 3
    assert tally.outcomes == {"Too close to call": 2}  # both examples are alike; each of the two pairs counts
    assert handout.outcome_words(tally) == "Came out: Too close to call (2 times)"


def test_numbers_stand_against_what_was_measured(room: ClassStore, store: Store):
    ada, bea, _ = room.participants()
    for who, value in ((ada, 40.0), (bea, 60.5)):
        room.commit(who.id, "did-the-teacher-help", "control-perplexity", value)
    _, tally = Board(room, store).tallies(lessons.lesson("did-the-teacher-help"))
    assert tally.numbers == [40.0, 60.5] and tally.values == [] and handout.outcome_words(tally) == "No outcome yet."


def test_each_participants_best_run_within_a_budget(room: ClassStore, store: Store):
    points = Board(room, store).points()
    assert len(points) == 4 and set(points["nickname"]) == {"Ada", "=Bea"}
    points["parameters"] = [1e6, 3e6, 2e6, 4e6]
    points["eval/perplexity"] = [50.0, 40.0, 45.0, 30.0]
    points["seconds"] = [5.0, 9.0, 7.0, 30.0]
    assert leaderboard(points, "eval/perplexity")["nickname"].tolist() == ["=Bea", "Ada"]
    small = leaderboard(points, "eval/perplexity", most_parameters=2e6)
    assert small["eval/perplexity"].tolist() == [45.0, 50.0]
    assert leaderboard(points, "eval/perplexity", most_seconds=6.0)["nickname"].tolist() == ["Ada"]
    assert leaderboard(points, "eval/agreement").empty is bool(points["eval/agreement"].isna().all())


def test_the_hand_out_is_one_file_that_loads_nothing_and_escapes_others_words(room: ClassStore, store: Store):
    page = handout.page(Board(room, store), store)
    assert "Ada" in page and "T = 4: 2" in page and "Tuesday &lt;b&gt;" in page and "<script" not in page
    assert not any(word in page for word in ("http://", "https://", "src=", "<link", "url("))
    room.change(names_hidden=True)
    assert "Ada" not in handout.page(Board(room, store), store) and "Ada" not in handout.csv(Board(room, store))


def test_ones_own_page_has_recipe_and_curve_and_nobody_elses(room: ClassStore, store: Store):
    page = handout.page(Board(room, store), store, room.participants()[0].id)
    assert "My guess: T = 4" in page and "max_steps: 400" in page and 'aria-label="Loss from' in page and "=Bea" not in page


def test_the_csv_holds_runs_and_guesses_and_no_formula(room: ClassStore, store: Store):
    rows = list(csv.DictReader(io.StringIO(handout.csv(Board(room, store)))))
    assert [row["kind"] for row in rows].count("run") == 4 and [row["kind"] for row in rows].count("guess") == 3
    assert {row["nickname"] for row in rows} == {"Ada", "'=Bea", "Cid"}


def test_a_blind_vote_is_shuffled_counted_and_revealed(room: ClassStore, store: Store):
    with pytest.raises(StillhouseError, match="two models"):
        ballots.hold(room, ["a", "a"], "Hi", lambda model, prompt: "")
    with pytest.raises(StillhouseError, match="characters"):
        ballots.hold(room, ["a", "b"], " ", lambda model, prompt: "")
    orders = set()
    for _ in range(20):
        number = ballots.hold(room, ["teacher", "student"], "Hi", lambda model, prompt: f"{prompt} from {model}")
        ballot = room.ballots()[0]
        orders.add(ballot.models)
        assert ballot.answers == tuple(f"Hi from {model}" for model in ballot.models)
    assert len(orders) == 2
    for who, choice in zip(room.participants(), (0, 1, 1), strict=True):
        room.vote(number, who.id, choice)
    assert handout.votes_of(Board(room, store), ballot) == [1, 2]
    assert "Blind vote" not in handout.page(Board(room, store), store)
    room.reveal(number)
    assert "Blind vote" in handout.page(Board(room, store), store)


def test_a_curve_is_drawn_with_its_ends_in_words():
    assert "No curve" in handout.curve([(1, float("nan"))])
    assert "Loss from 4 at step 1 to 2 at step 9" in handout.curve([(1, 4.0), (5, float("nan")), (9, 2.0)])


def test_all_who_look_share_one_look(room: ClassStore, store: Store, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(board_module, "LOOK_SECONDS", 1e9)
    opened, connect = [], Database._connect
    monkeypatch.setattr(Database, "_connect", lambda self: opened.append(self.path) or connect(self))
    lesson = lessons.lesson("temperature")

    def look() -> int:
        before = len(opened)
        board = shared_board(room, store)
        assert len(board.points()) == 4 and board.tallies(lesson)
        return len(opened) - before

    first = look()
    assert [look() for _ in range(30)] == [0] * 30
    dan = room.join("Dan", room.code)
    assert dan.id in shared_board(room, store).people, "a change of the class is seen at once"
    look()
    monkeypatch.setattr(board_module, "LOOK_SECONDS", -1.0)
    assert look() <= first - 8, "what four runs measured and reported is not read again"


def test_a_run_that_ends_is_read_at_the_next_look(room: ClassStore, store: Store, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(board_module, "LOOK_SECONDS", -1.0)
    ada = room.participants()[0]
    run = examples.running(store, steps=3)
    room.submit(ada.id, "temperature", "one", [("new", "{}", "another")])
    item, = room.items(state="waiting")
    room.place(item, run.id)
    assert len(shared_board(room, store).points()) == 4
    store.finish(run.id, "finished")
    assert len(shared_board(room, store).points()) == 5
