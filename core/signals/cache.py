"""A teacher's answers on disk: shards of blocks, a manifest that says whose answers they are, and nothing that is there by half.

    signals/<key>/
        manifest.json         teacher, form, shards with their sizes and sha256 (`core.signals.manifest`)
        head.safetensors      the teacher's output head, where hidden states are kept
        <shard>.safetensors   blocks: their token ids and the arrays of `core.signals.forms`, memory-mapped when read

A block is found by its token ids, whatever run, seed or order it comes from. Shards are only ever added; a manifest lists those that
were written to their end. Several processes may add to one cache.

Shapes: B blocks, T positions.
"""

from __future__ import annotations

import hashlib
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from core.models.architecture_spec import LogitTransform
from core.signals.forms import Arrays
from core.signals.manifest import FORMAT, Key, Manifest, Shard, corrupt
from core.signals.targets import Head
from core.system.files import require_free_disk

SHARD_BYTES = 64 << 20  # a shard is written when so much waits
RAGGED = ("words",)  # arrays whose length differs between blocks: concatenated, with offsets


@dataclass
class _Waiting:
    """Blocks that are not on disk yet."""

    ids: list[Tensor] = field(default_factory=list)
    arrays: list[Arrays] = field(default_factory=list)
    size: int = 0
    seconds: float = 0.0


class SignalCache:
    """Answers of one teacher in one form.

    Args:
        folder: of the cache; made with the first block.
        key: whose answers are wanted.

    Raises:
        CorruptSignalsError: the folder holds another teacher's answers, or is damaged; what differs is said.
    """

    def __init__(self, folder: Path, key: Key) -> None:
        self.folder, self.key = folder, key
        self._manifest = Manifest(key, time.time())
        self._places: dict[bytes, tuple[str, int]] = {}  # block -> shard and place in it; the empty shard is what waits
        self._open: dict[str, Arrays] = {}
        self._waiting = _Waiting()
        if folder.is_dir():
            self._refresh()

    @property
    def manifest(self) -> Manifest:
        """What is on disk."""
        return self._manifest

    def __contains__(self, block: bytes) -> bool:
        return block in self._places

    def missing(self, blocks: Sequence[bytes]) -> list[int]:
        """Return the places in `blocks` of those that the cache does not hold."""
        return [place for place, block in enumerate(blocks) if block not in self._places]

    # ------------------------------------------------------------------------------------------ writing

    def keep_head(self, head: Head) -> None:
        """Keep the teacher's output head, without states, unless it is there."""
        path = self.folder / "head.safetensors"
        if path.is_file() and self._manifest.transform is not None:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        parts = {"weight": head.weight} | ({"bias": head.bias} if head.bias is not None else {})
        with self._lock():
            _write_whole(path, {name: part.detach().cpu().contiguous() for name, part in parts.items()})
            self._refresh()
            self._update(transform=asdict(head.transform))

    def head(self, device: torch.device) -> Head | None:
        """Return the teacher's output head without states; None where the form needs none."""
        if self._manifest.transform is None:
            return None
        try:
            with safe_open(self.folder / "head.safetensors", "pt") as file:
                parts = {name: file.get_tensor(name).to(device) for name in file.keys()}  # noqa: SIM118 -- no dictionary
        except (OSError, SafetensorError) as error:
            raise corrupt(self.folder, "head.safetensors cannot be read") from error
        weight = parts["weight"]
        return Head(weight.new_zeros(0, weight.shape[1]), weight, parts.get("bias"), LogitTransform(**self._manifest.transform))

    def add(self, ids: Tensor, arrays: Sequence[Arrays], seconds: float = 0.0) -> None:
        """Add blocks; those that are there already are left out. They are on disk after `flush`.

        Args:
            ids: (B, T) token ids.
            arrays: of each block.
            seconds: that the teacher took.
        """
        waiting = self._waiting
        waiting.seconds += seconds
        for block, row, parts in zip(block_keys(ids), ids.cpu(), arrays, strict=True):
            if block in self._places:
                continue
            self._places[block] = ("", len(waiting.ids))
            waiting.ids.append(row.to(torch.int32))
            waiting.arrays.append(parts)
            waiting.size += sum(part.numel() * part.element_size() for part in parts.values())
        if waiting.size >= SHARD_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write what waits as a shard, then list it in the manifest.

        Raises:
            DiskFullError: less room than it takes.
        """
        waiting = self._waiting
        if not waiting.ids:
            return
        require_free_disk(self.folder, waiting.size)
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"{uuid.uuid4().hex[:16]}.safetensors"
        with self._lock():  # `remove_unlisted` must not find it before the manifest does
            _write_whole(path, {"input_ids": torch.stack(waiting.ids), **_joined(waiting.arrays)})
            shard = Shard(path.name, len(waiting.ids), path.stat().st_size, _sha256(path))
            self._refresh()
            self._update(shards=(*self._manifest.shards, shard), seconds=self._manifest.seconds + waiting.seconds)
        self._waiting = _Waiting()
        for place, block in enumerate(block_keys(torch.stack(waiting.ids))):
            self._places[block] = (shard.file, place)

    def note_error(self, error: Mapping[str, float]) -> None:
        """Keep the measured difference from the live teacher."""
        with self._lock():
            self._refresh()
            self._update(error=dict(error))

    # ------------------------------------------------------------------------------------------ reading

    def read(self, blocks: Sequence[bytes]) -> list[Arrays]:
        """Return the arrays of blocks.

        Raises:
            KeyError: a block that is not held.
            CorruptSignalsError: a shard is damaged.
        """
        return [self._waiting.arrays[place] if not shard else _block(self._shard(shard), place)
                for shard, place in (self._places[block] for block in blocks)]

    def sample(self, count: int) -> tuple[Tensor, list[Arrays]]:
        """Return so many blocks at most of those on disk, of which there are some, spread: token ids (B, T) int64 and arrays."""
        places = sorted(place for place in self._places.values() if place[0])
        chosen = places[::max(1, len(places) // count)][:count]
        return (torch.stack([self._shard(shard)["input_ids"][place] for shard, place in chosen]).long(),
                [_block(self._shard(shard), place) for shard, place in chosen])

    def verify(self) -> None:
        """Read and check every shard. Raises CorruptSignalsError for the first that is damaged."""
        for shard in self._manifest.shards:
            self._shard(shard.file)

    # ------------------------------------------------------------------------------------------ inside

    def _lock(self) -> FileLock:
        return FileLock(self.folder / ".lock")

    def _update(self, **changes: Any) -> None:
        self._manifest = replace(self._manifest, **changes)
        self._manifest.write(self.folder)

    def _refresh(self) -> None:
        """Take up what is on disk, of other processes too."""
        if not (self.folder / "manifest.json").is_file():
            return
        found = Manifest.read(self.folder)
        if found.format != FORMAT:
            raise corrupt(self.folder, f"its format is {found.format}, where this release reads {FORMAT}")
        if different := self.key.differences(found.key):
            raise corrupt(self.folder, f"it holds the answers of '{found.key.teacher}': {', '.join(different)}")
        known = {shard.file for shard in self._manifest.shards} if self._places else set()
        self._manifest = found
        for shard in found.shards:
            if shard.file not in known:
                for place, block in enumerate(block_keys(self._shard(shard.file)["input_ids"])):
                    self._places.setdefault(block, (shard.file, place))

    def _shard(self, name: str) -> Arrays:
        """Return the arrays of a shard, memory-mapped; checked when it is opened first."""
        if name not in self._open:
            shard = next(each for each in self._manifest.shards if each.file == name)
            path = self.folder / name
            if not path.is_file():
                raise corrupt(self.folder, f"{name} is not there")
            if path.stat().st_size != shard.size or _sha256(path) != shard.sha256:
                raise corrupt(self.folder, f"{name} is not what was written: size or sha256 differ")
            with safe_open(path, "pt") as file:
                self._open[name] = {part: file.get_tensor(part) for part in file.keys()}  # noqa: SIM118 -- no dictionary
        return self._open[name]


def block_keys(ids: Tensor) -> list[bytes]:
    """Return what each block is found by: sixteen bytes over its token ids (B, T)."""
    return [hashlib.blake2b(row.tobytes(), digest_size=16).digest() for row in ids.to(torch.int32).cpu().numpy()]


def remove_unlisted(folder: Path) -> None:
    """Delete shards that no manifest lists: those of a process that was killed while it wrote."""
    with FileLock(folder / ".lock"):
        listed = {shard.file for shard in Manifest.read(folder).shards} | {"head.safetensors"}
        for path in folder.glob("*.safetensors"):
            if path.name not in listed:
                path.unlink()
        for path in folder.glob("*.partial"):
            path.unlink(missing_ok=True)


def _joined(arrays: Sequence[Arrays]) -> Arrays:
    """Return the arrays of blocks as those of a shard."""
    joined: Arrays = {}
    for name in arrays[0]:
        parts = [each[name] for each in arrays]
        if name in RAGGED:
            joined[f"{name}.offsets"] = torch.tensor([0, *(len(part) for part in parts)]).cumsum(0)
            joined[name] = torch.cat(parts)
        else:
            joined[name] = torch.stack(parts)
    return joined


def _block(shard: Arrays, place: int) -> Arrays:
    """Return the arrays of one block of a shard."""
    found = {}
    for name, whole in shard.items():
        if name in RAGGED:
            start, stop = shard[f"{name}.offsets"][place:place + 2].tolist()
            found[name] = whole[start:stop]
        elif not name.endswith(".offsets"):
            found[name] = whole[place]
    return found


def _write_whole(path: Path, tensors: Arrays) -> None:
    partial = path.with_suffix(f".{uuid.uuid4().hex[:8]}.partial")
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, partial)
    partial.replace(path)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
