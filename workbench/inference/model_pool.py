"""Models kept in memory between questions; the one not used for longest makes room. Lives in the engine process."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import OutOfMemoryError
from core.models import catalog
from core.models.ensembles import parse_ensemble
from core.models.entries import LoadedModel, ModelEntry
from core.models.weight_digests import loaded_hash
from core.system import devices, machine
from core.system.units import GIB, format_gib
from workbench.inference.wire import ModelCard

if TYPE_CHECKING:
    import torch

ROOM = 1.5  # times the weights: reading them and answering takes memory beside them
RESERVE_GIB, RESERVED = 0.5, 1 / 16  # never taken, for the rest of the machine: at most so much, or this share of its memory
IDLE_SECONDS = 600.0  # a model without requests for this long is unloaded, to free memory for training

Stamp = tuple[tuple[str, int, int], ...]


@dataclass(eq=False)
class PooledModel:
    """A loaded model.

    Attributes:
        paths: what it was read from, of an ensemble all members'; none for a model that was downloaded just now.
        stamp: what tells these weights from those that a run has trained on from them.
        users: how many requests are using it now; 0 means that it may be dropped.
        used: when a request last used it, in seconds of the monotonic clock.
    """

    loaded: LoadedModel
    card: ModelCard
    paths: tuple[Path, ...]
    stamp: Stamp
    users: int = 0
    used: float = 0.0


class ModelPool:
    """Loads models when they are first requested. Safe to use from several threads."""

    def __init__(self) -> None:
        self._models: dict[str, PooledModel] = {}
        self._lock = threading.Lock()  # guards the table
        self._loading = threading.Lock()  # one load at a time, so that two do not count on the same free memory

    @contextmanager
    def using(self, reference: str) -> Iterator[tuple[LoadedModel, ModelCard]]:
        """Yield the model that a reference names and its card, kept in memory for as long as the block runs.

        Raises:
            ModelError, NetworkError: see `core.models.catalog.load`.
            OutOfMemoryError: it would not fit, even alone.
        """
        pooled = self._take(reference)
        if pooled is None:
            with self._loading:
                pooled = self._take(reference) or self._load(reference)
        try:
            yield pooled.loaded, pooled.card
        finally:
            with self._lock:
                pooled.users, pooled.used = pooled.users - 1, time.monotonic()

    def drop_idle(self, seconds: float = IDLE_SECONDS) -> None:
        """Give back the memory of every model that nobody has used for so long; 0 for all that nobody uses now."""
        latest = time.monotonic() - seconds
        with self._lock:
            idle = [reference for reference, pooled in self._models.items() if not pooled.users and pooled.used <= latest]
            for reference in idle:
                del self._models[reference]
        if idle:
            free_memory()

    def _take(self, reference: str) -> PooledModel | None:
        with self._lock:
            pooled = self._models.get(reference)
            if pooled is None or pooled.stamp != _stamp(pooled.paths):
                return None
            pooled.users, pooled.used = pooled.users + 1, time.monotonic()
            return pooled

    def _load(self, reference: str) -> PooledModel:
        entry, device = catalog.describe(reference), devices.resolve_device("auto")
        # Encoders are small, and their answers are probabilities side by side: in bf16 many would tie, and ranks be chance.
        dtype = devices.resolve_precision("auto" if entry.task == "causal" else "fp32", device)
        with self._lock:
            self._models.pop(reference, None)  # an outdated copy; whoever still uses it keeps it until done
        self._make_room(entry.parameters * dtype.itemsize / GIB, device)
        paths = _paths(reference, entry)
        stamp = _stamp(paths)  # before reading: files that change meanwhile make this copy outdated
        loaded = catalog.load(reference, device=device, dtype=dtype)
        card = ModelCard(parameters=loaded.model.num_parameters(), layers=loaded.entry.layers, context=loaded.entry.context,
                         weights=loaded_hash(loaded.model), device=str(device))
        pooled = PooledModel(loaded, card, paths, stamp, users=1, used=time.monotonic())
        with self._lock:
            self._models[reference] = pooled
        return pooled

    def _make_room(self, needed_gib: float, device: torch.device) -> None:
        reserve = min(RESERVE_GIB, (machine.memory_limit() or machine.memory_total()) / GIB * RESERVED)
        while (free := devices.memory_available(device)) < needed_gib * ROOM + reserve:
            with self._lock:
                idle = [reference for reference, pooled in self._models.items() if not pooled.users]
                if not idle:
                    raise OutOfMemoryError(f"The model needs about {format_gib(needed_gib * ROOM * GIB)} of memory to answer.",
                                           f"{format_gib(max(free - reserve, 0) * GIB)} can be used on {device}.",
                                           "Choose a smaller model, compare fewer models, or close other programs.")
                del self._models[min(idle, key=lambda reference: self._models[reference].used)]
            free_memory()


def free_memory() -> None:
    """Hand back to the system what nothing refers to any more: on a GPU the allocator keeps what it freed."""
    import torch

    gc.collect()
    torch.cuda.empty_cache()  # does nothing where there is no GPU


def _paths(reference: str, entry: ModelEntry) -> tuple[Path, ...]:
    """Return the folders or files that a reference is read from."""
    ensemble = parse_ensemble(reference)
    found = [entry] if ensemble is None else map(catalog.describe, ensemble.members)
    return tuple(each.path for each in found if each.path is not None)


def _stamp(paths: Iterable[Path]) -> Stamp:
    """Return what changes with a model's weights: of each file its name, size and time. A newer file may have an older time."""
    files = chain.from_iterable(path.glob("*.safetensors") if path.is_dir() else path.parent.glob(path.name) for path in paths)
    return tuple(sorted((str(file), (about := file.stat()).st_size, about.st_mtime_ns) for file in files))
