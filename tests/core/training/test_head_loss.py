"""The chunked head against plain autograd on the definition, however positions are cut into chunks and tiles."""

from __future__ import annotations

import math

import pytest
import torch

from core.config import LossSpec
from core.models import chunking
from core.models.architecture_spec import LogitTransform
from core.signals.targets import Head
from core.training.head_loss import PositionWeights, head_loss
from core.training.losses import LogitTerm, divergence
from tests.core.training.definitions import D, N, V, kd_and_hard, naive


def cut_into(monkeypatch: pytest.MonkeyPatch, chunk: int, tile: int) -> None:
    """Let chunks and tiles have so many logits at most."""
    monkeypatch.setattr(chunking, "CHUNK_ELEMENTS", chunk)
    monkeypatch.setattr(chunking, "TILE_ELEMENTS", tile)


def test_a_third_term_is_added_to_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """A squared difference of logits at the distilled positions, and the hard labels twice, in any order."""
    cut_into(monkeypatch, 3 * V, 2 * V)
    student, head, teacher, teacher_head, targets, _ = head_case()
    student.requires_grad_(), head.requires_grad_()
    distill, label = torch.tensor([1.0, 1, 0, 1, 1, 1, 1]), torch.tensor([0.0, 1, 1, 0, 0, 0, 1])
    soft, hard = kd_and_hard(divergence(LossSpec()), 0.5 * 4.0, 0.4)
    square = LogitTerm("square", lambda z, v: ((z - v).square().sum(-1), 2 * (z - v)), 0.3, needs_teacher=True)
    loss, sums = head_loss(Head(student, head), Head(teacher, teacher_head), targets, PositionWeights(distill, label, 6.0, 3.0),
                           (hard, square, soft, hard))
    z, v = student @ head.T, teacher @ teacher_head.T
    kl, ce = naive("forward_kl", z, v, 2.0, 0.5), -torch.log_softmax(z, -1).gather(1, targets[:, None]).squeeze(1)
    raw = [(ce * label).sum(), ((z - v).square().sum(-1) * distill).sum(), (kl * distill).sum(), (ce * label).sum()]
    expected = 2 * 0.4 * raw[0] / 3 + 0.3 * raw[1] / 6 + 0.5 * 4 * raw[2] / 6
    torch.testing.assert_close(sums, torch.stack(raw).float().detach(), rtol=1e-5, atol=1e-5)
    assert math.isclose(loss.item(), expected.item(), rel_tol=1e-5)
    for one, other in zip(torch.autograd.grad(loss, (student, head)), torch.autograd.grad(expected, (student, head)), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def head_case(vocabulary: int = V, teacher_vocabulary: int = V):
    generator = torch.Generator().manual_seed(5)
    student, teacher = (torch.randn(N, D, generator=generator, dtype=torch.float64) for _ in range(2))
    head, teacher_head = (torch.randn(size, D, generator=generator, dtype=torch.float64) for size in (vocabulary, teacher_vocabulary))
    targets = torch.randint(0, min(vocabulary, teacher_vocabulary), (N,), generator=generator)
    return student, head, teacher, teacher_head, targets, torch.tensor([1.0, 0.0, 2.0, 1.0, 20.0, 1.0, 0.5], dtype=torch.float64)


@pytest.mark.parametrize(("chunk", "tile"), [(1, 1), (3 * V, 2 * V), (3 * V, V), (1 << 20, 2 * V), (1 << 20, 1 << 20)])
@pytest.mark.parametrize(("w_kd", "w_hard"), [(1.0, 0.0), (0.0, 1.0), (0.7, 0.3)])
def test_chunked_head_equals_autograd_on_the_definition(monkeypatch, chunk, tile, w_kd, w_hard):
    cut_into(monkeypatch, chunk, tile)
    student, head, teacher, teacher_head, targets, weights = head_case()
    student.requires_grad_(), head.requires_grad_()
    spec = LossSpec(w_kd=w_kd, w_hard=w_hard, temperature=2.0)
    terms = kd_and_hard(divergence(spec), w_kd * 4.0, w_hard)
    loss, sums = head_loss(Head(student, head), Head(teacher, teacher_head), targets, alike(weights, 25.5), terms)
    got = torch.autograd.grad(loss * 3.0, (student, head))

    z, v = student @ head.T, teacher @ teacher_head.T
    soft = naive("forward_kl", z, v, 2.0, 0.5)
    hard = torch.stack([-torch.log_softmax(z[n], -1)[y] for n, y in enumerate(targets)])
    expected = (w_kd * 4.0 * (weights * soft).sum() + w_hard * (weights * hard).sum()) / 25.5
    wanted = torch.autograd.grad(expected * 3.0, (student, head))
    assert math.isclose(loss.item(), expected.item(), rel_tol=1e-5)
    assert math.isclose(sums[1].item(), (weights * hard).sum().item(), rel_tol=1e-5)
    for one, other in zip(got, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("transform", [LogitTransform(0.25), LogitTransform(softcap=3.0), LogitTransform(1.5, 2.0)],
                         ids=["scale", "soft cap", "both"])
@pytest.mark.parametrize("name", ["forward_kl", "reverse_kl", "jsd"])
def test_gradients_are_led_back_through_scales_and_soft_caps(monkeypatch, name, transform):
    """Cohere's and Granite's scale, Gemma 2's cap: z = c tanh(s u / c), the teacher's as well."""
    cut_into(monkeypatch, 3 * V, 2 * V)
    student, head, teacher, teacher_head, targets, weights = head_case()
    bias = torch.linspace(-1, 1, V, dtype=torch.float64)
    inputs = [each.requires_grad_() for each in (student, head, bias)]
    spec = LossSpec(w_kd=0.7, w_hard=0.3, divergence=name, temperature=2.0, beta=0.4)
    terms = kd_and_hard(divergence(spec), 0.7 * 4.0, 0.3)
    loss, _ = head_loss(Head(student, head, bias, transform), Head(teacher, teacher_head, None, LogitTransform(softcap=4.0)), targets,
                        alike(weights, 25.5), terms)
    got = torch.autograd.grad(loss, inputs)

    z = (student @ head.T + bias) * transform.scale
    z = z if transform.softcap is None else transform.softcap * torch.tanh(z / transform.softcap)
    v = 4.0 * torch.tanh(teacher @ teacher_head.T / 4.0)
    hard = torch.stack([-torch.log_softmax(z[n], -1)[y] for n, y in enumerate(targets)])
    expected = (0.7 * 4.0 * (weights * naive(name, z, v, 2.0, 0.4)).sum() + 0.3 * (weights * hard).sum()) / 25.5
    assert math.isclose(loss.item(), expected.item(), rel_tol=1e-5)
    for one, other in zip(got, torch.autograd.grad(expected, inputs), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def alike(weights: torch.Tensor, divisor: float) -> PositionWeights:
    """Return equal weights for distillation and labels, as causal models have."""
    return PositionWeights(weights, weights, divisor, divisor)


def test_weightless_positions_count_nothing():
    student, head, teacher, teacher_head, targets, weights = head_case()
    student.requires_grad_()
    loss, _ = head_loss(Head(student, head), Head(teacher, teacher_head), targets, alike(weights, 1.0),
                        kd_and_hard(divergence(LossSpec()), 4.0, 1.0))
    (gradient,) = torch.autograd.grad(loss, student)
    assert gradient[1].abs().max() == 0 and gradient[0].abs().max() > 0


@pytest.mark.parametrize("w_kd", [0.0, 1.0])
def test_rows_beyond_the_tokenizer_take_no_part(w_kd):
    student, head, teacher, teacher_head, targets, weights = head_case(V + 9, V + 4)
    targets = targets.clamp_max(V - 1)
    head.requires_grad_()
    terms = kd_and_hard(divergence(LossSpec()), 4.0 * w_kd, 1.0)
    loss, sums = head_loss(Head(student, head), Head(teacher, teacher_head), targets, alike(weights, 1.0), terms, V)
    expected, cut = head_loss(Head(student, head[:V].detach()), Head(teacher, teacher_head[:V]), targets, alike(weights, 1.0), terms)
    torch.testing.assert_close((loss, sums), (expected, cut))
    (gradient,) = torch.autograd.grad(loss, head)
    assert gradient.shape == head.shape and gradient[V:].abs().sum() == 0 and gradient[:V].abs().sum() > 0


@pytest.mark.parametrize(("mine", "theirs"), [(V, V + 9), (V + 9, V)])
def test_padded_vocabularies_are_cut_to_the_common_width(mine, theirs):
    student, head, teacher, teacher_head, targets, weights = head_case(mine, theirs)
    head.requires_grad_()
    terms = kd_and_hard(divergence(LossSpec()), 4.0, 0.0)
    loss, _ = head_loss(Head(student, head), Head(teacher, teacher_head), targets, alike(weights, 1.0), terms)
    expected, _ = head_loss(Head(student, head[:V].detach()), Head(teacher, teacher_head[:V]), targets, alike(weights, 1.0), terms)
    torch.testing.assert_close(loss, expected)
    (gradient,) = torch.autograd.grad(loss, head)
    assert gradient.shape == head.shape and gradient[V:].abs().sum() == 0


@pytest.mark.parametrize(("w_kd", "w_hard"), [(5.0, 2.0), (0.0, 2.0), (5.0, 0.0)])
def test_labels_and_distillation_count_at_positions_of_their_own(w_kd, w_hard, monkeypatch):
    """Two sets of positions with divisors of their own, and heads with a bias, against plain autograd."""
    cut_into(monkeypatch, 3 * V, 2 * V)
    student, head, teacher, teacher_head, targets, _ = head_case()
    bias, teacher_bias = torch.randn(2, V, generator=torch.Generator().manual_seed(9))
    soft, hard = torch.tensor([1.0, 1, 0, 1, 1, 1, 1]), torch.tensor([0.0, 1, 1, 0, 0, 0, 1])
    student, head, teacher, teacher_head = (each.float() for each in (student, head, teacher, teacher_head))
    for tensor in (student, head, bias):
        tensor.requires_grad_()
    loss, sums = head_loss(Head(student, head, bias), Head(teacher, teacher_head, teacher_bias), targets, PositionWeights(soft, hard,
                                                                                                                          11.0, 3.0),
                           kd_and_hard(divergence(LossSpec()), 4 * w_kd, w_hard))
    z, v = student @ head.T + bias, teacher @ teacher_head.T + teacher_bias
    kl = naive("forward_kl", z, v, 2.0, 0.5)
    ce = -torch.log_softmax(z, -1).gather(1, targets[:, None]).squeeze(1)
    expected = 4 * w_kd * (kl * soft).sum() / 11 + w_hard * (ce * hard).sum() / 3
    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-6)
    assert sums[1].item() == pytest.approx((ce * hard).sum().item(), rel=1e-5)
    found, naively = (torch.autograd.grad(each, (student, head, bias)) for each in (loss, expected))
    for got, wanted in zip(found, naively, strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-5)
