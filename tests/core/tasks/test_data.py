"""Labelled datasets: columns, labels, splits, and what is refused."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from core.config import TaskSpec
from core.data import movie_reviews
from core.errors import DataError, NetworkError
from core.tasks.data import Example, load_task, majority_share

datasets = pytest.importorskip("datasets")


def lines(path: Path, records: list[dict]) -> str:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return str(path)


def table(path: Path, records: list[dict]) -> str:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(records[0]))
        writer.writeheader()
        writer.writerows(records)
    return str(path)


def reviews(count: int = 40, labels: tuple = ("bad", "good")) -> list[dict]:
    return [{"review": f"Text number {number}.", "sentiment": labels[number % len(labels)]} for number in range(count)]


# ---------------------------------------------------------------------------------------------------- house


def test_house_reviews_keep_their_split() -> None:
    task = load_task(TaskSpec(source="rt", max_train_items=50, max_items=30))
    split = {review.text: (review.split, review.positive) for review in movie_reviews.reviews() if review.source == "rt"}
    assert task.labels == ("negative", "positive") and len(task.train) == 50 and len(task.validation) == 30
    assert all(split[item.text] == ("train", bool(item.label)) for item in task.train)
    assert all(split[item.text] == ("validation", bool(item.label)) for item in task.validation)
    test = load_task(TaskSpec(source="rt", validation="test", max_train_items=50))
    assert {split[item.text][0] for item in test.validation} == {"test"} and len(test.validation) == 433


def test_house_has_two_held_out_splits() -> None:
    with pytest.raises(DataError, match=r"'train'.*validation and test"):
        load_task(TaskSpec(validation="train"))


# ---------------------------------------------------------------------------------------------------- files


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".tsv", ".parquet"])
def test_a_file_is_split_by_hash(tmp_path, suffix) -> None:
    records, path = reviews(), tmp_path / f"films{suffix}"
    if suffix == ".jsonl":
        lines(path, records)
    elif suffix == ".csv":
        table(path, records)
    elif suffix == ".tsv":
        path.write_text("review\tsentiment\n" + "".join(f"{row['review']}\t{row['sentiment']}\n" for row in records))
    else:
        datasets.Dataset.from_list(records).to_parquet(path)
    task = load_task(TaskSpec(source=str(path), validation_fraction=0.25))
    train, held_out = ({item.text for item in part} for part in (task.train, task.validation))
    assert task.labels == ("bad", "good") and task.name == "films"
    assert train | held_out == {row["review"] for row in records} and not train & held_out
    assert 3 <= len(held_out) <= 20
    assert {(item.text, task.labels[item.label]) for item in task.train} <= {(row["review"], row["sentiment"]) for row in records}


def test_equal_texts_stand_on_one_side(tmp_path) -> None:
    source = lines(tmp_path / "films.jsonl", reviews(20) * 3)
    task = load_task(TaskSpec(source=source, validation_fraction=0.4))
    assert not {item.text for item in task.train} & {item.text for item in task.validation}


def test_a_small_file_leaves_neither_side_empty(tmp_path) -> None:
    task = load_task(TaskSpec(source=lines(tmp_path / "a.jsonl", reviews(4)), validation_fraction=0.001))
    assert len(task.validation) == 1 and len(task.train) == 3


def test_a_second_file_is_measured_on(tmp_path) -> None:
    source, second = lines(tmp_path / "a.jsonl", reviews(10)), lines(tmp_path / "b.jsonl", reviews(4))
    task = load_task(TaskSpec(source=source, validation=second))
    assert len(task.train) == 10 and len(task.validation) == 4


def test_a_file_sorted_by_label_gives_every_label(tmp_path) -> None:
    source = lines(tmp_path / "a.jsonl", sorted(reviews(200), key=lambda row: row["sentiment"]))
    task = load_task(TaskSpec(source=source, max_train_items=20, max_items=10))
    assert {item.label for item in task.train} == {0, 1} == {item.label for item in task.validation}
    assert task.digest == load_task(TaskSpec(source=source, max_train_items=20, max_items=10)).digest
    assert task.digest != load_task(TaskSpec(source=source, max_train_items=21, max_items=10)).digest


@pytest.mark.parametrize(("first", "second"), [("sentence1", "sentence2"), ("premise", "hypothesis"), ("question1", "question2"),
                                               ("question", "sentence")])
def test_pairs_as_glue_calls_them(tmp_path, first, second) -> None:
    records = [{first: f"one {number}", second: f"two {number}", "label": number % 2, "idx": number} for number in range(20)]
    task = load_task(TaskSpec(source=lines(tmp_path / "a.jsonl", records)))
    assert all(item.pair == item.text.replace("one", "two") for item in task.train)
    assert task.labels == ("0", "1")


def test_numbers_are_in_the_order_of_numbers(tmp_path) -> None:
    records = [{"text": f"text {number}", "label": (10, 9, 2)[number % 3]} for number in range(30)]
    as_text = table(tmp_path / "a.csv", records)
    assert load_task(TaskSpec(source=as_text)).labels == ("2", "9", "10")
    assert load_task(TaskSpec(source=lines(tmp_path / "a.jsonl", records))).labels == ("2", "9", "10")


def test_columns_by_name(tmp_path) -> None:
    records = [{"note": "x", "words": f"w {number}", "kind": number % 2} for number in range(10)]
    source = lines(tmp_path / "a.jsonl", records)
    with pytest.raises(DataError, match=r"note, words, kind.*label_column"):
        load_task(TaskSpec(source=source))
    with pytest.raises(DataError, match=r"text_column"):
        load_task(TaskSpec(source=source, label_column="kind"))
    with pytest.raises(DataError, match=r"no column 'wordz'.*Did you mean task.text_column=\"words\""):
        load_task(TaskSpec(source=source, label_column="kind", text_column="wordz"))
    assert load_task(TaskSpec(source=source, label_column="kind", text_column="words")).train[0].text.startswith("w ")


@pytest.mark.parametrize(("labels", "message"), [
    (("good",), r"'good' in all .* items.*two classes"),
    (("good", 1), r"mix text and numbers: 'good' \(.*line 1\) and 1 \(.*line 2\)"),
    (("good", ""), r"line 2: the label 'sentiment' is missing"),
    (("good", None), r"line 2: the label 'sentiment' is missing"),
    (("good", ["bad"]), r"line 2: the label 'sentiment' holds list"),
    ((1.5, 2.0), r"'sentiment' is a measurement: 1.5 \(.*line 1\).*STS-B"),
])
def test_labels_that_cannot_be_learnt(tmp_path, labels, message) -> None:
    source = lines(tmp_path / "a.jsonl", reviews(40, labels))
    with pytest.raises(DataError, match=message):
        load_task(TaskSpec(source=source))


def test_numbers_and_text_mixed_in_a_table_of_text(tmp_path) -> None:
    with pytest.raises(DataError, match="mix text and numbers"):
        load_task(TaskSpec(source=table(tmp_path / "a.csv", reviews(40, ("1", "positive")))))


def test_a_column_of_keys_is_no_label(tmp_path) -> None:
    records = [{"text": f"text {number}", "label": f"key {number}"} for number in range(100)]
    second = lines(tmp_path / "b.jsonl", records[:10])
    with pytest.raises(DataError, match="100 different labels in 100 items"):
        load_task(TaskSpec(source=lines(tmp_path / "a.jsonl", records), validation=second))


def test_a_second_file_with_other_labels(tmp_path) -> None:
    source, second = lines(tmp_path / "a.jsonl", reviews(10)), lines(tmp_path / "b.jsonl", reviews(4, ("Bad", "Good")))
    with pytest.raises(DataError, match=r"The label 'Bad' \(.*b.jsonl', line 1\) stands nowhere.*'bad', 'good'"):
        load_task(TaskSpec(source=source, validation=second))


def test_what_is_no_source() -> None:
    with pytest.raises(DataError, match=r"'housse' is no file here.*'house', 'imdb', 'rt'"):
        load_task(TaskSpec(source="housse"))
    with pytest.raises(DataError, match="There is no file"):
        load_task(TaskSpec(source="missing.jsonl"))


def test_majority_share() -> None:
    train, held_out = [Example("", label) for label in (0, 1, 1)], [Example("", label) for label in (0, 0, 1, 0)]
    assert majority_share(train, held_out) == 0.25


# ---------------------------------------------------------------------------------------------------- questions

CONTEXT = "Anna wrote it in Rome. Ben read it."
SQUAD = {"id": "a", "question": " Who wrote it? ", "context": CONTEXT}


@pytest.mark.parametrize("answers", [
    {"text": ["Anna"], "answer_start": [0]}, [{"text": "Anna", "answer_start": 0}], "Anna", '{"text": ["Anna"], "answer_start": [0]}'])
def test_answers_as_they_come(tmp_path, answers) -> None:
    source = lines(tmp_path / "a.jsonl", [{**SQUAD, "answers": answers}, {**SQUAD, "context": f"{CONTEXT} So.", "answers": answers}])
    task = load_task(TaskSpec(source=source))
    assert task.kind == "question_answering" and task.labels == ()
    assert task.train[0].answers == (("Anna", 0),) and task.train[0].text == "Who wrote it?"


def test_squads_own_file(tmp_path) -> None:
    questions_of = [{"id": str(number), "question": "Who read it?", "answers": [{"text": "Ben", "answer_start": 23}] * 2}
                    for number in range(3)]
    path = tmp_path / "train-v1.1.json"
    path.write_text(json.dumps({"version": "1.1", "data": [{"title": "x", "paragraphs": [
        {"context": CONTEXT, "qas": questions_of}, {"context": f"{CONTEXT} Yes.", "qas": questions_of}]}]}))
    task = load_task(TaskSpec(source=str(path)))
    assert len(task.train) + len(task.validation) == 6 and task.train[0].answers == (("Ben", 23), ("Ben", 23))
    path.write_text(json.dumps([1]))
    with pytest.raises(DataError, match="cannot be read as a SQuAD file"):
        load_task(TaskSpec(source=str(path)))


@pytest.mark.parametrize(("start", "right"), [(10, 10), ("10", 10), ("", 0), (None, 0), ("[10]", None), (-1, None), ("ten", None)])
def test_a_start_in_a_column_of_its_own(tmp_path, start, right) -> None:
    rows = [{"context": f"Anna saw  Anna {number}.", "question": "Who?", "answer": "Anna", "answer_start": start} for number in range(3)]
    source = table(tmp_path / "a.csv", rows)
    if right is None:
        with pytest.raises(DataError, match="'Anna' begins at"):
            load_task(TaskSpec(source=source))
    else:
        assert load_task(TaskSpec(source=source)).train[0].answers == (("Anna", right),)


@pytest.mark.parametrize(("answers", "message"), [
    ({"text": ["Carl"], "answer_start": [0]}, "'Carl' does not stand in the context at 0"),
    ("Carl", "'Carl' does not stand in the context"),
    ({"text": [], "answer_start": []}, "no answer"), (5, "the answers hold int"),
    ({"text": ["Anna"], "answer_start": ["0"]}, "'Anna' begins at '0'"), ({"text": ["Anna"], "answer_start": [0.0]}, "begins at 0.0"),
    ({"text": ["Anna"], "answer_start": [True]}, "begins at True"), ({"text": "Anna", "answer_start": -4}, "begins at -4"),
    ({"text": "Anna", "answer_start": [0]}, r"begins at \[0\]"), ({"text": ["Anna"], "answer_start": 0}, "1 answers have the starts 0"),
    ({"text": ["Anna", "Ben"], "answer_start": [0]}, r"2 answers have the starts \[0\]"), ({"text": [3]}, "the answers hold int"),
    ({"text": 3, "answer_start": 0}, "the answers hold int"), ({"answer_start": [0]}, "the answers hold NoneType"),
    ([["Anna"]], "the answers hold list")])
def test_answers_that_cannot_be_used(tmp_path, answers, message) -> None:
    with pytest.raises(DataError, match=f"line 1: .*{message}"):
        load_task(TaskSpec(source=lines(tmp_path / "a.jsonl", [{**SQUAD, "answers": answers}])))


# ---------------------------------------------------------------------------------------------------- hub


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> None:
    """Datasets as the hub would give them, with declared labels."""
    features = datasets.Features({"sentence": datasets.Value("string"), "label": datasets.ClassLabel(names=["negative", "positive"])})

    def split(count: int, labels: tuple[int, ...] = (0, 1)) -> datasets.Dataset:
        return datasets.Dataset.from_list(
            [{"sentence": f"text {number}", "label": labels[number % len(labels)]} for number in range(count)], features=features)

    held = {("nyu-mll/glue", "sst2"): {"train": split(20), "validation": split(6), "test": split(4, (-1,))},
            ("nyu-mll/glue", "cola"): {"train": split(20), "validation": split(6)},
            ("owner/imdb", None): {"train": split(20), "test": split(6), "unsupervised": split(5, (-1,))},
            ("owner/one", None): {"train": split(20)}}

    def load(path: str, name: str | None = None, **_: object) -> datasets.DatasetDict:
        if (path, name) not in held:
            raise datasets.exceptions.DatasetNotFoundError(f"Dataset '{path}' doesn't exist on the Hub or cannot be accessed.")
        return datasets.DatasetDict(held[path, name])

    monkeypatch.setattr(datasets, "load_dataset", load)


def test_glue(hub) -> None:
    task = load_task(TaskSpec(source="nyu-mll/glue", subset="sst2"))
    assert (task.name, task.labels, len(task.train), len(task.validation)) == ("nyu-mll/glue:sst2", ("negative", "positive"), 20, 6)
    assert task.metrics == () and load_task(TaskSpec(source="nyu-mll/glue", subset="cola")).metrics == ("matthews",)


def test_splits_of_a_hub_dataset(hub) -> None:
    assert len(load_task(TaskSpec(source="owner/imdb")).validation) == 6
    one = load_task(TaskSpec(source="owner/one", validation_fraction=0.3))
    assert len(one.train) + len(one.validation) == 20 and one.validation
    with pytest.raises(DataError, match=r"no split 'dev'.*train, validation, test"):
        load_task(TaskSpec(source="nyu-mll/glue", subset="sst2", validation="dev"))
    with pytest.raises(DataError, match="labels back"):
        load_task(TaskSpec(source="nyu-mll/glue", subset="sst2", validation="test"))


def test_a_hub_dataset_that_is_not_there(hub) -> None:
    with pytest.raises(DataError, match="doesn't exist"):
        load_task(TaskSpec(source="owner/nothing"))


def test_no_network() -> None:
    with pytest.raises(NetworkError, match=r"task\.source=\"house\""):
        load_task(TaskSpec(source="nobody/nothing"))
