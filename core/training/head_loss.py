"""The terms on logits from the hidden states in front of the output heads, without ever holding all logits.

    chunk   as many positions as `core.models.chunking` allows: the products with the heads, forwards and backwards
    tile    as many of a chunk's positions as a processor's cache takes: everything between those products; all of them on an accelerator

What lies between the products reads and writes each logit a dozen times. From memory that takes as long as the products do; from the cache
a small part of it. Products want many positions at once instead, at which a head is read once. Only gradients of a chunk's logits are kept,
in the format of the products (the idea of fused linear losses, Liger Kernel, 2410.10989).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from core.models.architecture_spec import LogitTransform
from core.models.chunking import chunks, tiles
from core.signals.targets import NOTHING_FOLLOWS, Head, Targets
from core.training.losses import Against, LogitTerm


@dataclass(frozen=True, slots=True)
class PositionWeights:
    """How much each position counts.

    Attributes:
        distill, label: (N,) float32 weights of terms that compare with the teacher, and of terms that compare with the targets.
        distill_divisor, label_divisor: the sums of weights that the means are taken over.
    """

    distill: Tensor
    label: Tensor
    distill_divisor: float | Tensor
    label_divisor: float | Tensor

    def cut(self, part: slice) -> PositionWeights:
        """Return the same at a slice of the positions; the divisors stay those of all."""
        return PositionWeights(self.distill[part], self.label[part], self.distill_divisor, self.label_divisor)

    def of(self, term: LogitTerm) -> tuple[Tensor, float | Tensor]:
        """Return the weights of a term, and their divisor."""
        return (self.distill, self.distill_divisor) if term.needs_teacher else (self.label, self.label_divisor)


def head_loss(student: Head, teacher: Targets | None, targets: Tensor, counts: PositionWeights, terms: Sequence[LogitTerm],
              vocabulary: int | None = None) -> tuple[Tensor, Tensor]:
    """Everything that needs logits, from the hidden states in front of the output heads.

    Where the two vocabularies are padded to different widths, both are cut to the narrower one, and rows beyond the tokenizer take
    no part: they receive no gradient.

    Args:
        student: its three tensors are all that receive a gradient.
        teacher: None where no term needs one.
        targets: (N,) the right tokens.
        terms: at least one.
        vocabulary: rows that stand for tokens (default: all).

    Returns:
        The scalar loss, and for each term its sum over positions: weights times values.
    """
    return _HeadLoss.apply(student.states, student.weight, student.bias, student.transform, teacher, targets, counts, terms, vocabulary)


class _HeadLoss(torch.autograd.Function):
    @staticmethod
    def forward(ctx, states, weight, bias, transform, teacher, targets, counts, terms, vocabulary):  # type: ignore[no-untyped-def]
        compared = any(term.needs_teacher for term in terms)
        width = min(vocabulary or len(weight), len(weight), (compared and teacher.rows) or len(weight))
        matrix = weight[:width].to(states.dtype)
        student = Head(states, matrix, bias, transform)
        state_gradient = torch.empty_like(states)
        head_gradient = torch.zeros(matrix.shape, dtype=torch.float32, device=matrix.device) if weight.requires_grad else None
        shift_gradient = torch.zeros(width, dtype=torch.float32, device=matrix.device) if bias is not None and bias.requires_grad else None
        sums = torch.zeros(len(terms), dtype=torch.float32, device=states.device)
        everywhere = not compared or bool(counts.label.all())
        for part in chunks(len(states), width):
            z, v = student.chunk(part, width), teacher.chunk(part, width) if compared else None
            gradient = z.values  # of a tile it takes the place of the products, once they have been used
            for rows in tiles(len(gradient), width) if states.device.type == "cpu" else (slice(0, len(gradient)),):
                here = slice(part.start + rows.start, part.start + rows.stop)
                against = None if v is None else v[rows]
                of_tile = _tile(z[rows], against, targets[here], counts.cut(here), terms, everywhere, transform, sums)
                if shift_gradient is not None:
                    shift_gradient += of_tile.sum(0)
                gradient[rows] = of_tile
            del v
            torch.mm(gradient, matrix, out=state_gradient[part])
            if head_gradient is not None:
                _add_product(head_gradient, gradient.T, states[part])
        ctx.save_for_backward(state_gradient, head_gradient, shift_gradient)
        ctx.head = (len(weight), weight.dtype)
        ctx.mark_non_differentiable(sums)
        return sum(sums[index] * term.factor / counts.of(term)[1] for index, term in enumerate(terms)), sums

    @staticmethod
    def backward(ctx, upstream, _):  # type: ignore[no-untyped-def]
        state_gradient, *others = ctx.saved_tensors
        length, dtype = ctx.head
        of_head = (None if gradient is None else _padded((gradient * upstream).to(dtype), length) for gradient in others)
        return (state_gradient * upstream, *of_head, *[None] * 6)


def _tile(z: Tensor, v: Against | None, targets: Tensor, counts: PositionWeights, terms: Sequence[LogitTerm], everywhere: bool,
          transform: LogitTransform, sums: Tensor) -> Tensor:
    """Return the gradient of the loss with respect to the products that the logits (n, V) come from, and add the terms' values to `sums`.

    Args:
        everywhere: whether terms without a teacher take every row; else the rows whose label weight is above 0.
    """
    gradient: Tensor | None = None
    labelled = slice(None) if everywhere else counts.label.nonzero().squeeze(-1)
    # Those with the teacher first: they fill the gradient of every row, to which those at labelled rows alone are added.
    for index, term in sorted(enumerate(terms), key=lambda numbered: not numbered[1].needs_teacher):
        weights, divisor = counts.of(term)
        rows = slice(None) if term.needs_teacher else labelled
        weights = weights[rows]
        if term.factor or gradient is None or term.value is None:
            value, own = term.term(z[rows], v if term.needs_teacher else targets[rows])
            own.mul_((weights / divisor).unsqueeze(-1) * term.factor)
            gradient = own if gradient is None else _added(gradient, rows, own)
        else:
            value = term.value(z[rows], targets[rows])
        sums[index] += (value * weights).sum()
    assert gradient is not None, "there is at least one term, and the first has a gradient"
    return gradient if transform == NOTHING_FOLLOWS else gradient.mul_(transform.derivative(z))


def _add_product(total: Tensor, a: Tensor, b: Tensor) -> None:
    """Add a product to a float32 total, in place."""
    if a.dtype == total.dtype:
        total.addmm_(a, b)
    else:
        total += a @ b


def _added(gradient: Tensor, rows: Tensor | slice, more: Tensor) -> Tensor:
    return gradient.add_(more) if isinstance(rows, slice) else gradient.index_add_(0, rows, more)


def _padded(gradient: Tensor, length: int) -> Tensor:
    """Zero rows at the end: those of no token."""
    return gradient if len(gradient) == length else F.pad(gradient, (*[0, 0] * (gradient.dim() - 1), 0, length - len(gradient)))


