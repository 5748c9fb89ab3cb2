"""Measure the house chat model on the test part, which nothing was trained or chosen on, and write its model card.

    python -m core.reports.house_chat_card MODEL_FOLDER MINUTES RECIPE [RECIPE ...]

The recipes are those of its stages, the first from nothing; the minutes are the wall time of all of them.

The ten samples of the card are the first ten answers, one for each prompt, with seeds 0 to 9: nothing is selected.
"""

from __future__ import annotations

import math
import os
import platform
import sys
import time
from pathlib import Path
from typing import Any

import torch
import yaml

from core.config import DistillConfig, ExperimentConfig
from core.data import movie_reviews
from core.data.movie_reviews import SENTIMENT_QUESTIONS
from core.data.packing import Blocks, pack
from core.data.prepare import document
from core.evaluation.language import evaluate_language
from core.evaluation.sentiment import evaluate_sentiment
from core.generation.streaming import generate
from core.models import catalog
from core.recipes import read_recipe
from core.system.devices import devices
from core.system.provenance import versions

PROMPTS = (
    "Write a positive one-line review.",
    "Write a negative one-line review.",
    "Write a positive one-line review about the acting.",
    "Write a negative one-line review about the plot.",
    "Write a short positive review about the comedy.",
    "Is this review positive or negative?\n\nThe story is thin, the jokes are old, and two hours never felt so long.",
    "Is this review positive or negative?\n\nA warm, funny film with a wonderful cast. I would see it again.",
    "Does the reviewer recommend the film?\n\nI expected little and was moved to tears. Do not miss it.",
    "Continue this review:\n\nI watched this film with my family last night.",
    "What can you do?",
)
SPEED_TOKENS = 200  # tokens generated for the speed, after a first answer that warms up


def measure(folder: Path, block_length: int) -> dict[str, Any]:
    """Measure everything on the card that is a number: text and sentiment on the test part, speed on this machine."""
    loaded = catalog.load(str(folder), dtype=torch.float32)
    model, tokenizer = loaded.model, loaded.tokenizer
    reviews = movie_reviews.held_out("test")
    texts = (document({"text": review.text}, tokenizer, DistillConfig().data, "causal") for review in reviews)
    plain = pack(texts, tokenizer, block_length)
    metrics: dict[str, Any] = evaluate_language(model, plain, tokenizer=tokenizer, batch_size=16, device="cpu")
    metrics |= evaluate_sentiment(model, tokenizer, reviews, "cpu")
    metrics |= {"parameters": loaded.entry.parameters, "forward_tokens_per_second": _reading_speed(model, plain)}
    generate(model, tokenizer, PROMPTS[0], max_new_tokens=20)
    speeds = [generate(model, tokenizer, PROMPTS[8], max_new_tokens=SPEED_TOKENS, seed=seed).tokens_per_second for seed in range(5)]
    metrics["generated_tokens_per_second"] = sorted(speeds)[2]
    metrics["samples"] = [(prompt, generate(model, tokenizer, prompt, max_new_tokens=60, seed=seed).text)
                          for seed, prompt in enumerate(PROMPTS)]
    return metrics


def _reading_speed(model: Any, blocks: Blocks) -> float:
    batch = torch.from_numpy(blocks.input_ids[:16]).long()
    with torch.inference_mode():
        model(batch)
        began = time.perf_counter()
        model(batch)
    return batch.numel() / (time.perf_counter() - began)


def card(metrics: dict[str, Any], stages: dict[str, ExperimentConfig], minutes: float) -> str:
    """Return the text of README.md."""
    fresh = next(iter(stages.values())).student.from_scratch
    assert fresh is not None, "house models are built from nothing"
    made = "\n".join(stage(recipe, config) for recipe, config in stages.items())
    header = yaml.safe_dump({"library_name": "transformers", "license": "apache-2.0", "language": "en", "pipeline_tag": "text-generation",
                             "tags": ["stillhouse"]}, sort_keys=False)
    error = {source: math.sqrt(metrics[f"accuracy_{source}"] * (1 - metrics[f"accuracy_{source}"]) / metrics[f"items_{source}"])
             for source in ("imdb", "rt")}
    rows = [("Parameters", f"{metrics['parameters']:,} (embeddings tied)"),
            *((f"Sentiment accuracy, {title}",
               f"{metrics[f'accuracy_{key}']:.1%} ± {error[key]:.1%} of {metrics[f'items_{key}']:,} reviews")
              for key, title in (("imdb", "IMDb"), ("rt", "Rotten Tomatoes"))),
            ("Perplexity of plain reviews", f"{metrics['perplexity']:.1f} over {metrics['tokens']:,} tokens"),
            ("Bits per byte", f"{metrics['bits_per_byte']:.3f}"),
            ("Generates, batch 1", f"{metrics['generated_tokens_per_second']:.0f} tokens/s"),
            ("Reads, 16 blocks at once", f"{metrics['forward_tokens_per_second']:,.0f} tokens/s")]
    table = "\n".join(f"| {name} | {value} |" for name, value in rows)
    samples = "\n\n".join(f"{_bold(prompt)}\n\n{_quoted(answer or '(nothing)')}" for prompt, answer in metrics["samples"])
    processor = devices()[-1].description
    return f"""---
{header}---

# house-chat

The embedded chat model of Stillhouse: a Llama-style decoder of {fresh.layers} blocks, {fresh.hidden} channels, {fresh.heads} heads and a
byte-level BPE vocabulary of {fresh.vocabulary:,} tokens (RMSNorm, rotary positions, gated MLP, tied embeddings), trained from nothing
on film reviews. It writes one-line reviews, says whether a review is positive or negative, continues reviews, and knows nothing else.

## Measured

On the test part of the corpus: reviews that were never trained on and on which nothing was chosen.

| | |
| --- | --- |
{table}

Sentiment is the label with the higher log-probability after "{SENTIMENT_QUESTIONS[0]}"; reviews longer than 200 words lose their
middle. ± is one standard error. Speeds: {os.cpu_count()} cores, {processor}, {platform.system()}, torch {versions()['torch']}, float32.

## Ten samples, unselected

{samples}

## How it was made

{made}

Together {minutes:.0f} minutes on a machine of two cores, saved in bfloat16. The text is the 33,530 reviews of the package
movie-reviews (MIT): 90% for training, 5% for validation, 5% for this card, by hash of the text.

## Limits

Small and narrow: it repeats what reviewers write, invents films and people, and is sometimes wrong about a review. English only.
"""


def stage(recipe: str, config: ExperimentConfig) -> str:
    """Describe a training in one line: its command, its tokens, its optimiser."""
    train, data = config.train, config.data
    assert train.max_steps is not None, "the recipes of house models set their steps"
    tokens = train.max_steps * train.per_device_train_batch_size * data.block_length
    return (f"- `python -m workbench distill {recipe}`: {train.max_steps:,} steps of {train.per_device_train_batch_size} blocks of "
            f"{data.block_length} tokens ({tokens / 1e6:.1f} million tokens), AdamW, peak learning rate {train.learning_rate:g}, "
            f"{train.lr_scheduler_type} decay, seed {train.seed}.")


def _bold(text: str) -> str:
    """Make every line bold by itself: Markdown ends bold text at an empty line."""
    return "\n\n".join(f"**{line.strip()}**" for line in text.splitlines() if line.strip())


def _quoted(text: str) -> str:
    return "\n".join(f"> {line}".rstrip() for line in text.splitlines())


def main(arguments: list[str]) -> None:
    """Write the card of a model folder, from the minutes its training took and its recipes."""
    folder, minutes, stages = Path(arguments[0]), float(arguments[1]), {recipe: read_recipe(recipe) for recipe in arguments[2:]}
    text = card(measure(folder, next(iter(stages.values())).data.block_length), stages, minutes)
    (folder / "README.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main(sys.argv[1:])
