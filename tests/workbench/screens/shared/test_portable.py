"""Recipes and commands without this machine's folders."""

from __future__ import annotations

from pathlib import Path

import yaml

from tests.pages import examples
from workbench.screens.shared import portable
from workbench.screens.shared.uploads import save_upload
from workbench.store import Store


def test_an_upload_goes_by_its_file_name(home: Path) -> None:
    upload = save_upload("my notes.txt", b"Some text.")
    run = examples.queued(Store())
    text = run.config.model_copy(update={"data": run.config.data.model_copy(update={"source": str(upload)})}).to_yaml()
    said = portable.recipe(text)
    assert str(home) not in said
    source = yaml.safe_load(said)["data"]["source"]
    assert said.startswith(f"# Put {source} beside this recipe")
    assert portable.command(run) == "python -m workbench distill waiting.yaml"


def test_other_paths_are_listed(home: Path) -> None:
    said = portable.recipe("teacher:\n  model: /models/own\n")
    assert said == "# Change this path to where it lies on your machine: /models/own\nteacher:\n  model: /models/own\n"
    assert portable.recipe("teacher:\n  model: house-chat\n") == "teacher:\n  model: house-chat\n"
