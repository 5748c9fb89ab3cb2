"""Which runs' numbers may stand in one figure: those measured on the same text, cut by the same vocabulary, against the same teacher."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from core.loss_terms import LOSS_TERMS
from workbench.screens.shared.results import Measurements, measurements
from workbench.screens.shared.uploads import shown_name
from workbench.store import Store
from workbench.store.records import Run

# metric -> what its numbers depend on beside the model; those of a metric that is not named here compare everywhere.
# Cross-entropy per token, and perplexity with it, changes with the vocabulary; per byte of the same text it does not.
DEPENDS = {
    "eval/perplexity": ("text", "vocabulary"), "eval/cross_entropy": ("text", "vocabulary"), "eval/masked_accuracy": ("text", "vocabulary"),
    "eval/bits_per_byte": ("text",), "eval/kl_to_teacher": ("text", "vocabulary", "teacher"),
    "eval/agreement": ("text", "vocabulary", "teacher"), "eval/sentiment_accuracy": ("reviews",), "eval/accuracy": ("task",),
    "eval/answer_f1": ("task",), "eval/f1": ("task",), "eval/matthews": ("task",), "eval/exact_match": ("task",),
    "loss": ("text", "vocabulary", "losses"), **{f"raw/{term.name}": ("text", "vocabulary", "teacher") for term in LOSS_TERMS}}


def groups(runs: Sequence[Run], name: str, store: Store) -> dict[str, list[Run]]:
    """Return the runs whose values of a metric compare with each other, by what they share, in words; empty words where nothing matters."""
    found: dict[str, list[Run]] = {}
    for run in runs:
        found.setdefault(_basis(run, name, store), []).append(run)
    return found


def _basis(run: Run, name: str, store: Store) -> str:
    depends = DEPENDS.get(name, ())
    if not depends:
        return ""
    config, measured = json.loads(run.config_json), measurements(store, run)
    return ", ".join(words for each in depends if (words := WORDS[each](config, measured)))


def _text(config: dict[str, Any], measured: Measurements) -> str:
    length = _counted(measured, "bytes")
    return f"text {_named(config.get('data') or {})}" + (f" ({length:,} bytes held out)" if length else "")


def _vocabulary(config: dict[str, Any], measured: Measurements) -> str:
    tokens = _counted(measured, "tokens")  # of the same text another vocabulary, masking or block length gives another count
    return f"{tokens:,} tokens" if tokens else ""


def _teacher(config: dict[str, Any], measured: Measurements) -> str:
    return f"teacher {teacher['model']}" if (teacher := config.get("teacher")) else ""


def _task(config: dict[str, Any], measured: Measurements) -> str:
    items = _counted(measured, "items")
    return f"task {_named(config.get('task') or {})}" + (f" ({items:,} items)" if items else "")


def _reviews(config: dict[str, Any], measured: Measurements) -> str:
    items = _counted(measured, "sentiment_items")
    return f"{items:,} film reviews" if items else ""


def _losses(config: dict[str, Any], measured: Measurements) -> str:
    losses = config.get("losses") or {}
    weights = [f"{key} {value:g}" for key, value in losses.items() if key.startswith(("w_", "temperature")) and value]
    return f"loss weights {' '.join(weights)}"


WORDS: dict[str, Callable[[dict[str, Any], Measurements], str]] = {
    "text": _text, "vocabulary": _vocabulary, "teacher": _teacher, "task": _task, "reviews": _reviews, "losses": _losses}


def _named(data: dict[str, Any]) -> str:
    return ":".join(filter(None, (shown_name(str(data.get("source", "house"))), data.get("subset"))))


def _counted(measured: Measurements, name: str) -> int:
    """Return how much one evaluation of the run was over; 0 before the first."""
    return next((int(metrics[name]) for metrics in measured.values() if name in metrics), 0)
