"""The loss terms on logits and the way they are computed over large vocabularies (`core.training.state_losses`: those on hidden states).

Shapes: N counted positions, V vocabulary, D width. z and v are the student's and the teacher's logits (N, V), float32;
p = softmax(v / T), q = softmax(z / T).

Every term on logits returns its value per position together with its gradient with respect to z. Both come from the same
probabilities, so the gradient costs one pass instead of a recorded graph, and `core.training.head_loss` can work through the
positions in chunks. Where a model scales or caps its logits, z and v are what comes after that.

Contract of the total: terms on logits taken at temperature T are multiplied by T squared (1503.02531, section 2), terms that
know no temperature are not; every term is a weighted mean over positions whose divisor is the sum of its position weights
over the whole optimiser step, however that step is cut into batches. A causal model is distilled and labelled at the same
positions; a masked one is distilled at more positions than it is labelled at (see `core.evaluation.objectives`).

Papers: soft targets 1503.02531; reverse KL MiniLLM, 2306.08543; generalised JSD GKD, 2306.13649.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from core.config import LossSpec
from core.loss_terms import BY_NAME
from core.signals.targets import Sampled, TopK
from core.training.sparse_losses import bucketed, sparse_kl

MASKED_LOGIT = -1e30  # the logit of what cannot be

Term = tuple[Tensor, Tensor]  # value (N,), gradient with respect to the student's logits (N, V)
Against = Tensor | TopK | Sampled  # the teacher's logits (N, V), or what stands for them; or targets (N,)


def forward_kl(z: Tensor, v: Tensor, temperature: float) -> Term:
    """KL(p || q) = sum_i p_i (log p_i - log q_i), the soft targets of 1503.02531, section 2.

    Gradient: (q - p) / T.
    """
    q, log_q = _softmax(z, temperature)
    p, log_p = _softmax(v, temperature)
    value = _expectation(log_p.sub_(log_q), p)
    return value, q.sub_(p).div_(temperature)


def reverse_kl(z: Tensor, v: Tensor, temperature: float) -> Term:
    """KL(q || p) = sum_i q_i (log q_i - log p_i), as in MiniLLM (2306.08543) and 2605.07783, equation 1.

    Gradient: q (log q - log p - KL(q || p)) / T.
    """
    q, log_q = _softmax(z, temperature)
    _, log_p = _softmax(v, temperature)
    ratio = log_q.sub_(log_p)
    value = _expectation(ratio, q)
    return value, ratio.sub_(value.unsqueeze(-1)).mul_(q).div_(temperature)


def generalised_jsd(z: Tensor, v: Tensor, temperature: float, beta: float) -> Term:
    """Return beta KL(p || m) + (1 - beta) KL(q || m) with m = beta p + (1 - beta) q (2306.13649, section 2).

    Divided by beta it tends to the forward KL as beta goes to 0; divided by 1 - beta, to the reverse KL as beta goes to 1.
    Gradient: q (g - sum_i q_i g_i) / T with g = (1 - beta) log(q / m).
    """
    q, log_q = _softmax(z, temperature)
    p, log_p = _softmax(v, temperature)
    log_m = (beta * p).add_(q, alpha=1 - beta).clamp_min_(torch.finfo(z.dtype).tiny).log_()
    towards_q = log_q.sub_(log_m)
    inner = _expectation(towards_q, q)
    value = beta * _expectation(log_p.sub_(log_m), p) + (1 - beta) * inner
    return value, towards_q.sub_(inner.unsqueeze(-1)).mul_(q).mul_((1 - beta) / temperature)


def _softmax(logits: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Return probabilities at a temperature and their logarithms, (N, V) each."""
    scaled = logits if temperature == 1.0 else logits / temperature
    probabilities = torch.softmax(scaled, -1)
    return probabilities, scaled - _log_normaliser(scaled, probabilities)


def _log_normaliser(logits: Tensor, probabilities: Tensor) -> Tensor:
    """Return log sum_i exp(logits_i), (N, 1), from logits and their softmax: the greatest logit less the logarithm of its probability.

    Exponentials are most of a term's work: so they are taken once.
    """
    return logits.amax(-1, keepdim=True).sub_(probabilities.amax(-1, keepdim=True).log_())


def _expectation(logs: Tensor, probabilities: Tensor) -> Tensor:
    """Return sum_i probabilities_i logs_i (N,) of two (N, V), and set logarithms that count nothing to 0.

    0 log 0 is 0, whatever the other logarithm, as in the limit. Infinities are rare, and looking for them at every place takes longer than
    all the rest: they show in the sums.
    """
    value = torch.linalg.vecdot(probabilities, logs)
    if bool(value.isfinite().all()):
        return value
    return torch.linalg.vecdot(probabilities, logs.masked_fill_(probabilities == 0, 0.0))


def cross_entropy(z: Tensor, targets: Tensor) -> Term:
    """-log softmax(z)_y, the hard labels. Gradient: softmax(z) - onehot(y).

    Args:
        targets: (N,) int64 token ids below V.
    """
    q, index = torch.softmax(z, -1), targets.unsqueeze(-1)
    value = (_log_normaliser(z, q) - z.gather(-1, index)).squeeze(-1)
    return value, q.scatter_add_(-1, index, z.new_full(index.shape, -1.0))


def divergence(spec: LossSpec) -> Callable[[Tensor, Against], Term]:
    """Return the chosen soft-target term at the chosen temperature, for whatever form the teacher's answers have.

    A sparse distribution has a forward KL alone: `core.config` refuses the others.
    """
    dense = _dense_divergence(spec)

    def term(z: Tensor, v: Against) -> Term:
        if isinstance(v, TopK):
            return bucketed(dense, z, v, spec.temperature)
        if isinstance(v, Sampled):
            return sparse_kl(z, v, spec.temperature)
        return dense(z, v)

    return term


def _dense_divergence(spec: LossSpec) -> Callable[[Tensor, Tensor], Term]:
    if spec.divergence == "jsd":
        return lambda z, v: generalised_jsd(z, v, spec.temperature, spec.beta)
    term = forward_kl if spec.divergence == "forward_kl" else reverse_kl
    return lambda z, v: term(z, v, spec.temperature)


@dataclass(frozen=True, slots=True)
class LogitLoss:
    """How a term on logits is made from a recipe.

    Attributes:
        of: returns the term: from the student's logits (N, V), and the teacher's (N, V) or the targets (N,), value and gradient.
        value: the value alone, where that is cheaper and a weight of 0 needs no gradient.
    """

    of: Callable[[LossSpec], Callable[[Tensor, Any], Term]]
    value: Callable[[Tensor, Tensor], Tensor] | None = None


# Of each term on logits in `core.loss_terms`, which says whether it is compared with the teacher's logits or with the targets.
LOGIT_LOSSES: Mapping[str, LogitLoss] = {
    "kd": LogitLoss(divergence),
    "hard": LogitLoss(lambda spec: cross_entropy, partial(F.cross_entropy, reduction="none")),
}


@dataclass(frozen=True, slots=True)
class LogitTerm:
    """A term on logits at one step.

    Attributes:
        name: as in `core.loss_terms`.
        term: value and gradient, from the student's logits and the teacher's or the targets.
        factor: its weight, times T squared where it is taken at temperature T.
        needs_teacher: whether it is compared with the teacher's logits, and counts at the distilled positions; else it is compared with
            the targets, and counts at the labelled ones.
        value: as of `LogitLoss`.
    """

    name: str
    term: Callable[[Tensor, Any], Term]
    factor: float
    needs_teacher: bool
    value: Callable[[Tensor, Tensor], Tensor] | None = None


def logit_terms(spec: LossSpec, weights: Mapping[str, float], *, teacher: bool = True) -> tuple[LogitTerm, ...]:
    """Return the terms on logits that a recipe uses, in the order of `core.loss_terms`; the hard labels always.

    A term whose weight is 0 at an end of its ramp is among them: its value is logged all the same.

    Args:
        weights: of all terms at this step.
        teacher: whether there are logits of a teacher.
    """
    return tuple(
        LogitTerm(name, loss.of(spec), weights[name] * spec.temperature**2 if BY_NAME[name].softened else weights[name],
                  BY_NAME[name].needs_teacher, loss.value)
        for name, loss in LOGIT_LOSSES.items() if name == "hard" or (spec.uses(name) and (teacher or not BY_NAME[name].needs_teacher)))


def masked_logits(logits: Tensor, valid: Tensor) -> Tensor:
    """Logits in float32 whose invalid places have no probability: the softmax over a span leaves padding out.

    A finite number stands for minus infinity: its probability is exactly 0 as well, and 0 times a difference of two of them is 0
    where infinities give no number.

    Args:
        logits, valid: (N, T) each; every row has a valid place.
    """
    return logits.float().masked_fill(~valid, MASKED_LOGIT)


def logit_loss(z: Tensor, v: Tensor | None, targets: Tensor, terms: Sequence[LogitTerm],
               divisor: float | Tensor) -> tuple[Tensor, Tensor]:
    """Terms on the logits of a task: of classes, or of the places of a span (1910.01108, section 4).

        L = sum_n (w_kd T^2 D(p_n, q_n) + w_hard CE(q_n, y_n) + ...) / divisor

    Beginnings and ends of spans are rows of their own, so a window counts two rows and the divisor counts both.

    Args:
        z: (N, C) the student's logits, float32; v: the teacher's, None where no term needs them.
        targets: (N,) class or place.
        terms: at least one.

    Returns:
        The scalar loss, and for each term its sum over rows.
    """
    return _LogitLoss.apply(z, v, targets, terms, divisor)


class _LogitLoss(torch.autograd.Function):
    @staticmethod
    def forward(ctx, z, v, targets, terms, divisor):  # type: ignore[no-untyped-def]
        sums = torch.zeros(len(terms), dtype=torch.float32, device=z.device)
        gradient: Tensor | None = None
        for index, term in sorted(enumerate(terms), key=lambda numbered: numbered[1].needs_teacher):
            value, own = term.term(z, v if term.needs_teacher else targets)
            sums[index] = value.sum()
            gradient = own.mul_(term.factor) if gradient is None else gradient.add_(own, alpha=term.factor)
        assert gradient is not None, "there is at least one term"
        ctx.save_for_backward(gradient.div_(divisor))
        ctx.mark_non_differentiable(sums)
        return sum(sums[index] * term.factor for index, term in enumerate(terms)) / divisor, sums

    @staticmethod
    def backward(ctx, upstream, _):  # type: ignore[no-untyped-def]
        gradient, = ctx.saved_tensors
        return gradient * upstream, None, None, None, None
