"""The table and the notes of a card: every number beside its share, and what each was measured on."""

from __future__ import annotations

from dataclasses import replace

import pytest

from core.reports.retention_card import Row
from core.reports.retention_text import markdown, notes, table
from tests.core.evaluation.cards import card, speed_of


def test_the_table_shows_raw_scores_beside_what_is_retained() -> None:
    head, body = table(card())
    assert head == ["", "Teacher", "Student", "Same size, not distilled", "DistilBERT, published"]
    assert all(len(line) == len(head) for line in body)
    lines = {line[0]: line[1:] for line in body}
    assert lines["Parameters"] == ["10M", "5.5M (55%)", "5.5M (55%)", "66M of 110M"]
    assert lines["Latency"][:2] == ["50 ms", "31 ms (62%)"]
    assert lines["IMDb, accuracy"] == ["91.0% ± 2.5%", "89.0% ± 2.5%", "86.0% ± 2.5%", "92.8% of 93.5%"]
    assert lines["Smaller"] == ["–", "45.0%", "45.0%", "40%"]
    assert lines["Faster"] == ["–", "60.0% [52.0, 68.0]", "60.0% [52.0, 68.0]", "60%"]
    assert lines["Faster, predicted"][1] == "66.7%"
    assert lines["Retained, macro"][1].startswith("97.7% [") and lines["Retained, macro"][3] == "97%, GLUE"


def test_a_latency_of_seconds_reads_as_seconds() -> None:
    known = card()
    slow = replace(known, rows=(replace(known.teacher, speed=speed_of(2.374, 1.0)), *known.rows[1:]))
    latency, = (line for line in table(slow)[1] if line[0] == "Latency")
    assert latency[1:3] == ["2.37 s", "31 ms (1%)"]


def test_what_was_not_measured_is_a_dash() -> None:
    known = card()
    quantised = Row("int8, in the browser", "student.onnx", 5_500_000, None, 6_000_000, "int8")
    longer = replace(known, rows=(*known.rows, quantised))
    head, body = table(longer)
    assert head[4] == "int8, in the browser"
    column = {line[0]: line[4] for line in body}
    assert column["Latency"] == column["Retained, macro"] == "–" and column["On disk"] == "6 MB int8 (15%)"


def test_a_card_of_size_and_speed_alone() -> None:
    known = card()
    bare = replace(known, rows=tuple(replace(row, scores=()) for row in known.rows), seeds=())
    assert not any("Retained" in line[0] for line in table(bare)[1]) and not any("Scores" in each for each in notes(bare))
    lines = {line[0]: line[2] for line in table(bare)[1]}
    assert lines["Smaller"] == "45.0%" and lines["Faster"].startswith("60.0% [")


def test_the_notes_say_items_seeds_and_conditions() -> None:
    text = " ".join(notes(card()))
    for words in ("IMDb 1,250 items", "Rotten Tomatoes 427 items", "seeds 42, 43, 44", "up to 2,000 items for 2 epochs", "128 tokens",
                  "logits included", "1 thread", "32 sequences at once on 2 threads", "a processor", "1910.01108",
                  "in brackets the 95% CI, bootstrap over 100 rounds; ",
                  "± half of the 95% CI, Student's t over 3 seeds", "in brackets the 95% CI, Student's t over 3 seeds, paired"):
        assert words in text


def test_the_notes_of_zero_shot_scores_claim_no_seeds() -> None:
    known = card()
    rows = tuple(replace(row, scores=tuple(replace(each, values=each.values[:1]) for each in row.scores)) for row in known.rows)
    text = " ".join(notes(replace(known, rows=rows, seeds=(42,), train_items=None, epochs=None)))
    assert "without fine-tuning" in text and "seeds" not in text and "Student's t" not in text


def test_markdown_is_a_table_and_its_notes() -> None:
    text = markdown(card())
    lines = text.splitlines()
    assert lines[0].startswith("|  | Teacher |") and lines[1] == "| --- | ---: | ---: | ---: | ---: |"
    assert all(line.count("|") == 6 for line in lines if line.startswith("|"))


@pytest.mark.parametrize(("kind", "whose"), [
    ("reading_teacher", "the reading teacher"), ("student_before", "the student before training"), ("teacher", "the teacher")])
def test_markdown_says_what_stands_for_the_teacher(kind: str, whose: str) -> None:
    known = card()
    text = markdown(replace(known, rows=(replace(known.teacher, kind=kind), *known.rows[1:])))
    assert f"mean score over that of {whose} on the same items" in text
    assert ("stands for the teacher" in text) == (kind != "teacher")
