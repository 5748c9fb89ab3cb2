"""The verb annotate: notes of a text in a folder, refusals."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from workbench.terminal import cli

RECIPE = "assets/recipes/reading.yaml"


def test_notes_of_an_oracle_are_written_and_labelled(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "notes"
    assert cli.main(["annotate", RECIPE, "--set", "reading.paragraphs=4", "--out", str(out)]) == 0
    assert "exact by construction" in capsys.readouterr().out
    assert json.loads((out / "notes.json").read_text())["exact"] is True and (out / "notes.arrow").is_file()
    assert cli.main(["annotate", RECIPE, "--out", str(out)]) == 2 and "is not empty" in capsys.readouterr().err


def test_other_recipes_are_refused(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["annotate", "assets/recipes/quickstart.yaml"]) == 2
    assert "One of kind reading was expected" in capsys.readouterr().err
