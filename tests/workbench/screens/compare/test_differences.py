"""How models differ about a blank and about a text, as tables."""

from __future__ import annotations

import pytest

from workbench.screens.compare import differences
from workbench.screens.compare.differences import LOST, MOVED, NEW, SAME


def word(token: str, *places: tuple[int, float] | None) -> dict:
    return {"token": token, "places": [place and {"rank": place[0], "probability": place[1]} for place in places]}


def blank() -> dict:
    """Three models; lists of two words each."""
    words = [word("good", (1, 0.5), (1, 0.4), (2, 0.2)), word("bad", (2, 0.3), (14, 0.01), (1, 0.6)),
             word("great", (3, 0.1), (2, 0.3), None)]
    return {"words": words, "divergences": [0.0, 0.25, None]}


ROLES = ("Teacher", "Student", "Control")


@pytest.fixture(autouse=True)
def _short_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(differences, "FIRST", 2)


def marks(number: int, roles=ROLES) -> list[tuple[str, float, str, str]]:
    return list(differences.marked_words(blank(), number, roles).itertuples(index=False, name=None))


def test_a_students_words_are_marked_against_the_teachers_list() -> None:
    assert marks(1) == [("good", 0.4, SAME, ""), ("great", 0.3, NEW, "new")]
    assert marks(2) == [("bad", 0.6, MOVED, "▲ 1"), ("good", 0.2, MOVED, "▼ 1")]


def test_the_teachers_words_are_marked_where_a_student_lost_them() -> None:
    assert marks(0) == [("good", 0.5, SAME, ""), ("bad", 0.3, LOST, "lost by student")]
    assert marks(0, ROLES[:2])[1][2:] == (LOST, "lost")
    assert {row[2] for row in marks(0, ROLES[:1])} == {SAME}


def test_the_table_says_everything_in_words() -> None:
    head, rows = differences.word_table(blank(), ROLES)
    assert head == ["Word", "Teacher: probability, place", "Student: probability, place, ratio", "Control: probability, place, ratio",
                    "Difference"]
    assert rows[0] == ["good", "50.00%, 1st", "40.00%, 1st, × 0.8", "20.00%, 2nd, × 0.4",
                       "Same place in the student's list; 1 place down in the control's list"]
    assert rows[1] == ["bad", "30.00%, 2nd", "1.00%, 14th, × 0.033", "60.00%, 1st, × 2",
                       "Not among the student's first 2; 1 place up in the control's list"]
    assert rows[2][3:] == ["not a word of its vocabulary", "Not among the teacher's first 2; not among the control's first 2"]
    alone, rows = differences.word_table(blank(), ROLES[:1])
    assert len(alone) == len(rows[0]) - 2 == 2


def test_agreement_in_a_sentence_with_and_without_one_tokenizer() -> None:
    assert differences.agreement(blank(), 1, "Student") == (
        "1 of 2 words shared, the same first word; KL(teacher ‖ student) 0.25 nats")
    assert differences.agreement(blank(), 2, "Control").startswith(
        "2 of 2 words shared, another first word (bad for good); another tokenizer")


@pytest.mark.parametrize(("number", "said"), [(1, "1st"), (2, "2nd"), (3, "3rd"), (4, "4th"), (11, "11th"), (12, "12th"), (13, "13th"),
                                              (21, "21st"), (112, "112th"), (1022, "1,022nd")])
def test_ordinals(number: int, said: str) -> None:
    assert differences.ordinal(number) == said


# ------------------------------------------------------------------------------------------------ classes


def shares(**probabilities: float) -> list[dict]:
    return [{"label": label, "probability": probability} for label, probability in probabilities.items()]


ANSWERS = [shares(negative=0.2, positive=0.8), shares(Positive=0.4, Negative=0.6), shares(spam=0.9, ham=0.1)]


def test_classes_stand_in_the_teachers_order_and_another_choice_is_marked() -> None:
    assert list(differences.marked_classes(ANSWERS, 0).itertuples(index=False, name=None)) == [
        ("negative", 0.2, SAME, ""), ("positive", 0.8, SAME, "chosen")]
    assert list(differences.marked_classes(ANSWERS, 1).itertuples(index=False, name=None)) == [
        ("Negative", 0.6, NEW, "chosen"), ("Positive", 0.4, SAME, "")]
    assert set(differences.marked_classes(ANSWERS, 2)["mark"]) == {SAME}


def test_agreement_of_classifiers_in_a_sentence() -> None:
    assert differences.class_agreement(ANSWERS, 1) == "Disagrees: Negative, where the teacher says positive."
    assert differences.class_agreement([ANSWERS[0], shares(positive=0.6, negative=0.4)], 1) == "Agrees with the teacher: positive."
    assert "not the teacher's" in differences.class_agreement(ANSWERS, 2)


def test_the_table_of_classes_has_points_and_no_number_for_a_class_that_is_not_known() -> None:
    head, rows = differences.class_table(ANSWERS, ROLES)
    assert head == ["Class", *ROLES]
    assert rows[0] == ["negative", "20.00%", "60.00% (+40.0 points)", "–"]
    assert rows[2] == ["spam", "–", "–", "90.00%"]
