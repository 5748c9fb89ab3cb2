"""The page Temperature: each kind of example gives its data to the figure, and wrong words in the address do no harm."""

from __future__ import annotations

from typing import Any

import pytest

from core.errors import DataError
from tests.pages.conftest import Open, fault_free, texts
from tests.pages.test_compare_encoders import Question
from workbench.screens.shared import background
from workbench.screens.temperature import figure


def logits(kind: str, text: str, models: tuple[str, ...], *_: Any) -> dict[str, Any]:
    if text == "nothing":
        raise DataError("There is no text.", "A sentence was expected.", "Write one.")
    return {"labels": ["3", "\n", "  "], "logits": [2.0, 1.0, -1.0], "student": [0.0, 1.0, 2.0] if len(models) > 1 else None,
            "picture": [[0.0, 1.0], [1.0, 0.0]] if kind == "digit" else None, "right": "3" if kind == "digit" else None}


@pytest.fixture
def question(monkeypatch: pytest.MonkeyPatch) -> Question:
    stub = Question(logits)
    monkeypatch.setattr(background, "example", stub)
    return stub


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What was given to the figure."""
    seen: list[dict[str, Any]] = []
    monkeypatch.setattr(figure, "draw", lambda answer, **about: seen.append({"answer": answer, **about}))
    return seen


@pytest.mark.parametrize(("kind", "model", "outcome"), [
    ("digit", "house-digits", "class"), ("review", "house-chat", "class"), ("token", "house-chat", "token"),
    ("blank", "house-encoder", "token")])
def test_each_kind_of_example_has_its_house_model(open_page: Open, question: Question, drawn: list[dict[str, Any]], kind: str, model: str,
                                                  outcome: str) -> None:
    page = open_page("temperature", example=kind)
    assert drawn[-1]["teacher"] == model and drawn[-1]["outcome"] == outcome and drawn[-1]["student"] is None
    assert question.calls[-1][0] == kind and question.calls[-1][2] == (model,)
    assert len(page.get("imgs") or page.get("image")) == (kind == "digit")


def test_own_text_and_another_student_are_answered(open_page: Open, question: Question, drawn: list[dict[str, Any]]) -> None:
    page = open_page("temperature", example="token")
    page.text_area(key="temperature.text.token").set_value("Mine").run()
    other = next(name for name in page.selectbox(key="temperature.student.token").options if name.startswith("house-chain"))
    fault_free(page.selectbox(key="temperature.student.token").set_value(other).run())
    assert question.calls[-1][1:3] == ("Mine", ("house-chat", other)) and drawn[-1]["student"] == other


def test_words_in_the_address_that_mean_nothing_do_no_harm(open_page: Open, question: Question, drawn: list[dict[str, Any]]) -> None:
    page = open_page("temperature", example="poem", teacher="nobody", digit="9999999")
    assert drawn[-1]["teacher"] == "house-digits" and page.number_input[0].value == 448


def test_what_the_model_cannot_answer_is_explained(open_page: Open, question: Question, drawn: list[dict[str, Any]]) -> None:
    page = open_page("temperature", example="review")
    page = fault_free(page.text_area(key="temperature.text.review").set_value("nothing").run())
    assert "There is no text." in texts(page)


def test_labels_of_tokens_can_be_read() -> None:
    assert [figure.visible(label) for label in (" good", "\n", "  ", "\t", "")] == ["good", "⏎", "␣␣", "⇥", "(part of a character)"]
