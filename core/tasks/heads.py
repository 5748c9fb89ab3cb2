"""A pretrained encoder with a new head for a task, and what must agree between it and a fine-tuned teacher."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import torch
from torch import nn

from core.errors import CompatibilityError
from core.models import compatibility
from core.models.architectures import architecture_of, label_names, on_device
from core.models.entries import LoadedModel
from core.models.loading import model_from_config
from core.tasks.data import TaskData

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def with_head(start: LoadedModel, task: TaskData, seed: int) -> PreTrainedModel:
    """Return a model of its own in float32 and in training mode: the encoder's weights, and every other part that fits; the rest is new.

    What a masked-language checkpoint lacks is drawn from `seed`: the classifier, BERT's pooler, DistilBERT's layer in front of the
    classifier. A model that was fine-tuned on the same labels before keeps its head, in the order of the task's labels; a head that
    was made for other labels is initialised again.

    Raises:
        CompatibilityError: a model that is no encoder, or one of a family that has no head for the task.
    """
    compatibility.require_encoder(start.entry)
    compatibility.require_head_for(start.entry, task.kind)
    config = copy.deepcopy(start.model.config)
    if task.kind == "classification":
        labels, config.problem_type = task.labels, "single_label_classification"
    else:  # where a span begins and where it ends
        labels, config.problem_type = ("LABEL_0", "LABEL_1"), None
    config.num_labels = len(labels)
    config.id2label, config.label2id = dict(enumerate(labels)), {label: number for number, label in enumerate(labels)}
    model = model_from_config(config, task.kind, torch.float32, seed)
    ours = model.state_dict()
    theirs = {name: tensor for name, tensor in start.model.state_dict().items() if name not in start.initialised}
    rows = _kept_rows(start, task)
    for name in _output(model):
        if rows is None:
            theirs.pop(name, None)
        elif name in theirs:
            theirs[name] = theirs[name][rows]
    fitting = {name: tensor for name, tensor in theirs.items() if name in ours and tensor.shape == ours[name].shape}
    model.load_state_dict(fitting, strict=False)
    return on_device(model, start.model.device).train()


def _kept_rows(start: LoadedModel, task: TaskData) -> list[int] | None:
    """Return for each output of the task's head the row of the model's own head; None for a model without a head for this task."""
    try:
        order = label_order(start, task)
    except CompatibilityError:
        return None
    return order if task.kind == "classification" else [0, 1]


def _output(model: PreTrainedModel) -> list[str]:
    """Return the parameters of the task's last layer, a row for each output."""
    base = f"{architecture_of(model.config).base}."
    last = [name for name, module in model.named_modules()
            if isinstance(module, nn.Linear) and not name.startswith(base) and module.out_features == model.config.num_labels][-1]
    return [f"{last}.{name}" for name, _ in model.get_submodule(last).named_parameters()]


def label_order(teacher: LoadedModel, task: TaskData) -> list[int]:
    """Return for each label of the task the number that the teacher gives it.

    Raises:
        CompatibilityError: a teacher without such a head, or with other labels.
    """
    if teacher.entry.task != task.kind:
        raise CompatibilityError(f"'{teacher.entry.name}' is a {teacher.entry.task.replace('_', ' ')} model.",
                                 f"A teacher that was fine-tuned for {task.kind.replace('_', ' ')} was expected.",
                                 "Fine-tune it on the task first, as assets/recipes/house-sentiment.yaml does, and name that run.",
                                 field="teacher.model")
    if task.kind == "question_answering":
        return []
    names = label_names(teacher.model.config)
    named = {label.lower(): number for number, label in enumerate(names)}
    if {label.lower() for label in task.labels} == set(named):
        return [named[label.lower()] for label in task.labels]
    # Checkpoints without names call their labels LABEL_0, LABEL_1: in the order of the data set.
    if len(names) == len(task.labels) and all(label.startswith("label_") for label in named):
        return list(range(len(names)))
    raise CompatibilityError(f"'{teacher.entry.name}' tells apart {', '.join(names)}.",
                             f"The labels of '{task.name}' are {', '.join(task.labels)}.",
                             "Choose a teacher that was fine-tuned on this dataset.", field="teacher.model")


def check_teacher(teacher: LoadedModel, start: LoadedModel) -> None:
    """Check that teacher and student read the same token ids.

    Raises:
        CompatibilityError: tokenizers that differ, or a teacher that lacks rows for the student's tokens.
    """
    compatibility.require_shared_vocabulary(teacher.tokenizer, start.tokenizer)
    mine, theirs = (len(loaded.tokenizer.get_vocab()) for loaded in (start, teacher))
    if mine != theirs:
        raise CompatibilityError(f"The tokenizer of '{start.entry.name}' knows {mine:,} tokens, that of '{teacher.entry.name}' {theirs:,}.",
                                 "Teacher and student must have one tokenizer.", "Choose two models of one family.", field="teacher.model")
