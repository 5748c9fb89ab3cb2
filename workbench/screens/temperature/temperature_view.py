"""The page Temperature: one example, a teacher's answer, and what softening does to it.

``?example=`` names the kind of example, ``?text=`` the text or the number of the digit, ``?teacher=`` and ``?student=`` models.
"""

from __future__ import annotations

import concurrent.futures
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import streamlit as st

from core.models.checkpoints import Task
from workbench.screens.shared import background, links, state, views
from workbench.screens.temperature import figure

if TYPE_CHECKING:
    from core.models.entries import ModelEntry

UNTRAINED = "An untrained student (all logits equal)"
DIGITS = 449  # that the house digits are measured on
COUNT = 20  # outcomes that are named
PICTURE = 128  # pixels
PATIENCE = 0.5  # seconds that a page waits for an answer before it is drawn without


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of example.

    Attributes:
        key: in the address, and of `core.classification.examples.ExampleKind`.
        title, icon: of its tab.
        tasks: of the models that answer it, the preferred one first.
        first: the example that is shown first.
        outcome: what the outcomes are.
        house: the model that is taken where nothing else is named.
    """

    key: str
    title: str
    icon: str
    tasks: tuple[Task, ...]
    first: str
    outcome: str
    house: str


KINDS = (
    Kind("digit", "A digit", "looks_one", ("image_classification",), "3", "class", "house-digits"),
    Kind("review", "A review", "rate_review", ("causal", "classification"),
         "The plot is thin, but the two leads are a joy to watch.", "class", "house-chat"),
    Kind("token", "A next token", "forum", ("causal",), "Write a positive one-line review.", "token", "house-chat"),
    Kind("blank", "A blank", "text_select_start", ("masked",), "The film was absolutely [MASK].", "token", "house-encoder"))


def show() -> None:
    """Draw the example and its figure."""
    kind = _kind()
    left, right = st.columns(2, gap="medium")
    with left:
        text = _digit(kind) if kind.key == "digit" else _text(kind)
    with right:
        models = _models(kind)
    if not models:
        return
    arguments = (kind.key, text, models, COUNT, tuple(map(state.weights_stamp, models)))
    concurrent.futures.wait([background.example(*arguments)], PATIENCE)  # mostly it is there at once, and the page is not drawn twice
    answer = background.answer(background.example, *arguments, meanwhile="The model answers …")
    if answer is None:
        return
    if answer["picture"] is not None:
        with left:
            _picture(answer)
    figure.draw(answer, key=f"{kind.key} {text} {' '.join(models)}", outcome=kind.outcome, teacher=models[0],
                student=models[1] if len(models) > 1 else None)


def _kind() -> Kind:
    named = {kind.key: kind for kind in KINDS}
    links.follow("temperature.kind", "example", KINDS[0].key)
    if st.session_state["temperature.kind"] not in named:
        st.session_state["temperature.kind"] = KINDS[0].key
    chosen = st.segmented_control("Example", list(named), key="temperature.kind", required=True,
                                  format_func=lambda key: f":material/{named[key].icon}: {named[key].title}")
    assert chosen is not None, "one is always chosen"
    links.keep("temperature.kind", "example", chosen)
    return named[chosen]


def _text(kind: Kind) -> str:
    key = f"temperature.text.{kind.key}"
    links.follow(key, f"text.{kind.key}", kind.first)
    text = st.text_area("Text" if kind.key != "token" else "Prompt", key=key, height=100)
    links.keep(key, f"text.{kind.key}", text)
    return text


def _digit(kind: Kind) -> str:
    key = "temperature.digit"
    links.follow(key, "digit", int(kind.first))
    if not isinstance(st.session_state[key], int):
        linked = str(st.session_state[key])
        st.session_state[key] = min(int(linked), DIGITS - 1) if linked.isdecimal() else int(kind.first)
    number = st.number_input("Image number", 0, DIGITS - 1, key=key, help="Among the images of digits that nothing was trained on.")
    links.keep(key, "digit", str(number))
    return str(number)


def _models(kind: Kind) -> tuple[str, ...]:
    """Draw the choice of teacher and student; nothing where there is no model that could answer."""
    entries = [entry for entry in state.models() if entry.present and entry.task in kind.tasks]
    if not entries:
        views.empty_state("No model here answers such an example.", kind.icon)
        return ()
    names = [entry.name for entry in entries]
    key = f"temperature.teacher.{kind.key}"
    links.follow(key, "teacher", kind.house if kind.house in names else names[0])
    if st.session_state[key] not in names:
        st.session_state[key] = kind.house if kind.house in names else names[0]
    teacher = st.selectbox("Teacher", names, key=key)
    links.keep(key, "teacher", teacher)
    own = next(entry for entry in entries if entry.name == teacher)
    others = [entry.name for entry in entries if entry.name != teacher and _same_outcomes(entry, own)]
    student = st.selectbox("Student", [UNTRAINED, *others], key=f"temperature.student.{kind.key}",
                           help="Whose gradient is shown. Another model must tell the same outcomes apart.")
    return (teacher,) if student == UNTRAINED else (teacher, student)


def _same_outcomes(entry: ModelEntry, other: ModelEntry) -> bool:
    return entry.task == other.task and entry.vocabulary == other.vocabulary


def _picture(answer: dict[str, Any]) -> None:
    """Draw the pixels of a digit, and what it is."""
    pixels = 1 - np.asarray(answer["picture"])
    enlarged = np.kron(pixels, np.ones((PICTURE // len(pixels), PICTURE // len(pixels))))
    st.image(np.clip(enlarged, 0, 1), caption=f"Somebody wrote a {answer['right']}.", width=PICTURE)
