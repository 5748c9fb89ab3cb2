"""The distillation trainer: losses of several terms, counted per token."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset
from transformers import PreTrainedModel, TrainingArguments

from core.config import LossSpec
from core.data.packing import Blocks
from core.errors import CompatibilityError, SetField
from core.models.architectures import architecture_of, plain_model
from core.models.architectures import blocks as blocks_of
from core.models.forward import States, forward, output_head
from core.recorder import Recorder
from core.signals.source import LocalTeacher, TeacherSignals
from core.signals.targets import Head
from core.training.base_trainer import BaseTrainer
from core.training.batches import Batch, Batches, StepSeed, causal_lm_batches, rows_of
from core.training.compiling import CompiledBlocks
from core.training.head_loss import PositionWeights, head_loss
from core.training.losses import logit_terms
from core.training.state_losses import HiddenStateMatching, cosine_distance


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


@dataclass(frozen=True)
class DistillationSetup:
    """The training signal: losses, teacher and layer map.

    Attributes:
        losses: the terms and their weights.
        teacher: what is queried for the targets; None where only hard labels count.
        layer_map: teacher block of each student block; needed for matched layers only.
        vocabulary: logits that stand for tokens, as `core.models.vocabulary.unpadded_width` counts them (default: all).
    """

    losses: LossSpec
    teacher: TeacherSignals | None = None
    layer_map: tuple[int, ...] | None = None
    vocabulary: int | None = None


WEIGHTS: tuple[Literal["distill_weights", "label_weights", "state_weights"], ...] = ("distill_weights", "label_weights", "state_weights")
HARD_LABELS_ONLY = DistillationSetup(LossSpec(w_kd=0.0, w_hard=1.0))  # no teacher: the text alone


class DistillationTrainer(BaseTrainer):
    """Train one variant of an experiment.

    The gradient of an optimiser step does not depend on how its blocks are cut into batches: every term is divided by
    the weights of all counted positions of the step, over all batches and processes.

    Args:
        student: the model to train; its parameters stay float32.
        setup: losses, teacher and layer map.
        data: training blocks.
        variant: the name under which everything is recorded.
        dtype: format of the matrix products.
        evaluate: called with the optimiser step every `eval_steps`; returns metrics to record.
        batches: what blocks are trained on; see `core.evaluation.objectives`.
        sharded: whether the processes share out the student's weights.

    Attributes:
        compiled: the student's blocks, where they are compiled.
    """

    def __init__(self, student: nn.Module, setup: DistillationSetup, data: Blocks, arguments: TrainingArguments, *, variant: str,
                 recorder: Recorder,
                 dtype: torch.dtype, evaluate: Callable[[int], dict[str, float]], batches: Batches = causal_lm_batches,
                 sharded: bool = False) -> None:
        self.setup, self.batches = setup, batches
        self.compiled: CompiledBlocks | None = None
        matched = setup.losses.w_hidden_mse
        self.layer_match = self._layer_match(student, arguments.world_size) if matched.start or matched.end else None
        super().__init__(student, setup.losses, BlockDataset(data), collate, arguments, variant=variant, recorder=recorder, dtype=dtype,
                         evaluate=evaluate, sharded=sharded)

    def _layer_match(self, student: nn.Module, processes: int) -> HiddenStateMatching:
        teacher, layer_map, model = self.setup.teacher, self.setup.layer_map, plain_model(student)
        assert isinstance(teacher, LocalTeacher) and layer_map is not None, "layers are matched with those of a teacher in memory"
        layers = len(blocks_of(teacher.model))
        match = HiddenStateMatching(layer_map, layers, _width(model), _width(teacher.model)).to(model.device)
        if not match.pairs or max(layer_map) >= layers:
            raise CompatibilityError(f"losses.w_hidden_mse matches student blocks with the teacher blocks {list(layer_map)}.",
                                     f"At least one pair of blocks of the {layers} that the teacher has was expected; a last block is "
                                     "matched with a last block only.",
                                     "Set losses.hidden_layers to ends, choose another student.layer_map, or set losses.w_hidden_mse to 0.",
                                     suggestion=SetField("losses.hidden_layers", "ends"))
        if match.projections is not None:
            # As a part of the model the projections are optimised, checkpointed and shared between processes with it.
            model.add_module("layer_match", match)
            if processes > 1:
                model.register_forward_hook(_with_projections)
        return match

    def train_from(self, checkpoint: Path | None) -> None:
        """Train as `BaseTrainer.train_from` does, and leave the student without the projections of matched layers."""
        super().train_from(checkpoint)
        self._flush()
        assert self.model is not None
        model = plain_model(self.model if self._blank is None else self._blank)
        if model._modules.pop("layer_match", None) is not None:  # projections are no part of the student
            for number in [number for number, hook in model._forward_hooks.items() if hook is _with_projections]:
                del model._forward_hooks[number]

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Save as `BaseTrainer.save_model` does, and what the teacher answered so far."""
        self._flush()
        super().save_model(output_dir, _internal_call)

    def source_metrics(self) -> dict[str, float]:
        """Return the metrics of the teacher's signals."""
        return self.setup.teacher.metrics() if self.setup.teacher is not None else {}

    def _flush(self) -> None:
        if self.setup.teacher is not None:
            self.setup.teacher.flush()

    def extra_state(self) -> dict[str, Tensor]:
        """Return the projections too, which checkpoints of adapters leave out."""
        matched = self.layer_match.state_dict() if self.layer_match is not None and not self.sharded else {}
        return super().extra_state() | {f"layer_match.{name}": tensor for name, tensor in matched.items()}

    def load_extra_state(self, own: dict[str, Tensor]) -> None:
        """Load what `extra_state` returned."""
        super().load_extra_state(own)
        if self.layer_match is not None and not self.sharded and any(name.startswith("layer_match.") for name in own):
            self.layer_match.load_state_dict({name.removeprefix("layer_match."): tensor for name, tensor in own.items()
                                              if name.startswith("layer_match.")})

    # ------------------------------------------------------------------------------------------ loss

    def get_batch_samples(self, epoch_iterator: Iterator[dict[str, Tensor]], num_batches: int,
                          device: torch.device) -> tuple[list[Batch], Tensor]:
        """Return the forward passes of one optimiser step, and the divisors of its terms.

        The divisors (3,) are the sums of the distillation weights, of the label weights and of the state weights over the whole step. Of
        several processes each makes the passes of its own rows.
        """
        blocks = list(islice(epoch_iterator, num_batches))
        # What is drawn depends on the step alone, so a resumed run draws what an uninterrupted one would have drawn.
        batches = self.batches(blocks, StepSeed(self.args.seed, self.state.global_step)) if blocks else []
        nothing = torch.zeros((), dtype=torch.float32, device=device)
        totals = torch.stack([sum((batch[part].sum() for batch in batches), nothing) for part in WEIGHTS])
        return (self._own(batches) if self.shared else batches), totals

    def _own(self, batches: Sequence[Batch]) -> list[Batch]:
        """Return the forward passes of this process; `{}` where it has none."""
        shares, tokens = self.share([len(batch["input_ids"]) for batch in batches]), sum(batch["input_ids"].numel() for batch in batches)
        passes = [rows_of(batches[share.batch], share) if not share.empty else cast(Batch, {}) for share in shares]
        self.count_tokens(tokens, sum(batch["input_ids"].numel() for batch, share in zip(passes, shares, strict=True)
                                      if batch and not share.idle))
        return passes

    # Trainer passes on what `get_batch_samples` returns: a batch of this trainer's own type, and the divisors as a tensor.
    def compute_loss(self, model: nn.Module, inputs: Batch, return_outputs: bool = False,  # type: ignore[override]  # as said above
                     num_items_in_batch: Tensor | None = None) -> Tensor | tuple[Tensor, dict[str, Any]]:  # type: ignore[override]
        """Return the sum of the weighted terms of one forward pass.

        Only positions that count pass beyond the last block, and only those whose logits are needed reach the head.

        Args:
            num_items_in_batch: the divisors from `get_batch_samples`.
        """
        assert num_items_in_batch is not None, "`get_batch_samples` counts them"
        weights, teacher, all_hidden_states = self.current_loss_weights(), self.setup.teacher, self.layer_match is not None
        distill_mask, label_mask, state_mask = (inputs[part] > 0 for part in WEIGHTS)  # (B, T) each
        terms = logit_terms(self.losses, weights)
        if any(term.needs_teacher for term in terms):
            label_mask = label_mask | distill_mask  # the head computes both at once
        # Processes average their gradients, while the divisors count the positions of all of them.
        divisors = num_items_in_batch.clamp_min(1e-6) / self.args.world_size
        counts = PositionWeights(inputs["distill_weights"][label_mask], inputs["label_weights"][label_mask], *divisors[:2])

        state_weights = inputs["state_weights"][state_mask]
        with torch.autocast(label_mask.device.type, self.dtype, enabled=self.dtype != torch.float32):
            def compute() -> States:
                return forward(model, inputs["input_ids"], inputs["attention_mask"], all_hidden_states=all_hidden_states)

            states = self.compiled.run(inputs["input_ids"].shape, compute) if self.compiled is not None else compute()
        answer = None
        if teacher is not None:
            answer = teacher.answer(inputs["input_ids"], inputs["attention_mask"], label_mask, all_hidden_states=all_hidden_states)

        head = Head.of(output_head(model), states.head_input[label_mask].to(self.dtype))
        loss, sums = head_loss(head, answer.targets if answer is not None else None, inputs["targets"][label_mask], counts, terms,
                               self.setup.vocabulary)
        for term, total in zip(terms, sums, strict=True):
            self.add_term(term.name, term.factor, total, counts.of(term)[0].sum())
        if self.uses("hidden"):
            assert answer is not None and answer.states is not None, "hidden states are compared with a teacher's"
            distances = cosine_distance(states.last[state_mask], answer.states.last[state_mask])
            loss = loss + self._weighted("hidden", weights["hidden"], distances, state_weights, divisors[2])
        if self.layer_match is not None:
            assert answer is not None and answer.states is not None, "layers are matched with a teacher's"
            distances = self.layer_match(states.hidden, answer.states.hidden, state_mask)
            loss = loss + self._weighted("hidden_mse", weights["hidden_mse"], distances, state_weights, divisors[2])
        return (loss, {}) if return_outputs else loss

    def _weighted(self, term: str, weight: float, values: Tensor, counts: Tensor, divisor: Tensor) -> Tensor:
        total = (values * counts).sum()
        self.add_term(term, weight, total.detach(), counts.sum())
        return weight * total / divisor


def _with_projections(model: nn.Module, _inputs: Any, output: Any) -> None:
    """Let the output depend on the projections of matched layers, by nothing.

    What several processes share their gradients of is found from the output of the model, while the projections are used after it.
    """
    output.logits = output.logits + 0 * sum(weight.sum() for weight in model.get_submodule("layer_match").parameters())


def _width(model: PreTrainedModel) -> int:
    """Channels of the states that are matched: those of the residual stream, or of the embedding to which OPT leads its last ones back."""
    architecture = architecture_of(model.config)
    if architecture.objective == "masked":
        return architecture.dimension(model.config.to_dict(), architecture.width_key)
    weight = model.get_input_embeddings().weight
    assert isinstance(weight, Tensor)
    return weight.shape[1]
