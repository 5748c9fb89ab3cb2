"""Model references as the user writes them: everything the catalogue knows, runs by name or id, what chains hold.

``name`` means the student of that run, ``name:control`` its control, ``name:before`` the student before its first step;
``name:0`` is the largest anchor of a chain, which is a run's or ships with the project, and ``chain-3.03M`` a model created from
one (`workbench.store.chains`). The engine knows no run store, so each becomes the path of its model folder before it sees it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.chains.folder import anchor_folder, house_chains
from core.config import (
    AnchorSpec,
    ChainConfig,
    EnsembleConfig,
    ExperimentConfig,
    ReadingConfig,
    is_address,
)
from core.config.reading import ORACLE
from core.errors import ConfigError, ModelError, ModelNotFoundError, RunVerb
from core.models import catalog
from core.models.ensembles import parse_ensemble
from core.recorder import CONTROL, STUDENT
from core.system import reach
from workbench.errors import RunNotFoundError
from workbench.store import chains
from workbench.store.named_files import freeze_files
from workbench.store.records import Run
from workbench.store.store import Store

if TYPE_CHECKING:
    from core.models.entries import LoadedModel, ModelEntry

BEFORE = "before"  # the untrained student, kept by the engine beside the trained ones
TRAINED = (STUDENT, CONTROL)
PARTS = {STUDENT: "student model", CONTROL: "control model", BEFORE: "student from before training"}  # folder -> its model
ROLES = {CONTROL: "Control", BEFORE: "Untrained student"}  # of a run's models that are compared


def role(number: int, compared: Sequence[str]) -> str:
    """Return the role of a model in a comparison: the first is the teacher, a run's control is one wherever it stands."""
    name, _, part = compared[number].rpartition(":")
    own = ROLES.get(part) if name else None
    return own or ("Student" if number else "Teacher" if len(compared) > 1 else "Model")


def short(reference: str) -> str:
    """Return a model's name where space is short: the last part of a path."""
    return reference.rstrip("/").rpartition("/")[2] if reference.startswith(("/", ".", "~")) else reference


def resolve(reference: str, store: Store) -> str:
    """Return what the catalogue reads: the folder of a run's model, an anchor or a created model; anything else unchanged.

    Raises:
        ModelNotFoundError: the run or the chain is there, but has no such model (yet).
    """
    if ensemble := parse_ensemble(reference):
        return ensemble.with_members([resolve(member, store) for member in ensemble.members])
    found = _run_of(reference, store)
    return str(_folder(*found)) if found else str(_of_chain(reference) or reference)


def describe(reference: str, store: Store) -> ModelEntry:
    """Describe a reference without loading its weights; a run's model carries the run's name."""
    if parse_ensemble(reference) is not None:
        return replace(catalog.describe(resolve(reference, store)), name=reference)
    found = _run_of(reference, store)
    if found is not None:
        return _entry(*found)
    folder = _of_chain(reference)
    return catalog.describe(reference) if folder is None else _chain_entry(reference, folder)


def entries(store: Store, parts: Collection[str] = TRAINED) -> list[ModelEntry]:
    """Return every model that can be picked.

    They are the catalogue, the anchors of house chains, then these `parts` and the anchors of the runs, newest first, and what was created
    from chains.
    """
    found = catalog.entries()
    known = chains.places(store)
    anchors = {place.run.id: chains.anchors(place) for place in known if place.run is not None}
    found += _chain_entries(pair for place in known if place.run is None for pair in chains.anchors(place))
    for run in store.runs():
        for part in parts if not run.builds_chain else (reference.rpartition(":")[2] for reference, _ in anchors[run.id]):
            with suppress(ModelError):  # not trained yet, or damaged since: nothing to pick
                found.append(_entry(run, part))
    return [*found, *_chain_entries((folder.name, folder) for folder in chains.created_folders())]


def freeze_references(config: ExperimentConfig, store: Store) -> tuple[ExperimentConfig, dict[str, str]]:
    """Make a configuration independent of the working directory and of later renaming.

    Returns:
        The configuration with absolute paths, and the parents: model reference as written -> the same by run id.

    Raises:
        ModelError, NetworkError: a model that it names is not there or cannot be used.
        ConfigError: it names a file that the one who asks may not read (`core.system.reach`).
    """
    reading = config.reading if isinstance(config, ReadingConfig) else None
    for key, spec in (("teacher.model", config.teacher), ("reading.model", reading)):
        address = spec.address if spec is not None else None
        if address is not None and (outside := reach.address_refusal(address.url)):
            raise ConfigError(*outside, field=key)
    config = freeze_files(config)
    parents: dict[str, str] = {}
    for section, reference in _models_of(config):
        entry = describe(reference, store)
        if ensemble := parse_ensemble(reference):
            config = _with_model(config, section, ensemble.with_members([_frozen(member, store) for member in ensemble.members]))
            continue
        found = _run_of(reference, store)
        if found is not None:
            run, part = found
            parents[reference] = f"{run.id}:{part}"
        elif entry.kind in ("folder", "gguf"):
            config = _with_model(config, section, str(chains.created_folder(reference) or Path(os.path.expanduser(reference)).absolute()))
    return config, parents


def _frozen(reference: str, store: Store) -> str:
    """Return a member of an ensemble by its run's id, or by an absolute path; a name of the catalogue unchanged."""
    found = _run_of(reference, store)
    if found is not None:
        return f"{found[0].id}:{found[1]}"
    path = Path(os.path.expanduser(reference))
    return str(chains.created_folder(reference) or path.absolute()) if path.exists() else reference


def duplicate(run: Run, store: Store) -> ExperimentConfig:
    """Return the configuration of a run with its models as they are called today.

    A parent may have been renamed since, and another run may have taken its name. `Store.create_run` numbers the run's own name.
    """
    config = run.config
    for section, reference in _models_of(config):
        if reference in run.parents:
            config = _with_model(config, section, _current_name(reference, run.parents[reference], store))
    return config


def _current_name(reference: str, parent: str, store: Store) -> str:
    run_id, _, part = parent.partition(":")
    try:
        name = store.run(run_id).name
    except RunNotFoundError:  # permanently deleted: its id names nothing else, while its name may
        return parent
    return reference if reference in (name, f"{name}:{part}", parent) else f"{name}:{part}"


def resolved(config: ExperimentConfig, store: Store) -> ExperimentConfig:
    """Return the same configuration with its models as the engine understands them."""
    for section, reference in _models_of(config):
        config = _with_model(config, section, resolve(reference, store))
    return config


def _models_of(config: ExperimentConfig) -> Iterator[tuple[str, str]]:
    """Yield the sections of a configuration that name a model, with the references; an anchor's section is its number."""
    for section in ("teacher", "student", "bridge", "reading", "specialists"):
        spec = getattr(config, section, None)
        if spec is not None and spec.model is not None and not is_address(spec.model) and (section, spec.model) != ("reading", ORACLE):
            yield section, spec.model
    for number, member in enumerate(config.ensemble.members if isinstance(config, EnsembleConfig) else ()):
        if member.model is not None:
            yield str(number), member.model
    for number, anchor in enumerate(config.chain.anchors if isinstance(config, ChainConfig) else ()):
        if anchor.model is not None:
            yield str(number), anchor.model


def _with_model(config: ExperimentConfig, section: str, reference: str) -> ExperimentConfig:
    if isinstance(config, ChainConfig) and section.isdecimal():
        anchors = list(config.chain.anchors)
        anchors[int(section)] = AnchorSpec(model=reference)
        return config.model_copy(update={"chain": config.chain.model_copy(update={"anchors": tuple(anchors)})})
    if isinstance(config, EnsembleConfig):
        members = list(config.ensemble.members)
        members[int(section)] = members[int(section)].model_copy(update={"model": reference})
        return config.model_copy(update={"ensemble": config.ensemble.model_copy(update={"members": tuple(members)})})
    spec = getattr(config, section).model_copy(update={"model": reference})
    return config.model_copy(update={section: spec})


def loader(run: Run, store: Store) -> Callable[..., LoadedModel]:
    """`core.models.catalog.load` that also understands the references of this run's configuration."""
    def load(reference: str, **options: Any) -> LoadedModel:
        if parse_ensemble(reference) is not None:
            return replace(catalog.load(resolve(reference, store), **options), entry=describe(reference, store))
        found = _run_of(run.parents.get(reference, reference), store)
        if found is None:
            folder = _of_chain(reference)
            loaded = catalog.load(str(folder or reference), **options)
            return loaded if folder is None else replace(loaded, entry=_chain_entry(reference, folder))
        return replace(catalog.load(str(_folder(*found)), **options), entry=_entry(*found))

    return load


def places(config: ExperimentConfig, parents: Mapping[str, str], store: Store) -> dict[str, dict[str, Any]]:
    """Return where the models of a configuration lie and how they are called, for processes that do not open the store.

    Args:
        parents: as `freeze_references` returns them.

    Returns:
        Reference -> path (what `core.models.catalog.load` takes), name, kind, source and description.
    """
    found = {}
    references = [reference for _, reference in _models_of(config)]
    members = [member for reference in references if (ensemble := parse_ensemble(reference)) for member in ensemble.members]
    for reference in dict.fromkeys([*references, *members]):  # a comparison of an ensemble loads its members alone too
        stored = parents.get(reference, reference)
        entry = describe(stored, store)
        found[reference] = {"path": resolve(stored, store), "name": entry.name, "kind": entry.kind, "source": entry.source,
                            "description": entry.description}
    return found


def _run_of(reference: str, store: Store) -> tuple[Run, str] | None:
    named = re.search(rf":({'|'.join(PARTS)}|\d+)\Z", reference)
    name, part = (reference[:named.start()], named[1]) if named else (reference, STUDENT)
    try:
        run = store.run(name)
    except RunNotFoundError:
        return None
    if reference in catalog.names():
        return None
    if run.deleted is not None:
        raise ModelNotFoundError(f"The run '{run.name}' is in the bin.", "A run that is not deleted was expected.",
                                 "Restore it.", suggestion=RunVerb("restore", run.name))
    return run, part


def _of_chain(reference: str) -> Path | None:
    """Return the folder of a house chain's anchor or of a created model; None for anything else.

    Raises:
        ModelNotFoundError: a whole chain, or a created model that is in the bin.
    """
    if reference in house_chains():
        raise ModelNotFoundError(f"'{reference}' is a chain.", "One model was expected.", f"Name one of its anchors, as {reference}:0.")
    folder = anchor_folder(reference) or chains.created_folder(reference)
    if folder is None and chains.is_binned(reference):
        raise ModelNotFoundError(f"'{reference}' is in the bin of its chain.", "A model that was not removed was expected.",
                                 "Restore it on the Chain page.")
    return folder


def _folder(run: Run, part: str) -> Path:
    if run.builds_chain:
        return _anchor(run, part)
    folder = run.directory / part
    if not (folder / "config.json").is_file():
        raise ModelNotFoundError(f"The run '{run.name}' ({run.status}) has no {PARTS[part]}.",
                                 "A run that trained one to its end was expected.", **_resuming(run))
    return folder


def _anchor(run: Run, part: str) -> Path:
    if not part.isdecimal():
        raise ModelNotFoundError(f"The run '{run.name}' builds a chain.", "One model was expected.",
                                 f"Name one of its anchors, as {run.name}:0.")
    folder = run.directory / "anchors" / part
    if not (folder / "config.json").is_file():
        there = ", ".join(reference for reference, _ in chains.anchors(chains.ChainPlace(run.name, run.directory, run)))
        raise ModelNotFoundError(f"The chain '{run.name}' ({run.status}) has no anchor {part}.", f"It has {there or 'none yet'}.",
                                 **_resuming(run))
    return folder


def _resuming(run: Run) -> dict[str, Any]:
    """Return the parts of an error that say how an unfinished run gets its models; none for a finished run."""
    return {} if run.status == "finished" else {"fix": "Let it finish, or resume it.", "suggestion": RunVerb("resume", run.name)}


def _chain_entries(found: Iterable[tuple[str, Path]]) -> Iterator[ModelEntry]:
    for reference, folder in found:
        with suppress(ModelError):  # damaged since: nothing to pick
            yield _chain_entry(reference, folder)


def _chain_entry(reference: str, folder: Path) -> ModelEntry:
    """Return the entry of a house chain's anchor, or of a created model, which has a folder of its own and counts as one."""
    entry = catalog.describe(str(folder))
    chain, _, number = reference.partition(":")
    if number.isdecimal():
        return replace(entry, name=reference, kind="house", source=f"anchor {number} of {chain}", description="")
    return replace(entry, name=reference, source="made on demand", description="")


def _entry(run: Run, part: str) -> ModelEntry:
    entry = catalog.describe(str(_folder(run, part)))
    return replace(entry, name=run.name if part == STUDENT else f"{run.name}:{part}", kind="run", source=f"run {run.id}")
