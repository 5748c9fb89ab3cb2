"""The README's commands are verbs with such options; the results' figure and table of size and quality say what was measured."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from core.chains.folder import Chain, open_chain
from core.models.architectures import ARCHITECTURE_SPECS
from core.recipes import read_recipe
from tests.benchmarks import size_quality
from workbench.terminal import cli

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
RESULTS = (ROOT / "assets" / "results" / "README.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^    python -m workbench (.+?)(?:\s+#.*)?$", README, re.MULTILINE)
WORDS = 900  # at most: the front door is short
COLUMNS = ("substitution", "interpolation", "best_alpha", "alpha_0", "alpha_1", "copied")


@pytest.fixture(scope="module")
def house() -> Chain:
    return open_chain(size_quality.CHAIN)


def test_the_picture_is_drawn_from_what_was_measured(house: Chain) -> None:
    assert size_quality.PICTURE.read_text(encoding="utf-8") == size_quality.svg(house), "python -m tests.benchmarks.size_quality"
    assert f"(../{size_quality.PICTURE.name})" in RESULTS
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
    rows = re.findall(r"^\| ([\d,]+) \| (\d+) x (\d+) \| (.+) \|$", RESULTS, re.MULTILINE)
    assert len(rows) >= 7
    for size, layers, neurons, losses in rows:
        point = points[int(size.replace(",", ""))]
        assert (point.target.dimensions.layers, point.target.dimensions.intermediate_size) == (int(layers), int(neurons))
        assert losses.split(" | ") == [f"{point.losses[name]:.3f}" for name in COLUMNS]


def test_sizes_are_no_worse_than_the_smaller_anchor(house: Chain) -> None:
    for point in house.curve:
        assert point.losses["substitution"] <= house.anchors[point.target.larger_anchor + 1].validation_loss + 1e-4


@pytest.mark.parametrize("command", COMMANDS)
def test_the_commands_of_the_readme_are_understood(command: str) -> None:
    options = cli.build_parser().parse_args(shlex.split(command))
    recipe = getattr(options, "recipe", None)
    assert recipe is None or read_recipe(ROOT / recipe, getattr(options, "set", ())) is not None


def test_the_readme_names_several_commands() -> None:
    assert len(COMMANDS) >= 5


def test_what_the_readme_links_to_is_there() -> None:
    for page, folder in ((README, ROOT), (RESULTS, ROOT / "assets" / "results")):
        targets = [target for target in re.findall(r"\]\(([^)#\s]+)\)", page) if "://" not in target]
        assert targets
        assert not [target for target in targets if not (folder / target).exists()]


def test_every_family_of_models_is_named_or_in_the_table_that_the_readme_links_to() -> None:
    table = (ROOT / "docs" / "reference" / "families.md").read_text(encoding="utf-8")
    assert "(docs/reference/families.md)" in README
    assert f"[{len(ARCHITECTURE_SPECS)} families]" in README, "the number of families in README.md"
    assert not [name for name, spec in ARCHITECTURE_SPECS.items() if f"| {spec.family} | `{name}` |" not in table], "make reference"


def test_the_readme_is_short() -> None:
    assert len(README.split()) <= WORDS


def test_short_commands_of_the_readme_run(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ran = [command for command in COMMANDS if shlex.split(command)[0] in ("runs", "claim", "interpolate", "generate", "plan")]
    for command in ran:
        words = [str(ROOT / word) if (ROOT / word).is_file() else word for word in shlex.split(command)]
        assert cli.main(words) == 0, capsys.readouterr().err
        assert capsys.readouterr().out.strip()
    assert len(ran) >= 4
    assert (tmp_path / "my-model" / "model.safetensors").is_file()
