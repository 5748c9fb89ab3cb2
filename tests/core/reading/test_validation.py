"""Answers that hold, and why others are dropped."""

from __future__ import annotations

import pytest

from core.reading import validation
from core.reading.notes import Entity, Question
from core.reading.validation import locate, statistics_of, validate

SENTENCE = "Anna Bell moved from Leeds to Porto."


@pytest.mark.parametrize(("answer", "notes", "dropped"), [
    ("Anna Bell (person): moved; Porto (Place)", (Entity("Anna Bell", "person", "moved", 0), Entity("Porto", "place", "", 30)), ()),
    ("Entities: porto (place)\n\nSentence: more", (Entity("Porto", "place", "", 30),), ()),
    ("none", (), ()), ("None.", (), ()),
    ("Madrid (place)", None, (validation.NOT_IN_SENTENCE,)),
    ("Leed (place)", None, (validation.NOT_IN_SENTENCE,)),
    ("Porto (place); Madrid (place)", (Entity("Porto", "place", "", 30),), (validation.NOT_IN_SENTENCE,)),
    ("Porto (place); Porto (place)", (Entity("Porto", "place", "", 30),), ()),
    ("Porto, a place", None, (validation.MALFORMED,)), ("", None, (validation.MALFORMED,)),
    ("Porto (a place where people live)", None, (validation.MALFORMED,)),
    ("I'm sorry, I can't help with that.", None, (validation.REFUSED,))])
def test_entities_must_occur_in_their_sentence(answer: str, notes: object, dropped: tuple[str, ...]) -> None:
    found = validate("entities", SENTENCE, answer)
    assert (found.notes, found.dropped) == (notes, dropped)


def test_of_a_truncated_list_the_last_entity_is_dropped() -> None:
    found = validate("entities", SENTENCE, "Leeds (place): left; Porto (place): mov", whole=False)
    assert found.notes == (Entity("Leeds", "place", "left", 21),) and found.dropped == (validation.TRUNCATED,)
    assert validate("entities", SENTENCE, "Porto (pla", whole=False).notes is None


@pytest.mark.parametrize(("answer", "notes", "dropped"), [
    ("Where did she move? Answer: Porto.", (Question("Where did she move?", "Porto", 30),), ()),
    ("Question: Who moved?\nAnswer: anna bell", (Question("Who moved?", "Anna Bell", 0),), ()),
    ("Who moved? Answer: Anna Bell Question: Where to? Answer: Rome", (Question("Who moved?", "Anna Bell", 0),),
     (validation.ANSWER_MISSING,)),
    ("Who moved? Answer: Rome", None, (validation.ANSWER_MISSING,)),
    ("Who moved? Anna Bell", None, (validation.MALFORMED,)), ("Answer: Porto", None, (validation.MALFORMED,)),
    ("She moved. Answer: Porto", None, (validation.MALFORMED,)),
    ("What is said? Answer: Anna Bell moved from Leeds to Porto", None, (validation.WHOLE_SENTENCE,))])
def test_an_answer_must_be_found_in_its_sentence(answer: str, notes: object, dropped: tuple[str, ...]) -> None:
    found = validate("questions", SENTENCE, answer)
    assert (found.notes, found.dropped) == (notes, dropped)


def test_words_are_located_whole_and_whatever_the_spaces() -> None:
    assert locate("bell  moved", SENTENCE) == 5 and locate("Bel", SENTENCE) == -1 and locate("", SENTENCE) == -1


def test_statistics_count_answers_and_reasons() -> None:
    found = statistics_of([("entities", validate("entities", SENTENCE, text)) for text in ("none", "Rome (place)", "Porto (place)")])
    assert found.to_dict() == {"answers": {"entities": 3}, "valid": {"entities": 2}, "share_valid": 0.6667,
                               "dropped": {"entities": {validation.NOT_IN_SENTENCE: 1}}}
    assert statistics_of([]).share == 1.0
