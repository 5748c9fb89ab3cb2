"""The models of the claims about patching: a teacher, students of its spans, and what they are compared with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from core.chains.interpolation import AnchorPair, substitute
from core.config import LossSpec
from core.evaluation.language import evaluate_language
from core.students.layer_maps import layer_map, span_ends
from core.students.resizing import Weights, resized
from core.studies.claims.patching_protocol import PatchingProtocolConfig
from core.studies.claims.small_chain import CPU, SmallChain, Trained

# The published terms and weights, with the squared error of matched states where the paper has their cosine.
LOSSES = LossSpec(w_hard=1, w_kd=0.1, w_hidden=1, w_hidden_mse=1, hidden_layers="ends", divergence="forward_kl", temperature=1)


class Patching(SmallChain):
    """The models of one seed: `largest` is the teacher."""

    setting: PatchingProtocolConfig

    def student(self, span: int, *, random: bool = False) -> AnchorPair:
        """Return a teacher and its student with one block for every `span` blocks of it.

        Args:
            random: begin with new weights in place of the first block of each span.
        """
        layers = self.largest.dimensions.layers // span
        name = f"student of spans of {span}" + (" from random weights" if random else "")
        shape = replace(self.largest.dimensions, layers=layers)
        firsts = range(0, layers * span, span)
        made = self._aligned(name, layers, random=random, blocks=tuple(firsts))
        assert made.weights.dimensions == shape, "a student differs from its teacher in depth alone"
        return AnchorPair(Weights(made.weights.config, made.weights.tensors, tuple(firsts)), self.largest, self.ends(layers))

    def direct(self, depth: int) -> Trained:
        """Return a model of a depth that was distilled at it, from evenly spread blocks of the teacher."""
        return self._aligned(f"direct at {depth} blocks", depth)

    def pruned(self, depth: int) -> Weights:
        """Return evenly spread blocks of the teacher, without training."""
        return shallow(self.largest, depth)

    def patched(self, pair: AnchorPair, swapped: Sequence[int]) -> Weights:
        """Return the student with some blocks exchanged for the spans that they stand for."""
        self._raise_if_stopped()
        spans = pair.spans()
        depth = len(spans) + sum(len(spans[block]) - 1 for block in swapped)
        return substitute(pair, replace(pair.large.dimensions, layers=depth), swapped)

    def kl_to_teacher(self, weights: Weights) -> float:
        """Return the KL divergence from the teacher on the selection half, nats per token."""
        self._raise_if_stopped()
        measured = evaluate_language(weights.model(), self._held_out("selection"), self.largest.model(), tokenizer=self.tokenizer,
                                     batch_size=self.setting.batch, device=CPU)
        return measured["kl_to_teacher"]

    def ends(self, layers: int) -> tuple[int, ...]:
        """Return the teacher's block at whose end each block of a student of that depth is aligned."""
        return span_ends(self.largest.dimensions.layers, layers)

    def _aligned(self, name: str, layers: int, *, random: bool = False, blocks: tuple[int, ...] | None = None) -> Trained:
        shape = replace(self.largest.dimensions, layers=layers)

        def begin() -> Weights:
            if random:
                return self.random(shape)
            return shallow(self.largest, layers) if blocks is None else resized(self.largest, shape, blocks)

        return self._trained(name, begin, self.setting.chain_steps, teacher=lambda: self.largest, losses=LOSSES, ends=self.ends(layers))


def shallow(model: Weights, depth: int) -> Weights:
    """Return a model's evenly spread blocks: naive pruning."""
    return resized(model, replace(model.dimensions, layers=depth), layer_map("uniform", model.dimensions.layers, depth))
