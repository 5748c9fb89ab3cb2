"""Chains by name, and the models of any size that were created from them.

    house-chain, a run's name     a chain: one that ships with the project, or a finished run that built one
    house-chain:1, run:1          one of its anchors, 0 the largest
    house-chain-3.03M             a model that was created from it; its folder lies in ``<home>/made/<chain>/``, and after it was
                                  removed in ``.bin/<when>/`` there
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from core.chains.folder import FILE, Chain, Target, house_chains, open_chain
from core.errors import ModelError, ModelNotFoundError, StillhouseError
from core.models import catalog, compatibility
from core.system import reach, units
from core.system.files import unique_suffix
from workbench import paths
from workbench.errors import RunNotFoundError, StoreError
from workbench.store.records import Run
from workbench.store.store import Store

RECORD = "stillhouse.json"  # beside the weights of every model that the engine saves
BIN = ".bin"  # in a chain's folder of created models; what begins with a dot is no model


@dataclass(frozen=True, slots=True)
class ChainPlace:
    """A chain that can be named: where it lies, and the run that builds or built it."""

    name: str
    path: Path
    run: Run | None = None

    @property
    def complete(self) -> bool:
        """Whether every anchor is trained and measured."""
        return (self.path / FILE).is_file()

    @property
    def built(self) -> float:
        """When it was completed, in seconds since 1970. Raises OSError while it is not."""
        return (self.path / FILE).stat().st_mtime

    @property
    def generated_dir(self) -> Path:
        """Where the models that are created from it lie; a run may be renamed, its id stays."""
        if self.run is not None:
            return paths.generated_dir() / self.run.id
        where = Path(self.name)
        mark = "" if where.name == self.name else f"-{hashlib.sha256(str(self.path).encode()).hexdigest()[:6]}"
        return paths.generated_dir() / f"{where.name}{mark}"  # a folder is known by its last name, of which there may be several

    def open(self) -> Chain:
        """Open the chain. Raises ModelNotFoundError for an unfinished chain, CorruptModelError for a damaged one."""
        return replace(open_chain(str(self.path)), reference=self.name)


@dataclass(frozen=True, slots=True)
class CreatedModel:
    """A model that was made on demand; the other fields are those of `core.chains.on_demand.GeneratedModel`.

    Attributes:
        requested_size: the requested parameter count, for which the solver gives this size.
        recoveries: the trainings that began with it and their baselines: role -> run id, oldest first.
        chain_digest: `core.chains.folder.Chain.digest` of the chain at that time; None in release 0.1.0.
    """

    name: str
    folder: Path
    target: Target
    method: str
    alpha: float | None
    swapped: tuple[int, ...] | None
    losses: dict[str, float]
    requested_size: int
    recoveries: tuple[dict[str, str], ...] = ()
    chain_digest: str | None = None


@dataclass(frozen=True, slots=True)
class BinnedModel:
    """A created model in the bin, and when it went there, in seconds since 1970."""

    model: CreatedModel
    deleted: float


def places(store: Store) -> list[ChainPlace]:
    """Return the chains that ship with the project, then those of runs, newest first, finished or not."""
    return [*(ChainPlace(name, path) for name, path in house_chains().items()),
            *(ChainPlace(run.name, run.directory, run) for run in store.runs() if run.builds_chain)]


def place(reference: str, store: Store) -> ChainPlace:
    """Return a chain by its name, its run's id, or its folder.

    Raises:
        ModelNotFoundError: there is none.
        CompatibilityError: a model of which no chain can be built.
    """
    known = places(store)
    for each in known:
        if reference == each.name or (each.run and reference == each.run.id):
            return each
    if outside := reach.refusal(reference):
        raise ModelNotFoundError(*outside)
    path = Path(os.path.expanduser(reference))
    if os.path.isfile(path / FILE):  # unlike pathlib's, it takes names of any length
        return ChainPlace(reference, path.absolute())
    with suppress(RunNotFoundError):
        run = store.run(reference)
        raise ModelNotFoundError(f"The run '{run.name}' is in the bin." if run.builds_chain else f"The run '{run.name}' builds no chain.",
                                 f"One of {_listed(known)} was expected.")
    if os.path.isdir(path) or any(reference == entry.name for entry in catalog.entries()):
        with suppress(ModelError):  # no model either: only chains are named then
            compatibility.require_causal_lm(catalog.describe(reference), "chain")
    raise ModelNotFoundError(f"There is no chain '{reference}'.", f"One of {_listed(known)}, or a chain's folder, was expected.")


def _listed(known: list[ChainPlace]) -> str:
    return ", ".join(each.name for each in known) or "no chains yet"


# ---------------------------------------------------------------------------------------------------- created models


def created(place: ChainPlace) -> list[CreatedModel]:
    """Return the models created from a chain, newest first."""
    folders = sorted(_folders(place.generated_dir), key=lambda folder: -folder.stat().st_mtime)
    return [model for folder in folders if (model := read_created(folder)) is not None]


def created_name(place: ChainPlace, target: Target, method: str, alpha: float | None) -> str:
    """Return the name that a model is created under: a readable size, or the exact one where that name is taken in the chain."""
    way = "" if alpha is None else f"-alpha{alpha:.3g}"
    for size in (units.count(target.parameters), str(target.parameters)):
        name = f"{Path(place.name).name}-{size}{way}"
        there = read_created(place.generated_dir / name)
        if there is None or (there.target, there.method, there.alpha) == (target, method, alpha):
            break
    return name


def outdated(model: CreatedModel, place: ChainPlace) -> bool:
    """Return whether the chain was rebuilt since the model was created from it."""
    if model.chain_digest is None:
        return model.folder.stat().st_mtime < place.built
    return model.chain_digest != place.open().digest


def read_created(folder: Path) -> CreatedModel | None:
    """Return the record of a generated model; None for a folder that is not one."""
    try:
        plain: dict[str, Any] = json.loads((folder / RECORD).read_text(encoding="utf-8"))["made_from"]
        target = Target.from_dict(plain["target"])
        swapped = plain["swapped"]
        return CreatedModel(folder.name, folder, target, plain["method"], plain["alpha"], swapped if swapped is None else tuple(swapped),
                         plain["losses"], plain.get("requested_size", plain.get("asked", target.parameters)),  # "asked" in 0.1.0
                         tuple(plain.get("recoveries", ())), plain.get("chain_digest"))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def update_record(folder: Path, **known: Any) -> None:
    """Add to the record of a created model: its ``losses``, ``requested_size``, ``recoveries``."""
    record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    record["made_from"] |= known
    partial = folder / f"{RECORD}.{unique_suffix()}.partial"
    partial.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    partial.replace(folder / RECORD)


def created_folder(name: str) -> Path | None:
    """Return the folder of a created model by its name; the newest where several chains have one."""
    found = [folder for folder in _folders(*_subfolders(paths.generated_dir())) if folder.name == name]
    return max(found, key=lambda folder: folder.stat().st_mtime, default=None)


def created_folders() -> list[Path]:
    """Return the folders of all created models, newest first."""
    return sorted(_folders(*_subfolders(paths.generated_dir())), key=lambda folder: -folder.stat().st_mtime)


def bin_created(model: CreatedModel) -> BinnedModel:
    """Put a created model into its chain's bin; `restore_created` undoes it. Raises StoreError."""
    now = time.time_ns()
    folder = model.folder.parent / BIN / str(now) / model.name
    with _removing(model):
        folder.parent.mkdir(parents=True)
        os.replace(model.folder, folder)
    return BinnedModel(replace(model, folder=folder), now / 1e9)


def binned_created(place: ChainPlace) -> list[BinnedModel]:
    """Return the generated models in a chain's bin, the latest first."""
    stamps = sorted((each for each in _subfolders(place.generated_dir / BIN) if each.name.isdecimal()), key=lambda each: -int(each.name))
    return [BinnedModel(model, int(stamp.name) / 1e9) for stamp in stamps for folder in _folders(stamp) if (model := read_created(folder))]


def is_binned(name: str) -> bool:
    """Whether a created model of that name is in some chain's bin."""
    stamps = (stamp for place in _subfolders(paths.generated_dir()) for stamp in _subfolders(place / BIN))
    return any(folder.name == name for folder in _folders(*stamps))


def restore_created(binned: BinnedModel) -> None:
    """Take a created model out of the bin. Raises StoreError where another one has its name by now."""
    stamp = binned.model.folder.parent
    home = stamp.parent.parent / binned.model.name
    if home.exists():
        raise StoreError(f"'{binned.model.name}' was created again since it went into the bin.", "A name that is free was expected.",
                         "Remove the newer one first.")
    with _removing(binned.model):
        os.replace(binned.model.folder, home)
        stamp.rmdir()


def delete_created(binned: BinnedModel) -> None:
    """Delete a generated model of the bin permanently. Raises StoreError."""
    with _removing(binned.model):
        shutil.rmtree(binned.model.folder.parent)


@contextmanager
def _removing(model: CreatedModel) -> Iterator[None]:
    if paths.generated_dir() not in model.folder.parents:
        raise StoreError(f"'{model.folder}' is not a created model's folder.", f"A folder in {paths.generated_dir()} was expected.")
    try:
        yield
    except OSError as error:
        raise StoreError(f"'{model.folder}' cannot be moved or removed: {(error.strerror or str(error)).lower()}.") from error


def _folders(*parents: Path) -> Iterator[Path]:
    for parent in parents:
        for folder in _subfolders(parent):
            if (folder / RECORD).is_file():
                yield folder


def _subfolders(parent: Path) -> list[Path]:
    """Folders in a folder that may not be there; those that are being written begin with a dot."""
    return [each for each in parent.iterdir() if each.is_dir() and not each.name.startswith(".")] if parent.is_dir() else []


def anchors(place: ChainPlace) -> list[tuple[str, Path]]:
    """Return reference and folder of every anchor that is there; empty for a chain that cannot be read."""
    if place.complete:
        with suppress(StillhouseError):
            chain = place.open()
            return [(f"{place.name}:{anchor.number}", chain.folder(anchor.number)) for anchor in chain.anchors]
        return []
    trained = sorted((folder for folder in _subfolders(place.path / "anchors") if folder.name.isdecimal()), key=lambda each: int(each.name))
    return [(f"{place.name}:{folder.name}", folder) for folder in trained]
