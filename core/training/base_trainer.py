"""`transformers.Trainer` that logs every term of its loss to a recorder, polls it for stop requests, and resumes where it was stopped.

What is trained on and what the loss is, subclasses say: `core.training.distillation_trainer` (language models) and
`core.tasks.trainer` (tasks).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from accelerate.data_loader import BatchSamplerShard
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from transformers import (
    IntervalStrategy,
    PreTrainedModel,
    PrinterCallback,
    ProgressCallback,
    TrainerCallback,
    TrainerState,
    TrainingArguments,
)

from core.config import LossSpec, TrainSpec
from core.errors import NonFiniteLossError
from core.events import Processes
from core.recorder import Recorder, StopRequested
from core.system import ranks
from core.system.devices import memory_in_use, use_only
from core.training import sharding
from core.training.checkpoint_folders import STATE_FILE, step_of
from core.training.sharding_trainer import ShardingTrainer
from core.training.sharing import Share, share_of
from core.training.throughput import ThroughputCallback

EXTRA_STATE = "stillhouse.safetensors"  # in a checkpoint: what Trainer does not know of
UNMEASURED = "unmeasured"  # in it: an evaluation at its step was stopped
FIRST_EVALUATION = 20  # steps at most before the first point of the held-out curves


def training_arguments(spec: TrainSpec, directory: Path, device: torch.device, *, eval_steps: int,
                       run_name: str | None = None) -> TrainingArguments:
    """Return a recipe's training section as arguments of Transformers' trainer, whose names its fields have where they mean the same.

    Args:
        run_name: what trackers call this training.
    """
    arguments = TrainingArguments(
        output_dir=str(directory), run_name=run_name, max_steps=spec.max_steps or -1, num_train_epochs=spec.num_train_epochs,
        per_device_train_batch_size=spec.per_device_train_batch_size, gradient_accumulation_steps=spec.gradient_accumulation_steps,
        learning_rate=spec.learning_rate, lr_scheduler_type=spec.lr_scheduler_type, warmup_steps=_warmup(spec.warmup_ratio),
        weight_decay=spec.weight_decay, adam_beta2=spec.adam_beta2, max_grad_norm=spec.max_grad_norm, optim="adamw_torch_fused",
        seed=spec.seed, logging_steps=spec.logging_steps, logging_nan_inf_filter=False, eval_strategy="steps", eval_steps=eval_steps,
        save_steps=spec.save_steps, save_total_limit=2, report_to=list(spec.report_to) or "none", use_cpu=device.type == "cpu",
        remove_unused_columns=False, disable_tqdm=True, include_num_input_tokens_seen="all", dataloader_pin_memory=device.type != "cpu")
    use_only(device, arguments)
    return arguments


def _warmup(ratio: float) -> float:
    # Trainer reads numbers below 1 as a share of the steps and others as a count.
    return min(ratio, 0.999)


def points_between(interval: int, steps: int) -> int:
    """Return the points of a held-out curve before the last step, where one is due at every `interval` steps."""
    return (steps - 1) // interval + (min(interval, steps) > FIRST_EVALUATION)


class BaseTrainer(ShardingTrainer):
    """Trains one variant of an experiment; `compute_loss` of a subclass adds up its terms with `add_term`.

    Of several processes each reads every step whole and trains on its share of the rows (`core.training.sharing`), so that a step is the
    same whatever their number. Rank 0 alone records.

    Args:
        model: what is trained; its parameters stay float32.
        losses: terms and weights.
        data: what is trained on.
        collator: makes a batch of items of `data`.
        variant: the name under which everything is recorded.
        dtype: format of the matrix products.
        sharded: whether the processes share out the model's weights.
        evaluate: called with the optimiser step every `eval_steps` and early on, in every process; rank 0's returns metrics to record, or
            none. A `StopRequested` that it raises ends training with a checkpoint, and resuming calls it again for that step.
    """

    _sums: dict[str, Tensor]  # term -> as in `_totals`, of this process

    def __init__(self, model: nn.Module, losses: LossSpec, data: Dataset | Sequence[Any], collator: Callable[[Sequence[Any]], Any],
                 arguments: TrainingArguments, *, variant: str, recorder: Recorder, dtype: torch.dtype,
                 evaluate: Callable[[int], dict[str, float]], sharded: bool = False) -> None:
        self.losses, self.variant, self.recorder, self.dtype = losses, variant, recorder, dtype
        self.measure, self._unmeasured = evaluate, False
        super().__init__(model, sharded, args=arguments, train_dataset=data, eval_dataset=data, data_collator=collator)
        # The loss is divided by what counts in the whole step already: Trainer must not divide by the number of batches.
        self.loss_is_scaled_for_ga = True
        self.remove_callback(PrinterCallback)
        self.remove_callback(ProgressCallback)
        self.clock = ThroughputCallback()
        # In this order: `_StopCallback` waits for the GPU to finish the step, and the clock must not stop before that.
        self.add_callback(_StopCallback(self))
        self.add_callback(_EvaluationCallback(self))
        self.add_callback(self.clock)
        self._reset_accumulators()

    def uses(self, term: str) -> bool:
        """Whether a term takes part at any step."""
        return self.losses.uses(term)

    def current_loss_weights(self) -> dict[str, float]:
        """Term -> its weight at this step."""
        progress = self.state.global_step / max(self.state.max_steps - 1, 1)
        return {term: ramp.at(progress) for term, ramp in self.losses.weights().items()}

    def train_from(self, checkpoint: Path | None) -> None:
        """Train to the end, or until a stop; from `checkpoint`, if there is one. At its end nothing is trained any more."""
        if checkpoint is not None and step_of(checkpoint) >= self._last_step():
            # Trainer would take one step too many.
            self._load_from_checkpoint(str(checkpoint), self.model)
            self.state = TrainerState.load_from_json(str(checkpoint / STATE_FILE))
        else:
            self.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)

    def _last_step(self) -> int:
        return self.set_initial_training_values(self.args, self.get_train_dataloader())[-1]

    # ------------------------------------------------------------------------------------------ several processes

    @property
    def shared(self) -> bool:
        """Whether other processes train the same model with this one."""
        return self.args.world_size > 1

    def agree(self, *flags: bool) -> list[bool]:
        """Return of each flag whether any process raises it."""
        return ranks.agree(flags) if self.shared else list(flags)

    def share(self, sizes: Sequence[int]) -> list[Share]:
        """Return what this process trains on of batches of so many rows, which are one optimiser step: one share a batch."""
        return share_of(sizes, self.args.process_index, self.args.world_size, in_step=self.in_step)

    def get_train_dataloader(self) -> DataLoader:
        """Return the batches of an epoch: all of them to each process, which takes its rows of a step itself."""
        loader = super().get_train_dataloader()
        if self.shared:
            # accelerate would cut an epoch by batches, and fill its last step up with items of the first.
            shard = loader.batch_sampler
            assert isinstance(shard, BatchSamplerShard), "accelerate wraps the batches of a data set with a length"
            shard.num_processes, shard.process_index, shard.even_batches = 1, 0, False
        return loader

    def training_step(self, model: nn.Module, inputs: dict[str, Any], *rest: Any, **named: Any) -> Tensor:
        """Return the loss of one forward pass, after its backward pass; an empty one is skipped."""
        return super().training_step(model, inputs, *rest, **named) if inputs else torch.zeros((), device=self.args.device)

    def floating_point_ops(self, inputs: dict[str, Any]) -> int:
        """Return the FLOP of a forward and backward pass."""
        return super().floating_point_ops(inputs) if inputs else 0

    def _track_num_input_tokens(self, inputs: dict[str, Any]) -> None:
        if not self.shared:
            super()._track_num_input_tokens(inputs)

    def count_tokens(self, tokens: int, own: int) -> None:
        """Count what a step reads in all processes, and in this one; where there is one, Trainer does."""
        if self.shared:
            self.state.num_input_tokens_seen += tokens
            self.clock.own_tokens += own

    # ------------------------------------------------------------------------------------------ checkpoints

    def extra_state(self) -> dict[str, Tensor]:
        """Return what a checkpoint holds beside model, optimiser and random states."""
        return {f"sums.{name}": total for name, total in self._totals().items()} | (
            {UNMEASURED: torch.ones(1)} if self._unmeasured else {})

    def load_extra_state(self, own: dict[str, Tensor]) -> None:
        """Take up `extra_state`; empty where a checkpoint of an earlier release lacks it."""
        self._unmeasured = UNMEASURED in own
        if self.is_world_process_zero():  # the sums are those of all processes
            self._sums = {name.removeprefix("sums."): tensor.to(self.args.device) for name, tensor in own.items()
                          if name.startswith("sums.") and len(tensor) == 3}

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        """Save a checkpoint under the model's own names: resuming reads no others, and published ones of experts differ."""
        plain = self.accelerator.unwrap_model(self.model, keep_torch_compile=False)
        if not isinstance(plain, PreTrainedModel):
            super()._save(output_dir, state_dict)
            return
        vars(plain)["save_pretrained"] = partial(plain.save_pretrained, save_original_format=False)
        try:
            super()._save(output_dir, state_dict)
        finally:
            del vars(plain)["save_pretrained"]

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Save the model and what else training resumes from."""
        super().save_model(output_dir, _internal_call)
        own = self.extra_state()
        if self.args.should_save:
            own = {name: tensor.cpu().contiguous() for name, tensor in own.items()}
            folder = output_dir or self.args.output_dir
            assert folder is not None, "training_arguments sets a folder"
            save_file(own, Path(folder) / EXTRA_STATE)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        super()._load_from_checkpoint(resume_from_checkpoint, model)
        path = Path(resume_from_checkpoint) / EXTRA_STATE
        self.load_extra_state(load_file(path) if path.is_file() else {})

    # ------------------------------------------------------------------------------------------ logging

    def _reset_accumulators(self) -> None:
        self._sums = {}

    def add_term(self, term: str, factor: float, total: Tensor, counted: Tensor) -> None:
        """Count a term towards the next point of the curves: its sum over what it was summed over, and the weight of that."""
        if self.uses(term):
            self._sums[term] = self._sums.get(term, 0) + torch.stack([total, total * factor, counted])

    def _totals(self) -> dict[str, Tensor]:
        """Term -> (3,): its sum, its weighted sum and the weight of the positions that it was summed over, over all processes."""
        names = sorted(self._sums)
        if not names or self.args.world_size == 1:
            return self._sums
        return dict(zip(names, self.accelerator.reduce(torch.stack([self._sums[name] for name in names]), "sum"), strict=True))

    def _term_metrics(self) -> dict[str, float]:
        metrics = {"loss": 0.0}
        for name, (raw, weighted, counted) in ((name, total.tolist()) for name, total in self._totals().items()):
            of_all = max(counted, 1e-6)
            metrics |= {f"raw/{name}": raw / of_all, f"loss/{name}": weighted / of_all}
            metrics["loss"] += weighted / of_all
        return metrics

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Log each term, weighted and raw, to the recorder, and the same numbers to Trainer's own trackers."""
        if "loss" in logs:
            logs |= self._term_metrics()
            self._reset_accumulators()
            logs |= {"tokens": float(self.state.num_input_tokens_seen), "tokens_per_second": self.clock.tokens_per_second(self.state),
                     "memory_gib": memory_in_use(self.args.device), **self.source_metrics()}
            if self.is_world_process_zero():
                self.recorder.log(self.variant, self.state.global_step, {name: value for name, value in logs.items() if name != "epoch"})
            self._record_processes()
        super().log(logs)

    def source_metrics(self) -> dict[str, float]:
        """Return what a logging step records of where the targets come from; a trainer with a teacher has more to say."""
        return {}

    def _record_processes(self) -> None:
        """Record speed and memory of each process, where there are several."""
        if self.shared:
            found = ranks.gather([self.clock.own_tokens_per_second, memory_in_use(self.args.device)])
            if self.is_world_process_zero() and self.clock.due():
                speeds, memory = zip(*found, strict=True)
                self.recorder.event(Processes(self.variant, self.state.global_step, speeds, memory))

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """Return the experiment's own measurement, in place of Trainer's loop; where it is stopped, none."""
        self.control.should_evaluate = False  # the end of an epoch would evaluate once more
        try:
            return self.evaluate_now()
        except StopRequested:
            self._unmeasured = self.control.should_save = self.control.should_training_stop = True
            return {}

    def evaluate_now(self) -> dict[str, float]:
        """Measure a point of the held-out curves, which rank 0 logs. Raises what the measurement raises, a stop in every process."""
        assert self.model is not None
        metrics, stopped = dict[str, float](), False
        with sharding.rank_0_alone():
            try:
                metrics = self.measure(self.state.global_step)
            except StopRequested:
                stopped = True
            finally:
                self.model.train()
            [stopped] = self.agree(stopped)
        if stopped:
            raise StopRequested
        self._unmeasured = False
        if metrics and self.is_world_process_zero():
            self.recorder.log(self.variant, self.state.global_step, metrics)
        logged = {f"eval_{name.removeprefix('eval/')}": value for name, value in metrics.items()}
        if logged:
            super().log(logged)
        return logged


class _StopCallback(TrainerCallback):
    """Ends training when the user requests a stop, and when the loss is not finite."""

    def __init__(self, trainer: BaseTrainer) -> None:
        self.trainer = trainer

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        finite = all(torch.isfinite(total).all() for total in self.trainer._sums.values())
        diverged, stop = self.trainer.agree(not finite, self.trainer.recorder.should_stop())  # all processes end at the same step
        if diverged:
            raise NonFiniteLossError(f"The loss of variant '{self.trainer.variant}' is not a number any more at step {state.global_step}.",
                                     "A finite loss was expected.",
                                     "Lower train.learning_rate or train.max_grad_norm, or use train.precision=fp32.",
                                     field="train.learning_rate")
        if stop and state.global_step < state.max_steps:
            control.should_save = control.should_training_stop = True


class _EvaluationCallback(TrainerCallback):
    """Evaluates early in long trainings too, and after a resume what a stop kept from being evaluated."""

    def __init__(self, trainer: BaseTrainer) -> None:
        self.trainer = trainer

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if self.trainer._unmeasured:
            self.trainer.evaluate_now()  # stopped again, the checkpoint still says so

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if args.eval_strategy == IntervalStrategy.STEPS and state.global_step == FIRST_EVALUATION < state.eval_steps:
            control.should_evaluate = True
