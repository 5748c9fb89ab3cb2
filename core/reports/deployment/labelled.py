"""Forms of classifiers scored on the same labelled texts: accuracy by form, by class, by length, and the items that are lost.

Items of equal text count as one: they get one answer. Intervals are Wilson's, those of differences the adjusted Wald intervals of
paired shares (`core.evaluation.statistics`), both with the effective number of distinct texts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from core.evaluation.statistics import Estimate, paired_difference, wilson_interval
from core.models.forward import max_positions
from core.reports.class_scores import ClassScores, class_scores
from core.reports.deployment.forms import ModelForm
from core.reports.deployment.record import Group, WorstItem
from core.tasks.data import Example, TaskData, data_warnings, of_type
from core.tasks.encoding import by_length, collate, encode
from core.tasks.heads import label_order
from core.tasks.metrics import effective_size

BATCH_TOKENS = 2048  # of a forward pass: small passes look for a stop often
LONGEST_SHOWN = 400  # characters of an item


@dataclass(frozen=True)
class LabelledScores:
    """What each form answered.

    Attributes:
        log_probabilities: form -> (items, labels), in the order of the task's labels.
        length: tokens of the median item, as the last form reads it.
    """

    task: TaskData
    log_probabilities: Mapping[str, np.ndarray]
    length: int

    @property
    def examples(self) -> list[Example]:
        """The items."""
        return of_type(self.task.validation, Example)

    @property
    def keys(self) -> list[tuple[str, str | None]]:
        """What makes items equal."""
        return [(item.text, item.pair) for item in self.examples]

    @property
    def labels(self) -> np.ndarray:
        """(items,) the right labels."""
        return np.array([item.label for item in self.examples])

    def right(self, form: str) -> np.ndarray:
        """Return (items,) whether a form gave the right label."""
        return self.log_probabilities[form].argmax(1) == self.labels

    def quality(self, form: str, part: np.ndarray | None = None) -> Estimate:
        """Return the accuracy of a form on all items or a part of them."""
        chosen = np.arange(len(self.labels)) if part is None else np.flatnonzero(part)
        copies = Counter(self.keys[number] for number in chosen)
        same = len(copies) == len(chosen)
        return wilson_interval(float(self.right(form)[chosen].mean()), len(copies), over="items" if same else "distinct texts",
                               effective=effective_size(copies.values()))

    def loss(self, form: str, baseline: str) -> Estimate:
        """Return the accuracy of the baseline minus that of a form."""
        return replace(paired_difference(self.right(baseline).tolist(), self.right(form).tolist(),
                                         effective=effective_size(Counter(self.keys).values())), **self._counted())

    def further(self, form: str, baseline: str) -> dict[str, Estimate]:
        """Return how often a form gives the label that the baseline gives."""
        same = self.log_probabilities[form].argmax(1) == self.log_probabilities[baseline].argmax(1)
        copies = Counter(self.keys)
        return {"agreement": replace(wilson_interval(float(same.mean()), len(copies), effective=effective_size(copies.values())),
                                     **self._counted())}

    def _counted(self) -> dict[str, Any]:
        """Return what an interval over all items says that it is over."""
        distinct = len(set(self.keys))
        return {"n": distinct, "over": "items" if distinct == len(self.labels) else "distinct texts"}

    def groups(self) -> Iterator[Group]:
        """Yield the accuracy by class and by length, in thirds of the items."""
        forms, labels = list(self.log_probabilities), self.labels
        for number, label in enumerate(self.task.labels):
            if (part := labels == number).any():
                yield Group("class", label, int(part.sum()), {form: self.quality(form, part) for form in forms})
        words = np.array([len(f"{item.text} {item.pair or ''}".split()) for item in self.examples])
        edges = np.quantile(words, [0, 1 / 3, 2 / 3, 1])
        for low, high, first in zip(edges[:-1], edges[1:], (True, False, False), strict=True):
            part = (words <= high) & ((words >= low) if first else (words > low))
            if part.any():
                yield Group("length", f"{words[part].min()} to {words[part].max()} words", int(part.sum()),
                            {form: self.quality(form, part) for form in forms})

    def worst(self, form: str, baseline: str, count: int) -> list[WorstItem]:
        """Return the items on which the probability of the right label falls most, those first that become wrong."""
        rows = np.arange(len(self.labels))
        probability = {name: np.exp(values[rows, self.labels]) for name, values in self.log_probabilities.items()}
        fall = probability[baseline] - probability[form]
        lost = self.right(baseline) & ~self.right(form)
        order = sorted(rows.tolist(), key=lambda row: (not lost[row], -fall[row]))
        examples, seen = self.examples, set()
        shown: list[WorstItem] = []
        for row in order:
            item = examples[row]
            if fall[row] <= 0 or len(shown) == count or (item.text, item.pair) in seen:
                continue
            seen.add((item.text, item.pair))
            text = item.text if item.pair is None else f"{item.text}\n{item.pair}"
            shown.append(WorstItem(text[:LONGEST_SHOWN], self.task.labels[item.label],
                                   {name: self.task.labels[int(values[row].argmax())] for name, values in self.log_probabilities.items()},
                                   {name: float(values[row]) for name, values in probability.items()}))
        return shown

    def classes(self) -> dict[str, ClassScores]:
        """Return the scores of each form by class."""
        return {form: class_scores(values, self.labels, self.task.labels, self.keys) for form, values in self.log_probabilities.items()}

    def warnings(self) -> list[str]:
        """Return what weakens the figures: equal texts, a skewed split."""
        return data_warnings(self.task)

    def table(self) -> tuple[list[str], list[list[object]]]:
        """Return head and rows of every item with what each form gave."""
        head = ["text", "pair", "label", *(f"{form} {what}" for form in self.log_probabilities for what in ("label", "probability"))]
        rows: list[list[object]] = []
        for row, item in enumerate(self.examples):
            given = [cell for values in self.log_probabilities.values() for cell in (
                self.task.labels[int(values[row].argmax())], float(np.exp(values[row, item.label])))]
            rows.append([item.text, item.pair or "", self.task.labels[item.label], *given])
        return head, rows


def score_examples(form: ModelForm, task: TaskData, on_progress: Callable[[float], None]) -> np.ndarray:
    """Return the log-probability of every label for every item, (items, labels), in the order of the task's labels.

    Args:
        on_progress: called before every batch with the share that is done; what it raises, as a stop, ends the scoring.

    Raises:
        CompatibilityError: a model without such a head, or with other labels.
    """
    loaded = form.loaded
    order = label_order(loaded, task)
    features = encode(task.validation, task, loaded.tokenizer, max_positions(loaded.model))
    found = np.empty((len(features), len(order)), np.float32)
    done = 0
    for batch in by_length(features, BATCH_TOKENS):
        on_progress(done / len(features))
        done += len(batch)
        inputs = collate([features[number] for number in batch], loaded.tokenizer.pad_token_id, form.token_types)
        logits = form.predict({name: tensor.numpy() for name, tensor in inputs.items()})[:, order]
        found[batch] = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
    return found


def labelled_scores(forms: Sequence[ModelForm], task: TaskData, found: Mapping[str, np.ndarray]) -> LabelledScores:
    """Return the scores of all forms, from what `score_examples` gave each."""
    last = forms[-1].loaded
    lengths = [len(feature) for feature in encode(task.validation, task, last.tokenizer, max_positions(last.model))]
    return LabelledScores(task, found, int(np.median(lengths)))
