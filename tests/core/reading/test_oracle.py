"""The oracle's notes are exact, and its tasks use templates and names that no note was taken of."""

from __future__ import annotations

import re

import pytest

from core.config.reading import ORACLE_TASKS
from core.reading.notes import BEHAVIOURS
from core.reading.oracle import FRAMES, PLAIN, POOLS, names, oracle_paragraphs
from core.reading.oracle_tasks import HELD_OUT, OPINION_FRAMES, TYPED, oracle_items
from core.reading.validation import validate

PARAGRAPHS = list(oracle_paragraphs(300, 0))
SENTENCES = [each for paragraph in PARAGRAPHS for each in paragraph.sentences]
WORDS = {word for paragraph in oracle_paragraphs(1500, 0) for word in re.findall(r"\w+", paragraph.text)}


def test_every_note_is_what_validation_gives_of_its_own_text() -> None:
    noted = [each for each in SENTENCES if each.entities is not None]
    assert len(noted) == 900
    for each in noted:
        assert each.entities and each.questions
        for behaviour in BEHAVIOURS:
            found = validate(behaviour, each.sentence, each.of(behaviour) or "")
            assert found.notes == getattr(each, behaviour) and not found.dropped


def test_the_same_seed_gives_the_same_text() -> None:
    assert list(oracle_paragraphs(5, 0)) == PARAGRAPHS[:5] != list(oracle_paragraphs(5, 1))


def test_no_note_is_taken_of_examined_names() -> None:
    examined = {name for pool in POOLS for name in names(pool, True)}
    noted = {entity.text for each in SENTENCES for entity in each.entities or ()}
    assert len(examined) >= 20 and not examined & noted
    assert not examined - WORDS, "every reader meets them in the text"


def test_templates_of_tasks_are_none_of_the_text() -> None:
    text = {frame.text for frame in FRAMES} | set(PLAIN)
    assert not text & ({frame.text for frame in HELD_OUT} | set(OPINION_FRAMES) | set(TYPED))
    known = {question for frame in FRAMES for question, _ in frame.questions}
    assert not known & {question for frame in HELD_OUT for question, _ in frame.questions}


@pytest.mark.parametrize("task", ORACLE_TASKS)
def test_items_have_one_right_candidate_and_known_words(task: str) -> None:
    items = oracle_items(task, 200)
    assert items == oracle_items(task, 200) and len({item.prompt for item in items}) > 100
    assert all(len(set(item.candidates)) == len(item.candidates) >= 2 for item in items)
    shares = [sum(item.right == place for item in items) / len(items) for place in range(2)]
    assert min(shares) > 0.15, "no place is always right"
    known = {word.lower() for word in WORDS}
    words = {word.lower() for item in items for text in (item.prompt, *item.candidates) for word in re.findall(r"\w+", text)}
    words -= {"question", "answer", "entities"}  # how notes begin
    assert not words - known


def test_answers_are_of_the_passage() -> None:
    for item in oracle_items("answers", 100):
        passage = item.prompt
        assert all(candidate.strip() in passage for candidate in item.candidates)
