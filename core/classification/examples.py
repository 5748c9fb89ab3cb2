"""One example and a teacher's logits for it, whatever kind of model the teacher is: for looking at what temperature does to them.

    images     a digit by its number                     logits of the classes
    texts      a review or any text, a classifier        logits of the classes
               the same, a chat model                    log-probabilities of the words Positive and Negative
    tokens     a prompt, a chat model                    logits of the first token of its answer
               a text with a blank, an encoder           logits of the first blank
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from core.classification.images import load_images
from core.classification.models import require_labels
from core.classification.predicting import predict_logits
from core.config import ImagesSpec
from core.data import movie_reviews
from core.errors import CompatibilityError, DataError
from core.evaluation.blanks import blank_logits
from core.evaluation.classes import encode_text
from core.evaluation.sentiment import encode_prompt, label_scores, label_tokens
from core.evaluation.token_divergence import prompt_logits
from core.models.architectures import label_names
from core.models.compatibility import require_compatible
from core.models.entries import LoadedModel
from core.models.forward import eval_mode, max_positions, require_finite
from core.models.vocabulary import decode_text, unpadded_width

ExampleKind = Literal["digit", "review", "token", "blank"]
WORDS = 200  # of a review that a chat model judges; longer ones lose their middle


@dataclass(frozen=True, slots=True)
class ExampleLogits:
    """A teacher's answer to one example, the likeliest outcome first.

    Attributes:
        labels: of the likeliest outcomes, at most as many as were requested.
        logits: of all outcomes, falling.
        student: of another model for the same outcomes, in the same order; None without one.
        picture: pixels from 0 to 1 by row, of a digit.
        right: the right label, where it is known.
    """

    labels: list[str]
    logits: list[float]
    student: list[float] | None = None
    picture: list[list[float]] | None = None
    right: str | None = None


def example_logits(kind: ExampleKind, text: str, teacher: LoadedModel, student: LoadedModel | None = None,
                   count: int = 20) -> ExampleLogits:
    """Return the logits of a teacher, and of a student, for one example.

    Args:
        kind: what the example is.
        text: the number of a digit among those that are measured on, a review, a prompt, or a text with a blank.
        student: of the same kind, with the same outcomes.
        count: of labels.

    Raises:
        CompatibilityError: a model of another kind, or two with different outcomes.
        DataError: no such digit, no text, no blank, or more than the model reads.
    """
    models = [teacher] if student is None else [teacher, student]
    picture, right = None, None
    if kind == "digit":
        labels, logits, picture, right = _digit(text, models)
    elif kind == "review":
        labels, logits = _review(text, models)
    else:
        labels, logits = None, _tokens(kind, text, models)
    for row in logits:
        require_finite(row)
    if len(logits) == 2 and len(logits[0]) != len(logits[1]):
        width = require_compatible(*models)
        logits = [row[:width] for row in logits]
    falling = logits[0].argsort(descending=True, stable=True)
    names = [labels[number] if labels is not None else decode_text(teacher.tokenizer, [number]) for number in falling[:count].tolist()]
    ordered = [[round(value, 5) for value in row[falling].tolist()] for row in logits]
    return ExampleLogits(names, ordered[0], ordered[1] if student is not None else None, picture, right)


def _digit(text: str, models: list[LoadedModel]) -> tuple[list[str], list[Tensor], list[list[float]], str]:
    for model in models:
        if model.entry.task != "image_classification":
            raise CompatibilityError(f"'{model.entry.name}' reads no images.", "A classifier of digits was expected.",
                                     "Choose the student of an ensemble of digits.")
    data = load_images(ImagesSpec())
    if not text.strip().isdecimal() or int(text) >= len(data.test):
        raise DataError(f"There is no digit {text!r}.", f"A number from 0 to {len(data.test) - 1} was expected.", "Choose another.")
    item = data.test.take(slice(int(text), int(text) + 1))
    for model in models:
        require_labels(model.model, data, model.entry.name)
    logits = [predict_logits(model.model, item)[0] for model in models]
    return list(data.labels), logits, item.inputs["pixel_values"][0, 0].tolist(), data.labels[int(item.targets[0])]


def _review(text: str, models: list[LoadedModel]) -> tuple[list[str], list[Tensor]]:
    if not text.strip():
        raise DataError("There is no text.", "A sentence or a review was expected.", "Write one.")
    if len({model.entry.task for model in models}) > 1 or models[0].entry.task not in ("classification", "causal"):
        raise CompatibilityError("These models do not judge a text in the same way.",
                                 "Two classifiers of texts, or two chat models, were expected.", "Choose another model.")
    if models[0].entry.task == "causal":
        return list(movie_reviews.LABELS), [_label_logits(text, model) for model in models]
    names = [label_names(model.model.config) for model in models]
    if any(other != names[0] for other in names[1:]):
        raise CompatibilityError(f"The two tell apart {', '.join(names[0])} and {', '.join(names[1])}.", "The same classes were expected.",
                                 "Choose another model.")
    logits = []
    for model in models:
        inputs = encode_text(model.model, model.tokenizer, text)
        with eval_mode(model.model):
            logits.append(model.model(**inputs).logits[0].float().cpu())
    return names[0], logits


def _label_logits(text: str, model: LoadedModel) -> Tensor:
    """Return the log-probabilities (2,) of the label words after a review."""
    labels = label_tokens(model.tokenizer)
    prompt = encode_prompt(text, model.tokenizer, max_positions(model.model) - max(map(len, labels)), WORDS)
    return label_scores(model.model, [prompt], labels, model.model.device, unpadded_width(model.tokenizer, model.model))[0]


def _tokens(kind: ExampleKind, text: str, models: list[LoadedModel]) -> list[Tensor]:
    expected = "causal" if kind == "token" else "masked"
    for model in models:
        if model.entry.task != expected:
            raise CompatibilityError(f"'{model.entry.name}' does not predict {'the next token' if kind == 'token' else 'masked tokens'}.",
                                     "A model that does was expected.", "Choose another model.")
    if kind == "blank":
        return [blank_logits(model.model, model.tokenizer, text)[0] for model in models]
    return [prompt_logits(model.model, model.tokenizer, text) for model in models]
