"""The README's figure and table of size and quality say what was measured."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from core.chains.folder import Chain, open_chain
from tests.benchmarks import size_quality

README = (Path(__file__).resolve().parents[1] / "README.md").read_text(encoding="utf-8")
COLUMNS = ("substitution", "interpolation", "best_alpha", "alpha_0", "alpha_1", "copied")


@pytest.fixture(scope="module")
def house() -> Chain:
    return open_chain(size_quality.CHAIN)


def test_the_picture_is_drawn_from_what_was_measured(house: Chain) -> None:
    assert size_quality.PICTURE.read_text(encoding="utf-8") == size_quality.svg(house), "python -m tests.benchmarks.size_quality"
    assert f"({size_quality.PICTURE.relative_to(size_quality.PICTURE.parents[1])})" in README
    assert size_quality.PICTURE.stat().st_size < 100_000


def test_every_measured_point_is_in_the_picture_at_its_place(house: Chain) -> None:
    """Read back from the picture's pixels, by the axes of its own labels."""
    picture = size_quality.PICTURE.read_text(encoding="utf-8")
    found = re.findall(r'<circle cx="([\d.]+)" cy="([\d.]+)"[^>]*><title>(.+?), ([\d,]+): ([\d.]+)</title>', picture)
    labels = {label: name for name, (label, *_) in size_quality.LOOKS.items()}
    drawn = {(labels[label], int(size.replace(",", "")), float(loss)) for _, _, label, size, loss in found if label in labels}
    measured = {(name, point.target.parameters, round(loss, 3)) for point in house.curve for name, loss in point.losses.items()
                if name != "random"}
    assert drawn == measured
    assert len(house.curve) >= 7
    assert sum(label == size_quality.RANDOM for _, _, label, _, _ in found) == 3 * len(house.curve)
    assert [label for _, _, label, _, _ in found if label.startswith("anchor ")] == [f"anchor {each.number}" for each in house.anchors]
    levels = {float(text): float(y) - 4 for y, text in re.findall(r'y="([\d.]+)" text-anchor="end">(\d\.\d)<', picture)}
    low, high = min(levels), max(level for level in levels if level < 8)
    for _, y, label, _, loss in found:
        if label in labels or label.startswith("anchor "):
            expected = levels[low] + (float(loss) - low) / (high - low) * (levels[high] - levels[low])
            assert float(y) == pytest.approx(expected, abs=0.5)


def test_the_table_shows_the_same_numbers(house: Chain) -> None:
    points = {point.target.parameters: point for point in house.curve}
    rows = re.findall(r"^\| ([\d,]+) \| (\d+) x (\d+) \| (.+) \|$", README, re.MULTILINE)
    assert len(rows) >= 7
    for size, layers, neurons, losses in rows:
        point = points[int(size.replace(",", ""))]
        assert (point.target.dimensions.layers, point.target.dimensions.neurons) == (int(layers), int(neurons))
        assert losses.split(" | ") == [f"{point.losses[name]:.3f}" for name in COLUMNS]


def test_sizes_are_no_worse_than_the_smaller_anchor(house: Chain) -> None:
    for point in house.curve:
        assert point.losses["substitution"] <= house.anchors[point.target.bracket + 1].validation_loss + 1e-4
