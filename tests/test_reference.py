"""The pages of docs/reference/ are what the code generates, and name everything that there is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from core.config.fields import leaves
from core.metrics import METRICS
from core.system.paths import PROJECT
from workbench.paths import home
from workbench.settings import HOME, PORT, SETTINGS, Setting
from workbench.terminal import reference

INTERNAL = {"STILLHOUSE_GPUS", "STILLHOUSE_GROUP", "STILLHOUSE_PARENT", "STILLHOUSE_REACH"}  # passed on to workers, not for users


@pytest.mark.parametrize("name", reference.REFERENCES)
def test_a_reference_is_up_to_date(name: str) -> None:
    page = reference.FOLDER / name
    assert page.is_file(), "make reference"
    assert page.read_text(encoding="utf-8") == reference.REFERENCES[name](), "make reference"


def test_every_key_of_a_recipe_is_listed_once() -> None:
    keys = re.findall(r"^\| `([\w.\[\]]+)`", reference.recipes(), flags=re.MULTILINE)
    assert len(keys) == len(set(keys))
    assert {key for key, _ in leaves()} <= set(keys)
    assert {"bridge.model", "chain.mode", "chain.anchors[].layers"} <= set(keys)


def test_types_bounds_and_defaults_of_recipe_keys_are_shown() -> None:
    page = reference.recipes()
    assert "| `train.seed` | integer ≥ 0, < 4294967296 | `42` |" in page
    assert ("| `student.layers` | integer ≥ 1, ≤ 10000 or null | half of it | blocks; depth of the student, from 1 to the teacher's |"
            in page)
    assert "| `losses.w_kd` | number, or {start, end} | `1.0` |" in page
    assert "| `bridge.model` | text | required |" in page


def test_every_metric_has_a_line() -> None:
    page = reference.metrics()
    assert all(f"\n| `{name}` |" in page for name in METRICS)


def test_the_command_line_lists_verbs_with_usage() -> None:
    page = reference.command_line()
    assert "    python -m workbench stop [--json] [--force] RUN\n" in page
    assert "| `--limit N` | maximum number of runs | 50 |" in page
    assert "python -m workbench evaluate [--json] [--tasks TASKS] [--split NAME] [--items N] [--text SOURCE] MODEL ...\n" in page


def test_every_verb_has_its_json_keys() -> None:
    page = reference.json_output()
    assert re.findall(r"^## (.+)$", page, flags=re.MULTILINE) == re.findall(r"^## (.+)$", reference.command_line(), flags=re.MULTILINE)
    assert "| `[].run_id` | string |  |" in page and "| `purged` | boolean | purged |" in page
    assert "| `anchors[].validation_loss` | number |  |" in page and "`latest_metrics`" in page


def test_every_variable_that_the_code_names_is_a_setting() -> None:
    files = [path for folder in ("core", "workbench", "pages") for path in (PROJECT / folder).rglob("*.py")]
    named = {name for path in files for name in re.findall(r"\bSTILLHOUSE_[A-Z_]+\b", path.read_text(encoding="utf-8"))}
    assert named - INTERNAL == {each.variable for each in SETTINGS} - {PORT.variable}


def test_a_setting_is_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert PORT.read() == "8501"
    monkeypatch.setenv("PORT", "")
    assert PORT.read() == "8501"
    monkeypatch.setenv("PORT", "80")
    assert PORT.read() == "80" and Setting("STILLHOUSE_NOTHING", "").read() == ""


def test_the_default_home_is_that_of_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(HOME.variable)
    assert home() == Path(HOME.default).expanduser()
