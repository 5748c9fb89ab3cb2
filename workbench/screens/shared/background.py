"""Slow requests to the engine process, sent once and answered asynchronously, so that no page blocks while a model loads."""

from __future__ import annotations

import json
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

import streamlit as st

from core.chains.folder import Target
from core.config import DataSpec, TaskSpec
from core.models.checkpoints import Task
from core.recipes import parse_recipe
from workbench.inference import client
from workbench.inference.wire import ModelCard
from workbench.screens.shared import fragments
from workbench.store import chains

POLL_SECONDS = 0.7


class Question(Protocol):
    """One of the cached functions below."""

    def __call__(self, *args: Any, **kwargs: Any) -> Future[dict[str, Any]]:
        """Return the answer to come, the same one for the same arguments."""

    def clear(self, *args: Any, **kwargs: Any) -> None:
        """Forget the answer to these arguments."""


@st.cache_resource(show_spinner=False)
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(4, thread_name_prefix="question")


@st.cache_resource(max_entries=64, show_spinner=False)
def next_token(model: str, prompt: str) -> Future[dict[str, Any]]:
    """Return the most likely next tokens of `model`: ``tokens`` and ``logits``, descending."""
    return _pool().submit(client.engine().next_token_logits, model, prompt)


@st.cache_resource(max_entries=64, show_spinner=False)
def example(kind: str, text: str, models: tuple[str, ...], count: int, stamps: tuple[str, ...]) -> Future[dict[str, Any]]:
    """Return the logits of a teacher, and of a student, for one example; `stamps` change with their weights."""
    return _pool().submit(client.engine().example, kind, text, models, count)


@st.cache_resource(max_entries=64, show_spinner=False)
def opinions(folder: str, text: str) -> Future[dict[str, Any]]:
    """Return what generalist and specialists in a folder say of a text."""
    return _pool().submit(client.engine().opinions, Path(folder), text)


@st.cache_resource(max_entries=64, show_spinner=False)
def measured_plan(config_json: str) -> Future[dict[str, Any]]:
    """Return the plan of a configuration with the time of a few real steps."""
    return _pool().submit(client.engine().plan, parse_recipe(json.loads(config_json)), measure=True)


@st.cache_resource(max_entries=16, show_spinner=False)
def preview(data_json: str, model: str) -> Future[dict[str, Any]]:
    """Rows of a corpus and its first packed block, decoded."""
    return _pool().submit(client.engine().preview, DataSpec.model_validate_json(data_json), model)


@st.cache_resource(max_entries=16, show_spinner=False)
def preview_task(task_json: str, stamp: str) -> Future[dict[str, Any]]:
    """Labels and first items of a labelled dataset; `stamp` changes with its file."""
    return _pool().submit(client.engine().preview_task, TaskSpec.model_validate_json(task_json))


@st.cache_resource(max_entries=64, show_spinner=False)
def measured_size(chain: str, name: str, folder: str, _target: Target) -> Future[dict[str, Any]]:
    """Return the validation losses of a created model and of its baselines.

    Args:
        chain, name: the chain's folder and name.
        folder, _target: of the created model.
    """
    place = chains.ChainPlace(name, Path(chain))
    return _pool().submit(client.engine().measure_size, place.open(), _target, Path(folder))


@st.cache_resource(max_entries=64, show_spinner=False)
def exported(model: str, form: str, folder: str) -> Future[dict[str, Any]]:
    """Export a model in another form into a new folder, checked."""
    return _pool().submit(client.engine().export, model, form, Path(folder))


@st.cache_resource(max_entries=8, show_spinner=False)
def warmed(model: Path) -> Future[Any]:
    """Start the engine process and load a model ahead of the first request, without waiting."""
    return _pool().submit(client.engine().info, str(model))


@st.cache_resource(max_entries=256, show_spinner=False)
def training_step(config_json: str, number: int) -> Future[dict[str, Any]]:
    """Return an optimiser step of a configuration, the same for all who look at it; one may be wanted after that before it."""
    return _pool().submit(client.engine().step, parse_recipe(json.loads(config_json)), number)


@st.cache_resource(max_entries=64, show_spinner=False)
def card(model: str, task: Task, stamp: str) -> Future[ModelCard]:
    """Return a model's card, once it is in the engine's memory; `stamp` changes with its weights. Fails for one with another task."""
    return _pool().submit(client.engine().info, model, task)


@st.cache_resource(max_entries=64, show_spinner=False)
def blanks(models: tuple[str, ...], text: str, count: int, stamps: tuple[str, ...]) -> Future[dict[str, Any]]:
    """Return the `count` most likely tokens of each blank of a text by each model; `stamps` change with their weights."""
    return _pool().submit(client.engine().blanks, models, text, count)


@st.cache_resource(max_entries=64, show_spinner=False)
def classes(models: tuple[str, ...], text: str, pair: str, stamps: tuple[str, ...]) -> Future[dict[str, Any]]:
    """Return the class probabilities of a text, or of a pair, by each classifier; `stamps` change with their weights."""
    return _pool().submit(client.engine().classes, models, text, pair)


@st.cache_resource(max_entries=64, show_spinner=False)
def scan_dataset(data_json: str, model: str, seed: int, stamp: str) -> Future[dict[str, Any]]:
    """All rows of a corpus read once; `stamp` changes with the file. An empty `model` cuts no tokens."""
    return _pool().submit(client.engine().scan_dataset, DataSpec.model_validate_json(data_json), model or None, seed)


def answer(question: Question, *arguments: Any, meanwhile: str) -> dict[str, Any] | None:
    """Return the answer to one of the questions above; None while it is awaited: the page is drawn again when it is there.

    Args:
        meanwhile: what the page says until then.

    Raises:
        Exception: what the engine raised, mostly a StillhouseError. The request is then forgotten.
    """
    future = question(*arguments)
    if not future.done():
        wait(future, meanwhile)
        return None
    if future.exception() is not None:
        question.clear(*arguments)
    return future.result()


def wait(future: Future, meanwhile: str) -> None:
    """Say `meanwhile`, and draw the page again when there is an answer."""
    fragments.fragment(_wait, run_every=POLL_SECONDS)(future, meanwhile)


def _wait(future: Future, meanwhile: str) -> None:
    if future.done():
        st.rerun()
    st.caption(f":material/hourglass_top: {meanwhile}")
