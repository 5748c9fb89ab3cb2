"""What verbs answer, and errors as one line and as a document."""

from __future__ import annotations

import pytest

from core.errors import ConfigError, SetField, StillhouseError
from core.recipes import parse_recipe
from workbench.store import Store
from workbench.terminal.advice import fix_text
from workbench.terminal.answer import about_error, about_run, print_error
from workbench.terminal.output import run_document


def test_an_error_is_one_line_on_standard_error_and_a_document(capsys: pytest.CaptureFixture[str]) -> None:
    error = ConfigError("Steps are 0.", "More was expected.", "Raise it.", field="train.max_steps")
    answer = about_error(error, 2)
    assert answer.exit_code == 2 and answer.text == ""
    assert answer.document == {"error": {"given": "Steps are 0.", "expected": "More was expected.", "fix": fix_text(error),
                                         "field": "train.max_steps"}}
    shown = capsys.readouterr()
    assert shown.out == "" and shown.err == f"error: Steps are 0. More was expected. {fix_text(error)}\n"


def test_parts_that_an_error_lacks_leave_no_gap(capsys: pytest.CaptureFixture[str]) -> None:
    print_error(StillhouseError("It is locked.", "", "Wait."))
    assert capsys.readouterr().err == "error: It is locked. Wait.\n"
    assert "field" not in about_error(StillhouseError("It is locked."), 1).document["error"]


def test_a_suggestion_is_in_the_line_and_in_the_document(capsys: pytest.CaptureFixture[str]) -> None:
    error = ConfigError("Steps are 0.", "", "", suggestion=SetField("train.max_steps", 5))
    document = about_error(error, 2).document
    assert "train.max_steps" in document["error"]["fix"] and document["error"]["fix"] in capsys.readouterr().err


def test_a_changed_run_is_its_document_and_a_line(home) -> None:
    run = Store().create_run(parse_recipe({"name": "walk"}))
    answer = about_run(run)
    assert (answer.document, answer.exit_code) == (run_document(run), 0)
    assert answer.text.startswith(f"walk ({run.id}): queued.")
