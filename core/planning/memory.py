"""What a training run will hold in memory and write to disk, in bytes, before anything is built.

With P_t, P_s the parameters of teacher and student, R those that are trained, c the bytes of a number in the compute format
(4 in fp32, 2 in bf16), L, D, H, V depth, width, heads and vocabulary, N = B T tokens of one forward pass:

    teacher       c P_t
    student       4 P_s, 4 R more for adapters, c P_s more for the rounded copy that bf16 computes with
    gradients     4 R
    optimiser     8 R                                           AdamW's two moments
    activations   4 N L_s kept sum(in + out)                    what the student's blocks keep for the backward pass:
                  + 4 N L_s a H T                               a multiple of the projections' inputs and outputs, and
                  + 4 N L_s (3 H T + 2 D_s) where it drops      of the scores of attention that is written out; with
                  + c N D_t (L_t + 1)                           dropout also the attention's probabilities, drawn and
                                                                dropped (3 H T, on the processor: a GPU's kernels draw
                                                                them again), and what blocks end with; the teacher's
                                                                hidden states
    logits        2 c min(N, C) V + 32 min(N, C') V             both models' products over one chunk of C positions, and eight
                                                                buffers over a tile of C', on a GPU over the chunk
                  + 12 V D_s where the head is trained          its gradient and two copies
    program       libraries and corpus, measured

Of several processes each holds all of this, and activations and logits of its own rows. Where weights are shared out (`train.sharding`), a
process holds of what the teacher, or student, gradients and optimiser take by the parameters

    P / n of the blocks, one block more, and all that lies outside of the blocks (teacher, student, gradients)
    P / n                                                                          (optimiser)

and the first one the student's weights once more, with which it measures.

The run's folder holds two checkpoints of each variant and one more while it is written, 4 P_s (adapters: 4 R) + 8 R each,
then one model folder for each variant.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from core.config import ExperimentConfig, LoraSpec, ScratchSpec
from core.errors import FetchModel, ModelError
from core.methods.room import FP32, run_bytes
from core.models import checkpoints
from core.models.architectures import ARCHITECTURE_SPECS, ArchitectureSpec
from core.models.checkpoints import ParameterCount
from core.models.chunking import CHUNK_ELEMENTS, TILE_ELEMENTS
from core.models.dimensions import Dimensions, shapes_at
from core.models.entries import ModelEntry

PROGRAM = 3 * 2**28  # 0.75 GiB: torch, Transformers and the packed house corpus


@dataclass(frozen=True, slots=True)
class ModelShape:
    """A model's sizes.

    Attributes:
        hidden, heads, vocabulary: channels, query heads a block, rows of the token embedding.
        projections: inputs plus outputs of a block's weight matrices, one number a block.
        counts: parameters by part.
        token_types: parameters of the embedding of sentence A or B, which `counts.embeddings` holds too.
        drops: whether training drops activations.
    """

    architecture: ArchitectureSpec
    hidden: int
    heads: int
    vocabulary: int
    projections: tuple[int, ...]
    counts: ParameterCount
    token_types: int = 0
    drops: bool = False

    @property
    def layers(self) -> int:
        """Return the number of layers."""
        return len(self.projections)

    @property
    def parameters(self) -> int:
        """Return the number of parameters, tied weights once."""
        return self.counts.total

    def with_blocks(self, layer_map: Sequence[int]) -> ModelShape:
        """Return the shape of a student of these blocks, with the dropout that `core.models.architectures.with_blocks` leaves it."""
        counts = replace(self.counts, blocks=tuple(self.counts.blocks[block] for block in layer_map))
        return replace(self, projections=tuple(self.projections[block] for block in layer_map), counts=counts,
                       drops=self.drops and self.architecture.objective == "masked")

    def as_distilbert(self) -> ModelShape:
        """Return the shape of a BERT's DistilBERT, which has no token types; see `core.students.distilbert`."""
        unused = self.vocabulary if self.counts.head > self.vocabulary else 0  # untied, BERT's head has its bias twice
        counts = replace(self.counts, embeddings=self.counts.embeddings - self.token_types, other=self.counts.other - unused)
        return replace(self, architecture=ARCHITECTURE_SPECS["distilbert"], counts=counts, token_types=0)


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes at the peak of a training step, by what holds them; `total` is their sum."""

    teacher: int
    student: int
    gradients: int
    optimiser: int
    activations: int
    logits: int
    program: int
    total: int


def shape_of(entry: ModelEntry) -> ModelShape:
    """Return the shape of a model of the catalogue: exact from a header of safetensors, otherwise estimated from its counts."""
    header = entry.header
    architecture = ARCHITECTURE_SPECS[entry.architecture] if header is None else header.architecture
    if header is not None and header.format == "safetensors":
        projections = _projections(header.parameters, architecture, entry.layers)
        token_types = math.prod(header.parameters.get(f"{architecture.token_types}.weight", (0,)))
        drops = header.uses_dropout
    else:
        # One side of nearly every projection is the width D, so a block of n of them with P parameters has n D + P / D.
        projections = tuple(len(architecture.projections) * entry.hidden + block // entry.hidden for block in entry.counts.blocks)
        # As published BERT models have them.
        token_types, drops = 2 * entry.hidden if architecture.token_types else 0, architecture.objective == "masked"
    return ModelShape(architecture, entry.hidden, entry.heads, entry.vocabulary, projections, entry.counts, token_types, drops)


def narrowed(entry: ModelEntry, wanted: Dimensions) -> ModelShape:
    """Return the shape of a model of the catalogue at other widths and its own depth.

    Raises:
        ModelError: its files are not here, so that its matrices are not known.
        UnsupportedModelError: an architecture whose widths are not described.
    """
    header = entry.header
    if header is None or header.format != "safetensors":
        raise ModelError(f"The files of '{entry.name}' are not here as a folder.", "A width is planned from a model's own matrices.",
                         "Fetch it first.", suggestion=FetchModel(entry.name))
    shapes = shapes_at(header.parameters, header.config, wanted)
    architecture = ARCHITECTURE_SPECS[entry.architecture]
    return ModelShape(architecture, wanted.hidden, wanted.heads, entry.vocabulary, _projections(shapes, architecture, entry.layers),
                 checkpoints.count_parameters(shapes, header.config))


def _projections(shapes: Mapping[str, tuple[int, ...]], architecture: ArchitectureSpec, layers: int) -> tuple[int, ...]:
    sums = [0] * layers
    matrices = tuple(f".{projection}.weight" for projection in architecture.projections)
    for name, shape in shapes.items():
        block = architecture.block_of(name)
        if block is not None and name.endswith(matrices):
            sums[block] += sum(shape)
    return tuple(sums)


def shape_from_scratch(spec: ScratchSpec) -> ModelShape:
    """Return the shape of a model built from nothing, at the full size of its vocabulary."""
    if spec.architecture == "bert":
        return _shape_of_fresh_bert(spec)
    narrow = spec.hidden * spec.key_value_heads // spec.heads
    sides = [(spec.hidden, spec.hidden)] * 2 + [(spec.hidden, narrow)] * 2 + [(spec.hidden, spec.intermediate_size)] * 3
    block = sum(math.prod(side) for side in sides) + 2 * spec.hidden  # and two norms
    counts = ParameterCount(spec.vocabulary * spec.hidden, (block,) * spec.layers, 0, spec.hidden)
    return ModelShape(ARCHITECTURE_SPECS[spec.architecture], spec.hidden, spec.heads, spec.vocabulary,
                      (sum(map(sum, sides)),) * spec.layers, counts)


def _shape_of_fresh_bert(spec: ScratchSpec) -> ModelShape:
    sides = [(spec.hidden, spec.hidden)] * 4 + [(spec.hidden, spec.intermediate_size)] * 2
    block = sum(math.prod(side) for side in sides) + 9 * spec.hidden + spec.intermediate_size  # biases, and two norms of two vectors
    transform = spec.hidden * (spec.hidden + 3)  # in front of the head: a matrix, its bias and a norm
    counts = ParameterCount((spec.vocabulary + spec.positions + 2) * spec.hidden, (block,) * spec.layers, spec.vocabulary,
                            2 * spec.hidden + transform)
    return ModelShape(ARCHITECTURE_SPECS["bert"], spec.hidden, spec.heads, spec.vocabulary, (sum(map(sum, sides)),) * spec.layers, counts)


def trainable(student: ModelShape, lora: LoraSpec | None) -> int:
    """R: all parameters, or the two matrices of an adapter, rank x in and out x rank, for each projection."""
    return lora.rank * sum(student.projections) if lora else student.parameters


def memory(config: ExperimentConfig, teacher: ModelShape | None, student: ModelShape, compute_bytes: int, *,
           on_gpu: bool = False, processes: int = 1) -> Memory:
    """Return the estimate of the module's docstring: of a GPU, or of the processor's memory for all processes.

    Args:
        processes: that share the blocks of a step; each holds both models, or its part of those whose weights are shared out.
        compute_bytes: c; of a number in the format of the matrix products.
        on_gpu: whether a GPU computes, whose attention keeps no probabilities.
    """
    length = config.data.block_length
    rows = config.train.per_device_train_batch_size
    tokens = min(rows, math.ceil(rows * config.train.gradient_accumulation_steps / processes)) * length
    trained = trainable(student, config.student.lora)
    rounded = compute_bytes * student.parameters if compute_bytes < FP32 else 0
    kept = student.architecture.activation_factor * sum(student.projections)
    kept += student.layers * student.architecture.attention_factor * student.heads * length
    if student.drops:
        kept += student.layers * ((0 if on_gpu else 3 * student.heads * length) + 2 * student.hidden)
    teacher_states = compute_bytes * tokens * teacher.hidden * (teacher.layers + 1) if teacher else 0
    chunk = min(tokens, max(1, CHUNK_ELEMENTS // student.vocabulary))
    tile = chunk if on_gpu else min(chunk, max(1, TILE_ELEMENTS // student.vocabulary))
    head = 0 if config.student.lora else 3 * FP32 * student.vocabulary * student.hidden
    parts = {
        "teacher": compute_bytes * teacher.parameters if teacher else 0,
        "student": FP32 * student.parameters + rounded + (FP32 * trained if config.student.lora else 0),
        "gradients": FP32 * trained,
        "optimiser": 2 * FP32 * trained,
        "activations": round(FP32 * tokens * kept) + teacher_states,
        "logits": (2 * compute_bytes * chunk + 8 * FP32 * tile) * student.vocabulary + head,
        "program": PROGRAM,
    }
    if processes > 1 and config.train.sharding != "none":
        if teacher is not None:
            parts["teacher"] = compute_bytes * _held(teacher, processes)
        if config.train.sharding == "both":
            parts["student"] = FP32 * (_held(student, processes) + student.parameters) + rounded
            parts["gradients"] = FP32 * _held(student, processes)
            parts["optimiser"] = math.ceil(parts["optimiser"] / processes)
    if not on_gpu:
        parts = {name: processes * size for name, size in parts.items()}
    return Memory(**parts, total=sum(parts.values()))


def _held(model: ModelShape, processes: int) -> int:
    """Return the parameters of a sharded model that a process holds at once."""
    blocks = model.counts.blocks
    return math.ceil(sum(blocks) / processes) + max(blocks, default=0) + model.parameters - sum(blocks)


def disk(config: ExperimentConfig, student: ModelShape, precision: str = "fp32") -> int:
    """Bytes that the run's folder grows to, at most.

    Args:
        precision: of the saved weights, as `core.models.header.precision_of` gives it.
    """
    return run_bytes(student.parameters, trainable(student, config.student.lora), adapters=config.student.lora is not None,
                     variants=2 if config.control else 1, precision=precision)
