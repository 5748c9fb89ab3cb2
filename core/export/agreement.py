"""Whether an exported file says what its model says, on real text, and how fast each says it.

    logits          largest |l - l'| over all counted positions and the whole vocabulary
    probabilities   d_n = max_v |p_nv - p'_nv| at position n: its largest value and its mean over positions
    top-1           share of positions whose most likely entry is the same

Counted positions are the masked ones of a masked-language model (every seventh token is masked), all real tokens of a causal
one, and one a text for a classifier.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from core.data.movie_reviews import held_out

if TYPE_CHECKING:
    import numpy as np
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from core.models.checkpoints import Task

TEXTS, TOKENS, BATCH = 48, 64, 8  # validation reviews, their longest length, and how many at once
MASK_EVERY = 7  # tokens: the customary 15%
TIMED_TOKENS, ROUNDS = 32, 20  # of the sequence that is timed at batch 1, and how often

Predict = Callable[["np.ndarray", "np.ndarray"], "np.ndarray"]  # input_ids, attention_mask (B, T) -> logits


class Batch(NamedTuple):
    """Texts as numbers, all (B, T); `counted` says at which positions answers are compared."""

    input_ids: np.ndarray
    attention_mask: np.ndarray
    counted: np.ndarray


@dataclass(frozen=True, slots=True)
class Agreement:
    """How near an exported file comes to its model in torch.

    Attributes:
        positions: how many were compared.
        logit_difference: the largest.
        top1: share of positions with the same most likely entry, 0 to 1.
        largest_probability_difference, mean_probability_difference: of d_n over the positions.
    """

    positions: int
    logit_difference: float
    top1: float
    largest_probability_difference: float
    mean_probability_difference: float


def batches(tokenizer: PreTrainedTokenizerBase, task: Task, context: int, texts: Sequence[str] | None = None) -> Iterator[Batch]:
    """Yield held-out film reviews, or other texts, as a model of that task takes them; at most `context` tokens long."""
    import numpy as np

    texts = [review.text for review in held_out("validation", TEXTS)] if texts is None else texts
    encoded = [tokenizer(text, truncation=True, max_length=min(TOKENS, context))["input_ids"] for text in texts]
    padding = tokenizer.pad_token_id or 0
    for start in range(0, len(encoded), BATCH):
        rows = encoded[start:start + BATCH]
        ids = np.full((len(rows), max(map(len, rows))), padding, np.int64)
        real = np.zeros(ids.shape, bool)
        for index, row in enumerate(rows):
            ids[index, :len(row)], real[index, :len(row)] = row, True
        counted = real
        if task == "masked":
            ordinary = real & ~np.isin(ids, tokenizer.all_special_ids)
            counted = ordinary & (np.arange(ids.shape[1]) % MASK_EVERY == MASK_EVERY // 2)
            ids = np.where(counted, tokenizer.mask_token_id, ids)
        yield Batch(ids, real.astype(np.int64), counted)


def torch_predict(model: PreTrainedModel) -> Predict:
    """Return the model as a function of arrays, as exported files are."""
    import torch

    def answer(input_ids: np.ndarray, attention_mask: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return model(input_ids=torch.from_numpy(input_ids), attention_mask=torch.from_numpy(attention_mask)).logits.numpy()

    return answer


def compare(reference: Predict, exported: Sequence[Predict], task: Task, given: Sequence[Batch]) -> list[Agreement]:
    """Return how near each exported file comes to the reference; the reference answers once."""
    import numpy as np

    found: list[list[tuple[float, np.ndarray, np.ndarray]]] = [[] for _ in exported]
    for batch in given:
        expected = _counted(reference, batch, task)
        wanted = _probabilities(expected)
        for results, answer in zip(found, exported, strict=True):
            logits = _counted(answer, batch, task)
            results.append((float(np.abs(logits - expected).max(initial=0.0)), logits.argmax(-1) == expected.argmax(-1),
                         np.abs(_probabilities(logits) - wanted).max(-1)))
    return [_summary(results) for results in found]


def milliseconds(answers: Sequence[Predict], batch: Batch) -> list[float]:
    """Measure the median time of each for one text, taken in turns so that a busy moment meets all of them."""
    one = Batch(*(array[:1, :TIMED_TOKENS] for array in batch))
    times: list[list[float]] = [[] for _ in answers]
    for warm in range(-2, ROUNDS):
        for answer, results in zip(answers, times, strict=True):
            start = time.perf_counter()
            answer(one.input_ids, one.attention_mask)
            if warm >= 0:
                results.append(1000 * (time.perf_counter() - start))
    return [statistics.median(results) for results in times]


def _counted(answer: Predict, batch: Batch, task: Task) -> np.ndarray:
    """Return the logits of the counted positions, (N, V), or of each text, (B, labels)."""
    logits = answer(batch.input_ids, batch.attention_mask)
    return logits if task == "classification" else logits[batch.counted]


def _probabilities(logits: np.ndarray) -> np.ndarray:
    import numpy as np

    raised = np.exp(logits - logits.max(-1, keepdims=True))
    return raised / raised.sum(-1, keepdims=True)


def _summary(results: list[tuple[float, np.ndarray, np.ndarray]]) -> Agreement:
    import numpy as np

    differences, same, probabilities = zip(*results, strict=True)
    same, probabilities = np.concatenate(same), np.concatenate(probabilities)
    return Agreement(len(same), max(differences), float(same.mean()), float(probabilities.max()), float(probabilities.mean()))
