"""Floating-point operations of one forward pass, by part, from a model's files before anything is loaded.

For B sequences of T positions, in floating-point operations; a multiplication and an addition are two:

    blocks      2 B T W + 4 B T^2 H d L     W: entries of the blocks' weight matrices, of experts those that a token passes; then
                                            scores and weighted values of H query heads of d channels in L blocks that attend,
                                            every position with every position
    head        2 B T (V D + M)             the output matrix, at every position, and the matrices M between blocks and output
    embeddings  0                           rows are looked up

Norms, activations, softmax, biases and short convolutions grow with T D alone and are left out, as in the counts that papers print; so
are DeBERTa's products with relative positions. Two models of one family take times in the ratio of these sums where matrix products fill
the time (claim A4): embeddings cost nothing, and the head, which no student shrinks, costs the same in both.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from fractions import Fraction

from core.models.header import ModelHeader


@dataclass(frozen=True, slots=True)
class ForwardFlops:
    """Floating-point operations of one forward pass, by part.

    Attributes:
        projections: matrix products of the blocks' weights.
        attention: scores and weighted values.
        head: everything between the last block and the logits.
    """

    projections: float
    attention: float
    head: float

    @property
    def blocks(self) -> float:
        """Return the operations of all blocks: projections and attention."""
        return self.projections + self.attention

    @property
    def total(self) -> float:
        """Return the operations of blocks and head."""
        return self.blocks + self.head


def forward_flops(header: ModelHeader, *, length: int, batch: int = 1) -> ForwardFlops:
    """Count the operations of one forward pass over `batch` sequences of `length` tokens.

    Raises:
        UnsupportedModelError, CorruptModelError: as the properties of `core.models.header.ModelHeader` do.
    """
    architecture, sizes = header.architecture, header.dimensions
    looked_up = tuple(f"{part}." for part in (architecture.embeddings, architecture.positions, architecture.token_types) if part)
    # Of a mixture of experts a token passes a few; blocks without attention are convolutions (LFM2).
    passed = (Fraction(*(architecture.dimension(header.config, key) for key in (architecture.active_experts_key, architecture.experts_key)))
              if architecture.experts_key and architecture.active_experts_key else Fraction(1))
    inner, outer, attending = Fraction(0), 0, set()
    for name, shape in header.parameters.items():
        block, expert = architecture.block_of(name), ".experts." in name
        if len(shape) != 2 and not expert:
            continue
        if block is not None:
            inner += math.prod(shape) * (passed if expert else 1)
            attending |= {block} if re.search(r"\.att(n|ention)|_att(n|ention)", name) else set()
        elif not name.startswith(looked_up):
            outer += math.prod(shape)
        elif name == f"{architecture.embeddings}.weight" and architecture.is_tied(header.config) and header.task in ("causal", "masked"):
            outer += math.prod(shape)  # the head multiplies by the matrix that the embedding looks up
    read = batch if header.task == "classification" else batch * length  # a classifier reads one position
    return ForwardFlops(float(2 * batch * length * inner),
                        4 * batch * length**2 * sizes.heads * sizes.head_size * len(attending), 2 * read * outer)
