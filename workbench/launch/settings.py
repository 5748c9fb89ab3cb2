"""The settings of the last job: the form keeps them, and every later submission begins with it.

    <home>/launchers.json    launcher -> its settings
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from core.errors import ConfigError
from core.system.files import read_json, write_json
from workbench.launch.launcher import SlurmSpec, read_spec

FILE = "launchers.json"


def kept(home: Path) -> SlurmSpec:
    """Return the settings that were kept; the defaults where there are none, or none that this release accepts."""
    plain = read_json(home / FILE)
    try:
        return read_spec(plain["slurm"]) if isinstance(plain, dict) and "slurm" in plain else SlurmSpec()
    except ConfigError:
        return SlurmSpec()


def keep(home: Path, spec: SlurmSpec) -> None:
    """Keep settings for the next submission."""
    write_json(home / FILE, {"slurm": spec.model_dump(mode="json")})


def overridden(spec: SlurmSpec, overrides: Sequence[str], *, nodes: int | None = None) -> SlurmSpec:
    """Return settings with some replaced.

    Args:
        overrides: each ``KEY=VALUE``, with the value as YAML.

    Raises:
        ConfigError: an unknown key, or a value that is not possible.
    """
    plain: dict[str, Any] = spec.model_dump(mode="json")
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals or key not in plain:
            raise ConfigError(f"--launch {override} was given.", f"KEY=VALUE with one of these keys was expected: {', '.join(plain)}.")
        try:
            plain[key] = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise ConfigError(f"--launch {override} was given.", "A value that YAML can read was expected.") from error
    return read_spec(plain if nodes is None else {**plain, "nodes": nodes})
