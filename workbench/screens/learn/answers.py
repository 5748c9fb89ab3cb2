"""The compare block: one prompt to several models, side by side, their names hidden until the reader has guessed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

import streamlit as st

from core.errors import StillhouseError
from workbench.inference import client
from workbench.inference.wire import Answer, Piece
from workbench.lessons.blocks import Compare, Recipe
from workbench.lessons.parser import Lesson
from workbench.screens.learn import runs
from workbench.screens.learn.reader import Reader
from workbench.screens.shared import state, views

LONGEST_PROMPT = 400  # characters
SEED = 0


def compare(block: Compare, lesson: Lesson, reader: Reader, key: str) -> None:
    """Draw the prompt, the button, and the answers."""
    with st.container(border=True, key=f"compare-{key}"):
        models = _models(block, lesson, reader)
        if models is None:
            return
        prompt = st.text_input("Prompt", block.prompt, key=f"prompt.{key}", max_chars=LONGEST_PROMPT)
        memory = f"answers.{key}"
        if st.button("Compare their answers", icon=":material/forum:", key=f"ask.{key}", disabled=not prompt.strip()):
            st.session_state.pop(memory, None)
            order = shuffled(models, prompt) if block.blind else list(models)
            with views.errors_shown():
                answers = []
                for column, model in zip(st.columns(len(order)), order, strict=True):
                    with column, st.empty():
                        answers.append(str(st.write_stream(_stream(model, prompt, block.max_new_tokens))))
                st.session_state[memory] = {"order": order, "answers": answers, "prompt": prompt}
                st.rerun()
        if memory in st.session_state:
            _answers(block, lesson, reader, st.session_state[memory], key)


def shuffled(models: Sequence[str], prompt: str) -> list[str]:
    """Return the models in an order that nobody can guess from the page, the same for the same prompt."""
    return sorted(models, key=lambda model: hashlib.sha256(f"{prompt}\n{model}".encode()).digest())


def _models(block: Compare, lesson: Lesson, reader: Reader) -> list[str] | None:
    recipes: dict[str, Recipe] = {each.name: each for each in lesson.of(Recipe)}
    found = []
    for model in block.models:
        if model.startswith("$"):
            run = runs.latest_student(reader, lesson, recipes[model[1:]])
            if run is None:
                st.caption("Run the recipe above first: its student answers here.")
                return None
            model = run.id
        found.append(model)
    return found


def _stream(model: str, prompt: str, tokens: int) -> Iterator[str]:
    generation = client.engine().generate(state.resolved(model), [{"role": "user", "content": prompt}], max_new_tokens=tokens,
                                          sampling_temperature=0.0, seed=SEED)
    for message in generation:
        if isinstance(message, Piece):
            yield message.text
        elif isinstance(message, Answer) and not message.tokens:
            yield "(nothing)"


def _answers(block: Compare, lesson: Lesson, reader: Reader, kept: dict[str, Any], key: str) -> None:
    question = f"blind-{hashlib.sha256(key.encode()).hexdigest()[:8]}"
    guess = reader.guess(lesson.slug, question) if block.blind else None
    names = [_name(model) for model in kept["order"]]
    for index, (column, text) in enumerate(zip(st.columns(len(names)), kept["answers"], strict=True)):
        with column:
            st.markdown(f"**{chr(65 + index) if block.blind and guess is None else views.plain(names[index])}**")
            st.text(text.strip() or "(nothing)")
    if not block.blind:
        return
    if guess is None:
        options = [chr(65 + index) for index in range(len(names))]
        picked = st.segmented_control("Which answer is the teacher's?", options, key=f"blind.{key}")
        if st.button("Commit this guess", icon=":material/lock:", key=f"commit.{key}", disabled=picked is None) and picked:
            with views.errors_shown():
                reader.commit(lesson.slug, question, picked)
                st.rerun()
    else:
        truth = chr(65 + kept["order"].index(_models_first(block, lesson, reader)))
        st.markdown(f"You guessed **{views.plain(str(guess))}**; the teacher's answer is **{truth}**.")


def _models_first(block: Compare, lesson: Lesson, reader: Reader) -> str:
    models = _models(block, lesson, reader)
    assert models, "there were answers"
    return models[0]


def _name(model: str) -> str:
    try:
        return f"the student of {state.store().run(model).name}"
    except StillhouseError:
        return model
