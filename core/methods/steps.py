"""The steps up to the training of a language model, called by `core.methods.distillation` and by the dry run.

    load_inputs     teacher, tokenizer, packed data, objective
    build           a variant before its training, by `core.methods.variant_training`
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer

from core.config import ExperimentConfig, total_steps
from core.data.prepare import PreparedData, prepare, rows
from core.data.rows import Row
from core.errors import CompatibilityError, SetField
from core.evaluation.objectives import Objective, objective_for
from core.events import Phase
from core.loss_terms import keys
from core.methods.run_folder import RunFolder
from core.methods.served_teachers import Served, connect
from core.methods.shardable import require_one_model, require_several
from core.models import compatibility
from core.models.architectures import architecture_of, head_weight, on_device
from core.models.ensembles import members_of
from core.models.entries import LoadedModel
from core.models.header import precision_of
from core.models.loading import model_from_pretrained
from core.recorder import CONTROL, STUDENT, Recorder
from core.reports.run_report import ModelSummary
from core.students.build import Student, build_student, student_from_checkpoint
from core.students.from_scratch import objective_from_scratch, student_from_scratch, tokenizer_from_scratch
from core.students.importance import Importance, unit_importance
from core.students.layer_maps import LayerMap
from core.system import ranks
from core.system.devices import resolve_device, resolve_precision
from core.system.paths import cache_dir
from core.training.sharding import is_sharded
from core.training.trackers import require_trackers

CALIBRATION_BLOCKS = 16  # held-out blocks on which the importance of blocks and units is measured
SERVED = "run whose teacher is at an address"
TOKENIZER_ROWS = 40_000  # rows at most that a new vocabulary is trained on

Load = Callable[..., LoadedModel]
Metrics = dict[str, float]


class Corpus(Protocol):
    """What a run is trained on, where a method makes it itself in place of reading `data.source`."""

    def rows(self) -> Iterable[Row]:
        """Yield the rows that a new vocabulary is trained on."""

    def prepare(self, tokenizer: Any) -> PreparedData:
        """Return packed blocks."""

    def measure(self, model: torch.nn.Module, tokenizer: Any, device: torch.device, dtype: torch.dtype) -> Metrics:
        """Return what is measured of a model besides held-out text."""

    def rehearse(self, model: torch.nn.Module, tokenizer: Any, device: torch.device, dtype: torch.dtype) -> None:
        """Measure a little of it, and raise what would stop it."""


@dataclass(frozen=True)
class TrainingInputs:
    """What all variants of a run are built from and trained on.

    Attributes:
        load: loads the model of a reference.
        dtype: format of the matrix products; the weights of students are float32.
        data: packed blocks, for training and held out.
        objective: causal or masked.
        teacher: None where a model is trained on text alone.
        save_precision: format of the saved weights.
        served: a teacher at an address; then `teacher` is None.
        corpus: where the data are not those of ``data.source``.
    """

    config: ExperimentConfig
    load: Load
    device: torch.device
    dtype: torch.dtype
    tokenizer: Any
    data: PreparedData
    objective: Objective
    teacher: LoadedModel | None = None
    save_precision: str = "fp32"
    served: Served | None = None
    corpus: Corpus | None = None

    def teacher_summary(self) -> ModelSummary | None:
        """Return the teacher as reports hold it."""
        return self.served.summary if self.served is not None else summary_of(self.teacher)

    def calibration(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Yield token ids (B, T) and their weights (B, T) of a few held-out blocks."""
        blocks, size = self.data.validation.take(CALIBRATION_BLOCKS), self.config.train.per_device_train_batch_size
        for start in range(0, len(blocks), size):
            yield (torch.from_numpy(blocks.input_ids[start:start + size]).long(), torch.from_numpy(blocks.weights[start:start + size]))

    def teacher_loss(self) -> float:
        """Return the teacher's present cross-entropy on the calibration blocks; a block's importance is its rise without the block."""
        assert self.teacher is not None, "a block's importance is measured in a teacher"
        blocks = self.data.validation.take(CALIBRATION_BLOCKS)
        return self.objective.measure(self.teacher.model, blocks, None, batch_size=self.config.train.per_device_train_batch_size,
                                      device=self.teacher.model.device, dtype=self.dtype)["cross_entropy"]

    def read_back(self, folder: Path) -> torch.nn.Module:
        """Return a model that the run has saved, in float32."""
        model: torch.nn.Module = model_from_pretrained(folder, self.objective.name, torch.float32).to(self.device)
        return model

    @property
    def shards_student(self) -> bool:
        """Whether the processes of the run share out the student's weights."""
        return ranks.world() > 1 and self.config.train.sharding == "both"

    @property
    def shards_teacher(self) -> bool:
        """Whether they share out the teacher's."""
        return self.teacher is not None and ranks.world() > 1 and self.config.train.sharding != "none"

    def with_whole_teacher(self) -> TrainingInputs:
        """Return the same with a teacher whose weights are all there; read again once they are shared out."""
        config = self.config.teacher
        if self.teacher is None or config is None or not is_sharded(self.teacher.model):
            return self
        return replace(self, teacher=self.load(config.model, device="cpu", dtype=self.dtype))


def variants_of(config: ExperimentConfig) -> tuple[str, ...]:
    """Return the variants that a run trains, in order."""
    return (STUDENT, CONTROL) if config.control else (STUDENT,)


def load_inputs(config: ExperimentConfig, folder: RunFolder, recorder: Recorder, load: Load,
                corpus: Corpus | None = None) -> TrainingInputs:
    """Load the teacher, load or train the tokenizer, and pack the data.

    Args:
        corpus: in place of ``data.source``.

    Raises:
        CompatibilityError: models that do not fit each other, the data or the losses.
        DataError: data that cannot be read, or are not those that the run began with.
    """
    require_trackers(config.train.report_to)
    require_several(config.train, folder)
    device = resolve_device(config.train.device)
    dtype = resolve_precision(config.train.precision, device)
    spec, teacher = config.student, None
    address = config.teacher.address if config.teacher is not None else None
    if config.teacher is not None and address is None:
        recorder.event(Phase("load teacher"))
        # What is shared out passes through the device a block at a time.
        shared = ranks.world() > 1 and config.train.sharding != "none"
        teacher = load(config.teacher.model, device="cpu" if shared else device, dtype=dtype)
        compatibility.require_language_model(teacher.entry)
        compatibility.require_vocabulary_fits(teacher)
        _require_no_states(config, teacher)
        require_one_model(config.train, teacher)
    # Without a teacher here, the checkpoint that the student starts from brings the vocabulary.
    source = teacher or (load(spec.model, device=device, dtype=torch.float32) if spec.model else None)
    if source is not None and teacher is None:
        compatibility.require_language_model(source.entry)
        compatibility.require_tokenizers(None, source)
        if address is not None:
            compatibility.require_causal_lm(source.entry, SERVED)
    recorder.event(Phase("prepare data"))
    tokenizer = source.tokenizer if source else _train_tokenizer(config, folder, corpus)
    if source is not None:
        context, kind = source.entry.context, architecture_of(source.model.config).objective
    else:
        assert spec.from_scratch is not None, "without a model to start from, one is built from nothing"
        context, kind = spec.from_scratch.positions, objective_from_scratch(spec.from_scratch)
    compatibility.require_block_length_fits(config.data, context)
    compatibility.require_settings_for(config, kind)
    data = corpus.prepare(tokenizer) if corpus is not None else prepare(config.data, tokenizer, config.train.seed, cache_dir(), kind)
    folder.require_unchanged_data(data.digest, config.data.source)
    served = None
    if address is not None:
        assert source is not None, "a teacher at an address has a student that is loaded"
        recorder.event(Phase("load teacher"))
        served = connect(config, tokenizer, source.model, data, recorder)
    return TrainingInputs(config, load, device, dtype, tokenizer, data, objective_for(config, kind, tokenizer, data.train), teacher,
                          precision_of(config.train.save_precision, source.entry.header if source else None), served, corpus)


def _require_no_states(config: ExperimentConfig, teacher: LoadedModel) -> None:
    """Raise CompatibilityError if states are compared with those of an ensemble, which has as many as members."""
    for key in keys(on="states"):
        weight = getattr(config.losses, key)
        if members_of(teacher.model) and (weight.start or weight.end):
            raise CompatibilityError(f"losses.{key} compares hidden states, and the teacher is an ensemble.",
                                     "An ensemble is distilled from the mean of its outputs alone.",
                                     f"Set losses.{key} to 0.", suggestion=SetField(f"losses.{key}", 0))


def _train_tokenizer(config: ExperimentConfig, folder: RunFolder, corpus: Corpus | None) -> Any:
    """Train a vocabulary on the corpus, once for all calls."""
    def write(partial: Any) -> None:
        limit = min(config.data.max_rows or TOKENIZER_ROWS, TOKENIZER_ROWS)
        spec, data = config.student.from_scratch, config.data.model_copy(update={"max_rows": limit})
        assert spec is not None, "a vocabulary is trained for a model from scratch"
        source = corpus.rows() if corpus is not None else rows(data, "train", config.train.seed, objective_from_scratch(spec))
        tokenizer_from_scratch(spec, source).save_pretrained(partial)

    return AutoTokenizer.from_pretrained(folder.make_once("tokenizer", write))


def summary_of(model: LoadedModel | None) -> ModelSummary | None:
    """Return a model as reports hold it."""
    return ModelSummary(model.entry.name, model.entry.parameters, model.entry.layers) if model is not None else None


# ---------------------------------------------------------------------------------------------------- build


def build(inputs: TrainingInputs, *, layer_map: LayerMap | None = None, units: Importance | None = None) -> Student:
    """Build a variant before its training; the same for all variants. Its parameters are float32.

    Args:
        layer_map: in place of measuring it, where an earlier call has.
        units: importance of the teacher's units, where an earlier call measured it.

    Raises:
        CompatibilityError, ConfigError: a student that cannot be built, or not be compared with the teacher.
    """
    inputs = inputs.with_whole_teacher()
    config, teacher, seed = inputs.config, inputs.teacher, inputs.config.train.seed
    spec = config.student
    if spec.from_scratch is not None:
        model = on_device(student_from_scratch(spec.from_scratch, inputs.tokenizer, seed), inputs.device)
        return Student(model, None, model.num_parameters(), model.num_parameters())
    if spec.model is not None:
        start = inputs.load(spec.model, device=inputs.device, dtype=torch.float32)
        compatibility.require_single(start.entry, "student.model")
        if teacher is not None:
            compatibility.require_same_task(teacher.entry, start.entry)
            compatibility.require_tokenizers(teacher, start)
        student = student_from_checkpoint(start.model, (teacher or start).entry.layers, spec, seed=seed)
    else:
        if layer_map is not None:
            spec = spec.model_copy(update={"layer_map": tuple(layer_map)})
        assert teacher is not None, "a student without a teacher starts from nothing or from a model"
        student = build_student(_origin(teacher), spec, seed=seed, calibration=inputs.calibration, units=units,
                                block_loss=inputs.teacher_loss, dtype=torch.float32)
    if teacher is not None:
        # The states that are compared are those that the output heads read.
        compatibility.require_equal_widths(config.losses, *(head_weight(model).shape[1] for model in (teacher.model, student.model)))
    return student


def _origin(teacher: LoadedModel) -> Any:
    """Return the model whose blocks and units a student is made of: the teacher, or of an ensemble the first member."""
    return next(iter(members_of(teacher.model)), teacher.model)


def build_or_rebuild(inputs: TrainingInputs, folder: RunFolder) -> Student:
    """Build a variant; what is measured to choose its blocks and units is measured once for all variants and calls."""
    spec = inputs.config.student
    pruned = spec.from_scratch is None and spec.model is None and spec.init == "teacher" and spec.narrower
    by_importance = pruned and spec.pruning_criterion == "importance"
    layer_map = folder.progress.layer_map
    student = build(inputs, layer_map=tuple(layer_map) if layer_map is not None else None,
                    units=_unit_importance(inputs, folder) if by_importance else None)
    if spec.layer_map == "importance" and student.layer_map is not None:
        folder.progress.layer_map = list(student.layer_map)
        folder.save_progress()
    return student


def _unit_importance(inputs: TrainingInputs, folder: RunFolder) -> Importance:
    """Measure the importance of the teacher's units, or read it from ``units.safetensors``."""
    teacher = inputs.teacher
    assert teacher is not None, "units are a teacher's"
    kept = folder.make_once("units.safetensors", lambda partial: save_file(
        asdict(unit_importance(_origin(teacher), (input_ids for input_ids, _ in inputs.calibration()))), partial))
    return Importance(**load_file(kept))


def tokens_per_step(config: ExperimentConfig) -> int:
    """Return the tokens of one optimiser step, padding included."""
    return config.train.per_device_train_batch_size * config.train.gradient_accumulation_steps * config.data.block_length


def steps_of(inputs: TrainingInputs) -> int:
    """Return the optimiser steps of each variant."""
    return total_steps(inputs.config.train, len(inputs.data.train))
