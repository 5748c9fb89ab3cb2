"""Tasks by their names: files of known formats, decontamination, refusals."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from core.config import ReadingSpec
from core.errors import DataError
from core.reading.decontamination import clean, ngrams
from core.reading.items import Item
from core.reading.notes import ReadParagraph, SentenceNotes
from core.reading.tasks import load_tasks, short_name


def saved(folder: Path, rows: list[dict], name: str = "own.jsonl") -> str:
    path = folder / name
    path.write_text("\n".join(map(json.dumps, rows)))
    return str(path)


def task(name: str, **spec):
    return load_tasks(ReadingSpec(tasks=(name,), **spec), ())[0]


def test_the_oracles_tasks_and_the_house_reviews() -> None:
    found = load_tasks(ReadingSpec(items=5), ())
    assert [each.name for each in found] == ["answers", "yes_no", "entailment", "typing", "sentiment"]
    house, = load_tasks(ReadingSpec(model="x", items=5), ())
    assert house.name == "house_sentiment" and len(house.items) == 5 and house.items[0].candidates == (" bad", " good")


@pytest.mark.parametrize(("row", "prompt", "right"), [
    ({"passage": "P.", "question": "is it so", "answer": True}, "P.\nQuestion: is it so?\nAnswer:", " yes"),
    ({"sentence1": "A.", "sentence2": "B.", "label": 0}, "A.\nB.\nDo these sentences mean the same?", " no"),
    ({"premise": "A.", "hypothesis": "B.", "label": 2}, "A.\nQuestion: B. True, false or neither?\nAnswer:", " false"),
    ({"premise": "A.", "hypothesis": "B.", "label": "neutral"}, "A.\nQuestion: B. True, false or neither?\nAnswer:", " neither"),
    ({"sentence": "Fine.", "label": 1}, "Fine.\nThis review is", " positive"),
    ({"prompt": "2 + 2 =", "candidates": ["3", "4"], "label": "4"}, "2 + 2 =", " 4"),
    ({"prompt": "2 + 2 =", "candidates": ["3", "4"], "label": 1}, "2 + 2 =", " 4")])
def test_formats_of_local_files(row: dict, prompt: str, right: str, tmp_path: Path) -> None:
    found = task(saved(tmp_path, [row, row]))
    assert found.items[0].prompt == prompt and found.items[0].candidates[found.items[0].right] == right


def test_the_name_of_a_file_chooses_between_formats_of_the_same_columns(tmp_path: Path) -> None:
    rows = [{"sentence1": "A.", "sentence2": "B.", "label": 0}] * 2
    assert task(saved(tmp_path, rows, "rte.jsonl")).items[0].candidates == (" true", " false")
    assert short_name("nyu-mll/glue:rte") == "glue_rte"


@pytest.mark.parametrize(("rows", "words"), [
    ([{"x": "a", "label": 1}] * 2, "prompt, candidates and label were expected"), ([{"sentence": "a"}] * 2, "has no labels"),
    ([{"sentence": "a", "label": 7}] * 2, "the label is 7"), ([{"prompt": "a", "candidates": ["b"], "label": 0}] * 2, "1 candidates")])
def test_files_that_cannot_be_used_are_refused(rows: list[dict], words: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=words) as refused:
        task(saved(tmp_path, rows))
    assert refused.value.field == "reading.tasks"


def test_items_that_share_words_with_what_is_trained_on_are_left_out(tmp_path: Path) -> None:
    items = [{"prompt": "one two three four five", "candidates": ["six", "x"], "label": 0},
             {"prompt": "other words that nobody wrote", "candidates": ["six", "x"], "label": 0}]
    read = [ReadParagraph((SentenceNotes("Two, three FOUR five; six."),))]
    found, = load_tasks(ReadingSpec(tasks=(saved(tmp_path, items),), ngram=5), read)
    assert len(found.items) == 1 and found.dropped == 1 and found.items[0].prompt.startswith("other")
    with pytest.raises(DataError, match="no item is left"):
        load_tasks(ReadingSpec(tasks=(saved(tmp_path, items[:1] * 2),), ngram=5), read)


def test_runs_of_words() -> None:
    assert list(ngrams("A b, c!", 2)) == [("a", "b"), ("b", "c")]
    item = Item("a b", (" c",), 0)
    assert clean([item], ["x a b c"], 0) == [item] and clean([item], ["x a b c"], 3) == [] and clean([item], ["x a b"], 3) == [item]
