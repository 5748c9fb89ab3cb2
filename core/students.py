"""Build a student: from a teacher's blocks, with the teacher's or new weights, whole or as adapters; or from nothing."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from core import layer_maps
from core.anatomy import Objective, anatomy_of, blocks, is_tied, plain_model, with_blocks, with_dropout, with_tying, without_block
from core.building import new_model
from core.config import FreshSpec, LoraSpec, StudentSpec
from core.dimensions import Dimensions, student_dimensions, with_dimensions
from core.distilbert import distilbert_student
from core.layer_maps import LayerMap, student_map
from core.tokenizer import train_masked_tokenizer, train_tokenizer, vocabulary_size

if TYPE_CHECKING:
    import torch
    from torch import nn
    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

    from core.data.rows import Row
    from core.unit_order import Importance

    Batch = tuple[torch.Tensor, torch.Tensor]  # token ids (B, T) and the weight of each as a target (B, T)

LONGEST_WAVE = 100  # of the positions of a new encoder, in radians a turn: words depend on those near to them


@dataclass(frozen=True, slots=True)
class Student:
    """A model ready for training.

    Attributes:
        model: in training mode, on the teacher's device; a `peft.PeftModel` when adapters are trained.
        layer_map: the teacher block that each block came from, or is matched with when its weights are new.
        trainable_parameters: numbers that training changes.
        parameters: numbers of the model that is saved in the end; tied weights count once.
    """

    model: nn.Module
    layer_map: LayerMap
    trainable_parameters: int
    parameters: int


def build_student(teacher: PreTrainedModel, spec: StudentSpec, *, seed: int, block_loss: Callable[[], float] | None = None,
                  calibration: Callable[[], Iterable[Batch]] | None = None, units: Importance | None = None,
                  dtype: torch.dtype | None = None) -> Student:
    """A student with the teacher's embeddings, norms and head, and the blocks that `spec` chooses.

    At the teacher's depth a copy gives exactly the teacher's logits. The global random state is left alone.

    Args:
        seed: of new weights and adapters.
        block_loss: gives the teacher's loss as it is when called; needed only where the importance of blocks decides.
        calibration: gives batches for `core.unit_order`; needed only where the importance of units decides.
        units: what each unit is worth, where that was measured before.
        dtype: of the student's weights (default: the teacher's).

    Raises:
        ConfigError: a depth, a width, an architecture or a layer map that the teacher cannot give.
        UnsupportedModel: an architecture whose anatomy is not described.
    """
    teacher = plain_model(teacher)
    importance = None
    if spec.layer_map == "importance":
        if block_loss is None:
            raise ValueError("the layer map 'importance' is measured: block_loss is needed")
        importance = block_importance(teacher, block_loss)
        if anatomy_of(teacher.config).first_block_differs:
            importance[0] = math.inf  # nothing can stand in its place
    layer_map = student_map(spec, len(blocks(teacher)), importance)
    with _seeded(seed):
        model = _shallower(teacher, spec, layer_map, dtype or teacher.dtype, calibration, units)
        if hasattr(teacher, "generation_config"):
            model.generation_config = copy.deepcopy(teacher.generation_config)
        return _ready(model.to(teacher.device), spec, layer_map)


def started_student(model: PreTrainedModel, teacher_layers: int, spec: StudentSpec, *, seed: int) -> Student:
    """A student that begins as a given model, whatever its sizes, or with new weights in its shape; its blocks are matched with the
    teacher's evenly.

    Args:
        model: in the format that it is trained in, on its device.
        teacher_layers: depth of the teacher.
    """
    depth = len(blocks(model))
    # A student deeper than its teacher has no such map; nothing but matched layers would need one.
    layer_map = layer_maps.layer_map("uniform", teacher_layers, depth) if depth <= teacher_layers else tuple(range(depth))
    with _seeded(seed):
        if spec.init == "random":
            new = _new_model(with_tying(model.config, is_tied(model)), model.dtype).to(model.device)
            if hasattr(model, "generation_config"):
                new.generation_config = copy.deepcopy(model.generation_config)
            model = new
        return _ready(model, spec, layer_map)


def _ready(model: PreTrainedModel, spec: StudentSpec, layer_map: LayerMap) -> Student:
    parameters = model.num_parameters()
    student = _with_adapters(model, spec.lora) if spec.lora is not None else model
    trainable = sum(parameter.numel() for parameter in student.parameters() if parameter.requires_grad)
    return Student(student.train(), layer_map, trainable, parameters)


def _shallower(teacher: PreTrainedModel, spec: StudentSpec, layer_map: LayerMap, dtype: torch.dtype,
               calibration: Callable[[], Iterable[Batch]] | None, units: Importance | None) -> PreTrainedModel:
    """The teacher's blocks of `layer_map` at the widths of `spec`, with its weights or new ones."""
    from core.resizing import Weights, resized
    from core.unit_order import in_order, unit_importance

    # A checkpoint may hold two matrices although its configuration says tied; then the loaded model is what counts.
    config = with_dropout(with_tying(with_blocks(teacher.config, layer_map), is_tied(teacher)), spec.dropout)
    if spec.architecture == "distilbert" and config.model_type != "distilbert":
        return distilbert_student(teacher, layer_map, spec, dtype)
    if not spec.narrower:
        model = _new_model(config, dtype)
        if spec.init == "teacher":
            _copy_weights(teacher, model, layer_map)
        return model
    widths = student_dimensions(spec, Dimensions.of(teacher.config))
    if spec.init == "random":
        return _new_model(with_dimensions(config, widths), dtype)
    weights = Weights.of(teacher)
    if spec.units == "importance":
        if units is None and calibration is None:
            raise ValueError("the importance of units is measured: calibration is needed")
        weights = in_order(weights, units or unit_importance(teacher, (input_ids for input_ids, _ in calibration())))
    return resized(weights, replace(widths, layers=len(layer_map)), layer_map).model(dtype)


def fresh_student(spec: FreshSpec, tokenizer: PreTrainedTokenizerBase, seed: int) -> PreTrainedModel:
    """A new model in fp32, in training mode, without dropout: tied embeddings, one row for each token of the tokenizer."""
    import torch
    from transformers import BertConfig, LlamaConfig

    shared = {"vocab_size": vocabulary_size(tokenizer), "hidden_size": spec.hidden, "intermediate_size": spec.feed_forward,
              "num_hidden_layers": spec.layers, "num_attention_heads": spec.heads, "max_position_embeddings": spec.positions,
              "tie_word_embeddings": True, "pad_token_id": tokenizer.pad_token_id}
    if spec.architecture == "llama":
        config = LlamaConfig(**shared, num_key_value_heads=spec.key_value_heads, initializer_range=0.02,
                             bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id)
    else:
        # BERT's 0.02 belongs to its 768 channels: what enters attention shall be as large in a narrower model.
        config = BertConfig(**shared, initializer_range=0.02 * math.sqrt(768 / spec.hidden), hidden_dropout_prob=0.0,
                            attention_probs_dropout_prob=0.0)
    with _seeded(seed):
        model = _new_model(config, torch.float32)
        if spec.architecture == "bert":
            _begin_near(model)
    return model.train()


def _begin_near(model: PreTrainedModel) -> None:
    """A new encoder begins by looking at near positions, which it would take many steps to find out: its learnt positions begin as
    sinusoids (1706.03762, section 3.5) and its keys as its queries (2305.09828), so that near positions are alike and attract each
    other."""
    import torch

    positions = model.get_submodule(anatomy_of(model.config).positions).weight  # (T, D)
    length, width = positions.shape
    angles = torch.arange(length)[:, None] * LONGEST_WAVE ** (-torch.arange(0, width, 2) / width)
    scale = math.sqrt(2) * model.config.initializer_range  # a wave's standard deviation is 1 / sqrt(2)
    with torch.no_grad():
        positions[:, 0::2], positions[:, 1::2] = scale * angles.sin(), scale * angles.cos()[:, :width // 2]
        for block in blocks(model):
            attention = block.attention.self
            attention.query.weight.normal_(std=1 / math.sqrt(width))
            attention.key.weight.copy_(attention.query.weight)


def fresh_tokenizer(spec: FreshSpec, rows: Iterable[Row]) -> PreTrainedTokenizerBase:
    """The vocabulary of a new model, trained on the rows."""
    train = train_tokenizer if spec.architecture == "llama" else train_masked_tokenizer
    return train(rows, spec.vocabulary, spec.positions)


def objective_of_fresh(spec: FreshSpec) -> Objective:
    """What a new model predicts."""
    return anatomy_of({"model_type": spec.architecture}).objective


def merged(model: nn.Module) -> PreTrainedModel:
    """The plain model to save: adapters, if any, added into a copy of the weights; `model` itself stays as it is."""
    from accelerate.utils import extract_model_from_parallel
    from peft import PeftModel

    model = extract_model_from_parallel(model, keep_torch_compile=False)
    return copy.deepcopy(model).merge_and_unload() if isinstance(model, PeftModel) else model


def block_importance(model: PreTrainedModel, loss: Callable[[], float]) -> list[float]:
    """What each block is worth: the loss without it minus the loss with all, in nats per token, one number a block.

    Measured rather than estimated from the angle between a block's input and output, which is a poor proxy (2605.14075).

    Args:
        loss: measures `model` as it is when called.
    """
    complete, importance = loss(), []
    for block in range(len(blocks(model))):
        with without_block(model, block):
            importance.append(loss() - complete)
    return importance


def _new_model(config: PreTrainedConfig, dtype: torch.dtype) -> PreTrainedModel:
    return new_model(config, anatomy_of(config).objective, dtype)


def _copy_weights(teacher: PreTrainedModel, student: PreTrainedModel, layer_map: LayerMap) -> None:
    anatomy = anatomy_of(teacher.config)
    positions = {block: position for position, block in enumerate(layer_map)}
    weights = {}
    for name, tensor in teacher.state_dict().items():
        block = anatomy.block_of(name)
        if block is None:
            weights[name] = tensor
        elif block in positions:
            weights[anatomy.with_block(name, positions[block])] = tensor
    student.load_state_dict(weights)


def _with_adapters(model: PreTrainedModel, spec: LoraSpec) -> nn.Module:
    from peft import LoraConfig, TaskType, get_peft_model

    anatomy = anatomy_of(model.config)
    return get_peft_model(model, LoraConfig(
        r=spec.rank, lora_alpha=spec.alpha, lora_dropout=spec.dropout, target_modules=list(anatomy.projections),
        fan_in_fan_out=anatomy.transposed, task_type=TaskType.CAUSAL_LM if anatomy.objective == "causal" else None))


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield
