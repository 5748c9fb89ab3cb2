"""Settings of the environment."""

from __future__ import annotations

import pytest

from core.system import paths
from workbench.settings import HOME, SETTINGS, Setting


@pytest.mark.parametrize(("value", "read"), [(None, "8501"), ("", "8501"), ("0", "0"), ("9000", "9000")])
def test_an_empty_variable_is_one_that_is_not_set(monkeypatch: pytest.MonkeyPatch, value: str | None, read: str) -> None:
    if value is not None:
        monkeypatch.setenv("STILLHOUSE_TEST", value)
    assert Setting("STILLHOUSE_TEST", "a number", "8501").read() == read


def test_a_setting_without_a_default_is_empty() -> None:
    assert Setting("STILLHOUSE_TEST", "a word").read() == ""


def test_variables_differ_and_say_what_they_set() -> None:
    assert len({setting.variable for setting in SETTINGS}) == len(SETTINGS)
    assert all(setting.meaning for setting in SETTINGS)


def test_the_home_of_the_settings_is_that_of_the_engine(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.setenv(HOME.variable, str(tmp_path / "mine"))
    assert paths.home() == tmp_path / "mine"
    monkeypatch.delenv(HOME.variable)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert str(paths.home()) == HOME.default.replace("~", str(tmp_path))
