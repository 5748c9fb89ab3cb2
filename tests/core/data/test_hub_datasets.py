"""Hub datasets, through the real library reading a local folder that stands in for the hub."""

import errno
import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from core.config import DataSpec
from core.data import sources
from core.data.hub_datasets import hub_revision, open_hub
from core.errors import DataError, DiskFullError, NetworkError, SetField

datasets = pytest.importorskip("datasets")
MESSAGES = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hi."}]


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose datasets answer as `owner/name`."""
    real = datasets.load_dataset
    folder = tmp_path / "hub"

    def load(path: str, **options):
        assert "trust_remote_code" not in options
        if not (folder / path).exists():
            raise datasets.exceptions.DatasetNotFoundError(f"Dataset '{path}' doesn't exist on the Hub or cannot be accessed.")
        return real(str(folder / path), cache_dir=str(tmp_path / "cache"), **options)

    monkeypatch.setattr(datasets, "load_dataset", load)
    datasets.disable_progress_bars()
    reviews = [{"text": f"Review {number}.", "stars": number} for number in range(40)]
    add(folder / "films/reviews", train=reviews, test=[{"text": "x", "stars": 1}])
    add(folder / "films/chats", train=[{"messages": MESSAGES}, {"messages": [*MESSAGES, *MESSAGES]}])
    return folder


def add(folder: Path, **splits: list[dict]) -> None:
    folder.mkdir(parents=True)
    for split, records in splits.items():
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))


@pytest.mark.parametrize("streaming", [False, True])
def test_both_sides_together_are_the_split(hub, streaming) -> None:
    spec = DataSpec(source="films/reviews", streaming=streaming, max_rows=1000 if streaming else None, validation_fraction=0.2)
    train, validation = list(sources.rows(spec, "train")), list(sources.rows(spec, "validation"))
    assert sorted(row["text"] for row in train + validation) == sorted(f"Review {number}." for number in range(40))
    assert train
    assert validation


def test_the_revision_changes_with_the_records(hub, monkeypatch) -> None:
    spec = DataSpec(source="films/reviews")
    first = hub_revision(spec)
    assert first and hub_revision(spec) == first
    (hub / "films/reviews/train.jsonl").write_text(json.dumps({"text": "Another.", "stars": 1}))
    assert hub_revision(spec) != first
    monkeypatch.setattr("huggingface_hub.HfApi.dataset_info", lambda self, name: SimpleNamespace(sha=f"commit of {name}"))
    assert hub_revision(DataSpec(source="films/reviews", streaming=True, max_rows=9)) == "commit of films/reviews"


@pytest.mark.parametrize("streaming", [False, True])
def test_inspection(hub, streaming) -> None:
    found = sources.inspect(DataSpec(source="films/reviews", streaming=streaming), limit=2)
    assert (found.format, found.column, set(found.columns)) == ("text", "text", {"text", "stars"})
    assert found.rows == [{"text": "Review 0."}, {"text": "Review 1."}]
    assert found.total_rows == (None if streaming else 40)


def test_messages(hub) -> None:
    assert sources.inspect(DataSpec(source="films/chats")).rows[0] == {"messages": MESSAGES}


def test_a_stream_that_does_not_say_its_columns(hub, monkeypatch) -> None:
    monkeypatch.setattr(datasets, "load_dataset", lambda *_, **__: datasets.IterableDataset.from_generator(lambda: iter([{"text": "one"}])))
    table = open_hub(DataSpec(source="films/reviews", streaming=True))
    assert table.columns == ("text",)
    assert [record for _, record in table.read(("text",))] == [{"text": "one"}]


@pytest.mark.parametrize("streaming", [False, True])
def test_an_unknown_split_lists_the_known_ones(hub, streaming) -> None:
    with pytest.raises(DataError, match=r"train.*test") as caught:
        open_hub(DataSpec(source="films/reviews", split="dev", streaming=streaming))
    assert "'dev'" in caught.value.expected
    assert "data.split" in caught.value.fix


def test_subsets(hub) -> None:
    folder = hub / "films/languages"
    add(folder / "en", train=[{"text": "good"}])
    add(folder / "de", train=[{"text": "gut"}])
    (folder / "README.md").write_text(
        "---\nconfigs:\n- config_name: en\n  data_files: en/train.jsonl\n- config_name: de\n  data_files: de/train.jsonl\n---\n")
    assert sources.inspect(DataSpec(source="films/languages", subset="de")).rows == [{"text": "gut"}]
    for subset in (None, "fr"):
        with pytest.raises(DataError, match=r"'en', 'de'") as caught:
            open_hub(DataSpec(source="films/languages", subset=subset))
        assert "data.subset" in caught.value.fix


def test_an_unknown_id(hub) -> None:
    with pytest.raises(DataError, match="'nobody/nothing' doesn't exist") as caught:
        open_hub(DataSpec(source="nobody/nothing"))
    assert "HF_TOKEN" in caught.value.fix


def test_no_column_of_text(hub) -> None:
    add(hub / "films/stars", train=[{"stars": 1, "review": "Good."}])
    with pytest.raises(DataError, match="stars, review"):
        sources.inspect(DataSpec(source="films/stars"))
    with pytest.raises(DataError, match="row 1: 'stars' holds a number"):
        sources.inspect(DataSpec(source="films/stars", column="stars"))


def test_no_network() -> None:
    # The library itself, in the offline mode that all tests run in.
    with pytest.raises(NetworkError, match="'nobody/nothing' could not be fetched") as caught:
        next(sources.rows(DataSpec(source="nobody/nothing"), "train"))
    assert "HF_HUB_OFFLINE" in caught.value.fix


def test_a_connection_that_breaks_while_rows_arrive(monkeypatch) -> None:
    def arriving():
        yield {"text": "one"}
        raise ConnectionError("Server Disconnected")

    monkeypatch.setattr(datasets, "load_dataset", lambda *_, **__: datasets.IterableDataset.from_generator(arriving))
    with pytest.raises(NetworkError, match="Server Disconnected"):
        list(sources.rows(DataSpec(source="films/reviews", streaming=True, max_rows=1000), "train"))


@pytest.mark.parametrize("cause", [OSError(errno.ENOSPC, "No space left on device"), OSError("Not enough disk space. Needed: 2 TiB")])
def test_a_full_disk_is_not_blamed_on_the_data(monkeypatch, cause) -> None:
    def fill(*_args, **_options):
        raise datasets.exceptions.DatasetGenerationError("An error occurred") from cause

    monkeypatch.setattr(datasets, "load_dataset", fill)
    with pytest.raises(DiskFullError, match=cause.strerror or "2 TiB") as caught:
        open_hub(DataSpec(source="films/reviews"))
    assert caught.value.suggestion == SetField("data.streaming", True)


def test_data_that_cannot_be_built_shows_the_cause(monkeypatch) -> None:
    def fail(*_args, **_options):
        raise datasets.exceptions.DatasetGenerationError("An error occurred") from ValueError("column 3 changed to int")

    monkeypatch.setattr(datasets, "load_dataset", fail)
    with pytest.raises(DataError, match="column 3 changed to int"):
        open_hub(DataSpec(source="films/reviews"))
