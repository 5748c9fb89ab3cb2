"""Images from each kind of source, and what is said of those that cannot be used."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from core.classification.images import load_images
from core.config import ImagesSpec
from core.errors import DataError

PIXELS = np.random.default_rng(0).integers(0, 256, (12, 4, 4), dtype=np.uint8)
LABELS = [number % 3 for number in range(12)]


def picture(path: Path, pixels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def everything(source: Path | str, **keys: object) -> tuple[tuple[str, ...], set[bytes]]:
    """The labels of a source, and the pixels of all its images."""
    data = load_images(ImagesSpec(source=str(source), **keys))  # type: ignore[arg-type]
    parts = (data.train, data.validation, data.test)
    return data.labels, {image.numpy().tobytes() for part in parts for image in part.inputs["pixel_values"]}


def test_digits_are_split_the_same_way_each_time_with_all_classes_in_each_part() -> None:
    first, second = (load_images(ImagesSpec()) for _ in range(2))
    assert first.digest == second.digest
    assert len(first.train) + len(first.validation) + len(first.test) == 1797 and first.image_size == (1, 8, 8)
    for part in (first.train, first.validation, first.test):
        shares = torch.bincount(part.targets, minlength=10) / len(part)
        assert float(shares.min()) > 0.08 and float(shares.max()) < 0.12
        assert float(part.inputs["pixel_values"].min()) >= 0 and float(part.inputs["pixel_values"].max()) == 1


def test_every_kind_of_source_gives_the_same_images(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=PIXELS, y=np.array(LABELS))
    for number, (pixels, label) in enumerate(zip(PIXELS, LABELS, strict=True)):
        picture(tmp_path / "folder" / str(label) / f"{number}.png", pixels)
    with (tmp_path / "a.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["label", *(f"p{place}" for place in range(16))])
        writer.writerows([label, *pixels.flatten().tolist()] for pixels, label in zip(PIXELS, LABELS, strict=True))
    contents = [{"bytes": picture(tmp_path / "b.png", pixels).read_bytes(), "path": None} for pixels in PIXELS]
    pq.write_table(pa.table({"image": contents, "label": LABELS}), tmp_path / "a.parquet")
    found = [everything(tmp_path / name) for name in ("a.npz", "folder", "a.csv", "a.parquet")]
    assert all(each == found[0] for each in found) and found[0][0] == ("0", "1", "2") and len(found[0][1]) == 12


def test_a_part_of_its_own_is_measured_on(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x_train=PIXELS[:9], y_train=np.array(LABELS[:9]), x_test=PIXELS[9:], y_test=np.array(LABELS[9:]))
    data = load_images(ImagesSpec(source=str(tmp_path / "a.npz")))
    np.testing.assert_allclose(data.test.inputs["pixel_values"][:, 0].numpy(), PIXELS[9:] / 255, rtol=1e-6)


def test_a_small_training_part_holds_as_many_of_each_class() -> None:
    data = load_images(ImagesSpec(max_train_items=30))
    assert torch.bincount(data.train.targets).tolist() == [3] * 10


def test_images_of_another_shape_are_named(tmp_path: Path) -> None:
    picture(tmp_path / "a" / "1.png", PIXELS[0])
    picture(tmp_path / "b" / "2.png", PIXELS[1][:3])
    with pytest.raises(DataError, match=r"shapes 1 x 3 x 4 and 1 x 4 x 4.*2\.png"):
        load_images(ImagesSpec(source=str(tmp_path)))


@pytest.mark.parametrize(("source", "words"), [
    ("nowhere-to-be-found", "is no data set of images"), ("broken.npz", "cannot be read"), ("other.npz", "holds weights"),
    ("one.npz", "a single class"), ("empty", "no folders with pictures"), ("text.csv", "no number"), ("ragged.npz", "has the shape")])
def test_a_source_that_cannot_be_used_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, words: str) -> None:
    monkeypatch.chdir(tmp_path)
    Path("broken.npz").write_bytes(b"PK not a zip")
    Path("empty").mkdir()
    Path("text.csv").write_text("label,p0\n1,five\n2,3\n")
    np.savez("other.npz", weights=PIXELS)
    np.savez("one.npz", x=PIXELS, y=np.zeros(12, int))
    np.savez("ragged.npz", x=PIXELS, y=np.array(LABELS[:5]))
    with pytest.raises(DataError, match=words):
        load_images(ImagesSpec(source=source))
