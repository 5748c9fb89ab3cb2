"""The page of lessons: the list, a lesson with its live blocks, predict then run; and the search."""

from __future__ import annotations

import json
from concurrent.futures import Future
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from core.errors import OutOfMemoryError
from tests.pages import examples
from tests.pages.conftest import Open, button, fault_free, texts
from workbench.lessons import guesses
from workbench.lessons.blocks import Question
from workbench.screens import search_view
from workbench.screens.learn.answers import shuffled
from workbench.screens.learn.questions import comment
from workbench.screens.shared import background
from workbench.store import Store


def commits(page: AppTest) -> list:
    return [each for each in page.button if each.label == "Commit this guess"]


def test_the_list_names_every_lesson(open_page: Open):
    links = [link.proto.label for link in open_page("learn").get("page_link")]
    assert {"**Dark knowledge: the temperature**", "**Half the depth**", "**DistilBERT's triple loss**"} <= {
        label.replace("\\", "") for label in links}


def test_a_lesson_that_does_not_exist_is_a_message_and_the_list(open_page: Open):
    page = open_page("learn", lesson="nothing")
    assert "no lesson 'nothing'" in page.error[0].value and page.title[0].value == "Lessons"


def test_a_guess_comes_before_the_run_and_stands_beside_the_outcome(open_page: Open, store: Store):
    page = open_page("learn", lesson="temperature")
    assert button(page, "Train both").disabled
    fault_free(commits(page)[0].click().run())
    assert "Choose an answer first" in texts(page)
    page.radio[0].set_value("T = 4")
    fault_free(commits(page)[0].click().run())
    assert guesses.guess("temperature", "which-temperature") == "T = 4"
    assert not commits(page)
    fault_free(button(page, "Train both").click().run())
    assert [run.config.losses.temperature for run in store.runs()] == [4.0, 1.0]
    assert "Waits: 1 in the queue." in texts(page)
    for number, run in enumerate(reversed(store.runs())):
        done = examples.finished(store, f"like-{number}")
        guesses.note_run("temperature", "two-temperatures", f"T = {(1, 4)[number]}", done.id)
        store.delete(run.id)
    page = fault_free(page.run())
    assert "Too close to call" in [metric.value for metric in page.metric]  # both are the same example
    assert "It came out otherwise" in texts(page)
    fault_free(button(page, "Start over").click().run())
    assert guesses.guess("temperature", "which-temperature") is None and len(commits(page)) == 1
    fault_free(button(page, "Undo").click().run())
    assert guesses.guess("temperature", "which-temperature") == "T = 4"


@pytest.mark.parametrize("lesson", ["half-the-depth", "did-the-teacher-help", "triple-loss", "any-size", "ensembles"])
def test_a_lesson_is_drawn_with_claims_and_results(open_page: Open, lesson: str):
    said = texts(open_page("learn", lesson=lesson))
    assert "Paper" in said and "95% CI" in said


def test_the_table_of_a_figure_says_the_same(open_page: Open):
    tables = [element.proto.body for element in open_page("learn", lesson="temperature").get("html") if "<table" in element.proto.body]
    assert any("good" in table and "T = 4" in table for table in tables)


def test_a_number_is_close_within_a_tenth_of_the_range():
    question = Question(name="q", text="How many?", min=0, max=100, answer=50.0)
    assert "Close" in comment(question, 45.0, 50.0) and "20 off" in comment(question, 30.0, 50.0)


def test_blind_answers_have_an_order_that_depends_on_the_prompt():
    orders = {tuple(shuffled(["teacher", "student"], f"prompt {number}")) for number in range(20)}
    assert len(orders) == 2


def test_a_search_without_a_store_still_finds_pages_and_lessons(home: Path, fresh_streamlit_caches: None):
    home.write_text("a file where a folder should be")
    assert next(hit.label for hit in search_view.hits([])).startswith("Lesson")


def test_the_search_finds_pages_lessons_runs_and_models(open_page: Open, store: Store):
    examples.finished(store, "walk")
    page = fault_free(button(open_page("runs"), "Search").click().run())
    found = page.selectbox[-1].options if page.selectbox else []
    for label in ("Page · Lessons", "Lesson · Half the depth", "Run · walk (finished)", "Model · house-chat"):
        assert label in found


def test_steps_are_taken_one_at_a_time_and_begin_again(open_page: Open, monkeypatch: pytest.MonkeyPatch):
    """The engine's part is tested in tests/workbench/inference/test_server.py and tests/core/methods/test_stepping.py."""
    wanted: list[tuple[str, int]] = []

    def training_step(config_json: str, number: int) -> Future:
        wanted.append((json.loads(config_json)["losses"]["temperature"], number))
        answer: Future = Future()
        answer.set_result({
            "number": number, "total": 40, "blocks": 8, "positions": 400, "text": "The film was", "target": " bad", "temperature": 1.0,
            "tokens": [" good", " bad"], "teacher": [0.6, 0.2], "before": [0.1, 0.3], "after": [0.2, 0.25], "divergence": (1.5, 1.25),
            "terms": [{"name": "kd", "raw": 2.0, "weighted": 4.0}], "loss": 4.0, "gradient_norm": 3.0, "learning_rate": 1e-3 * number,
            "update": 0.5, "weights": 50.0})
        return answer

    monkeypatch.setattr(background, "training_step", training_step)
    page = fault_free(button(open_page("learn", lesson="temperature"), "Take a step").click().run())
    assert wanted == [(1.0, 1)] and "KL(teacher, student) there: 1.5 nats before the step, 1.25 after it" in texts(page)
    assert "moved the weights by 1.00% of their length" in texts(page)
    tables = " ".join(element.proto.body for element in page.get("html"))
    assert "soft targets" in tables and "60.00%" in tables and "Student after" in tables
    for _ in range(9):
        page = fault_free(button(page, "Take the next step").click().run())
    assert wanted[-1] == (1.0, 10) and button(page, "Take the next step").disabled
    page = fault_free(button(page, "Begin again").click().run())
    page = fault_free(page.run())
    assert not button(page, "Take a step").disabled


def test_a_step_that_fails_is_a_message_and_can_be_taken_again(open_page: Open, monkeypatch: pytest.MonkeyPatch):
    answers: list[Future] = [Future(), Future()]
    answers[0].set_exception(OutOfMemoryError("It ran out of memory."))

    class Question:
        def __call__(self, *_: object) -> Future:
            return answers[0]

        def clear(self, *_: object) -> None:
            answers.pop(0)

    monkeypatch.setattr(background, "training_step", Question())
    page = fault_free(button(open_page("learn", lesson="temperature"), "Take a step").click().run())
    assert "It ran out of memory." in page.error[0].value
    page = fault_free(button(fault_free(page.run()), "Take a step").click().run())
    assert "Step 1: the models are loaded first" in texts(page)
