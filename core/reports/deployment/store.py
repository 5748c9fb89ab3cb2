"""Where comparisons lie, with what was requested and what was found.

    <home>/deployments/<student>-<digest>/
        request.json    what is compared
        report.json     what was found, see `core.reports.deployment.record`
        items.csv       every item with what each form gave
        int8/           the exported model
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from dataclasses import asdict
from pathlib import Path

from core.models.checkpoints import weight_files
from core.reports.deployment.record import Deployment, DeploymentRequest
from core.system.files import read_json, write_json
from core.system.paths import home

REQUEST, REPORT = "request.json", "report.json"


def folder_of(request: DeploymentRequest) -> Path:
    """Return the folder of a comparison; changed weights and other data have another one."""
    marks = [json.dumps(asdict(request), sort_keys=True)]
    for reference in filter(None, (request.student, request.teacher)):
        place = Path(reference)
        files = weight_files(place) if place.is_dir() else [place] if place.is_file() else []
        marks += [f"{path} {path.stat().st_size} {path.stat().st_mtime_ns}" for path in files]
    stem = re.sub(r"[^A-Za-z0-9.]+", "-", re.split(r"[/\\]", request.names[0])[-1])[:40].strip("-.") or "model"
    return _all() / f"{stem}-{hashlib.sha256(' '.join(marks).encode()).hexdigest()[:10]}"


def save_request(request: DeploymentRequest) -> Path:
    """Write down what is to be compared, for the process that does it and for the page; returns the folder."""
    folder = folder_of(request)
    write_json(folder / REQUEST, {**asdict(request), "requested": time.time()})
    return folder


def load_request(folder: Path) -> DeploymentRequest | None:
    """Return what is compared in a folder; None where it holds no request that this release reads."""
    plain = read_json(folder / REQUEST)
    if not isinstance(plain, dict):
        return None
    try:
        known = {key: value for key, value in plain.items() if key != "requested"}
        return DeploymentRequest(**{**known, "names": tuple(known["names"])})
    except (TypeError, KeyError):
        return None


def save_result(folder: Path, found: Deployment) -> None:
    """Keep what was found."""
    write_json(folder / REPORT, found.to_dict())


def result_of(folder: Path) -> Deployment | None:
    """Return what was found; None before the end, and for another release's."""
    try:
        return Deployment.from_dict(read_json(folder / REPORT) or {})
    except (TypeError, KeyError, AttributeError):
        return None


def folders() -> list[Path]:
    """Return all comparisons begun here, the latest first."""
    found = [(plain["requested"], path.parent) for path in _all().glob(f"*/{REQUEST}")
             if isinstance(plain := read_json(path), dict) and "requested" in plain]
    return [folder for _, folder in sorted(found, reverse=True)]


def _all() -> Path:
    return home() / "deployments"
