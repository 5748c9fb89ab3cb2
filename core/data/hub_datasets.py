"""Read datasets of the hub as tables; the `datasets` library is imported on first use."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from core.config import DataSpec
from core.data.json_records import Record
from core.data.tables import Table
from core.errors import DataError, DiskFullError, NetworkError, SetField

if TYPE_CHECKING:
    from datasets import Dataset, IterableDataset


def open_hub(spec: DataSpec) -> Table:
    """Return one split of a hub dataset; downloaded into the hub's cache first, or read as it arrives when `spec.streaming`.

    ``HF_HOME``, ``HF_TOKEN`` and ``HF_HUB_OFFLINE`` are honoured; code that a dataset brings is never run.

    Raises:
        NetworkError: the hub cannot be reached and the cache does not hold the dataset.
        DiskFullError: the cache cannot take it.
        DataError: unknown id, no access, unknown subset or split, or nothing in it that can be read.
    """
    import datasets

    with _explained(spec):
        dataset = datasets.load_dataset(spec.source, name=spec.subset, split=spec.split, streaming=spec.streaming)
    return _table(spec, dataset, f"The dataset '{spec.source}'")


def open_splits(spec: DataSpec, section: str) -> dict[str, Table]:
    """Return every split of a hub dataset by its name, whatever `spec.split` says; downloaded into the hub's cache first.

    Args:
        section: of the recipe that names the dataset, for messages.

    Raises:
        NetworkError, DiskFullError, DataError: as `open_hub`.
    """
    import datasets

    with _explained(spec, section):
        splits = datasets.load_dataset(spec.source, name=spec.subset)
    return {str(name): _table(spec, dataset, f"The split '{name}' of '{spec.source}'") for name, dataset in splits.items()}


def _table(spec: DataSpec, dataset: Dataset | IterableDataset, origin: str) -> Table:
    import datasets

    with _explained(spec):
        columns = dataset.column_names or tuple(next(iter(dataset), {}))  # what streams may not say what it holds

    def read(wanted: tuple[str, ...]) -> Iterator[Record]:
        with _explained(spec):
            for number, record in enumerate(dataset.select_columns(list(wanted)), start=1):
                yield f"row {number}", record

    classes = {name: tuple(feature.names) for name, feature in (dataset.features or {}).items() if isinstance(feature, datasets.ClassLabel)}
    return Table(origin, tuple(columns), read, _length(dataset), dataset.info.download_size, classes)


def hub_revision(spec: DataSpec) -> str:
    """Return what changes when the records of a hub dataset do: the fingerprint of its copy in the cache, or of a stream its commit.

    Raises:
        NetworkError, DiskFullError, DataError: as `open_hub`.
    """
    import datasets
    from huggingface_hub import HfApi

    with _explained(spec):
        if spec.streaming:
            return HfApi().dataset_info(spec.source).sha or ""
        return datasets.load_dataset(spec.source, name=spec.subset, split=spec.split)._fingerprint


def _length(dataset: Dataset | IterableDataset) -> int | None:
    if hasattr(dataset, "num_rows"):
        return dataset.num_rows
    declared = (dataset.info.splits or {}).get(str(dataset.split))
    return declared.num_examples or None if declared else None


@contextmanager
def _explained(spec: DataSpec, section: str = "data") -> Iterator[None]:
    """Turn what the library raises into what the user can act on."""
    from datasets.exceptions import DatasetNotFoundError, DatasetsError
    from huggingface_hub.utils import httpx

    try:
        yield
    except (ConnectionError, TimeoutError, httpx.HTTPError) as error:
        raise NetworkError(f"The dataset '{spec.source}' could not be fetched: {_first_line(error)}.",
                           "A connection to the hub was expected, or a copy of the dataset in its cache.",
                           "Connect (and unset HF_HUB_OFFLINE), or use a local file or the house corpus.",
                           suggestion=SetField(f"{section}.source", "house")) from error
    except DatasetNotFoundError as error:
        raise DataError(f"{_first_line(error)}.", "A file, or the id of a public hub dataset as owner/name, was expected.",
                        "Check the spelling; for a private or gated dataset set HF_TOKEN.", field=f"{section}.source") from error
    except (DatasetsError, ValueError, RuntimeError, ImportError, OSError) as error:
        cause = error.__cause__ or error
        if getattr(cause, "errno", None) == errno.ENOSPC or "disk space" in str(cause):
            streamed = SetField("data.streaming", True) if section == "data" else None
            raise DiskFullError(f"The dataset '{spec.source}' does not fit on the disk: {_first_line(cause)}.",
                                "Its cache lies under HF_HOME.", f"Free some space{', or stream it' if streamed else ''}.",
                                suggestion=streamed) from error
        given = f"subset {spec.subset or '(none)'}" + (f" and split '{spec.split}'" if section == "data" else "")
        raise DataError(f"The dataset '{spec.source}' cannot be read: {_first_line(cause)}.", f"Given was {given}.",
                        f"Set {'data.subset and data.split' if section == 'data' else f'{section}.subset'} to what the dataset offers.",
                        field=f"{section}.subset") from error


def _first_line(error: BaseException) -> str:
    # "Config name is missing.\nPlease pick one among ...": the second line says what there is.
    lines = str(error).split("\nExample of usage")[0].split("\n")
    return " ".join(line.strip() for line in lines[:2] if line.strip()).rstrip(".") or type(error).__name__
