"""Build a student: from a teacher's blocks, with the teacher's or new weights, whole or as adapters; or from scratch.

A student that starts from its teacher's blocks is PKD's (1908.09355) and DistilBERT's (1910.01108, section 3); layers removed by the
loss without them are Shortened LLaMA's (2402.02834), where ShortGPT (2403.03853) compares a layer's input with its output; units kept by
their importance, before distillation, are Minitron's (2407.14679). Replacing modules during training, as BERT-of-Theseus (2002.02925)
does, is not done here.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from core.config import StudentSpec
from core.models.adapters import add_adapters
from core.models.architectures import (
    architecture_of,
    blocks,
    is_tied,
    on_device,
    plain_model,
    with_blocks,
    with_dropout,
    with_tying,
    without_block,
)
from core.models.dimensions import Dimensions, student_dimensions, with_dimensions
from core.models.loading import model_from_config
from core.students import layer_maps
from core.students.distilbert import distilbert_student
from core.students.layer_maps import LayerMap, student_map

if TYPE_CHECKING:
    import torch
    from torch import nn
    from transformers import PreTrainedConfig, PreTrainedModel

    from core.students.importance import Importance

    Batch = tuple[torch.Tensor, torch.Tensor]  # token ids (B, T) and the weight of each as a target (B, T)


@dataclass(frozen=True, slots=True)
class Student:
    """A model ready for training.

    Attributes:
        model: in training mode, on the teacher's device; a `peft.PeftModel` when adapters are trained.
        layer_map: the teacher block that each block came from, or is matched with when its weights are new; None without a teacher.
        trainable_parameters: numbers that training changes.
        parameters: numbers of the model that is saved in the end; tied weights count once.
    """

    model: nn.Module
    layer_map: LayerMap | None
    trainable_parameters: int
    parameters: int


def build_student(teacher: PreTrainedModel, spec: StudentSpec, *, seed: int, block_loss: Callable[[], float] | None = None,
                  calibration: Callable[[], Iterable[Batch]] | None = None, units: Importance | None = None,
                  dtype: torch.dtype | None = None) -> Student:
    """Return a student with the teacher's embeddings, norms and head, and the blocks that `spec` chooses.

    At the teacher's depth a copy gives exactly the teacher's logits. The global random state is left alone.

    Args:
        seed: of new weights and adapters.
        block_loss: gives the teacher's loss as it is when called; needed only where the importance of blocks decides.
        calibration: gives batches for `core.students.importance`; needed only where the importance of units decides.
        units: what each unit is worth, where that was measured before.
        dtype: of the student's weights (default: the teacher's).

    Raises:
        ConfigError: a depth, a width, an architecture or a layer map that the teacher cannot give.
        UnsupportedModelError: an architecture that is not described.
    """
    teacher = plain_model(teacher)
    importance = None
    if spec.layer_map == "importance":
        if block_loss is None:
            raise ValueError("the layer map 'importance' is measured: block_loss is needed")
        importance = block_importance(teacher, block_loss)
        if architecture_of(teacher.config).first_block_differs:
            importance[0] = math.inf  # nothing can stand in its place
    layer_map = student_map(spec, len(blocks(teacher)), importance)
    with seeded(seed):
        model = _prune(teacher, spec, layer_map, dtype or teacher.dtype, calibration, units)
        if hasattr(teacher, "generation_config"):
            model.generation_config = copy.deepcopy(teacher.generation_config)
        return _ready(on_device(model, teacher.device), spec, layer_map)


def student_from_checkpoint(model: PreTrainedModel, teacher_layers: int, spec: StudentSpec, *, seed: int) -> Student:
    """Return a student that begins as a given model, whatever its sizes, or with new weights in its shape.

    Its blocks are matched with the teacher's evenly.

    Args:
        model: in the format that it is trained in, on its device.
        teacher_layers: depth of the teacher.
    """
    depth = len(blocks(model))
    # A student deeper than its teacher has no such map; nothing but matched layers would need one.
    layer_map = layer_maps.layer_map("uniform", teacher_layers, depth) if depth <= teacher_layers else tuple(range(depth))
    with seeded(seed):
        if spec.init == "random":
            new = on_device(new_model(with_tying(model.config, is_tied(model)), model.dtype), model.device)
            if hasattr(model, "generation_config"):
                new.generation_config = copy.deepcopy(model.generation_config)
            model = new
        return _ready(model, spec, layer_map)


def _ready(model: PreTrainedModel, spec: StudentSpec, layer_map: LayerMap) -> Student:
    parameters = model.num_parameters()
    student = add_adapters(model, spec.lora) if spec.lora is not None else model
    trainable = sum(parameter.numel() for parameter in student.parameters() if parameter.requires_grad)
    return Student(student.train(), layer_map, trainable, parameters)


def _prune(teacher: PreTrainedModel, spec: StudentSpec, layer_map: LayerMap, dtype: torch.dtype,
               calibration: Callable[[], Iterable[Batch]] | None, units: Importance | None) -> PreTrainedModel:
    """Return the teacher's blocks of `layer_map` at the widths of `spec`, with its weights or new ones."""
    from core.students.importance import sort_by_importance, unit_importance
    from core.students.resizing import Weights, resized

    # A checkpoint may hold two matrices although its configuration says tied; then the loaded model is what counts.
    config = with_dropout(with_tying(with_blocks(teacher.config, layer_map), is_tied(teacher)), spec.dropout)
    if spec.architecture == "distilbert" and config.model_type != "distilbert":
        return distilbert_student(teacher, layer_map, spec, dtype)
    if not spec.narrower:
        model = new_model(config, dtype)
        if spec.init == "teacher":
            _copy_weights(teacher, model, layer_map)
        return model
    widths = student_dimensions(spec, Dimensions.from_config(teacher.config))
    if spec.init == "random":
        return new_model(with_dimensions(config, widths), dtype)
    weights = Weights.of(teacher)
    if spec.pruning_criterion == "importance":
        if units is None:
            if calibration is None:
                raise ValueError("the importance of units is measured: calibration is needed")
            units = unit_importance(teacher, (input_ids for input_ids, _ in calibration()))
        weights = sort_by_importance(weights, units)
    return resized(weights, replace(widths, layers=len(layer_map)), layer_map).model(dtype)


def block_importance(model: PreTrainedModel, loss: Callable[[], float]) -> list[float]:
    """Return what each block is worth: the loss without it minus the loss with all, in nats per token, one number a block.

    Measured rather than estimated from the angle between a block's input and output, which is a poor proxy (2605.14075).

    Args:
        loss: measures `model` as it is when called.
    """
    complete, importance = loss(), []
    for block in range(len(blocks(model))):
        with without_block(model, block):
            importance.append(loss() - complete)
    return importance


def new_model(config: PreTrainedConfig, dtype: torch.dtype) -> PreTrainedModel:
    """Return a language model with new weights, drawn from torch's generator."""
    return model_from_config(config, architecture_of(config).objective, dtype)


def _copy_weights(teacher: PreTrainedModel, student: PreTrainedModel, layer_map: LayerMap) -> None:
    architecture = architecture_of(teacher.config)
    positions = {block: position for position, block in enumerate(layer_map)}
    weights = {}
    for name, tensor in teacher.state_dict().items():
        block = architecture.block_of(name)
        if block is None:
            weights[name] = tensor
        elif block in positions:
            weights[architecture.with_block(name, positions[block])] = tensor
    student.load_state_dict(weights)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed torch's generator inside the block; on the processor, where new weights are drawn, it is as before afterwards."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield
