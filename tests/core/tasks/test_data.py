"""Labelled datasets: their splits, from the house, files and the hub."""

from __future__ import annotations

import pytest

from core.config import TaskSpec
from core.data import movie_reviews
from core.errors import DataError, NetworkError
from core.tasks.data import Example, load_task, majority_share
from tests.core.tasks.records import lines, reviews, table

datasets = pytest.importorskip("datasets")


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


def test_majority_share() -> None:
    train, held_out = [Example("", label) for label in (0, 1, 1)], [Example("", label) for label in (0, 0, 1, 0)]
    assert majority_share(train, held_out) == 0.25





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
