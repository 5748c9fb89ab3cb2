"""What pages remember: the store, the run that the URL names, the last run put into the bin."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import streamlit as st

from core.errors import StillhouseError
from core.models.ensembles import parse_ensemble
from core.system.paths import PROJECT
from workbench import paths
from workbench.screens.shared.curves import CURVES
from workbench.store import Store, references
from workbench.store.records import Run
from workbench.web.origins import host_of, is_loopback

if TYPE_CHECKING:
    import pandas as pd

    from core.models.checkpoints import Task
    from core.models.entries import ModelEntry

(HOME, LEARN, NEW, TUNE, CHAIN, RUNS, RUN, RECIPES, COMPARE, DEPLOY, DEVICE, MODELS, SIGNALS, CLAIMS, CHECKS, ABLATION, TEMPERATURE,
 SPECIALISTS, CLASS, BOARD, ENSEMBLE, READING, SWEEP) = (
    str(PROJECT / "pages" / f"{name}.py")
    for name in ("home", "learn", "new", "tune", "chain", "runs", "run", "recipes", "compare", "deploy", "device", "models", "signals",
                 "claims", "checks", "ablation", "temperature", "specialists", "classroom", "board",
                 "ensemble", "reading", "sweep"))
RUN_SHOWN = "run.shown"  # in the session state


def store() -> Store:
    """Return the run store of the home folder. Raises StoreUnavailableError."""
    return _open(str(paths.store_path()))


@st.cache_resource(show_spinner=False)
def _open(path: str) -> Store:
    return Store(paths.Path(path))


def run_of_url() -> Run | None:
    """Return the run that ``?run=`` names, or else the one that this session looked at last; None for none. Raises RunNotFoundError.

    On the way from one page to another Streamlit leaves addresses of this page with the next page's parameters in the browser's history.
    """
    reference = st.query_params.get("run") or st.session_state.get(RUN_SHOWN)
    if not reference:
        return None
    st.session_state[RUN_SHOWN] = reference
    return store().run(reference)


def lives(run: Run) -> bool:
    """Whether there is more to come: it runs, or waits for its turn."""
    return run.active or run.status == "queued"


def curves(run_id: str) -> pd.DataFrame:
    """Return all numbers of a run, for `charts`; the table is every session's, so nobody writes into it."""
    return CURVES.of(store(), run_id).fetch(store(), run_id)


def put_into_bin(*runs: Run) -> None:
    """Delete runs and remember them, so that the next page can offer to undo that."""
    for run in runs:
        store().delete(run.id)
    forget_models()
    st.session_state["binned"] = [run.id for run in runs]


def take_from_bin(*runs: Run) -> None:
    """Undo a deletion."""
    for run in runs:
        store().restore(run.id)
    forget_models()


def binned() -> list[Run]:
    """Return the runs that this session deleted last, those of them that are still in the bin."""
    last = st.session_state.get("binned", ())
    return [run for run in store().runs(include_deleted=True) if run.id in last and run.deleted is not None] if last else []


def describe(reference: str) -> ModelEntry:
    """Describe a model, cached for a few minutes: a hub id costs a request. Raises the errors of `references.describe`."""
    found = _described(str(store().path), reference)
    if isinstance(found, StillhouseError):
        raise found
    return found


def entry_of(reference: str) -> ModelEntry | None:
    """Describe a model; None if it is not trained yet or does not exist."""
    listed = next((entry for entry in models(tuple(references.PARTS)) if entry.name == reference), None)
    with suppress(StillhouseError):
        return listed or describe(reference)
    return None


def task_of(reference: str) -> Task | None:
    """Return what a model's head is for; None where that is not known."""
    entry = entry_of(reference)
    return None if entry is None else entry.task


def weights_stamp(reference: str) -> str:
    """Return what changes with the weights of a model; empty where there are no files to look at yet."""
    if ensemble := parse_ensemble(reference):
        return " ".join(map(weights_stamp, ensemble.members))
    entry = entry_of(reference)
    if entry is None or entry.path is None:
        return ""
    files = entry.path.glob("*.safetensors") if entry.path.is_dir() else (entry.path,)
    # The latest time of all would stay where a file is replaced while the clock is behind.
    return " ".join(f"{file.name}:{(about := file.stat()).st_size}:{about.st_mtime_ns}" for file in sorted(files))


def resolved(reference: str) -> str:
    """Return a model reference as the engine process understands it. Raises ModelNotFoundError for a run that has no such model."""
    return references.resolve(reference, store())


def models(parts: tuple[str, ...] = references.TRAINED) -> list[ModelEntry]:
    """Every model that can be picked, with these parts of the runs; looked up again every few seconds, since each is a file to be read."""
    return _models(str(store().path), parts)


def visitor_is_here() -> bool:
    """Whether the page is looked at on the machine that serves it, as far as the request tells: straight to it, by its own name."""
    headers = st.context.headers
    proxied = any(name in headers for name in ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host"))
    # Streamlit gives no address for a connection from 127.0.0.1 or ::1.
    return st.context.ip_address is None and not proxied and is_loopback(host_of(f"//{headers.get('Host', '')}"))


def origin() -> str:
    """Scheme and host of the page's address, as the visitor's browser knows them; empty where that is not known."""
    address = urlsplit(st.context.url or "")
    return f"{address.scheme}://{address.netloc}" if address.netloc else ""


def forget_models() -> None:
    """Look again at what models there are, after one was fetched or deleted."""
    _described.clear()
    _models.clear()


@st.cache_resource(ttl=10, show_spinner=False)
def _models(store_path: str, parts: tuple[str, ...]) -> list[ModelEntry]:
    return references.entries(_open(store_path), parts)


@st.cache_resource(ttl=300, max_entries=200, show_spinner=False)
def _described(store_path: str, reference: str) -> ModelEntry | StillhouseError:
    try:
        return references.describe(reference, _open(store_path))
    except StillhouseError as error:
        return error  # cached too: the form calls again at every change
