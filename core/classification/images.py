"""Labelled images from anywhere, as arrays in memory.

    digits         scikit-learn's 8 x 8 handwritten digits, in its package
    .npz           arrays x and y, or x_train, y_train, x_test, y_test, as the copies of MNIST that go around have them
    folder         CLASS/picture.png, or train/CLASS/... and test/CLASS/...
    .csv           a column of labels and one for each pixel of a square grey image, row by row
    .parquet, hub  a column of pictures (bytes in a common format) and one of labels

Pixels are float32 from 0 to 1. Where a source has no part to measure on, one is drawn, the same share of every class; so is the part
that things are chosen on. Draws are the same each time.

Shapes: N images, C channels, H height, W width.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from core.classification.items import ClassificationData, Items
from core.classification.sources import kind_of
from core.classification.splits import balanced, split_items
from core.config import DataSpec, ImagesSpec
from core.data import hub_datasets
from core.data.tables import Table, open_file
from core.errors import DataError

PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".pgm", ".ppm")
IMAGE_COLUMNS, LABEL_COLUMNS = ("image", "img", "picture", "pixels"), ("label", "labels", "fine_label", "class", "target", "y")
GREY = ("1", "L", "LA", "I", "I;16")  # modes of pictures without colours
TEST_NAMES = ("test", "validation", "valid", "dev")
MOST_VALUES = 1_000_000_000  # pixels of a data set: 4 GB as float32


@dataclass(frozen=True, slots=True)
class _Part:
    """Images (N, C, H, W) as they were read, and their labels."""

    images: np.ndarray
    labels: list[Any]


def load_images(spec: ImagesSpec) -> ClassificationData:
    """Read a data set of labelled images, and split it.

    Raises:
        DataError: anything about the source that the user must fix: images of several shapes, no labels, a single class, too many pixels.
        NetworkError, DiskFullError: a hub dataset that cannot be fetched.
    """
    train, test, declared = _read(spec)
    labels = _labels([*train.labels, *(test.labels if test else [])], declared, spec.source)
    numbers = {label: number for number, label in enumerate(labels)}
    learnt = _items(train, numbers, spec.source)
    if test is None:
        learnt, measured = split_items(learnt, spec.test_fraction)
    else:
        measured = _items(test, numbers, spec.source)
        if measured.inputs["pixel_values"].shape[1:] != learnt.inputs["pixel_values"].shape[1:]:
            raise _shapes(spec.source, {tuple(each.inputs["pixel_values"].shape[1:]) for each in (learnt, measured)})
    learnt, validation = split_items(learnt, spec.validation_fraction)
    if spec.max_train_items is not None:
        learnt = balanced(learnt, spec.max_train_items)
    if spec.max_items is not None:
        measured = balanced(measured, spec.max_items)
    held_out = "images.validation_fraction"
    for part, key in ((learnt, held_out), (validation, held_out), (measured, "images.test_fraction")):
        if len(part) == 0:
            raise DataError(f"'{spec.source}' holds too few images for its three parts.", "At least one image for each was expected.",
                            "Add images, or change the fraction.", field=key)
    names = tuple(declared or (str(label) for label in labels))
    return ClassificationData(Path(spec.source).name, names, learnt, validation, measured)


def _read(spec: ImagesSpec) -> tuple[_Part, _Part | None, Sequence[str] | None]:
    """Return what a source holds to train on, to measure on where it says so, and the names of its classes where it declares them."""
    path, kind = Path(os.path.expanduser(spec.source)), kind_of(spec)
    if kind == "digits":
        from sklearn.datasets import load_digits

        found = load_digits()
        return _Part((found.images[:, None] / 16).astype(np.float32), found.target.tolist()), None, None
    if kind == "folder":
        return *_folder(path), None
    if kind == "npz":
        return *_npz(path), None
    if kind == "table":
        return _pixel_table(open_file(path), spec), None, None
    return _hub(spec) if kind == "hub" else (_picture_table(open_file(path), spec), None, None)


def _npz(path: Path) -> tuple[_Part, _Part | None]:
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name.lower(): file[name] for name in file.files}
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"'{path}' cannot be read: {str(error).splitlines()[0] if str(error) else type(error).__name__}.",
                        "An .npz file of plain arrays was expected.", field="images.source") from error
    pairs = (("x_train", "y_train"), ("train_images", "train_labels"), ("x", "y"), ("images", "labels"), ("data", "target"))
    names = next((pair for pair in pairs if set(pair) <= set(arrays)), None)
    if names is None:
        raise DataError(f"'{path}' holds {', '.join(sorted(arrays)) or 'nothing'}.",
                        "Arrays x and y, or x_train, y_train, x_test and y_test, were expected.", field="images.source")
    test = tuple(name.replace("train", "test") for name in names)
    has_test = test != names and set(test) <= set(arrays)
    return _arrays(arrays, names, path), _arrays(arrays, test, path) if has_test else None


def _arrays(arrays: dict[str, np.ndarray], names: Sequence[str], path: Path) -> _Part:
    images, labels = arrays[names[0]], arrays[names[1]]
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    numbers = images.dtype.kind in "uif" and labels.dtype.kind in "uiU"
    if labels.ndim != 1 or images.ndim < 2 or len(images) != len(labels) or not numbers:
        raise DataError(f"In '{path}' {names[0]} has the shape {images.shape} and the type {images.dtype}, {names[1]} {labels.shape} and "
                        f"{labels.dtype}.", "Numbers for each image, and one label for each, were expected.", field="images.source")
    return _Part(_as_images(images, str(path)), labels.tolist())


def _as_images(images: np.ndarray, origin: str) -> np.ndarray:
    """Return (N, C, H, W) float32 from 0 to 1, of images that are flat squares, grey, or have their colours first or last."""
    if images.ndim == 2:
        side = round(images.shape[1] ** 0.5)
        if side * side != images.shape[1]:
            raise DataError(f"'{origin}' has {images.shape[1]} pixels an image.", "A square number of grey pixels was expected.",
                            field="images.source")
        images = images.reshape(-1, 1, side, side)
    elif images.ndim == 3:
        images = images[:, None]
    elif images.ndim == 4 and images.shape[-1] in (1, 3) and images.shape[1] not in (1, 3):
        images = images.transpose(0, 3, 1, 2)
    if images.ndim != 4:
        raise DataError(f"'{origin}' has images of the shape {images.shape[1:]}.",
                        "Height and width, with or without channels, were expected.", field="images.source")
    if images.size > MOST_VALUES:
        raise DataError(f"'{origin}' holds {images.size:,} pixels.", f"At most {MOST_VALUES:,} fit.", "Take fewer or smaller images.",
                        field="images.source")
    scaled = images.astype(np.float32)
    highest = float(scaled.max(initial=0.0))
    if not np.isfinite(scaled).all() or float(scaled.min(initial=0.0)) < 0:
        raise DataError(f"'{origin}' holds pixels below 0, or that are no numbers.", "Values from 0 to 1, or from 0 to 255, were expected.",
                        field="images.source")
    if highest > 1:
        scaled /= 255.0 if highest > 16 else 16.0
    return scaled


def _folder(path: Path) -> tuple[_Part, _Part | None]:
    inner = {each.name.lower(): each for each in sorted(path.iterdir()) if each.is_dir()}
    if "train" in inner:
        test = next((inner[name] for name in TEST_NAMES if name in inner), None)
        return _class_folders(inner["train"]), _class_folders(test) if test else None
    return _class_folders(path), None


def _class_folders(path: Path) -> _Part:
    files = [(file, folder.name) for folder in sorted(path.iterdir()) if folder.is_dir()
             for file in sorted(folder.iterdir()) if file.suffix.lower() in PICTURES]
    if not files:
        raise DataError(f"'{path}' holds no folders with pictures.",
                        f"A folder for each class with files {', '.join(PICTURES[:4])} was expected.", field="images.source")
    return _pictures(((file.read_bytes(), label, str(file)) for file, label in files), str(path))


def _pictures(found: Iterable[tuple[Any, Any, str]], origin: str) -> _Part:
    """Return the pictures (contents, label, where) of a source. Raises DataError for images of several shapes."""
    from PIL import Image, UnidentifiedImageError

    images, labels, shapes = [], [], set()
    for contents, label, where in found:
        try:
            picture = Image.open(io.BytesIO(contents)) if isinstance(contents, bytes) else contents
            array = np.asarray(picture.convert("L" if picture.mode in GREY else "RGB"), np.uint8)
        except (UnidentifiedImageError, OSError, AttributeError, Image.DecompressionBombError) as error:
            raise DataError(f"{where} is no picture.", f"One of {', '.join(PICTURES)} was expected.", "Remove it.",
                            field="images.source") from error
        images.append(array if array.ndim == 3 else array[..., None])
        labels.append(label)
        shapes.add(images[-1].shape)
        if len(shapes) > 1:
            raise _shapes(origin, {(shape[2], *shape[:2]) for shape in shapes}, where)
    if not images:
        raise DataError(f"'{origin}' holds no images.", "At least a few were expected.", field="images.source")
    return _Part(_as_images(np.stack(images).transpose(0, 3, 1, 2), origin), labels)


def _shapes(origin: str, shapes: set[tuple[int, ...]], where: str = "") -> DataError:
    shown = " and ".join(" x ".join(map(str, shape)) for shape in sorted(shapes))
    second = f", the second at {where}" if where else ""
    return DataError(f"'{origin}' holds images of the shapes {shown} (channels, height, width){second}.",
                     "Images of one shape were expected.", "Resize them, or convert all to grey.", field="images.source")


def _column(table: Table, wanted: str | None, usual: Sequence[str], key: str) -> str:
    found = wanted if wanted in table.columns else next((each for each in table.columns if each.lower() in usual), None)
    if found is None or (wanted is not None and wanted != found):
        missing = repr(wanted) if wanted else f"called {usual[0]}"
        raise DataError(f"{table.origin} has no column {missing}.",
                        f"Its columns are {', '.join(table.columns[:20])}.", "Name the column.", field=f"images.{key}")
    return found


def _picture_table(table: Table, spec: ImagesSpec) -> _Part:
    image = _column(table, spec.image_column, IMAGE_COLUMNS, "image_column")
    label = _column(table, spec.label_column, LABEL_COLUMNS, "label_column")
    rows = table.read((image, label))
    return _pictures(((_contents(record[image]), record[label], f"{table.origin}, {where}") for where, record in rows), table.origin)


def _contents(value: Any) -> Any:
    return value.get("bytes") if isinstance(value, dict) else value


def _pixel_table(table: Table, spec: ImagesSpec) -> _Part:
    label = _column(table, spec.label_column, LABEL_COLUMNS, "label_column")
    pixels = tuple(each for each in table.columns if each != label)
    images, labels = [], []
    for where, record in table.read((label, *pixels)):
        try:
            images.append(np.array([float(record[each]) for each in pixels], np.float32))
        except (TypeError, ValueError) as error:
            raise DataError(f"{table.origin} holds a value that is no number at {where}.",
                            f"A number in each column but '{label}' was expected.", field="images.source") from error
        labels.append(record[label])
    return _Part(_as_images(np.stack(images) if images else np.empty((0, 1), np.float32), table.origin), labels)


def _hub(spec: ImagesSpec) -> tuple[_Part, _Part | None, Sequence[str] | None]:
    splits = hub_datasets.open_splits(DataSpec(source=spec.source, subset=spec.subset), "images")
    train = splits.get("train") or next(iter(splits.values()))
    test = next((splits[name] for name in TEST_NAMES if name in splits and splits[name] is not train), None)
    label = _column(train, spec.label_column, LABEL_COLUMNS, "label_column")
    return _picture_table(train, spec), _picture_table(test, spec) if test else None, train.classes.get(label)


def _labels(given: Sequence[Any], declared: Sequence[str] | None, origin: str) -> list[Any]:
    """Return the classes in order: the source's own names, numbers ascending, words by the alphabet. Raises DataError for a single one."""
    if any(label is None or label == "" for label in given):
        raise DataError(f"'{origin}' holds images without a label.", "A label for each was expected.", field="images.label_column")
    distinct = set(given)
    if len(distinct) < 2:
        raise DataError(f"'{origin}' holds {'a single class' if distinct else 'no images'}.", "At least two classes were expected.",
                        field="images.source")
    if declared is not None:
        return list(range(len(declared)))
    numeric = all(str(label).lstrip("-").isdecimal() for label in distinct)
    return sorted(distinct, key=lambda label: (int(label) if numeric else 0, str(label)))


def _items(part: _Part, numbers: dict[Any, int], origin: str) -> Items:
    unknown = sorted({str(label) for label in part.labels if label not in numbers})
    if unknown:
        raise DataError(f"'{origin}' has the label {unknown[0]}.", f"One of {len(numbers)} classes was expected.",
                        field="images.label_column")
    return Items({"pixel_values": torch.from_numpy(np.ascontiguousarray(part.images))},
                 torch.tensor([numbers[label] for label in part.labels], dtype=torch.int64))
