"""What is measured on labelled items.

    accuracy            share of items whose label was given; its standard error is that of a proportion, sqrt(a (1 - a) / n)
    recall_<label>      the same among the items of one label
    majority_share      the share that always answering the most frequent label of the training items gives
    matthews            correlation of two labellings (Matthews, 1975); for more than two classes as generalised by Gorodkin (2004)
    f1                  of class 1: harmonic mean of precision and recall, as GLUE counts it for MRPC and QQP
    exact_match         share of answers equal to one of the right ones, after SQuAD's normalisation
    answer_f1           overlap of the words of an answer with those of the nearest right one, mean over questions (1606.05250)

Shapes: T positions of a window.
"""

from __future__ import annotations

import math
import re
import string
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence

import numpy as np

NBEST = 20  # likeliest beginnings and ends that are combined
LONGEST_ANSWER = 30  # tokens


def classification_metrics(predicted: np.ndarray, right: np.ndarray, labels: Sequence[str], extra: Sequence[str] = (),
                           texts: Sequence[Hashable] = ()) -> dict[str, float]:
    """Return ``accuracy``, ``stderr``, ``items``, the recall of each label that occurs, and those of `extra` (matthews, f1).

    Args:
        predicted, right: (items,) numbers of labels.
        texts: of the items; where some are equal, the metrics say how many are ``distinct``, and what number of different ones they are
            worth, ``effective``.
    """
    accuracy = float((predicted == right).mean())
    metrics = {"accuracy": accuracy, "stderr": math.sqrt(accuracy * (1 - accuracy) / len(right)), "items": len(right)}
    if 0 < len(copies := Counter(texts)) < len(texts):
        metrics |= {"distinct": len(copies), "effective": effective_size(copies.values())}
    metrics |= {name: {"matthews": matthews, "f1": f1}[name](predicted, right) for name in extra}
    return metrics | {f"recall_{label}": float((predicted[right == number] == number).mean())
                      for number, label in enumerate(labels) if (right == number).any()}


def effective_size(counts: Iterable[int]) -> float:
    """Return how many different items so many copies of each are worth: (sum c)^2 / sum c^2 (Kish 1965, section 11.7)."""
    counts = list(counts)
    return sum(counts) ** 2 / sum(count * count for count in counts) if counts else 0.0


def matthews(predicted: np.ndarray, right: np.ndarray) -> float:
    """Return the correlation of two labellings, from -1 to 1; 0 where one of them knows a single label."""
    classes = int(max(predicted.max(), right.max())) + 1
    table = np.zeros((classes, classes))
    np.add.at(table, (right, predicted), 1)
    occurs, given, n = table.sum(1), table.sum(0), table.sum()
    spread = math.sqrt((n**2 - (given**2).sum()) * (n**2 - (occurs**2).sum()))
    return float((np.trace(table) * n - (occurs * given).sum()) / spread) if spread else 0.0


def f1(predicted: np.ndarray, right: np.ndarray) -> float:
    """Return 2 TP / (2 TP + FP + FN) of class 1; 0 where it neither occurs nor is given."""
    hits = int(((predicted == 1) & (right == 1)).sum())
    wrong = int(((predicted == 1) != (right == 1)).sum())
    return 2 * hits / (2 * hits + wrong) if hits + wrong else 0.0


# ---------------------------------------------------------------------------------------------------- answers


def best_span(start: np.ndarray, end: np.ndarray, spans: np.ndarray, longest: int = LONGEST_ANSWER) -> tuple[float, int, int]:
    """Return the likeliest answer in a window: (score, first character, end character); minus infinity where it holds no context.

    Among the `NBEST` likeliest beginnings and ends, those that lie in the context, in this order and near each other; the score is the
    sum of the two logits.

    Args:
        start, end: (T,) logits.
        spans: (T, 2) characters of the context, -1 outside of it.
    """
    inside = np.flatnonzero((spans[:, 0] >= 0) & (spans[:, 1] > spans[:, 0]))
    if not len(inside):
        return -math.inf, 0, 0
    starts, ends = (inside[np.argsort(-logits[inside], kind="stable")[:NBEST]] for logits in (start, end))
    lengths = ends[None, :] - starts[:, None]
    scores = np.where((lengths >= 0) & (lengths < longest), start[starts][:, None] + end[ends][None, :], -np.inf)
    row, column = np.unravel_index(int(scores.argmax()), scores.shape)
    if not math.isfinite(scores[row, column]):  # no valid pair among the likeliest: the likeliest single token
        token = inside[int((start[inside] + end[inside]).argmax())]
        return float(start[token] + end[token]), int(spans[token, 0]), int(spans[token, 1])
    return float(scores[row, column]), int(spans[starts[row], 0]), int(spans[ends[column], 1])


def answer_metrics(given: Sequence[str], right: Sequence[Sequence[str]]) -> dict[str, float]:
    """Return ``exact_match``, ``answer_f1`` with its standard error ``stderr``, and ``items``; the best answer of each question counts."""
    exact = [max(float(normalised(text) == normalised(each)) for each in answers) for text, answers in zip(given, right, strict=True)]
    overlap = [max(word_f1(text, each) for each in answers) for text, answers in zip(given, right, strict=True)]
    spread = float(np.std(overlap, ddof=1)) if len(overlap) > 1 else 0.0
    return {"exact_match": sum(exact) / len(exact), "answer_f1": sum(overlap) / len(overlap),
            "stderr": spread / math.sqrt(len(overlap)), "items": len(exact)}


def normalised(text: str) -> str:
    """Normalise a text to lower case, no punctuation, no articles, single spaces: as SQuAD's official evaluation compares answers."""
    text = "".join(character for character in text.lower() if character not in string.punctuation)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", text).split())


def word_f1(given: str, right: str) -> float:
    """Return the harmonic mean of precision and recall of words, counted as often as they occur."""
    words, expected = normalised(given).split(), normalised(right).split()
    if not words or not expected:
        return float(words == expected)
    common = sum((Counter(words) & Counter(expected)).values())
    return 2 * common / (len(words) + len(expected))
