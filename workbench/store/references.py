"""Model references as the user writes them: everything the catalogue knows, plus runs by name or id.

``name`` means the student of that run, ``name:control`` its control, ``name:before`` the student before its first step. The
engine knows no run store, so a run becomes the path of its model folder before the engine sees it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core import catalog
from core.config import ExperimentConfig
from core.data.house import HOUSE
from core.errors import ModelError, ModelNotFound
from core.recorder import CONTROL, STUDENT
from workbench.errors import RunNotFound
from workbench.store.records import Run
from workbench.store.store import Store

if TYPE_CHECKING:
    from core.catalog import LoadedModel, ModelEntry

BEFORE = "before"  # the untrained student, kept by the engine beside the trained ones
TRAINED = (STUDENT, CONTROL)
PARTS = {STUDENT: "student model", CONTROL: "control model", BEFORE: "student from before training"}  # folder -> what it holds


def resolve(reference: str, store: Store) -> str:
    """What the catalogue understands: a run's model folder as a path, anything else unchanged.

    Raises:
        ModelNotFound: the run is there, but has no such model (yet).
    """
    found = _run_of(reference, store)
    return reference if found is None else str(_folder(*found))


def describe(reference: str, store: Store) -> ModelEntry:
    """What is known of any reference without loading it; a run's model carries the run's name."""
    found = _run_of(reference, store)
    return catalog.describe(reference) if found is None else _entry(*found)


def entries(store: Store, parts: Collection[str] = TRAINED) -> list[ModelEntry]:
    """Every model that can be picked: the catalogue, then these `parts` of the runs, newest first."""
    found = catalog.entries()
    for run in store.runs():
        for part in parts:
            with suppress(ModelError):  # not trained yet, or damaged since: nothing to pick
                found.append(_entry(run, part))
    return found


def pin(config: ExperimentConfig, store: Store) -> tuple[ExperimentConfig, dict[str, str]]:
    """Make a configuration independent of the working directory and of later renaming.

    Returns:
        The configuration with absolute paths, and the parents: model reference as written -> the same by run id.

    Raises:
        ModelError, NetworkError: a model that it names is not there or cannot be used.
    """
    source = Path(os.path.expanduser(config.data.source))
    if config.data.source != HOUSE and source.is_file():
        config = config.model_copy(update={"data": config.data.model_copy(update={"source": str(source.absolute())})})
    parents: dict[str, str] = {}
    for section, reference in _models_of(config):
        entry = describe(reference, store)
        found = _run_of(reference, store)
        if found is not None:
            run, part = found
            parents[reference] = f"{run.id}:{part}"
        elif entry.kind in ("folder", "gguf"):
            config = _with_model(config, section, str(Path(os.path.expanduser(reference)).absolute()))
    return config, parents


def duplicate(run: Run, store: Store) -> ExperimentConfig:
    """The configuration of a run with its models as they are called today: a parent may have been renamed since, and another run
    may have taken its name. `Store.create_run` numbers the run's own name."""
    config = run.config
    for section, reference in _models_of(config):
        if reference in run.parents:
            config = _with_model(config, section, _called_today(reference, run.parents[reference], store))
    return config


def _called_today(reference: str, parent: str, store: Store) -> str:
    run_id, _, part = parent.partition(":")
    try:
        name = store.run(run_id).name
    except RunNotFound:  # removed for good: its id names nothing else, while its name may
        return parent
    return reference if reference in (name, f"{name}:{part}", parent) else f"{name}:{part}"


def resolved(config: ExperimentConfig, store: Store) -> ExperimentConfig:
    """The same configuration with its models as the engine understands them."""
    for section, reference in _models_of(config):
        config = _with_model(config, section, resolve(reference, store))
    return config


def _models_of(config: ExperimentConfig) -> Iterator[tuple[str, str]]:
    """The sections of a configuration that name a model, with the references."""
    for section in ("teacher", "student"):
        spec = getattr(config, section)
        if spec is not None and spec.model is not None:
            yield section, spec.model


def _with_model(config: ExperimentConfig, section: str, reference: str) -> ExperimentConfig:
    spec = getattr(config, section).model_copy(update={"model": reference})
    return config.model_copy(update={section: spec})


def loader(run: Run, store: Store) -> Callable[..., LoadedModel]:
    """`core.catalog.load` that also understands the references of this run's configuration."""
    def load(reference: str, **options: Any) -> LoadedModel:
        found = _run_of(run.parents.get(reference, reference), store)
        if found is None:
            return catalog.load(reference, **options)
        return replace(catalog.load(str(_folder(*found)), **options), entry=_entry(*found))

    return load


def _run_of(reference: str, store: Store) -> tuple[Run, str] | None:
    name, part = re.fullmatch(rf"(.*?)(?::({'|'.join(PARTS)}))?", reference, re.DOTALL).groups()
    try:
        run = store.run(name)
    except RunNotFound:
        return None
    if any(entry.name == reference for entry in catalog.entries()):
        return None
    if run.deleted is not None:
        raise ModelNotFound(f"The run '{run.name}' is in the bin.", "A run that is not deleted was expected.",
                            f"Restore it: python -m workbench restore {run.name}")
    return run, part or STUDENT


def _folder(run: Run, part: str) -> Path:
    folder = run.directory / part
    if not (folder / "config.json").is_file():
        fix = "" if run.status == "finished" else f"Let it finish, or resume it: python -m workbench resume {run.name}"
        raise ModelNotFound(f"The run '{run.name}' ({run.status}) has no {PARTS[part]}.",
                            "A run that trained one to its end was expected.", fix)
    return folder


def _entry(run: Run, part: str) -> ModelEntry:
    entry = catalog.describe(str(_folder(run, part)))
    return replace(entry, name=run.name if part == STUDENT else f"{run.name}:{part}", kind="run", source=f"run {run.id}")
