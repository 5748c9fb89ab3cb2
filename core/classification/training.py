"""Training of small classifiers on hard labels, soft targets or both.

    L = (1 / n) sum_i [ w_hard CE(y_i, q_i) + w_kd T^2 D(p_i, q_i) ]        (1503.02531, section 2)

Steps of a small network take less time than the trainer of Transformers spends on each of them, so the loop is our own: the same
optimiser, schedule, loss terms and logged names. Finished trainings are kept; one that is stopped begins again when it is resumed.

Shapes: N items, n items of a batch, C classes.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from core.classification.items import Items
from core.classification.predicting import measure, predict_logits
from core.config import LossSpec, TrainSpec
from core.errors import DataError, NonFiniteLossError
from core.recorder import STUDENT, NullRecorder, Recorder, StopRequested
from core.training.losses import logit_loss, logit_terms

if TYPE_CHECKING:
    from transformers import PreTrainedModel

POINTS = 20  # of a held-out curve
LABELS_ONLY = LossSpec(w_kd=0.0, w_hard=1.0)
Orders = Callable[[torch.Generator], Tensor]  # an epoch's items, in the order in which they are trained on
Augment = Callable[[Mapping[str, Tensor], torch.Generator], Mapping[str, Tensor]]  # a batch's arguments -> those that are trained on


@dataclass(frozen=True, slots=True)
class Trained:
    """What a training came to.

    Attributes:
        steps: optimiser steps.
        items: that were trained on, repetitions counted.
        seconds: of all steps, measurement excluded.
        curve: epoch -> held-out metrics, where held-out items were given.
    """

    steps: int
    items: int
    seconds: float
    curve: Mapping[int, Mapping[str, float]] = field(default_factory=dict)


def train_classifier(model: PreTrainedModel, items: Items, *, train: TrainSpec, losses: LossSpec = LABELS_ONLY,
                     soft_targets: Tensor | None = None, held_out: Items | None = None, every: int | None = None,
                     orders: Orders | None = None, augment: Augment | None = None, recorder: Recorder | None = None,
                     variant: str = STUDENT, after_epoch: Callable[[int], bool] | None = None) -> Trained:
    """Train a classifier in place, on the device on which it is.

    Args:
        train: epochs or steps, batch, learning rate and its schedule, weight decay and clipping; its seed is that of order and dropout.
        losses: weights, divergence and temperature.
        soft_targets: (N, C) logits whose softmax at the temperature is compared with; needed where `losses` use them.
        held_out: measured after every `every` epochs (default: about twenty times in all), and after the last one.
        orders: draws the order of an epoch (default: all items, shuffled).
        augment: changes a batch before it is trained on.
        after_epoch: called with the number of each epoch; training ends where it returns false.
        recorder: receives the loss and the held-out metrics under `variant`, and is polled for stop requests.

    Raises:
        DataError: nothing to train on.
        NonFiniteLossError: the loss is not a number any more.
        StopRequested: the user requested a stop; what was learnt in this training is lost.
    """
    if len(items) == 0:
        raise DataError("There is nothing to train on: the transfer set is empty.", "At least one item was expected.",
                        "Leave fewer classes out, or take more items.")
    assert soft_targets is None or len(soft_targets) == len(items), "one row of soft targets an item"
    assert soft_targets is not None or not losses.needs_teacher(), "soft targets are compared with"
    recorder, device = recorder or NullRecorder(), next(model.parameters()).device
    generator = torch.Generator().manual_seed(train.seed)
    draw = orders or (lambda generator: torch.randperm(len(items), generator=generator))
    size = train.per_device_train_batch_size * train.gradient_accumulation_steps
    epoch_steps = max(1, math.ceil(len(draw(torch.Generator().manual_seed(train.seed))) / size))
    total = train.max_steps or max(1, math.ceil(train.num_train_epochs * epoch_steps))
    every = every or max(1, round(total / epoch_steps / POINTS))
    optimiser, scheduler = _optimiser(model, train, total)
    curve: dict[int, Mapping[str, float]] = {}
    step = seen = epoch = 0
    seconds = 0.0
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(train.seed)  # of dropout
        while step < total:
            if recorder.should_stop():
                raise StopRequested
            epoch, began, sums = epoch + 1, time.perf_counter(), _Sums()
            model.train()
            for chosen in draw(generator).split(size)[:total - step]:
                arguments = items.batch(chosen, device)
                if augment is not None:
                    arguments = dict(augment(arguments, generator))
                targets = items.targets[chosen].to(device)
                weights = {name: ramp.at(step / max(total - 1, 1)) for name, ramp in losses.weights().items()}
                terms = logit_terms(losses, weights, teacher=soft_targets is not None)
                compared = None if soft_targets is None else soft_targets[chosen].to(device)
                loss, values = logit_loss(model(**arguments).logits.float(), compared, targets, terms, float(len(chosen)))
                optimiser.zero_grad(set_to_none=True)
                loss.backward()
                torch.nn.utils.clip_grad_norm_(model.parameters(), train.max_grad_norm)
                optimiser.step()
                scheduler.step()
                sums.add({term.name: (value, term.factor) for term, value in zip(terms, values, strict=True) if losses.uses(term.name)},
                         len(chosen))
                step, seen = step + 1, seen + len(chosen)
            seconds += time.perf_counter() - began
            logged = sums.means(step, variant)
            if held_out is not None and (epoch % every == 0 or step >= total):
                curve[epoch] = measure(predict_logits(model, held_out), held_out.targets)
                logged |= {f"eval/{name}": value for name, value in curve[epoch].items()}
            recorder.log(variant, step, logged | {"learning_rate": float(scheduler.get_last_lr()[0])})
            if after_epoch is not None and not after_epoch(epoch):
                break
    model.eval()
    return Trained(step, seen, seconds, curve)


class _Sums:
    """Sums of the loss terms over an epoch."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}  # term -> (2,): its sum over items, and that of it times its factor
        self._items = 0

    def add(self, values: Mapping[str, tuple[Tensor, float]], items: int) -> None:
        """Count a batch: term -> its sum over the batch's items, and the factor that it is weighted with."""
        for name, (value, factor) in values.items():
            self._sums[name] = self._sums.get(name, 0) + torch.stack([value, value * factor])
        self._items += items

    def means(self, step: int, variant: str) -> dict[str, float]:
        """Return the logged means. Raises NonFiniteLossError."""
        found = {name: (total / self._items).tolist() for name, total in self._sums.items()}
        if not all(math.isfinite(raw) for raw, _ in found.values()):
            raise NonFiniteLossError(f"The loss of variant '{variant}' is not a number any more at step {step}.",
                                     "A finite loss was expected.", "Lower train.learning_rate or train.max_grad_norm.",
                                     field="train.learning_rate")
        logged = {"loss": sum(weighted for _, weighted in found.values())}
        for name, (raw, weighted) in found.items():
            logged |= {f"raw/{name}": raw, f"loss/{name}": weighted}
        return logged


def _optimiser(model: PreTrainedModel, train: TrainSpec, total: int) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    """Return AdamW, whose decay leaves biases and norms out, and its schedule."""
    from transformers import get_scheduler

    matrices = [each for each in model.parameters() if each.requires_grad and each.dim() > 1]
    vectors = [each for each in model.parameters() if each.requires_grad and each.dim() < 2]
    optimiser = torch.optim.AdamW([{"params": matrices, "weight_decay": train.weight_decay}, {"params": vectors, "weight_decay": 0.0}],
                                  lr=train.learning_rate, betas=(0.9, train.adam_beta2), fused=True)
    return optimiser, get_scheduler(train.lr_scheduler_type, optimiser, num_warmup_steps=math.ceil(train.warmup_ratio * total),
                                    num_training_steps=total)
