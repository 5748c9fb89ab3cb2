"""Any model on any task that it can be measured on, by the names of the command line.

    language          held-out text of a corpus: perplexity and bits per byte, or how well blanks are filled
    house, imdb, rt   labelled film reviews: a classifier labels them, a causal model is prompted (`core.evaluation.sentiment`)
    anything else     a labelled file or hub dataset, as `core.reports.task_scores` names them, for a model fine-tuned on it
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.config import DataSpec, ExperimentConfig, FineTuneConfig, TaskSpec
from core.data import movie_reviews
from core.errors import CompatibilityError, ConfigError, DataError, StillhouseError
from core.models.architectures import Objective
from core.models.entries import LoadedModel, ModelEntry
from core.recipes import parse_recipe
from core.tasks.data import headline_metric, task_spec

if TYPE_CHECKING:
    from core.data.packing import Blocks

LANGUAGE = "language"
BLOCKS, BLOCK_LENGTH, BATCH = 64, 256, 16  # held-out blocks, tokens of each, blocks of a forward pass


@dataclass(frozen=True, slots=True)
class Measurement:
    """What one model reached on one task.

    Attributes:
        headline: the metric that it is judged by.
        counted, unit: on how much it was measured.
    """

    model: str
    task: str
    headline: str
    counted: int
    unit: str
    metrics: dict[str, float]


def default_tasks(entry: ModelEntry) -> list[str | TaskSpec]:
    """Return what a model is measured on by default: its own task, or its language.

    Raises:
        ConfigError: a model with a task's head that does not say which.
    """
    if entry.task in ("causal", "masked"):
        return [LANGUAGE]
    recorded = _recorded_task(entry)
    if recorded is None:
        raise ConfigError(f"'{entry.name}' does not say what it was fine-tuned on.", "A model of a run of this project records it.",
                          "Name it: --tasks house, or a file, or a hub dataset as nyu-mll/glue:sst2")
    return [recorded]


def _recorded_task(entry: ModelEntry) -> TaskSpec | None:
    """Return the task that a model was fine-tuned on, from the record in its folder; None where there is none."""
    config = recorded_config(entry)
    return config.task if isinstance(config, FineTuneConfig) else None


def recorded_config(entry: ModelEntry) -> ExperimentConfig | None:
    """Return the recipe that a model was trained by, from the record in its folder; None where there is none."""
    if entry.path is None:
        return None
    try:
        return parse_recipe(json.loads((entry.path / "stillhouse.json").read_text(encoding="utf-8"))["config"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError, StillhouseError):
        return None


def check(name: str, entry: ModelEntry, task: str | TaskSpec) -> None:
    """Check what can be checked before the model is loaded; a hub dataset is not looked up.

    Raises:
        CompatibilityError: a task that this model cannot do.
        DataError: a task that is nowhere.
    """
    from core.tasks.data import look

    if task == LANGUAGE:
        if entry.task not in ("causal", "masked"):
            raise CompatibilityError(f"'{name}' was fine-tuned for {entry.task.replace('_', ' ')} and has no language head any more.",
                                     "A language model was expected.", "Name a labelled task: --tasks house")
        return
    spec = task if isinstance(task, TaskSpec) else task_spec(task, None)
    try:
        look(spec)
    except DataError as error:
        near = difflib.get_close_matches(spec.source.lower(), [LANGUAGE, *movie_reviews.HOUSE_SOURCES], n=1)
        if not near:
            raise
        raise DataError(error.given, error.expected, f"Did you mean {near[0]}? {error.fix}") from error
    if entry.task == "masked":
        raise CompatibilityError(f"'{name}' is a masked language model and has no head for '{spec.source}'.",
                                 "A model that was fine-tuned on the task was expected.",
                                 "Fine-tune it first, as assets/recipes/house-sentiment.yaml does, or measure its language.")
    if entry.task == "causal" and spec.source not in movie_reviews.HOUSE_SOURCES:
        raise CompatibilityError(f"'{name}' is a causal model and was to be measured on '{spec.source}'.",
                                 f"Without fine-tuning it can be prompted about film reviews: {', '.join(movie_reviews.HOUSE_SOURCES)}.",
                                 f"Use one of these, or {LANGUAGE}.")


def measure(name: str, loaded: LoadedModel, task: str | TaskSpec, *, split: str | None = None, items: int | None = None,
            text: str = movie_reviews.HOUSE, block_length: int | None = None) -> Measurement:
    """Measure one model on one task.

    Args:
        name: how the model was called.
        split: a split or a second file, in place of the task's own.
        items: at most so many: reviews, items, questions, or blocks of text.
        text: the corpus of the task ``language``.
        block_length: tokens that the model reads of it at once, by default as `block_length_for` gives it.

    Raises:
        ConfigError: less than one item, or a split of the task ``language``, which has none.
        CompatibilityError: a task that this model cannot do.
        DataError, NetworkError: data that cannot be read.
    """
    if items is not None and items < 1:
        raise ConfigError(f"Measuring on {items} items was requested.", "At least 1 was expected.", "Leave --items out to measure on all.")
    if task == LANGUAGE:
        if split is not None:
            raise ConfigError(f"The split '{split}' of the task {LANGUAGE} was requested.",
                              "Language is measured on the held-out part of a corpus, which is the only one.",
                              "Leave --split out, or name a corpus: --text FILE")
        check(name, loaded.entry, LANGUAGE)
        return _language(name, loaded, text, items or BLOCKS, block_length or block_length_for([loaded.entry]))
    check(name, loaded.entry, task)
    spec = task if isinstance(task, TaskSpec) else task_spec(task, None)
    spec = spec.model_copy(update={"validation": split or spec.validation, "max_items": items or spec.max_items})
    if loaded.entry.task == "causal":
        return _prompted(name, loaded, spec)
    from core.tasks.data import load_task
    from core.tasks.fine_tuning import evaluate_task

    data = load_task(spec)
    metrics = evaluate_task(loaded, data, dtype=loaded.model.dtype)
    return Measurement(name, data.name, headline_metric(data), int(metrics["items"]), "items", metrics)


def _prompted(name: str, loaded: LoadedModel, spec: TaskSpec) -> Measurement:
    from core.evaluation.sentiment import evaluate_sentiment
    from core.tasks.data import house_split

    reviews = [review for review in movie_reviews.held_out(house_split(spec)) if review.source in movie_reviews.HOUSE_SOURCES[spec.source]]
    metrics = evaluate_sentiment(loaded.model, loaded.tokenizer, reviews[:spec.max_items], loaded.model.device, dtype=loaded.model.dtype)
    return Measurement(name, spec.source, "sentiment_accuracy", int(metrics["sentiment_items"]), "reviews", metrics)


def block_length_for(entries: Iterable[ModelEntry]) -> int:
    """Return the block length that all of these models can read and were trained on: predictions depend on the context."""
    return min(BLOCK_LENGTH, *(min(entry.context, entry.trained_length or entry.context) for entry in entries))


def _language(name: str, loaded: LoadedModel, source: str, count: int, block_length: int) -> Measurement:
    from core.data.prepare import held_out_blocks
    from core.evaluation.language import evaluate_language
    from core.evaluation.masked import evaluate_masked

    objective: Objective = "masked" if loaded.entry.task == "masked" else "causal"
    model, tokenizer = loaded.model, loaded.tokenizer
    spec = DataSpec(source=source, block_length=block_length)
    blocks: Blocks = held_out_blocks(spec, tokenizer, objective).take(count)
    if objective == "masked":
        metrics = evaluate_masked(model, blocks, tokenizer=tokenizer, batch_size=BATCH, device=model.device, dtype=model.dtype)
    else:
        metrics = evaluate_language(model, blocks, tokenizer=tokenizer, batch_size=BATCH, device=model.device, dtype=model.dtype)
    return Measurement(name, LANGUAGE, "perplexity", int(metrics["tokens"]), f"tokens in blocks of {block_length}", metrics)
