"""What a cache of a teacher's answers says of itself, in ``manifest.json``; needs no torch, so that pages list caches."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from core.errors import CorruptSignalsError
from core.system.files import read_json, write_json

FORMAT = 1  # of a cache; another one is refused


@dataclass(frozen=True, slots=True)
class Key:
    """Whose answers a cache holds. Answers under one key are the same, whoever asks.

    Attributes:
        teacher: its name, for people; not a part of the key.
        weights: digest of the teacher's weights, or the address and the model of a server.
        tokenizer: digest of the tokenizer.
        form: as `StoredForm.describe`.
        dtype: in which the teacher computed.
        block_length: T.
        vocabulary: logits that stand for tokens.
    """

    teacher: str
    weights: str
    tokenizer: str
    form: Mapping[str, Any]
    dtype: str
    block_length: int
    vocabulary: int

    @property
    def digest(self) -> str:
        """Twelve hexadecimal digits over all but the name."""
        plain = {name: value for name, value in asdict(self).items() if name != "teacher"}
        return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:12]

    def differences(self, other: Key) -> list[str]:
        """Return what differs, in words; the name does not count."""
        mine, theirs = asdict(self), asdict(other)
        return [f"{name} {theirs[name]} in place of {mine[name]}" for name in mine if name != "teacher" and mine[name] != theirs[name]]


@dataclass(frozen=True, slots=True)
class Shard:
    """A finished file of a cache.

    Attributes:
        blocks: how many it holds.
        size: bytes.
    """

    file: str
    blocks: int
    size: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """The content of ``manifest.json``.

    Attributes:
        transform: what follows the head's product, where a head is kept.
        seconds: that the teacher took for all answers.
        error: the measured difference from the live teacher, as `core.signals.fidelity` gives it; None before it was measured.
    """

    key: Key
    created: float
    transform: Mapping[str, Any] | None = None
    shards: tuple[Shard, ...] = ()
    seconds: float = 0.0
    error: Mapping[str, float] | None = None
    format: int = FORMAT

    @property
    def blocks(self) -> int:
        """How many blocks the cache holds."""
        return sum(shard.blocks for shard in self.shards)

    @property
    def size(self) -> int:
        """Bytes of all shards."""
        return sum(shard.size for shard in self.shards)

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """Read the manifest of a cache. Raises CorruptSignalsError where there is none that can be read."""
        plain = read_json(folder / "manifest.json") or {}
        try:
            return cls(**{**plain, "key": Key(**plain["key"]), "shards": tuple(Shard(**shard) for shard in plain["shards"])})
        except (KeyError, TypeError) as error:
            raise corrupt(folder, "its manifest.json cannot be read") from error

    def write(self, folder: Path) -> None:
        """Replace the manifest of a cache."""
        write_json(folder / "manifest.json", asdict(self))


def list_caches(root: Path) -> Iterator[tuple[Path, Manifest]]:
    """Yield the caches under a folder with their manifests, newest first; what cannot be read is left out."""
    found = []
    for path in root.glob("*/manifest.json") if root.is_dir() else ():
        try:
            found.append((path.parent, Manifest.read(path.parent)))
        except CorruptSignalsError:
            continue
    yield from sorted(found, key=lambda pair: pair[1].created, reverse=True)


def corrupt(folder: Path, what: str) -> CorruptSignalsError:
    """Return the error about a cache that cannot be used."""
    return CorruptSignalsError(f"The teacher's answers in '{folder}' cannot be used: {what}.",
                               "Whole answers of the same teacher to the same text were expected.",
                               f"Delete them (signals delete {folder.name}): the teacher answers again.", field="teacher.signals.form")
