"""Training objectives and their metrics: the next token (causal), or the masked tokens (masked).

An objective turns packed blocks into batches that say what counts where, so that the trainer need not know which one it serves:

    causal    position t predicts token t + 1, and is compared with the teacher there, with that token's weight
    masked    selected positions predict the token that was there; teacher and student are compared at all tokens but
              padding; their predictions at the selected ones alone, if requested (1910.01108 offers both in its code)

Shapes: B blocks, T positions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np
import torch
from torch import Tensor

from core.config import ExperimentConfig, LossSpec, MaskingSpec
from core.data import movie_reviews
from core.data.masking import BLANKS, Masker, has_blank, token_counts
from core.data.packing import Blocks, padding_id
from core.evaluation.blanks import fill_blanks
from core.evaluation.language import evaluate_language
from core.evaluation.masked import evaluate_masked
from core.generation.streaming import generate
from core.models import architectures, compatibility
from core.models.vocabulary import vocabulary_size
from core.recorder import Advance, unwatched
from core.training.batches import Batch, StepSeed, causal_lm_batches
from core.training.passes import ALONE, Passes

if TYPE_CHECKING:
    from transformers import PreTrainedModel

TOP_K_SHOWN = 3  # fills that a sample shows


class Objective(Protocol):
    """What the trainer and the experiment ask of an objective."""

    @property
    def name(self) -> architectures.Objective:
        """What the model predicts."""

    def batches(self, blocks: Sequence[dict[str, Tensor]], draw: StepSeed) -> list[Batch]:
        """Return the forward passes of one optimiser step.

        Args:
            blocks: for each pass ``input_ids`` and ``weights``, (B, T).
        """

    def measure(self, model: Any, blocks: Blocks, teacher: Any, *, batch_size: int, device: torch.device,
                dtype: torch.dtype, advance: Advance = unwatched, states: dict[int, Tensor] | None = None,
                passes: Passes = ALONE) -> dict[str, float]:
        """Return the metrics of a model on held-out blocks, with ``cross_entropy`` among them.

        Args:
            advance: called before every forward pass.
            states: as in `core.evaluation.language.evaluate_language`; where the objective keeps none, it stays empty.
            passes: what of it this process computes.
        """

    def answer(self, model: PreTrainedModel, prompt: str, *, max_new_tokens: int, seed: int) -> str:
        """Return what the model makes of a prompt, to be looked at during training."""

    def prompts(self, requested: Sequence[str]) -> tuple[str, ...]:
        """Return those of the prompts that this objective can answer, or its own."""


@dataclass(frozen=True)
class Causal:
    """The next token."""

    tokenizer: Any
    name: ClassVar[architectures.Objective] = "causal"

    def batches(self, blocks: Sequence[dict[str, Tensor]], draw: StepSeed) -> list[Batch]:
        """Return one causal batch for each pass."""
        return causal_lm_batches(blocks, draw)

    def measure(self, model: Any, blocks: Blocks, teacher: Any, *, batch_size: int, device: torch.device,
                dtype: torch.dtype, advance: Advance = unwatched, states: dict[int, Tensor] | None = None,
                passes: Passes = ALONE) -> dict[str, float]:
        """Return the metrics of `core.evaluation.language.evaluate_language`."""
        return evaluate_language(model, blocks, teacher, tokenizer=self.tokenizer, batch_size=batch_size, device=device, dtype=dtype,
                                 advance=advance, states=states, passes=passes)

    def answer(self, model: PreTrainedModel, prompt: str, *, max_new_tokens: int, seed: int) -> str:
        """Return a sampled answer to the prompt as a chat message."""
        return generate(model, self.tokenizer, movie_reviews.conversation(prompt), max_new_tokens=max_new_tokens, sampling_temperature=0.7,
                        seed=seed).text

    def prompts(self, requested: Sequence[str]) -> tuple[str, ...]:
        """Return the prompts as they are: any text can be continued."""
        return tuple(requested)


@dataclass(frozen=True)
class MaskedLanguage:
    """The masked tokens.

    Attributes:
        masker: of training; held-out text is masked as `core.evaluation.masked` says, whatever training does.
        compared: where predictions are compared; hidden states are at all tokens; ``losses.kd_positions``.
    """

    tokenizer: Any
    masker: Masker
    compared: str = "all"
    name: ClassVar[architectures.Objective] = "masked"

    @classmethod
    def of(cls, spec: MaskingSpec, losses: LossSpec, tokenizer: Any, train: Blocks) -> MaskedLanguage:
        """Return the objective whose rare tokens are those of the training blocks."""
        counts = token_counts(train.input_ids, vocabulary_size(tokenizer))
        return cls(tokenizer, Masker(spec, tokenizer, counts), losses.kd_positions)

    def batches(self, blocks: Sequence[dict[str, Tensor]], draw: StepSeed) -> list[Batch]:
        """Return the masked batches of one optimiser step; padding (its id in `blocks`) counts nowhere."""
        # All passes of a step are masked as one, so that the step does not depend on how it is cut.
        ids = np.concatenate([each["input_ids"].cpu().numpy() for each in blocks])
        weights = np.concatenate([each["weights"].cpu().numpy() for each in blocks])
        masked = self.masker.mask(ids, weights > 0, draw)
        real = ids != padding_id(self.tokenizer)
        label_weights = np.where(masked.chosen, weights, 0)
        distill_weights = label_weights if self.compared == "masked" else real
        sizes, device = [len(each["input_ids"]) for each in blocks], blocks[0]["input_ids"].device
        parts = (torch.from_numpy(whole).to(device).split(sizes) for whole in (
            masked.input_ids, real.astype(np.int64), ids, distill_weights.astype(np.float32), label_weights.astype(np.float32),
            real.astype(np.float32)))
        return [Batch(input_ids=inputs, attention_mask=attention, targets=targets, distill_weights=distilled, label_weights=labelled,
                      state_weights=compared) for inputs, attention, targets, distilled, labelled, compared in zip(*parts, strict=True)]

    def measure(self, model: Any, blocks: Blocks, teacher: Any, *, batch_size: int, device: torch.device,
                dtype: torch.dtype, advance: Advance = unwatched, states: dict[int, Tensor] | None = None,
                passes: Passes = ALONE) -> dict[str, float]:
        """Return the metrics of `core.evaluation.masked.evaluate_masked`."""
        return evaluate_masked(model, blocks, teacher, tokenizer=self.tokenizer, batch_size=batch_size, device=device, dtype=dtype,
                               advance=advance, passes=passes)

    def answer(self, model: PreTrainedModel, prompt: str, *, max_new_tokens: int, seed: int) -> str:
        """Return the most likely tokens of each blank with their probabilities, one line."""
        blanks = fill_blanks(model, self.tokenizer, prompt, TOP_K_SHOWN)
        return "; ".join(", ".join(f"{fill.token} {fill.probability:.0%}" for fill in fills) for fills in blanks)

    def prompts(self, requested: Sequence[str]) -> tuple[str, ...]:
        """Return the prompts that have a blank or a mask token; where none has, the built-in ones."""
        own = BLANKS if requested else ()
        return tuple(prompt for prompt in requested if has_blank(prompt) or self.tokenizer.mask_token in prompt) or own


def objective_for(config: ExperimentConfig, objective: architectures.Objective, tokenizer: Any, train: Blocks) -> Objective:
    """Return the objective of an experiment's models.

    Raises:
        ConfigError, CompatibilityError: as `core.models.compatibility.require_settings_for`.
    """
    compatibility.require_settings_for(config, objective)
    return Causal(tokenizer) if objective == "causal" else MaskedLanguage.of(config.masking, config.losses, tokenizer, train)
