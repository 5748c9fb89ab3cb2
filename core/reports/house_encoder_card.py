"""Measure the house encoder on the test part, which nothing was trained or chosen on, and write its model card.

    python -m core.reports.house_encoder_card MODEL_FOLDER MINUTES RECIPE

The samples of the card are what the model puts into the blanks of `SENTENCES`: nothing is selected.
"""

from __future__ import annotations

import math
import os
import platform
import sys
from pathlib import Path
from typing import Any

import torch
import yaml

from core.config import DataSpec, ExperimentConfig, TaskSpec
from core.data import movie_reviews
from core.data.prepare import document, packed
from core.evaluation.blanks import fill_blanks
from core.evaluation.masked import evaluate_masked
from core.evaluation.statistics import mean, standard_error
from core.models import catalog
from core.models.entries import LoadedModel
from core.recipes import read_recipe
from core.reports.house_chat_card import stage
from core.system.devices import devices
from core.system.provenance import versions
from core.tasks.data import load_task
from core.tasks.fine_tuning import DEFAULT_FINE_TUNING, fine_tune_and_evaluate

SENTENCES = ("The film was [MASK].", "I [MASK] this movie.", "The [MASK] was the best part of the film.", "A waste of [MASK].",
             "One of the [MASK] films I have ever seen.", "The plot makes no [MASK].", "She plays the [MASK] of the main character.",
             "It is based on a true [MASK].", "I would not [MASK] it to anyone.", "The special [MASK] are impressive.")
TASKS = {"imdb": "IMDb", "rt": "Rotten Tomatoes"}
SEEDS = (42, 43, 44)
TRAIN_ITEMS, EPOCHS, LENGTH = 6000, 2, 128  # of the fine-tuning: training reviews of a task's origin, passes over them, tokens of a review


def measure(folder: Path, config: ExperimentConfig) -> dict[str, Any]:
    """Measure everything on the card that is a number."""
    loaded = catalog.load(str(folder), dtype=torch.float32)
    tokenizer = loaded.tokenizer
    metrics: dict[str, Any] = masked_metrics(loaded, config.data)
    if loaded.entry.context > config.data.block_length:
        metrics["longest"] = masked_metrics(loaded, config.data.model_copy(update={"block_length": loaded.entry.context}))
    metrics |= {"parameters": loaded.entry.parameters, "embeddings": loaded.entry.counts.embeddings}
    for task in TASKS:
        labelled = load_task(TaskSpec(source=task, validation="test", max_train_items=TRAIN_ITEMS, max_length=LENGTH))
        spec = DEFAULT_FINE_TUNING.model_copy(update={"num_train_epochs": EPOCHS})
        found = [fine_tune_and_evaluate(loaded, labelled, seed=seed, spec=spec)[1] for seed in SEEDS]
        metrics |= {f"accuracy_{task}": [each["accuracy"] for each in found], f"items_{task}": len(labelled.validation)}
    metrics["samples"] = [(sentence, fill_blanks(loaded.model, tokenizer, sentence, 5)[0]) for sentence in SENTENCES]
    return metrics


def masked_metrics(loaded: LoadedModel, spec: DataSpec) -> dict[str, float]:
    """Measure how the model fills the test part's reviews, in blocks of the length of `spec`."""
    texts = (document({"text": review.text}, loaded.tokenizer, spec, "masked") for review in movie_reviews.held_out("test"))
    blocks = packed(texts, loaded.tokenizer, spec, "masked")
    return evaluate_masked(loaded.model, blocks, tokenizer=loaded.tokenizer, batch_size=16, device="cpu")


def card(metrics: dict[str, Any], recipe: str, config: ExperimentConfig, minutes: float) -> str:
    """Return the text of README.md."""
    fresh = config.student.from_scratch
    assert fresh is not None, "house models are built from nothing"
    header = yaml.safe_dump({"library_name": "transformers", "license": "apache-2.0", "language": "en", "pipeline_tag": "fill-mask",
                             "tags": ["stillhouse"]}, sort_keys=False)
    rows = [("Parameters", f"{metrics['parameters']:,}, of which {metrics['embeddings']:,} are embeddings (tied)"),
            ("Masked accuracy", f"{metrics['masked_accuracy']:.1%} of {metrics['tokens']:,} masked tokens"),
            ("Masked perplexity", f"{metrics['perplexity']:.1f}"),
            *((f"Fine-tuned sentiment accuracy, {title}",
               f"{mean(metrics[f'accuracy_{task}']):.1%} ± {standard_error(metrics[f'accuracy_{task}']):.1%} over seeds, "
               f"{metrics[f'items_{task}']:,} reviews (± {_error(metrics, task):.1%} for their number)") for task, title in TASKS.items())]
    reach = _reach(metrics, config.data.block_length, fresh.positions)
    table = "\n".join(f"| {name} | {value} |" for name, value in rows)
    samples = "\n".join(f"| {sentence} | {', '.join(f'{fill.token} {fill.probability:.0%}' for fill in fills)} |"
                        for sentence, fills in metrics["samples"])
    return f"""---
{header}---

# house-encoder

The embedded masked-language model of Stillhouse: a BERT of {fresh.layers} blocks, {fresh.hidden} channels, {fresh.heads} heads and a
lower-cased WordPiece vocabulary of {fresh.vocabulary:,} tokens, trained from nothing on film reviews. It predicts masked
tokens in sentences about films, and is the teacher of the DistilBERT recipe.

## Measured

On the test part of the corpus: reviews that were never trained on and on which nothing was chosen.

| | |
| --- | --- |
{table}

15% of the tokens are masked (80% by the mask token, 10% by another token, 10% not at all). Fine-tuned: {EPOCHS} passes over {TRAIN_ITEMS:,}
training reviews of that origin, {LENGTH} tokens of each at most, seeds {', '.join(map(str, SEEDS))}; ± is one standard error. Measured on
{os.cpu_count()} cores, {devices()[-1].description}, {platform.system()}, torch {versions()['torch']}.

## Blanks, unselected

| | |
| --- | --- |
{samples}

## How it was made

{stage(recipe, config)}

{config.masking.mlm_probability:.0%} of the tokens are masked, drawn again at every step (more than BERT's 15%: 2202.08005). Together
{minutes:.0f} minutes on one core. The text is the 33,530 reviews of the package movie-reviews (MIT): 90% for training, 5%
for validation, 5% for this card, by hash of the text.

## Limits

Small and narrow: it knows how film reviews are written, in English, and little else.{reach}
"""


def _reach(metrics: dict[str, Any], trained: int, reads: int) -> str:
    """Return what becomes of a model that can read more tokens than it was trained on; nothing where the two are the same."""
    if "longest" not in metrics:
        return ""
    longest = metrics["longest"]
    return (f" It reads {reads} tokens\nat once and was trained on {trained}. In blocks of {reads} tokens its masked accuracy is "
            f"{longest['masked_accuracy']:.1%}\nand its masked perplexity {longest['perplexity']:.1f}.")


def _error(metrics: dict[str, Any], task: str) -> float:
    """Return the standard error of a proportion of so many items."""
    accuracy = mean(metrics[f"accuracy_{task}"])
    return math.sqrt(accuracy * (1 - accuracy) / metrics[f"items_{task}"])


def main(arguments: list[str]) -> None:
    """Write the card of a model folder, from the minutes its training took and its recipe."""
    folder, minutes, recipe = Path(arguments[0]), float(arguments[1]), arguments[2]
    config = read_recipe(recipe)
    text = card(measure(folder, config), recipe, config, minutes)
    (folder / "README.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main(sys.argv[1:])
