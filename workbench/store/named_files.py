"""The files that a recipe names: which keys name them, whether the one who asks may read them, and their absolute paths."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from core.config import ExperimentConfig
from core.config.reading import HOUSE_TASK, ORACLE_TASKS
from core.data.movie_reviews import HOUSE, HOUSE_SOURCES
from core.errors import ConfigError
from core.system import reach

DIGITS = "digits"
PACKAGED = (HOUSE, *HOUSE_SOURCES)
# Key of one file or of several -> the names there of what comes with the project.
FILE_KEYS: Mapping[str, tuple[str, ...]] = {
    "data.source": PACKAGED,
    "bridge.prompts": PACKAGED,
    "task.source": PACKAGED,
    "task.validation": PACKAGED,
    "evaluation.retention.tasks": PACKAGED,
    "reading.tasks": (*ORACLE_TASKS, HOUSE_TASK),
    "specialists.source": ("planted", DIGITS),
    "images.source": (DIGITS,),
}
FOLDERS = ("images.source",)  # keys that may name a folder


def freeze_files(config: ExperimentConfig) -> ExperimentConfig:
    """Return a configuration whose files are absolute paths; a name that is no file here, as of a hub's data set, is left.

    Raises:
        ConfigError: it names a file that the one who asks may not read (`core.system.reach`).
    """
    for key in FILE_KEYS:
        named = _value(config, key)
        frozen = tuple(_frozen(each, key) for each in named) if isinstance(named, tuple) else _frozen(named, key) if named else named
        if frozen != named:
            config = _replaced(config, key.split("."), frozen)
    return config


def files_of(config: ExperimentConfig) -> tuple[str, ...]:
    """Return the absolute paths that a configuration of `freeze_files` names."""
    named = [_value(config, key) for key in FILE_KEYS]
    each = [name for value in named for name in (value if isinstance(value, tuple) else (value,)) if name]
    return tuple(dict.fromkeys(name for name in each if os.path.isabs(name) and os.path.exists(name)))


def _frozen(named: str, key: str) -> str:
    if named in FILE_KEYS[key]:
        return named
    if outside := reach.refusal(named):
        raise ConfigError(*outside, field=key)
    path = Path(os.path.expanduser(named))
    return str(path.absolute()) if path.is_file() or (key in FOLDERS and path.exists()) else named


def _value(config: ExperimentConfig, key: str) -> Any:
    value: Any = config
    for part in key.split("."):
        value = getattr(value, part, None)
    return value


def _replaced(config: Any, path: Sequence[str], value: Any) -> Any:
    section, *rest = path
    return config.model_copy(update={section: _replaced(getattr(config, section), rest, value) if rest else value})
