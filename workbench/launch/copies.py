"""What a run needs of this machine where the processes see none of its folders: what is copied, and what each path is called there.

Data and models are kept there under a key of their path, sizes and times, so that a change here disturbs no job that is under way, and
runs of a sweep share them. What comes back names the paths of this machine again.

    ranks/paths.json    path there -> path here
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from core.models.ensembles import parse_ensemble
from core.recipes import parse_recipe, parse_yaml
from core.system.files import read_json
from core.system.units import counted, format_bytes
from workbench.launch.job import Job

PATHS = "paths.json"
RECORD = "stillhouse.json"  # of a model (`core.reports.model_card`)


@dataclass(frozen=True)
class Copy:
    """A file or folder that a run reads.

    Attributes:
        source: absolute path here.
        target: absolute path there.
        bytes: of all its files.
    """

    source: str
    target: str
    bytes: int


@dataclass(frozen=True)
class Copies:
    """What is copied for a run, and what is not.

    Attributes:
        items: what is on this machine alone.
        by_name: models and data that are found or fetched there, as those of the hub.
    """

    items: tuple[Copy, ...]
    by_name: tuple[str, ...]

    @property
    def bytes(self) -> int:
        """Of all."""
        return sum(item.bytes for item in self.items)

    def text(self, host: str) -> str:
        """Return what happens, in a few sentences."""
        named = ", ".join(f"{item.source} ({format_bytes(item.bytes)})" for item in self.items)
        parts = [f"Copied to {host} before the job: the run's folder and {counted(len(self.items), 'input')}, {format_bytes(self.bytes)}: "
                 f"{named}." if self.items else f"Copied to {host} before the job: the run's folder."]
        if self.by_name:
            parts.append(f"Taken there by name, fetched where it is missing: {', '.join(self.by_name)}.")
        parts.append("The run's folder comes back, is verified and is removed there; inputs stay for later runs.")
        return " ".join(parts)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return {"copies": [asdict(item) for item in self.items], "by_name": list(self.by_name)}


def copies_of(job: Job, folder: str) -> Copies:
    """Return what a job needs that is on this machine alone.

    Args:
        folder: there, in which ``inputs/`` lies.
    """
    paths, by_name = list(job.files), []
    house = {str(place["path"]) for place in job.models.values() if place["kind"] == "house"}
    for place in job.models.values():
        for member in _members(str(place["path"])):
            if os.path.isabs(member):
                paths.append(member)
            elif member not in house:  # those come with Stillhouse
                by_name.append(member)
    for section in ("data", "task"):
        source = getattr(getattr(job.config, section, None), "source", "")
        if "/" in source and source not in job.files:
            by_name.append(source)
    return Copies(tuple(_copy(path, folder) for path in dict.fromkeys(paths)), tuple(dict.fromkeys(by_name)))


def placed_there(job: Job, copies: Copies) -> Job:
    """Return a job whose data and models are called by their paths there."""
    names = {item.source: item.target for item in copies.items}
    models = {names.get(reference, reference): {**place, "path": _renamed_model(str(place["path"]), names)}
              for reference, place in job.models.items()}
    return replace(job, config=parse_recipe(_renamed(job.config.to_dict(), names)), models=models)


def paths_here(folder: Path) -> dict[str, str]:
    """Return what paths there are called here; empty where the processes of a run see those of this machine.

    Args:
        folder: ``ranks/`` of the run.
    """
    return dict(read_json(folder / PATHS) or {})


def restore_json(text: str, paths: Mapping[str, str]) -> str:
    """Return JSON, as the standard library writes it, with the paths of this machine."""
    for there, here in paths.items():
        text = text.replace(json.dumps(there)[1:-1], json.dumps(here)[1:-1])
    return text


def restore_documents(directory: Path, paths: Mapping[str, str]) -> None:
    """Write the paths of this machine into what a run has left: reports, cards, recipes.

    Models and checkpoints hold none. Records stay as they are: who reads them is at a byte of the file (`workbench.launch.records`).
    """
    for path in [path for pattern in ("*.json", "*.yaml") for path in directory.rglob(pattern)]:
        if path.name == PATHS or path.is_symlink() or "checkpoints" in path.relative_to(directory).parts:
            continue
        before = path.read_text(encoding="utf-8")
        if path.suffix == ".yaml":
            plain = parse_yaml(before, str(path))
            after = parse_recipe(restored).to_yaml() if (restored := _renamed(plain, paths)) != plain else before
        else:
            after = restore_json(before, paths)
            if after != before and path.name == RECORD:  # the digest of a configuration is that of its paths too
                plain = json.loads(after)
                after = after.replace(plain["config_digest"], parse_recipe(plain["config"]).digest())
        if after != before:
            path.write_text(after, encoding="utf-8")


def _copy(path: str, folder: str) -> Copy:
    """Return where a file or folder is copied to, by what is in it now."""
    files = sorted(Path(path).rglob("*")) if os.path.isdir(path) else [Path(path)]
    found = [(str(file.relative_to(path)), file.stat().st_size, file.stat().st_mtime_ns) for file in files if file.is_file()]
    key = hashlib.sha256(json.dumps([path, found]).encode()).hexdigest()[:16]
    return Copy(path, f"{folder}/inputs/{key}/{os.path.basename(path)}", sum(size for _, size, _ in found))


def _members(path: str) -> tuple[str, ...]:
    ensemble = parse_ensemble(path)
    return ensemble.members if ensemble is not None else (path,)


def _renamed_model(path: str, names: Mapping[str, str]) -> str:
    ensemble = parse_ensemble(path)
    return ensemble.with_members([names.get(member, member) for member in ensemble.members]) if ensemble else names.get(path, path)


def _renamed(plain: Any, names: Mapping[str, str]) -> Any:
    """Return plain data whose texts have other names, where they are one of these."""
    if isinstance(plain, dict):
        return {key: _renamed(value, names) for key, value in plain.items()}
    if isinstance(plain, list | tuple):
        return [_renamed(value, names) for value in plain]
    return names.get(plain, plain) if isinstance(plain, str) else plain

