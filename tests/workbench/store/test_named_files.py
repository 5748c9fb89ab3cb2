"""The files that recipes of every kind name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from core.errors import ConfigError
from core.recipes import parse_recipe
from core.system import reach
from workbench.store.named_files import FILE_KEYS, freeze_files

OF_KIND: dict[str, dict[str, Any]] = {
    "data.source": {},
    "evaluation.retention.tasks": {"evaluation": {"retention": {}}},
    "bridge.prompts": {"bridge": {"model": "house-chat"}, "student": {"model": "house-chat"}},
    "task.source": {"task": {"source": "labels.csv"}, "student": {"model": "house-encoder"}},
    "task.validation": {"task": {"source": "house-sentiment"}, "student": {"model": "house-encoder"}},
    "reading.tasks": {"reading": {}, "student": {"model": "house-chat"}},
    "specialists.source": {"specialists": {}},
    "images.source": {"ensemble": {"members": [{}, {}]}, "images": {}},
}


def recipe(key: str, value: Any) -> Any:
    plain: dict[str, Any] = {name: dict(section) for name, section in OF_KIND[key].items()}
    *sections, leaf = key.split(".")
    section = plain
    for name in sections:
        section = section.setdefault(name, {})
    section[leaf] = value
    return parse_recipe(plain)


def value(config: Any, key: str) -> Any:
    for name in key.split("."):
        config = getattr(config, name)
    return config


@pytest.mark.parametrize("key", FILE_KEYS)
def test_a_file_becomes_absolute_and_what_is_none_is_left(key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.csv").write_text("text,label\ngood,1\nbad,0\n")
    several = key.endswith("tasks")
    for named, frozen in (("own.csv", str(tmp_path / "own.csv")), ("someone/dataset", "someone/dataset"), (FILE_KEYS[key][0],) * 2):
        given, expected = ((named,), (frozen,)) if several else (named, frozen)
        assert value(freeze_files(recipe(key, given)), key) == expected


@pytest.mark.parametrize("key", FILE_KEYS)
def test_a_file_out_of_reach_is_refused_by_its_key(key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, where in reach.limited_to([tmp_path / "allowed"]).items():
        monkeypatch.setenv(name, where)
    outside = str(tmp_path / "secret.csv")
    with pytest.raises(ConfigError) as refused:
        freeze_files(recipe(key, [outside] if key.endswith("tasks") else outside))
    assert refused.value.field == key
    packaged = FILE_KEYS[key][0]
    freeze_files(recipe(key, [packaged] if key.endswith("tasks") else packaged))
