"""Suggestions as options of the command line."""

from __future__ import annotations

import pytest

from core.errors import ConfigError, DataError, FetchModel, RunVerb, SetField, StillhouseError
from core.planning.preflight import Check
from workbench.terminal.advice import fix_text


@pytest.mark.parametrize(("problem", "says"), [
    (DataError("a", "b", "Set data.column.", suggestion=SetField("data.column", "my text", guess=True)),
     "Did you mean --set 'data.column=my text'?"),
    (ConfigError("a", "Set teacher to null.", suggestion=SetField("teacher", None)), "Use --set teacher=null"),
    (DataError("a", "b", "Did you mean 'x'?", field="teacher.model"), "Did you mean 'x'? --set teacher.model=..."),
    (DataError("a", "b", "Stream it.", suggestion=SetField("data.streaming", True)), "Stream it: --set data.streaming=true"),
    (DataError("a", "b", "Name another column.", field="task.label_column"), "Name another column: --set task.label_column=..."),
    (ConfigError("train.seed is x.", "b", "It means: a seed.", field="train.seed"), "It means: a seed."),
    (ConfigError("a", "b", "", field="train.seed"), ""),
    (ConfigError("a", "b", "Fetch it first.", suggestion=FetchModel("bert")), "Fetch it first: python -m workbench fetch bert"),
    (ConfigError("a", "b", "Resume it.", suggestion=RunVerb("resume", "my run")), "Resume it: python -m workbench resume 'my run'"),
    (Check("text", False, "No column.", "Name the column.", field="data.column"), "Name the column: --set data.column=..."),
])
def test_a_suggestion_is_an_option(problem: StillhouseError | Check, says: str) -> None:
    assert fix_text(problem) == says
