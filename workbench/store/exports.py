"""Where exports for browsers and phones lie, and what a model is called that is taken along."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from core import __version__
from core.models.checkpoints import weight_files
from workbench import paths

FORM = "onnx-int8"  # what a browser runs


def export_folder(name: str, model: Path) -> Path:
    """Return the folder of the export of the model in a folder; changed weights and another release get another one."""
    marks = [__version__, *(f"{path.resolve()} {path.stat().st_size} {path.stat().st_mtime_ns}" for path in weight_files(model))]
    stem = re.sub(r"[^A-Za-z0-9.]+", "-", re.split(r"[/\\]", name)[-1])[:40].strip("-.") or "model"
    return paths.exports_dir() / f"{stem}-{hashlib.sha256(' '.join(marks).encode()).hexdigest()[:12]}"


def folder_name(reference: str) -> str:
    """Return the name of the folder in a downloaded archive: the model's, in letters that every system can write."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", reference.replace("\\", "/").rstrip("/").rpartition("/")[2]).strip("-.") or "model"
