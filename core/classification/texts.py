"""Labelled texts as items of classifiers: tokenised once, padded to the longest.

Shapes: N texts, T positions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from core.classification.items import ClassificationData, Items
from core.classification.splits import split_items
from core.errors import CompatibilityError
from core.models.forward import max_positions, uses_token_types
from core.tasks.data import TaskData
from core.tasks.encoding import collate, encode

if TYPE_CHECKING:
    from transformers import PreTrainedModel

VALIDATION_FRACTION = 0.2  # of the items for training that are chosen on


def encode_task(task: TaskData, tokenizer: Any, model: PreTrainedModel) -> ClassificationData:
    """Return a labelled task as a model reads it. What the task holds out is measured on; a fifth of the rest is chosen on.

    Args:
        model: says how many tokens are read, and whether pairs have token types; not changed.

    Raises:
        CompatibilityError: questions, which have no classes.
    """
    if task.kind != "classification":
        raise CompatibilityError(f"'{task.name}' is a task of {task.kind.replace('_', ' ')}.", "Texts with classes were expected.",
                                 "Choose a task of classification.", field="task.source")

    def items(part: Any) -> Items:
        features = encode(part, task, tokenizer, max_positions(model))
        batch = collate(features, tokenizer.pad_token_id, uses_token_types(model))
        return Items(batch, torch.tensor([feature.targets[0] for feature in features], dtype=torch.int64))

    learnt, validation = split_items(items(task.train), VALIDATION_FRACTION)
    return ClassificationData(task.name, task.labels, learnt, validation, items(task.validation))
