"""What runs models in a visitor's browser: two npm packages, pinned, downloaded once, checked, of which a few files are kept.

Neither node nor npm is needed. The registry is the one that npm would ask: the variable npm_config_registry, else the line
``registry=`` of the user's .npmrc, else registry.npmjs.org; a line ``@scope:registry=`` goes before them for its scope.
"""

from __future__ import annotations

import base64
import hashlib
import os
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from core.errors import NetworkError
from core.system.files import atomic_directory
from core.system.paths import home

Progress = Callable[[int, int], None]  # bytes so far, bytes in all

RUNTIME = "browser-runtime"  # what users call the packages together
DEFAULT_REGISTRY = "https://registry.npmjs.org/"
TIMEOUT = 30.0  # seconds without a byte
CHUNK = 1 << 16  # bytes


@dataclass(frozen=True, slots=True)
class NpmPackage:
    """One release of a package, and what is wanted of it.

    Attributes:
        name, version, integrity: pinned; the integrity as package-lock.json has it, ``sha512-`` and base64.
        size_bytes: of the download.
        kept_bytes: of the files that are kept, together.
        files: path within the package -> name in the folder.
        licence: of those files.
    """

    name: str
    version: str
    integrity: str
    size_bytes: int
    kept_bytes: int
    files: tuple[tuple[str, str], ...]
    licence: str

    @property
    def folder(self) -> Path:
        """Where the files are kept; its name changes with the release, so that browsers may keep them for good."""
        return runtime_dir() / f"{self.name.rpartition('/')[2]}-{self.version}"

    @property
    def present(self) -> bool:
        """Return whether the package has been fetched."""
        return self.folder.is_dir()

    @property
    def address(self) -> str:
        """Of the download."""
        return f"{registry(self.name)}{self.name}/-/{self.name.rpartition('/')[2]}-{self.version}.tgz"


# The bundle without WebGPU and WebGL: a small model is quickest on the processor, and the file half as large.
ONNX_RUNTIME = NpmPackage(
    name="onnxruntime-web", version="1.30.0", size_bytes=33_106_585, kept_bytes=14_312_951, licence="mit",
    integrity="sha512-q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ==",
    files=(("package/dist/ort.wasm.bundle.min.mjs", "ort.mjs"),
           ("package/dist/ort-wasm-simd-threaded.wasm", "ort-wasm-simd-threaded.wasm")))
TOKENIZERS = NpmPackage(
    name="@huggingface/tokenizers", version="0.2.0", size_bytes=87_011, kept_bytes=47_958, licence="apache-2.0",
    integrity="sha512-LidMHe1FpcSYH4vcSjXooda34pC0M8m1gmDOv7SQi6Iv+ib1zX7J3sHBCC9/3FPCkn2k1b55FneVqMRxrr99pg==",
    files=(("package/dist/tokenizers.min.mjs", "tokenizers.mjs"), ("package/LICENSE", "LICENSE")))
PACKAGES = (ONNX_RUNTIME, TOKENIZERS)


def runtime_dir() -> Path:
    """Return the folder of the packages' files."""
    return home() / "browser"


def fetch(packages: tuple[NpmPackage, ...] = PACKAGES, progress: Progress = lambda done, total: None) -> list[Path]:
    """Return the folders of the packages, downloaded first where they are not there.

    Args:
        progress: called with the bytes downloaded so far and in all.

    Raises:
        NetworkError: a package could not be downloaded, or is not what was pinned.
        DiskFullError: not enough room.
    """
    missing = [package for package in packages if not package.present]
    total, before = sum(package.size_bytes for package in missing), 0
    for package in missing:
        with (atomic_directory(package.folder, package.size_bytes + package.kept_bytes) as folder,
              tempfile.TemporaryFile(dir=folder.parent) as archive):
            done = before
            digest = hashlib.sha512()
            for chunk in _download(package):
                archive.write(chunk)
                digest.update(chunk)
                done += len(chunk)
                progress(min(done, total), total)
            _check(package, f"sha512-{base64.b64encode(digest.digest()).decode()}")
            archive.seek(0)
            _unpack(package, archive, folder)
        before += package.size_bytes
    return [package.folder for package in packages]


def registry(name: str) -> str:
    """Return the registry's address for a package, ending in a slash, as the user's npm settings have it."""
    scope = name.partition("/")[0] if name.startswith("@") else None
    settings = _settings(Path(_variable("userconfig") or "~/.npmrc").expanduser())
    given = settings.get(f"{scope}:registry") or _variable("registry") or settings.get("registry") or DEFAULT_REGISTRY
    return given.rstrip("/") + "/"


def _variable(name: str) -> str:
    """Return a setting of npm from the environment, where either case counts."""
    return os.environ.get(f"npm_config_{name}") or os.environ.get(f"NPM_CONFIG_{name.upper()}") or ""


def _settings(path: Path) -> dict[str, str]:
    """Return the lines ``key=value`` of an .npmrc; empty without one."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return {}
    pairs = (line.partition("=") for line in lines if not line.lstrip().startswith(("#", ";")))
    return {key.strip(): value.strip().strip("\"'") for key, _, value in pairs}


def _download(package: NpmPackage) -> Iterator[bytes]:
    import http.client
    import urllib.error
    import urllib.request

    try:
        with urllib.request.urlopen(package.address, timeout=TIMEOUT) as answer:
            done = 0
            while chunk := answer.read(CHUNK):
                done += len(chunk)
                if done > package.size_bytes:  # what is pinned has a size: anything longer is something else, however long
                    raise NetworkError(f"What was downloaded as {package.name} {package.version} does not end where it should.",
                                       f"{package.size_bytes:,} bytes were expected.",
                                       "Do not use it; try again later or from another registry.")
                yield chunk
    except (OSError, http.client.HTTPException, ValueError) as error:  # the last one: an address that is none
        reason = f"HTTP {error.code}" if isinstance(error, urllib.error.HTTPError) else str(getattr(error, "reason", error))
        raise NetworkError(f"{package.name} {package.version} could not be downloaded: {reason}.",
                           f"It was expected at {package.address}.",
                           "Connect to the network and try again, or name a registry that you can reach in npm_config_registry.") from error


def _check(package: NpmPackage, found: str) -> None:
    if found != package.integrity:
        raise NetworkError(f"What was downloaded as {package.name} {package.version} has the integrity {found}.",
                           f"{package.integrity} was expected.", "Do not use it; try again later or from another registry.")


def _unpack(package: NpmPackage, archive: BinaryIO, folder: Path) -> None:
    with tarfile.open(fileobj=archive, mode="r:gz") as members:
        for path, name in package.files:
            member = members.extractfile(path)
            assert member is not None, f"{path} is a folder in an archive whose digest is known"
            (folder / name).write_bytes(member.read())
