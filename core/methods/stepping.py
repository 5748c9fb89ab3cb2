"""A run's student trained one optimiser step at a time, to be looked at: its batch, the two distributions, each term, the update.

It is the trainer of a run, in a thread that waits before each step: the steps are those that the run takes with the same seed.
"""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import TrainerCallback

from core.config import ExperimentConfig
from core.errors import CompatibilityError, ConfigError
from core.loss_terms import keys
from core.methods.run_folder import RunFolder
from core.methods.steps import Load, TrainingInputs, build, load_inputs
from core.methods.variant_training import make_trainer
from core.models.architectures import plain_model
from core.models.forward import eval_mode, forward, log_softmax, output_head
from core.models.vocabulary import decode_text, vocabulary_size
from core.recorder import STUDENT, NullRecorder, StopRequested
from core.training.base_trainer import training_arguments
from core.training.batches import Batch
from core.training.distillation_trainer import DistillationTrainer

TOKENS_SHOWN = 8
CONTEXT = 48  # tokens of the batch in front of the position that is shown
MOST_PARAMETERS = 100_000_000  # a copy of the weights is kept to measure the update


@dataclass(frozen=True, slots=True)
class Term:
    """One term of the loss at a step: its mean over the positions that count, and the same times its weight."""

    name: str
    raw: float
    weighted: float


@dataclass(frozen=True, slots=True)
class TrainingStep:
    """One optimiser step.

    Attributes:
        number: from 1; `total`: of the recipe.
        blocks, positions: of the batch: sequences, and positions that count.
        text: the tokens in front of the shown position, which is the one of the first block at which the models differ most; of a masked
            model, those around it.
        target: the text's own token there.
        temperature: of the distributions.
        tokens: the teacher's likeliest tokens there, falling; without a teacher the student's.
        teacher, before, after: probability of each of `tokens`: the teacher's (empty without one), the student's before and after the step.
        divergence: KL(teacher, student) there in nats at that temperature, before and after; None without a teacher.
        terms: of the loss, in the order of its definition; `loss`: their weighted sum.
        gradient_norm: before it is clipped; `learning_rate`: of this step.
        update, weights: Euclidean norms of the change of all parameters, and of the parameters before it.
    """

    number: int
    total: int
    blocks: int
    positions: int
    text: str
    target: str
    temperature: float
    tokens: list[str]
    teacher: list[float]
    before: list[float]
    after: list[float]
    divergence: tuple[float, float] | None
    terms: list[Term]
    loss: float
    gradient_norm: float
    learning_rate: float
    update: float
    weights: float


class Stepper:
    """Takes the steps of a configuration's student, one a call.

    Args:
        config: of a language model.
        load: loads the model of a reference.

    Raises:
        ConfigError: another kind of experiment.
        CompatibilityError: a student that is too large to be looked at this way, or models that do not fit.
        StillhouseError: as `core.methods.steps.load_inputs` raises.
    """

    def __init__(self, config: ExperimentConfig, load: Load) -> None:
        if config.kind not in ("distill", "pretrain"):
            raise ConfigError(f"A recipe of kind '{config.kind}' has no single steps to look at.", "Distillation was expected.",
                              field="kind")
        self._folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        self._may_step, self._stepped = threading.Semaphore(0), threading.Semaphore(0)
        self._closing = False
        self._error: Exception | None = None
        self._last: TrainingStep | None = None
        spec = config.train.model_copy(update={"logging_steps": 1, "report_to": ()})
        folder = Path(self._folder.name)
        self._inputs = load_inputs(config.model_copy(update={"train": spec}), RunFolder(folder), NullRecorder(), load)
        student = build(self._inputs)
        parameters = plain_model(student.model).num_parameters()
        if parameters > MOST_PARAMETERS:
            raise CompatibilityError(f"The student has {parameters:,} parameters.",
                                     f"Single steps are shown of students of at most {MOST_PARAMETERS:,}.", "Start the run instead.")
        arguments = training_arguments(spec, folder / "steps", self._inputs.device, eval_steps=10**9)
        arguments.save_strategy = arguments.eval_strategy = "no"
        self._trainer = make_trainer(self._inputs, student, STUDENT, arguments, self, lambda _: {})
        self._watch = _Watch(self._inputs, self._trainer)
        self._trainer.add_callback(self._watch)
        self._thread = threading.Thread(target=self._train, name="stepper", daemon=True)

    @property
    def number(self) -> int:
        """Return the number of the last step; 0 before the first."""
        return self._last.number if self._last is not None else 0

    def step(self) -> TrainingStep:
        """Take the next step, and return it. Raises ConfigError after the last one, and what training raises."""
        if self._last is not None and self._last.number >= self._last.total:
            raise ConfigError(f"All {self._last.total} steps were taken.", "", "Begin again, or run it.")
        if self._thread.ident is None:
            self._thread.start()
        self._may_step.release()
        self._stepped.acquire()
        if self._error is not None:
            raise self._error
        assert self._last is not None
        return self._last

    def close(self) -> None:
        """End the training, and remove what it wrote."""
        self._closing = True
        self._may_step.release()
        if self._thread.ident is not None:
            self._thread.join()
        self._folder.cleanup()

    def _train(self) -> None:
        self._may_step.acquire()
        try:
            if not self._closing:
                self._trainer.train_from(None)
        except StopRequested:
            pass
        except Exception as error:
            self._error = error
        self._stepped.release()

    # ------------------------------------------------------------------------------------------ the recorder of the training

    def log(self, _variant: str, step: int, metrics: Mapping[str, float]) -> None:
        """Keep what a step came to, and wait until the next one is wanted. Raises StopRequested at `close`."""
        if "loss" not in metrics:
            return
        self._last = self._watch.seen(step, metrics)
        if step < self._trainer.state.max_steps:
            self._stepped.release()
            self._may_step.acquire()
        if self._closing:
            raise StopRequested

    def event(self, _event: object) -> None:
        """Keep nothing of what is no number."""

    def should_stop(self) -> bool:
        """Return whether the stepper is being closed."""
        return self._closing


class _Watch(TrainerCallback):
    """Sees the batch of a step, and the weights before and after it."""

    def __init__(self, inputs: TrainingInputs, trainer: DistillationTrainer) -> None:
        self._inputs, self._trainer = inputs, trainer
        self._batch: Batch | None = None  # the first of the step
        self._blocks = self._positions = self._place = 0
        self._before: list[Tensor] = []
        self._log_p: Tensor | None = None
        self._log_q = (torch.zeros(0), torch.zeros(0))
        self._update = self._weights = 0.0
        compute = trainer.compute_loss

        def computed(model: nn.Module, batch: Batch, *arguments: Any, **named: Any) -> Any:
            if self._batch is None:
                self._look(batch)
            self._blocks += len(batch["input_ids"])
            self._positions += int(((batch["label_weights"] > 0) | (batch["distill_weights"] > 0)).sum())
            return compute(model, batch, *arguments, **named)

        vars(trainer)["compute_loss"] = computed

    def _look(self, batch: Batch) -> None:
        """Keep the batch, and find the position of its first block at which the models differ most."""
        self._batch = batch
        log_q, teacher = self._student(), self._inputs.teacher
        log_p = self._logs(teacher.model) if teacher is not None and self._trainer.setup.teacher is not None else None
        counts = (batch["label_weights"][0] > 0) | (batch["distill_weights"][0] > 0)
        size = (log_p.exp() * (log_p - log_q)).sum(-1) if log_p is not None else -log_q.gather(1, batch["targets"][0][:, None])[:, 0]
        self._place = int(torch.where(counts, size, -torch.inf).argmax())
        self._log_p = log_p[self._place] if log_p is not None else None
        self._log_q = (log_q[self._place], log_q[self._place])

    def _student(self) -> Tensor:
        assert self._trainer.model is not None
        return self._logs(self._trainer.model)

    def _logs(self, model: Any) -> Tensor:
        """Return log-probabilities (T, V) of a model over the first block, at the temperature of the loss."""
        assert self._batch is not None
        mask = self._batch["attention_mask"]
        width = self._trainer.setup.vocabulary or vocabulary_size(self._inputs.tokenizer)
        with eval_mode(model):
            states = forward(model, self._batch["input_ids"][:1], None if mask is None else mask[:1])
            plain = log_softmax(output_head(model), states.head_input[0], width)
            return torch.log_softmax(plain / self._inputs.config.losses.temperature, -1)

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Keep the weights as they are before the step."""
        assert self._trainer.model is not None
        self._before = [parameter.detach().clone() for parameter in self._trainer.model.parameters()]

    def on_optimizer_step(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Measure how far the step moved the weights, and what the student says now."""
        assert self._trainer.model is not None
        with torch.no_grad():
            moved = [after - before for after, before in zip(self._trainer.model.parameters(), self._before, strict=True)]
            self._update, self._weights = _norm(moved), _norm(self._before)
        self._before = []
        self._log_q = (self._log_q[0], self._student()[self._place])

    def seen(self, number: int, metrics: Mapping[str, float]) -> TrainingStep:
        """Return what was seen of a step, with what was logged of it."""
        assert self._batch is not None
        batch, tokenizer, place = self._batch, self._inputs.tokenizer, self._place
        ids = batch["input_ids"][0].tolist()
        around = ids[max(0, place + 1 - CONTEXT):place + 1] if self._inputs.objective.name == "causal" else \
            ids[max(0, place - CONTEXT // 2):place + CONTEXT // 2]
        leading = (self._log_p if self._log_p is not None else self._log_q[0]).topk(TOKENS_SHOWN).indices
        shares = [log[leading].exp().tolist() for log in self._log_q]
        divergence = None
        if self._log_p is not None:
            first, second = ((self._log_p.exp() * (self._log_p - log)).sum().item() for log in self._log_q)
            divergence = (first, second)
        names = [key.removeprefix("w_") for key in keys() if f"raw/{key.removeprefix('w_')}" in metrics]
        terms = [Term(name, metrics[f"raw/{name}"], metrics[f"loss/{name}"]) for name in names]
        blocks, positions = self._blocks, self._positions
        self._batch, self._blocks, self._positions = None, 0, 0
        return TrainingStep(
            number=number, total=self._trainer.state.max_steps, blocks=blocks, positions=positions,
            text=decode_text(tokenizer, around), target=decode_text(tokenizer, [int(batch["targets"][0, place])]),
            temperature=float(self._inputs.config.losses.temperature),
            tokens=[decode_text(tokenizer, [token]) for token in leading.tolist()],
            teacher=self._log_p[leading].exp().tolist() if self._log_p is not None else [], before=shares[0], after=shares[1],
            divergence=divergence, terms=terms, loss=metrics["loss"], gradient_norm=metrics["grad_norm"],
            learning_rate=metrics["learning_rate"], update=self._update, weights=self._weights)


def _norm(tensors: list[Tensor]) -> float:
    return float(torch.stack([tensor.float().pow(2).sum() for tensor in tensors]).sum().sqrt())
