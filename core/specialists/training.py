"""The training of a specialist from its generalist (1503.02531, sections 5.2 and 5.3).

Specialists overfit quickly, since they see half of all batches from a few classes. Two guards:

    early_stopping   a head for the special classes and the dustbin; after each epoch the held-out loss, of special items and of others in
                     equal parts as in training, is measured, and the weights of the best epoch are kept
    soft_targets     all classes are kept. Special items have hard labels; for items of other classes the target is the generalist's
                     distribution over the other classes, renormalised. The paper proposes it and does not test it

In both the correction of the prior (`core.specialists.sampling`) is exact for what was trained: the special classes have half the mass.

Shapes: N items, C classes, S special classes.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from torch import Tensor, nn

from core.classification.items import Items
from core.classification.predicting import predict_logits
from core.classification.training import LABELS_ONLY, train_classifier
from core.config import LossSpec, TrainSpec
from core.config.losses import constant
from core.errors import UnsupportedModelError
from core.models.architectures import label_names
from core.recorder import Recorder
from core.specialists.heads import specialist_head
from core.specialists.sampling import half_and_half, special_items

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Guard = Literal["early_stopping", "soft_targets"]
SOFT_AND_HARD = LossSpec(w_kd=constant(1.0), w_hard=constant(0.0), temperature=1.0)  # a hard label has all mass at one class
DUSTBIN = "other"  # label of the last output
NOWHERE = -1e30  # logit of a class without probability


@dataclass(frozen=True, slots=True)
class SpecialistTraining:
    """How a specialist is trained.

    Attributes:
        guard: against overfitting.
        epochs: passes over the special items, at most.
        patience: epochs without improvement until early stopping.
        train: batch, decay, clipping and seed; its epochs are not read.
    """

    guard: Guard
    epochs: float
    patience: int
    train: TrainSpec


@dataclass(frozen=True, slots=True)
class TrainedSpecialist:
    """A specialist and what its training took.

    Attributes:
        model: with S + 1 outputs, or with C where the guard was soft targets.
        share: pi, of the special classes among the training items.
        items: that were trained on, repetitions counted.
        curve: epoch -> held-out loss in nats; 0 is before training.
        kept_epoch: whose weights the model has.
    """

    model: PreTrainedModel
    share: float
    items: int
    curve: Mapping[int, float]
    kept_epoch: int


def require_linear_head(model: PreTrainedModel) -> tuple[str, nn.Linear]:
    """Return the last layer of a classifier and its name: ``classifier``, or ``classifier.out_proj`` and the like of other families.

    Raises:
        UnsupportedModelError: no linear layer with an output for each class, or one without biases, which the dustbin's start needs.
    """
    classes, found = len(label_names(model.config)), None
    for name, module in model.named_modules():
        of_head = isinstance(module, nn.Linear) and module.out_features == classes and not name.startswith(f"{model.base_model_prefix}.")
        found = (name, module) if of_head else found
    if found is None or found[1].bias is None:
        raise UnsupportedModelError(f"The classifier of a {type(model).__name__} does not end in a linear layer with biases.",
                                    "Rows of the generalist's head become the specialist's.", "Choose another architecture.")
    return found


def train_specialist(generalist: PreTrainedModel, classes: Sequence[int], items: Items, held_out: Items, how: SpecialistTraining, *,
                     recorder: Recorder, variant: str) -> TrainedSpecialist:
    """Train a specialist for some classes, started from the generalist, which is not changed.

    Args:
        classes: S^m, at least two and not all.
        items: to train on, of special and of other classes.
        held_out: what epochs are chosen on; as `items`.
        recorder: receives the losses under `variant`, and is polled for a stop after each epoch.

    Raises:
        DataError: no special items, or only such.
        UnsupportedModelError: a head that is not linear.
        StopRequested: the user requested a stop; what was learnt in this training is lost.
    """
    special = special_items(items.targets.numpy(), classes)
    model = copy.deepcopy(generalist)
    name, head = require_linear_head(model)
    soft: Tensor | None = None
    if how.guard == "early_stopping":
        parent, _, leaf = name.rpartition(".")
        setattr(model.get_submodule(parent), leaf, specialist_head(head, classes))
        names = label_names(generalist.config)
        labels = [*(names[each] for each in classes), DUSTBIN]
        model.config.id2label, model.config.label2id = dict(enumerate(labels)), {label: number for number, label in enumerate(labels)}
        items, held = renumbered(items, classes, head.out_features), renumbered(held_out, classes, head.out_features)
    else:
        soft, held = mixed_targets(predict_logits(generalist, items), items.targets, classes), held_out
    best = _Best(model, held, special_items(held_out.targets.numpy(), classes), how.patience if how.guard == "early_stopping" else None)
    size = how.train.per_device_train_batch_size * how.train.gradient_accumulation_steps
    batches = half_and_half(special, size, how.train.seed)
    each_epoch = max(1, round(2 * int(special.sum()) / size))  # half of its items are special

    def orders(_: torch.Generator) -> Tensor:
        return torch.from_numpy(np.concatenate([next(batches) for _ in range(each_epoch)]))

    trained = train_classifier(
        model, items, train=how.train.model_copy(update={"num_train_epochs": how.epochs, "max_steps": None}),
        losses=LABELS_ONLY if soft is None else SOFT_AND_HARD, soft_targets=soft, orders=orders, recorder=recorder, variant=variant,
        after_epoch=best.look)
    return TrainedSpecialist(best.restored(), float(special.mean()), trained.items, best.curve, best.epoch)


def renumbered(items: Items, classes: Sequence[int], count: int) -> Items:
    """Return items whose targets are a specialist's outputs: the place of a special class, or S for the dustbin."""
    places = torch.full((count,), len(classes), dtype=torch.int64)
    places[list(classes)] = torch.arange(len(classes))
    return Items(items.inputs, places[items.targets])


def mixed_targets(logits: Tensor, targets: Tensor, classes: Sequence[int]) -> Tensor:
    """Return target logits (N, C): all mass on the label of special items, else the generalist's distribution over the other classes.

    Args:
        logits: (N, C) of the generalist.
        targets: (N,) classes.
    """
    special = torch.isin(targets, torch.tensor(list(classes)))
    result = logits.clone()
    result[:, list(classes)] = NOWHERE
    result[special] = NOWHERE
    result[special, targets[special]] = 0.0
    return result


class _Best:
    """Measures the held-out loss after each epoch; remembers the weights of the best one where a patience is given."""

    def __init__(self, model: PreTrainedModel, held: Items, special: np.ndarray, patience: int | None) -> None:
        self._model, self._held, self._patience = model, held, patience
        self._parts = tuple(torch.from_numpy(part) for part in (special, ~special))
        self._weights: dict[str, Tensor] = {}
        self.curve: dict[int, float] = {}
        self.epoch = 0
        self.look(0)

    def look(self, epoch: int) -> bool:
        """Return whether training continues."""
        logits = predict_logits(self._model, self._held)
        parts = [float(nn.functional.cross_entropy(logits[part], self._held.targets[part])) for part in self._parts]
        self.curve[epoch] = sum(parts) / len(parts)
        if self._patience is None:
            self.epoch = epoch
            return True
        if self.curve[epoch] <= min(self.curve.values()):
            self.epoch, self._weights = epoch, copy.deepcopy(self._model.state_dict())
        return epoch - self.epoch < self._patience

    def restored(self) -> PreTrainedModel:
        """Return the model with the weights of the kept epoch, in evaluation mode."""
        if self._weights:
            self._model.load_state_dict(self._weights)
        return self._model.eval()
