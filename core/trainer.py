"""The distillation trainer: `transformers.Trainer` with losses of several terms, counted per token, told to a recorder."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.utils.data import Dataset
from transformers import PreTrainedModel, PrinterCallback, ProgressCallback, Trainer, TrainerCallback, TrainerState, TrainingArguments

from core.anatomy import blocks as blocks_of
from core.anatomy import plain_model
from core.config import LossSpec, TrainSpec
from core.data.packing import Blocks
from core.devices import memory_in_use, use_only
from core.errors import CompatibilityError, NonFiniteLoss
from core.evaluation.forward import forward, output_head
from core.losses import Counts, Head, HeadTerms, LayerMatch, cosine_distance, divergence, head_loss
from core.objectives import Batch, Batches, Draw, next_token
from core.recorder import Recorder

STATE_FILE = "trainer_state.json"  # the last file of a checkpoint that Trainer writes
OWN_STATE = "stillhouse.safetensors"  # in a checkpoint: what Trainer does not know of


class BlockDataset(Dataset):
    """Packed blocks as a dataset of tensors."""

    def __init__(self, blocks: Blocks) -> None:
        self.blocks = blocks

    def __len__(self) -> int:
        return len(self.blocks)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {"input_ids": torch.from_numpy(self.blocks.input_ids[index]).long(), "weights": torch.from_numpy(self.blocks.weights[index])}


def collate(items: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Blocks have one length: stacking is all."""
    return {key: torch.stack([item[key] for item in items]) for key in items[0]}


def training_arguments(spec: TrainSpec, directory: Path, device: torch.device, *, eval_steps: int,
                       run_name: str | None = None) -> TrainingArguments:
    """The field names are those of Transformers wherever the meaning is the same.

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


def latest_checkpoint(directory: Path) -> Path | None:
    """The newest checkpoint that was written to its end."""
    return next((path for path in sorted(directory.glob("checkpoint-*"), key=_step_of, reverse=True) if _is_complete(path)), None)


def _is_complete(checkpoint: Path) -> bool:
    # The file is there before all of it is: a crash or a full disk may leave it empty or cut.
    try:
        return isinstance(json.loads((checkpoint / STATE_FILE).read_bytes()), dict)
    except (OSError, ValueError):
        return False


def _step_of(checkpoint: Path) -> int:
    return int(checkpoint.name.rpartition("-")[2])


@dataclass(frozen=True)
class Lesson:
    """What is taught, by whom.

    Attributes:
        losses: the terms and their weights.
        teacher: in evaluation mode, on the student's device; None where only hard labels count.
        layer_map: teacher block of each student block; needed for matched layers only.
        vocabulary: logits that stand for tokens, as `core.tokenizer.real_width` says (default: all).
    """

    losses: LossSpec
    teacher: PreTrainedModel | None = None
    layer_map: tuple[int, ...] | None = None
    vocabulary: int | None = None


CONTROL_LESSON = Lesson(LossSpec(w_kd=0.0, w_hard=1.0))  # no teacher: the text alone


class DistillationTrainer(Trainer):
    """Trains one arm of an experiment.

    The gradient of an optimiser step does not depend on how its blocks are cut into batches: every term is divided by
    the weights of all counted positions of the step, over all batches and processes.

    Args:
        student: the model to train; its parameters stay float32.
        lesson: losses, teacher and layer map.
        data: training blocks.
        arm: the name under which everything is recorded.
        dtype: format of the matrix products.
        evaluate: called with the optimiser step every `eval_steps`; returns metrics to record.
        batches: what blocks are trained on; see `core.objectives`.
    """

    def __init__(self, student: nn.Module, lesson: Lesson, data: Blocks, arguments: TrainingArguments, *, arm: str, recorder: Recorder,
                 dtype: torch.dtype, evaluate: Callable[[int], dict[str, float]], batches: Batches = next_token) -> None:
        self.lesson, self.arm, self.recorder, self.dtype, self.batches = lesson, arm, recorder, dtype, batches
        self.evaluate_student = evaluate
        self.divergence = divergence(lesson.losses)
        self.layer_match = self._layer_match(student) if self._uses("hidden_mse") else None
        dataset = BlockDataset(data)
        super().__init__(model=student, args=arguments, train_dataset=dataset, eval_dataset=dataset, data_collator=collate)
        # The loss is divided by the positions of the whole step already: Trainer must not divide by the number of batches.
        self.loss_is_scaled_for_ga = True
        self.remove_callback(PrinterCallback)
        self.remove_callback(ProgressCallback)
        self.clock = _Clock()
        # In this order: the conscience waits for the GPU to finish the step, and the clock must not stop before that.
        self.add_callback(_Conscience(self))
        self.add_callback(self.clock)
        self._forget()

    def _uses(self, term: str) -> bool:
        weight = self.lesson.losses.weights()[term]
        return bool(weight.start or weight.end)

    def _layer_match(self, student: nn.Module) -> LayerMatch:
        teacher, model = self.lesson.teacher, plain_model(student)
        layers = len(blocks_of(teacher))
        match = LayerMatch(self.lesson.layer_map, layers, model.get_input_embeddings().weight.shape[1],
                           teacher.get_input_embeddings().weight.shape[1]).to(model.device)
        if not match.pairs or max(self.lesson.layer_map) >= layers:
            raise CompatibilityError(f"losses.w_hidden_mse matches student blocks with the teacher blocks {list(self.lesson.layer_map)}.",
                                     f"At least one pair of blocks of the {layers} that the teacher has was expected; a last block is "
                                     "matched with a last block only.",
                                     "Set losses.hidden_layers to ends, choose another student.layer_map, or set losses.w_hidden_mse to 0.")
        if match.projections is not None:
            # As a part of the model the projections are optimised, checkpointed and shared between processes with it.
            model.add_module("layer_match", match)
        return match

    def _weights_now(self) -> dict[str, float]:
        progress = self.state.global_step / max(self.state.max_steps - 1, 1)
        return {term: ramp.at(progress) for term, ramp in self.lesson.losses.weights().items()}

    def go_on(self, checkpoint: Path | None) -> None:
        """Train to the end, or until a stop; from `checkpoint`, if there is one. At its end nothing is trained any more."""
        if checkpoint is not None and _step_of(checkpoint) >= self._last_step():
            # Trainer would take one step too many.
            self._load_from_checkpoint(str(checkpoint), self.model)
            self.state = TrainerState.load_from_json(str(checkpoint / STATE_FILE))
        else:
            self.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        plain_model(self.model)._modules.pop("layer_match", None)  # projections are no part of the student

    def _last_step(self) -> int:
        return self.set_initial_training_values(self.args, self.get_train_dataloader())[-1]

    # ------------------------------------------------------------------------------------------ checkpoints

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """The model, and what else training goes on from: projections, which checkpoints of adapters leave out, and the
        sums of the steps since the last point of the curves."""
        super().save_model(output_dir, _internal_call)
        totals = self._totals()
        if self.args.should_save:
            own = {f"sums.{name}": total for name, total in totals.items()}
            if self.layer_match is not None:
                own |= {f"layer_match.{name}": tensor for name, tensor in self.layer_match.state_dict().items()}
            own = {name: tensor.cpu().contiguous() for name, tensor in own.items()}
            save_file(own, Path(output_dir or self.args.output_dir) / OWN_STATE)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        super()._load_from_checkpoint(resume_from_checkpoint, model)
        path = Path(resume_from_checkpoint) / OWN_STATE
        own = load_file(path) if path.is_file() else {}  # checkpoints of earlier releases lack it
        if self.layer_match is not None and path.is_file():
            self.layer_match.load_state_dict({name.removeprefix("layer_match."): tensor for name, tensor in own.items()
                                              if name.startswith("layer_match.")})
        if self.is_world_process_zero():  # the sums are those of all processes
            self._sums = {name.removeprefix("sums."): tensor.to(self.args.device) for name, tensor in own.items()
                          if name.startswith("sums.") and len(tensor) == 3}

    # ------------------------------------------------------------------------------------------ loss

    def get_batch_samples(self, epoch_iterator: Iterator[dict[str, Tensor]], num_batches: int,
                          device: torch.device) -> tuple[list[Batch], Tensor]:
        """The forward passes of one optimiser step, and the divisors of its terms: (2,) sums of the position weights over all
        processes, where models are compared and where they are asked."""
        blocks = list(islice(epoch_iterator, num_batches))
        # What is drawn depends on the step alone, so a resumed run draws what an uninterrupted one would have drawn.
        batches = self.batches(blocks, Draw(self.args.seed, self.state.global_step, self.args.process_index)) if blocks else []
        totals = torch.stack([sum((batch[part].sum() for batch in batches), torch.zeros((), device=device)) for part in ("soft", "hard")])
        return batches, self.accelerator.reduce(totals, "sum") if self.args.world_size > 1 else totals

    def compute_loss(self, model: nn.Module, inputs: Batch, return_outputs: bool = False,
                     num_items_in_batch: Tensor | None = None) -> Tensor:
        """The weighted terms of one forward pass; only positions that count go beyond the last block, and on to the head only those
        whose logits are asked for.

        Args:
            num_items_in_batch: the divisors from `get_batch_samples`.
        """
        weights, teacher, every = self._weights_now(), self.lesson.teacher, self.layer_match is not None
        compared, asked = inputs["soft"] > 0, inputs["hard"] > 0  # (B, T)
        if self._uses("kd"):
            asked = asked | compared
        # Processes average their gradients, while the divisors count the positions of all of them.
        divisors = num_items_in_batch.clamp_min(1e-6) / self.args.world_size
        counts = Counts(inputs["soft"][asked], inputs["hard"][asked], *divisors)

        with torch.autocast(asked.device.type, self.dtype, enabled=self.dtype != torch.float32):
            states = forward(model, inputs["input_ids"], inputs["attention_mask"], every=every)
        taught = None
        if teacher is not None:
            with torch.no_grad():
                taught = forward(teacher, inputs["input_ids"], inputs["attention_mask"], every=every)

        terms = HeadTerms(self.divergence if self._uses("kd") else None, weights["kd"] * self.lesson.losses.temperature**2,
                          weights["hard"])
        loss, sums = head_loss(_head(model, states.before_head[asked].to(self.dtype)),
                               _head(teacher, taught.before_head[asked]) if taught else None,
                               inputs["targets"][asked], counts, terms, self.lesson.vocabulary)
        self._add("kd", terms.soft_factor, sums[0], counts.soft)
        self._add("hard", terms.hard_factor, sums[1], counts.hard)
        if self._uses("hidden"):
            distances = cosine_distance(states.last[compared], taught.last[compared])
            loss = loss + self._weighted("hidden", weights["hidden"], distances, inputs["soft"][compared], divisors[0])
        if self.layer_match is not None:
            distances = self.layer_match(states.hidden, taught.hidden, compared)
            loss = loss + self._weighted("hidden_mse", weights["hidden_mse"], distances, inputs["soft"][compared], divisors[0])
        return (loss, {}) if return_outputs else loss

    def _weighted(self, term: str, weight: float, values: Tensor, counts: Tensor, divisor: Tensor) -> Tensor:
        total = (values * counts).sum()
        self._add(term, weight, total.detach(), counts)
        return weight * total / divisor

    # ------------------------------------------------------------------------------------------ what is told

    def _forget(self) -> None:
        self._sums: dict[str, Tensor] = {}

    def _add(self, term: str, factor: float, total: Tensor, counts: Tensor) -> None:
        if self._uses(term):
            self._sums[term] = self._sums.get(term, 0) + torch.stack([total, total * factor, counts.sum()])

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
        """Tell the recorder each term, weighted and raw, and Trainer's own trackers the same numbers."""
        if "loss" in logs:
            logs |= self._term_metrics()
            self._forget()
            logs |= {"tokens": float(self.state.num_input_tokens_seen), "tokens_per_second": self.clock.tokens_per_second(self.state),
                     "memory_gib": memory_in_use(self.args.device)}
            if self.is_world_process_zero():
                self.recorder.log(self.arm, self.state.global_step, {name: value for name, value in logs.items() if name != "epoch"})
        super().log(logs)

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """The experiment's own measurement in place of Trainer's loop."""
        metrics = self.evaluate_student(self.state.global_step)
        if self.is_world_process_zero():
            self.recorder.log(self.arm, self.state.global_step, metrics)
        super().log({f"eval_{name.removeprefix('eval/')}": value for name, value in metrics.items()})
        self.model.train()
        return {"eval_loss": metrics["eval/cross_entropy"]}


def _head(model: nn.Module, states: Tensor) -> Head:
    head = output_head(model)
    return Head(states, head.weight, head.bias)


class _Clock(TrainerCallback):
    """Training speed without evaluation, saving and the first step, which warms up."""

    def __init__(self) -> None:
        self.seconds = self._began = 0.0
        self._tokens_before: float | None = None

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._began = time.perf_counter()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if self._tokens_before is None:
            self._tokens_before = float(state.num_input_tokens_seen)
        else:
            self.seconds += time.perf_counter() - self._began

    def tokens_per_second(self, state: Any) -> float:
        """Tokens a second since the second step of this session; 0 before there is one."""
        return (state.num_input_tokens_seen - (self._tokens_before or 0.0)) / self.seconds if self.seconds else 0.0


class _Conscience(TrainerCallback):
    """Ends training when the user asks for it, and when going on makes no sense."""

    def __init__(self, trainer: DistillationTrainer) -> None:
        self.trainer = trainer

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if not all(torch.isfinite(total).all() for total in self.trainer._sums.values()):
            raise NonFiniteLoss(f"The loss of arm '{self.trainer.arm}' is not a number any more at step {state.global_step}.",
                                "A finite loss was expected.",
                                "Lower train.learning_rate or train.max_grad_norm, or use train.precision=fp32.")
        if self.trainer.recorder.should_stop() and state.global_step < state.max_steps:
            control.should_save = control.should_training_stop = True
