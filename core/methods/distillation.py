"""One experiment from its configuration to a student's folder.

    distill(config, recorder, directory)
        teacher   = load(...)                            catalog
        data      = prepare(...)                         data
        for each arm (student, control):
            student = build_student(...)                 students
            measure before, train, save, measure after   evaluation, trainer
        report    = what was measured, beside the student

Everything that takes long leaves its result in the directory, so calling `distill` again on the same directory goes on
where the last call ended: it is the way a stopped, killed or lost run is resumed.

    directory/
        student/              the model folder, the same for anybody's from_pretrained
        before/               the student before training
        control/              the same student trained without the teacher, when asked for
        checkpoints/<arm>/    what training goes on from
        logs/<arm>/           what trackers write, when there are any
        progress.json         measurements, layer map and seconds so far
        retention/            scores, times and the retention card, when asked for
        units.safetensors     what each of the teacher's units is worth, where a narrower student keeps the most important
        report.json           the result
"""

from __future__ import annotations

import copy
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import AutoTokenizer, PreTrainedModel

from core.config import ExperimentConfig, total_steps
from core.data import movie_reviews
from core.data.packing import Blocks
from core.data.prepare import PreparedData, prepare, rows
from core.errors import DataError
from core.evaluation.objectives import objective_for
from core.evaluation.sentiment import evaluate_sentiment
from core.methods.progress import Progress, require_one_process
from core.metrics import METRICS
from core.models import catalog, compatibility
from core.models.adapters import merged
from core.models.architectures import architecture_of, plain_model
from core.models.catalog import LoadedModel
from core.models.loading import read_model
from core.models.vocabulary import real_width
from core.recorder import CONTROL, STUDENT, Recorder, StopRequested
from core.reports.model_card import write_folder_documents
from core.reports.retention_run import measure_retention
from core.reports.task_scores import scoring
from core.students.build import build_student, student_from_checkpoint
from core.students.from_scratch import objective_from_scratch, student_from_scratch, tokenizer_from_scratch
from core.students.importance import Importance, unit_importance
from core.students.layer_maps import LayerMap, matched_blocks
from core.system.devices import resolve_device, resolve_precision
from core.system.files import write_json
from core.system.paths import cache_dir
from core.training.base_trainer import latest_checkpoint, training_arguments
from core.training.distillation_trainer import HARD_LABELS_ONLY, DistillationSetup, DistillationTrainer
from core.training.trackers import tracked

BEFORE = "before"  # the folder of the untrained student
CALIBRATION_BLOCKS = 16  # held-out blocks on which block importance is measured
TOKENIZER_ROWS = 40_000  # rows at most that a new vocabulary is trained on

Load = Callable[..., LoadedModel]


def distill(config: ExperimentConfig, recorder: Recorder, directory: Path, *, load: Load = catalog.load,
            command: str = "") -> dict[str, Any]:
    """Run an experiment, or go on with it.

    Args:
        recorder: told of every metric and phase; asked whether to stop after every optimiser step.
        directory: where everything of this run is kept; made if it is not there.
        load: gives the teacher for its reference.
        command: the line that repeats the run, for the model card.

    Returns:
        The report: ``output_dir``, ``teacher``, ``student``, ``metrics``, ``data``, ``tokens``, ``seconds``,
        ``tokens_per_second``, ``retention`` (the card, or None) and ``stopped``. After a stop it holds what is known so far.

    Raises:
        StillhouseError: whatever the user can do something about; nothing half-made stays under ``student/``.
        DeviceError: one of several processes; `core.training.distillation_trainer` could train in them, what is around it could not.
    """
    require_one_process()
    directory.mkdir(parents=True, exist_ok=True)
    return _Experiment(config, recorder, directory, load, command).run()


class _Experiment:
    def __init__(self, config: ExperimentConfig, recorder: Recorder, directory: Path, load: Load, command: str) -> None:
        self.config, self.recorder, self.directory, self.load, self.command = config, recorder, directory, load, command
        self.progress = Progress.of(directory)
        self.device = resolve_device(config.train.device)
        self.dtype = resolve_precision(config.train.precision, self.device)
        self.began = time.monotonic() - self.progress.seconds
        self.teacher: LoadedModel | None = None
        if config.teacher is not None:
            with self.phase("load teacher"):
                self.teacher = load(config.teacher.model, device=self.device, dtype=self.dtype)
                compatibility.require_language_model(self.teacher.entry)
                compatibility.require_vocabulary_fits(self.teacher)
        # Without a teacher, what is trained on brings its own vocabulary.
        tokenizer_source = self.teacher or (load(config.student.model, device=self.device,
                                                 dtype=torch.float32) if config.student.model else None)
        if tokenizer_source is not None and self.teacher is None:
            compatibility.require_language_model(tokenizer_source.entry)
        with self.phase("prepare data"):
            self.tokenizer = tokenizer_source.tokenizer if tokenizer_source else self._new_tokenizer()
            compatibility.require_block_length_fits(config.data, config.student.fresh.positions if config.student.fresh
                                       else tokenizer_source.entry.context)
            kind = (architecture_of(tokenizer_source.model.config).objective if tokenizer_source
                    else objective_from_scratch(config.student.fresh))
            compatibility.require_settings_for(config, kind)
            self.data: PreparedData = prepare(config.data, self.tokenizer, config.train.seed, cache_dir(), kind)
            self._same_data_as_before()
            self.objective = objective_for(config, kind, self.tokenizer, self.data.train)
        self.held_out: Blocks = self.data.validation.take(config.evaluation.blocks)
        self.reviews = movie_reviews.held_out("validation", config.evaluation.sentiment_items) if config.evaluation.sentiment_items else []
        retention = config.evaluation.retention
        # Made now: a task that cannot be read shows before anything is trained.
        self.scoring = retention and scoring(retention, kind, recorder, seed=config.train.seed, device=self.device, load=load)
        self.shape: dict[str, Any] = {}

    def run(self) -> dict[str, Any]:
        if self.teacher is not None:
            self.measure("teacher", self.teacher.model)
        for arm in (STUDENT, CONTROL) if self.config.control else (STUDENT,):
            # Measuring takes a while too: a stop that was asked for meanwhile is kept before anything new begins.
            if self.recorder.should_stop() or not self.train(arm):
                return self.report(stopped=True)
        shutil.rmtree(self.directory / "checkpoints", ignore_errors=True)
        report = self.report(stopped=False)
        self._document(report)  # whatever becomes of the card, what was trained is whole
        try:
            card = self.retention()
        except StopRequested:
            return self.report(stopped=True)
        if card is not None:
            report = self.report(stopped=False) | {"retention": card}
            self._document(report)
        write_json(self.directory / "report.json", report)
        self.recorder.event("report", report)
        return report

    def _document(self, report: dict[str, Any]) -> None:
        for arm in (STUDENT, CONTROL) if self.config.control else (STUDENT,):
            write_folder_documents(self.directory / arm, self.config, report, arm=arm)

    # ------------------------------------------------------------------------------------------ one arm

    def train(self, arm: str) -> bool:
        """Build, measure, train and save one arm; False when the user stopped it. A finished arm is not trained again."""
        torch.manual_seed(self.config.train.seed)
        model, layer_map, trainable = self.build()
        plain = merged(model)
        self.shape = {"parameters": plain.num_parameters(), "trainable_parameters": trainable,
                      "layers": plain.config.get_text_config().num_hidden_layers, "layer_map": layer_map and list(layer_map)}
        if arm == STUDENT:
            self.measure("student_before", model, arm=arm)
            if self.teacher is not None:
                self._save(plain, self.directory / BEFORE)
        target = self.directory / arm
        if not target.is_dir():
            with self.phase("train", arm=arm):
                if self.recorder.should_stop() or not self._fit(arm, model, layer_map):
                    return False
                self._save(merged(model), target)
        # What is measured is what was saved: read back, in whatever precision it was saved in.
        saved = read_model(target, architecture_of(plain.config).objective, torch.float32).to(self.device)
        self.measure("student_after" if arm == STUDENT else CONTROL, saved, arm=arm)
        return True

    def build(self) -> tuple[nn.Module, LayerMap | None, int]:
        """The student before training, the same for both arms. Its parameters are float32 whatever is computed in."""
        spec = self.config.student
        seed = self.config.train.seed
        if spec.fresh is not None:
            model = student_from_scratch(spec.fresh, self.tokenizer, seed).to(self.device)
            return model, None, model.num_parameters()
        if spec.model is not None:
            started = self.load(spec.model, device=self.device, dtype=torch.float32)
            if self.teacher is not None:
                compatibility.require_same_task(self.teacher.entry, started.entry)
                compatibility.require_compatible(self.teacher, started)
            student = student_from_checkpoint(started.model, (self.teacher or started).entry.layers, spec, seed=seed)
        else:
            if self.progress.layer_map is not None:
                spec = spec.model_copy(update={"layer_map": tuple(self.progress.layer_map)})
            student = build_student(self.teacher.model, spec, seed=seed, calibration=self._calibration, units=self._units(),
                                    block_loss=self._block_loss, dtype=torch.float32)
            if spec.layer_map == "importance":
                self.progress.layer_map = list(student.layer_map)
                self._keep_progress()
        if self.teacher is not None:
            # The states that are compared are those that the output heads read.
            compatibility.require_equal_widths(self.config.losses, *(model.get_output_embeddings().weight.shape[1]
                                                for model in (self.teacher.model, plain_model(student.model))))
        return student.model, student.layer_map, student.trainable_parameters

    def _fit(self, arm: str, model: nn.Module, layer_map: LayerMap | None) -> bool:
        spec = self.config.train
        lesson = self._lesson(layer_map) if arm == STUDENT else HARD_LABELS_ONLY
        # The control learns from the very logits that it is measured on, as the student does.
        models = (model, self.teacher.model) if self.teacher else (model,)
        lesson = replace(lesson, vocabulary=real_width(self.tokenizer, *models))
        checkpoints = self.directory / "checkpoints" / arm
        arguments = training_arguments(spec, checkpoints, self.device, eval_steps=self.config.evaluation.eval_steps,
                                       run_name=f"{self.config.name or self.directory.name}-{arm}")
        with tracked(spec.report_to, self.directory / "logs" / arm):
            trainer = DistillationTrainer(model, lesson, self.data.train, arguments, arm=arm, recorder=self.recorder, dtype=self.dtype,
                                          evaluate=lambda step: self._language(arm, model, step), batches=self.objective.batches)
            self.recorder.event("phase", {"name": "steps", "arm": arm, "total_steps": total_steps(spec, len(self.data.train))})
            trainer.train_from(latest_checkpoint(checkpoints))
        self.progress.steps[arm] = trainer.state.global_step
        self.progress.tokens[arm] = int(trainer.state.num_input_tokens_seen)
        self.progress.speed[arm] = trainer.clock.tokens_per_second(trainer.state) or self.progress.speed.get(arm, 0.0)
        self._keep_progress()
        return trainer.state.global_step >= trainer.state.max_steps

    def _lesson(self, layer_map: LayerMap | None) -> DistillationSetup:
        if self.teacher is None or not self.config.losses.needs_teacher():
            return DistillationSetup(self.config.losses)  # a teacher that no term asks would only cost time
        matched = layer_map and matched_blocks(self.config.losses.hidden_layers, layer_map, self.teacher.entry.layers)
        return DistillationSetup(self.config.losses, self.teacher.model, matched)

    def _save(self, model: PreTrainedModel, target: Path) -> None:
        if target.is_dir():
            return
        partial = target.with_name(f"{target.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        if self.config.train.save_precision == "bf16":
            model = copy.deepcopy(model).to(torch.bfloat16)
        model.save_pretrained(partial)
        self.tokenizer.save_pretrained(partial)
        partial.replace(target)

    # ------------------------------------------------------------------------------------------ measuring

    def measure(self, who: str, model: nn.Module, arm: str | None = None) -> None:
        """Measure on held-out items, once: what an earlier call measured is kept."""
        if who in self.progress.measurements:
            return
        with self.phase("evaluate", who=who):
            metrics = self._measure_language(model)
            if self.reviews:
                metrics |= evaluate_sentiment(model, self.tokenizer, self.reviews, self.device, dtype=self.dtype)
        self._tell(who, model, metrics, arm)
        # Kept only now: what a run that dies in between has not told is measured and told again.
        self.progress.measurements[who] = metrics
        self._keep_progress()

    def _tell(self, who: str, model: nn.Module, metrics: dict[str, float], arm: str | None) -> None:
        self.recorder.event("evaluation", {"who": who, "metrics": metrics})
        if arm is None:
            return
        step, arms = self.progress.steps.get(arm, 0), (arm,)
        if who == "student_before":
            step, arms = 0, (STUDENT, CONTROL) if self.config.control else (STUDENT,)
        for each in arms:
            self.recorder.log(each, step, _curves(metrics))
        self._samples(arm, model, step)

    def retention(self) -> dict[str, Any] | None:
        """The retention card as plain data, where one is asked for. Raises Stopped."""
        if self.scoring is None:
            return None
        arms = (STUDENT, CONTROL) if self.config.control else (STUDENT,)
        models = {"teacher": self.config.teacher.model, **{arm: str(self.directory / arm) for arm in arms}}
        names = {"teacher": self.teacher.entry.name, STUDENT: self.config.name or STUDENT, CONTROL: CONTROL}
        return measure_retention(models, self.config.evaluation.retention, self.recorder, self.directory / "retention", self.scoring,
                                 names=names, load=self.load).to_dict()

    def _measure_language(self, model: nn.Module) -> dict[str, float]:
        return self.objective.measure(model, self.held_out, self.teacher and self.teacher.model, device=self.device, dtype=self.dtype,
                                      batch_size=self.config.train.per_device_train_batch_size)

    def _language(self, arm: str, model: nn.Module, step: int) -> dict[str, float]:
        metrics = self._measure_language(model)
        if step < total_steps(self.config.train, len(self.data.train)):  # the last answers are those of the saved student
            self._samples(arm, model, step)
        return _curves(metrics)

    def _samples(self, arm: str, model: nn.Module, step: int) -> None:
        training = model.training
        model.eval()
        for prompt in self.objective.prompts(self.config.evaluation.prompts):
            answer = self.objective.answer(model, prompt, max_new_tokens=self.config.evaluation.max_new_tokens, seed=self.config.train.seed)
            self.recorder.event("samples", {"arm": arm, "step": step, "prompt": prompt, "answer": answer})
        model.train(training)

    def report(self, *, stopped: bool) -> dict[str, Any]:
        """Everything known, in the shape that the command line prints."""
        teacher = self.teacher and {"name": self.teacher.entry.name, "parameters": self.teacher.entry.parameters,
                                    "layers": self.teacher.entry.layers}
        return {
            "output_dir": str(self.directory / STUDENT), "teacher": teacher,
            "student": {"name": self.config.name or STUDENT, **self.shape},
            "metrics": {who: self.progress.measurements.get(who) for who in ("teacher", "student_before", "student_after", CONTROL)},
            "data": {"digest": self.data.digest, "blocks": len(self.data.train), "documents": self.data.train.documents,
                     "padding": round(self.data.train.padding, 4)},
            "seconds": round(time.monotonic() - self.began, 1),
            "tokens": self.progress.tokens.get(STUDENT, 0), "tokens_per_second": round(self.progress.speed.get(STUDENT, 0.0), 1),
            "stopped": stopped, "command": self.command, "retention": None,
        }

    # ------------------------------------------------------------------------------------------ small things

    @contextmanager
    def phase(self, name: str, **details: Any) -> Iterator[None]:
        """Tell the recorder what is being done."""
        self.recorder.event("phase", {"name": name, **details})
        yield

    def _keep_progress(self) -> None:
        self.progress.seconds = time.monotonic() - self.began
        self.progress.save()

    def _new_tokenizer(self) -> Any:
        kept = self.directory / "tokenizer"
        if not kept.is_dir():
            limit = min(self.config.data.max_rows or TOKENIZER_ROWS, TOKENIZER_ROWS)
            spec, data = self.config.student.fresh, self.config.data.model_copy(update={"max_rows": limit})
            tokenizer = tokenizer_from_scratch(spec, rows(data, "train", self.config.train.seed, objective_from_scratch(spec)))
            tokenizer.save_pretrained(kept.with_name("tokenizer.partial"))
            kept.with_name("tokenizer.partial").replace(kept)
        return AutoTokenizer.from_pretrained(kept)

    def _same_data_as_before(self) -> None:
        if self.progress.data not in ("", self.data.digest):
            raise DataError(f"The data of '{self.config.data.source}' have changed since this run began.",
                            f"The blocks were {self.progress.data}, and are {self.data.digest} now.",
                            "Put the old data back, or start the experiment as a new run.")
        self.progress.data = self.data.digest

    def _units(self) -> Importance | None:
        """What each of the teacher's units is worth, measured once; None where that decides nothing."""
        spec, kept = self.config.student, self.directory / "units.safetensors"
        if not spec.narrower or spec.units != "importance" or spec.init != "teacher":
            return None
        if not kept.is_file():
            save_file(asdict(unit_importance(self.teacher.model, (input_ids for input_ids, _ in self._calibration()))),
                      kept.with_suffix(".partial"))
            os.replace(kept.with_suffix(".partial"), kept)
        return Importance(**load_file(kept))

    def _block_loss(self) -> float:
        """The teacher's loss as it is right now, on the calibration blocks: what a block is worth is measured without it."""
        blocks = self.data.validation.take(CALIBRATION_BLOCKS)
        return self.objective.measure(self.teacher.model, blocks, None, batch_size=self.config.train.per_device_train_batch_size,
                                      device=self.device, dtype=self.dtype)["cross_entropy"]

    def _calibration(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        blocks, size = self.data.validation.take(CALIBRATION_BLOCKS), self.config.train.per_device_train_batch_size
        for start in range(0, len(blocks), size):
            yield (torch.from_numpy(blocks.input_ids[start:start + size]).long(), torch.from_numpy(blocks.weights[start:start + size]))


def _curves(metrics: dict[str, float]) -> dict[str, float]:
    return {f"eval/{name}": value for name, value in metrics.items() if f"eval/{name}" in METRICS}


