"""The interface that trainers ask, and its first sources: a teacher in memory, and an ensemble of them.

Shapes: B blocks, T positions, N chosen positions, D width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor
from transformers import PreTrainedModel

from core.models.ensembles import members_of
from core.models.forward import MixtureHead, States, forward, output_head
from core.signals.targets import Head, Mixture, Targets

Form = Literal["hidden", "top_k", "sampled"]  # of answers: `Head`, `TopK`, `Sampled`


@dataclass(frozen=True, slots=True)
class Answer:
    """What a teacher says of one forward pass.

    Attributes:
        targets: at the N chosen positions.
        states: hidden states for terms that compare them; None where the source has none.
    """

    targets: Targets
    states: States | None = None


class TeacherSignals(Protocol):
    """A source of what the teacher says; neither trainers nor losses know which one.

    Attributes:
        form: of its answers.
    """

    @property
    def form(self) -> Form:
        """The form of its answers."""

    def answer(self, input_ids: Tensor, attention_mask: Tensor | None, positions: Tensor, *, all_hidden_states: bool = False) -> Answer:
        """Return what the teacher says at the chosen positions of a batch.

        Args:
            input_ids, attention_mask: (B, T), as models read them; no mask where padding cannot be seen.
            positions: (B, T) bool, the N places that count, in the order of rows.
            all_hidden_states: also the states of all blocks.

        Raises:
            StillhouseError: the source cannot answer; what was kept so far stays.
        """

    def flush(self) -> None:
        """Write what is not on disk yet; called before a checkpoint and at the end of training."""

    def metrics(self) -> dict[str, float]:
        """Return what the curves show of the source, by names of `core.metrics.METRICS`; called at each logging step."""


@dataclass(frozen=True)
class LocalTeacher:
    """A teacher in memory.

    Attributes:
        model: in evaluation mode, on the device of the batches.
    """

    model: PreTrainedModel
    form: Literal["hidden"] = "hidden"

    @torch.no_grad()
    def answer(self, input_ids: Tensor, attention_mask: Tensor | None, positions: Tensor, *, all_hidden_states: bool = False) -> Answer:
        """Return the states in front of the head at the chosen positions, with the head."""
        states = forward(self.model, input_ids, attention_mask, all_hidden_states=all_hidden_states)
        return Answer(Head.of(output_head(self.model), states.head_input[positions]), states)

    def flush(self) -> None:
        """Do nothing: nothing is kept."""

    def metrics(self) -> dict[str, float]:
        """Return nothing: the run's own speed says it."""
        return {}


@dataclass(frozen=True)
class EnsembleTeacher:
    """Several teachers in memory, one after the other for each batch: the mean of what they say (1503.02531, section 2).

    Attributes:
        model: `core.models.ensembles.ensemble_model`, on the device of the batches.
        temperature: of the loss; the members' distributions are averaged at it.
    """

    model: PreTrainedModel
    temperature: float
    form: Literal["hidden"] = "hidden"

    @torch.no_grad()
    def answer(self, input_ids: Tensor, attention_mask: Tensor | None, positions: Tensor, *, all_hidden_states: bool = False) -> Answer:
        """Return the states of all members at the chosen positions, with their heads; an ensemble has no states to compare."""
        assert not all_hidden_states, "states of several models are not compared with one's"
        head = output_head(self.model)
        assert isinstance(head, MixtureHead), "an ensemble has the heads of its members"
        return Answer(Mixture(forward(self.model, input_ids, attention_mask).head_input[positions], head, self.temperature))

    def flush(self) -> None:
        """Do nothing: nothing is kept."""

    def metrics(self) -> dict[str, float]:
        """Return nothing: the run's own speed says it."""
        return {}


def local_teacher(model: PreTrainedModel, temperature: float) -> LocalTeacher | EnsembleTeacher:
    """Return the source of a model in memory, one or several."""
    return EnsembleTeacher(model, temperature) if members_of(model) else LocalTeacher(model)
