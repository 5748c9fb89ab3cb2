"""Every term against a second version written from its definition."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from core.config import LossSpec
from core.loss_terms import BY_NAME, LOSS_TERMS
from core.signals.targets import Sampled, TopK
from core.training import losses
from core.training.losses import divergence, logit_loss, masked_logits
from tests.core.training.definitions import N, V, kd_and_hard, naive


def logits(seed: int, scale: float = 2.0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return (scale * torch.randn(N, V, generator=generator, dtype=torch.float64) for _ in range(2))


@pytest.mark.parametrize("name", ["forward_kl", "reverse_kl", "jsd"])
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000), temperature=st.floats(0.3, 20), beta=st.floats(0.05, 0.95))
def test_divergences_equal_their_definition_and_its_gradient(name, seed, temperature, beta):
    z, v = logits(seed)
    z.requires_grad_()
    term = divergence(LossSpec(divergence=name, temperature=temperature, beta=beta))
    value, gradient = term(z.detach().clone(), v.clone())
    expected = naive(name, z, v, temperature, beta)
    expected.sum().backward()
    torch.testing.assert_close(value, expected.detach(), rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(gradient, z.grad, rtol=1e-6, atol=1e-9)


def test_cross_entropy_equals_its_definition_and_its_gradient():
    z, _ = logits(0)
    z.requires_grad_()
    targets = torch.arange(N)
    value, gradient = losses.cross_entropy(z.detach().clone(), targets)
    expected = torch.stack([-(z[n, y].exp() / z[n].exp().sum()).log() for n, y in enumerate(targets)])
    expected.sum().backward()
    torch.testing.assert_close(value, expected.detach())
    torch.testing.assert_close(gradient, z.grad)


@pytest.mark.parametrize("name", ["forward_kl", "reverse_kl", "jsd"])
def test_identical_logits_give_no_loss_and_no_gradient(name):
    z, _ = logits(1)
    value, gradient = divergence(LossSpec(divergence=name, temperature=3.0))(z, z.clone())
    assert value.abs().max() < 1e-12 and gradient.abs().max() < 1e-12


@pytest.mark.parametrize("divergence", ["forward_kl", "reverse_kl", "jsd"])
@pytest.mark.parametrize("name", losses.LOGIT_LOSSES)
def test_the_gradient_of_every_term_is_the_slope_of_its_value(name: str, divergence: str) -> None:
    """Central differences in float64, at every logit of every position; and nothing of the inputs is overwritten."""
    z, v = logits(11)
    against = v if BY_NAME[name].needs_teacher else torch.arange(N) % V
    term, kept = losses.LOGIT_LOSSES[name].of(LossSpec(divergence=divergence, temperature=1.5, beta=0.3)), (z.clone(), against.clone())
    value, gradient = term(z, against)
    assert value.shape == (N,) and gradient.shape == z.shape
    assert torch.equal(z, kept[0]) and torch.equal(against, kept[1]), "other terms read these logits too"
    step = 1e-5 * torch.eye(V, dtype=z.dtype)[:, None]  # (V, 1, V): one logit at a time
    slopes = torch.stack([(term(z + each, against)[0] - term(z - each, against)[0]) / 2e-5 for each in step], -1)
    torch.testing.assert_close(gradient, slopes, rtol=1e-4, atol=1e-7)
    if (cheaper := losses.LOGIT_LOSSES[name].value) is not None:
        torch.testing.assert_close(cheaper(z, against), value)


@pytest.mark.parametrize("name", [name for name in losses.LOGIT_LOSSES if BY_NAME[name].needs_teacher])
def test_terms_with_a_teacher_are_zero_where_both_agree(name: str) -> None:
    z, _ = logits(12)
    value, gradient = losses.LOGIT_LOSSES[name].of(LossSpec(temperature=1.5))(z, z.clone())
    assert value.abs().max() < 1e-12 and gradient.abs().max() < 1e-12


@pytest.mark.parametrize("form", ["top_k", "sampled"])
@pytest.mark.parametrize("name", [name for name in losses.LOGIT_LOSSES if BY_NAME[name].needs_teacher])
def test_terms_with_a_teacher_take_its_kept_answers(name: str, form: str) -> None:
    """Value and gradient of what stands for the teacher's logits, at every logit by central differences."""
    z, v = logits(13)
    kept, ids = torch.log_softmax(v / 1.5, -1).topk(5, -1)
    against = TopK(ids, kept, (1 - kept.exp().sum(-1)).log()) if form == "top_k" else Sampled(
        ids, (weights := kept.softmax(-1)), -torch.xlogy(weights, weights).sum(-1))
    term = losses.LOGIT_LOSSES[name].of(LossSpec(temperature=1.5))
    value, gradient = term(z, against)
    assert value.shape == (N,) and gradient.shape == z.shape
    step = 1e-5 * torch.eye(V, dtype=z.dtype)[:, None]  # (V, 1, V): one logit at a time
    slopes = torch.stack([(term(z + each, against)[0] - term(z - each, against)[0]) / 2e-5 for each in step], -1)
    torch.testing.assert_close(gradient, slopes, rtol=1e-4, atol=1e-7)


def test_every_term_on_logits_has_its_equation() -> None:
    on_logits = [term.name for term in LOSS_TERMS if term.on == "logits"]
    assert list(losses.LOGIT_LOSSES) == on_logits, "LOGIT_LOSSES of core/training/losses.py lacks a term, or has another order"


@pytest.mark.parametrize("weights", [{}, {"w_hard": 0.0}, {"w_kd": {"start": 1.0, "end": 0.0}}])
def test_terms_of_a_recipe_carry_its_weights_and_t_squared(weights: dict) -> None:
    spec = LossSpec(**{**{term.key: 0.5 for term in LOSS_TERMS}, **weights}, temperature=3.0)
    at_the_end = {name: ramp.end for name, ramp in spec.weights().items()}
    found = losses.logit_terms(spec, at_the_end)
    assert [term.name for term in found] == list(losses.LOGIT_LOSSES)
    assert [term.factor for term in found] == [at_the_end[term.name] * (9.0 if BY_NAME[term.name].softened else 1.0) for term in found]
    alone = losses.logit_terms(spec, at_the_end, teacher=False)
    assert [term.name for term in alone] == [term.name for term in found if not term.needs_teacher]


def test_jsd_tends_to_both_kls_at_its_ends():
    z, v = logits(2)
    near_zero, near_one = (losses.generalised_jsd(z.clone(), v.clone(), 1.0, beta)[0] for beta in (1e-6, 1 - 1e-6))
    torch.testing.assert_close(near_zero / 1e-6, losses.forward_kl(z.clone(), v.clone(), 1.0)[0], rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(near_one / 1e-6, losses.reverse_kl(z.clone(), v.clone(), 1.0)[0], rtol=1e-3, atol=1e-5)


def test_high_temperature_matches_logits():
    """T^2 times the gradient tends to the difference of the centred logits over V (1503.02531, section 2.1)."""
    z, v = logits(3, scale=1.0)
    z, v = z - z.mean(-1, keepdim=True), v - v.mean(-1, keepdim=True)
    _, gradient = losses.forward_kl(z.clone(), v.clone(), 100.0)
    limit = (z - v) / V
    assert (100.0**2 * gradient - limit).norm() / limit.norm() < 0.01


def test_t_squared_keeps_the_gradient_in_scale():
    z, v = logits(4, scale=1.0)
    norms = [(t * t * losses.forward_kl(z.clone(), v.clone(), t)[1]).norm() for t in (2.0, 5.0, 20.0)]
    assert max(norms) / min(norms) < 1.15


@pytest.mark.parametrize("kind", ["forward_kl", "reverse_kl", "jsd"])
def test_the_loss_of_a_task_against_its_definition(kind):
    """Rows of logits of which some places are padding: as if those were not there."""
    generator = torch.Generator().manual_seed(3)
    z, v = torch.randn(4, 7, generator=generator).mul(3), torch.randn(4, 7, generator=generator).mul(3)
    lengths, targets = torch.tensor([7, 5, 2, 6]), torch.tensor([6, 0, 1, 3])
    valid = torch.arange(7) < lengths[:, None]
    z = torch.where(valid, z, 50.0).requires_grad_()  # whatever padding says has no part
    spec = LossSpec(divergence=kind, temperature=1.7, beta=0.3)
    terms = kd_and_hard(divergence(spec), 0.6 * 1.7**2, 0.4)
    loss, sums = logit_loss(masked_logits(z, valid), masked_logits(v, valid), targets, terms, 4.0)
    loss.backward()

    reference = z.detach().clone().requires_grad_()
    soft = hard = 0.0
    for row in range(4):
        student_logits, teacher_logits = reference[row, :lengths[row]], v[row, :lengths[row]]
        q, p = (torch.softmax(each / 1.7, -1) for each in (student_logits, teacher_logits))
        m = 0.3 * p + 0.7 * q
        soft = soft + {"forward_kl": (p * (p / q).log()).sum(), "reverse_kl": (q * (q / p).log()).sum(),
                       "jsd": 0.3 * (p * (p / m).log()).sum() + 0.7 * (q * (q / m).log()).sum()}[kind]
        hard = hard - torch.log_softmax(student_logits, -1)[targets[row]]
    total = (0.6 * 1.7**2 * soft + 0.4 * hard) / 4
    total.backward()
    torch.testing.assert_close(loss, total)
    torch.testing.assert_close(sums, torch.stack([soft, hard]).detach())
    torch.testing.assert_close(z.grad, reference.grad, atol=1e-6, rtol=1e-4)
    assert (z.grad[~valid] == 0).all()


def test_a_task_without_a_teacher_and_with_an_identical_one():
    z = torch.randn(3, 5, generator=torch.Generator().manual_seed(0)).requires_grad_()
    targets = torch.tensor([0, 4, 2])
    loss, sums = logit_loss(z, None, targets, kd_and_hard(None, 0.0, 1.0)[1:], 3.0)
    torch.testing.assert_close(loss, F.cross_entropy(z, targets))
    torch.testing.assert_close(sums, 3 * loss.detach()[None])
    same, sums = logit_loss(z, z.detach(), targets, kd_and_hard(divergence(LossSpec()), 4.0, 0.0), 3.0)
    same.backward()
    assert same == 0 and sums[0] == 0 and z.grad.abs().max() < 1e-6


@pytest.mark.parametrize(("name", "both"), [
    ("forward_kl", True), ("forward_kl", False), ("reverse_kl", True), ("jsd", True), ("jsd", False)])
def test_what_cannot_be_adds_nothing(name: str, both: bool) -> None:
    """Logits of minus infinity of the teacher, and of the student too: as if these tokens were not in the vocabulary."""
    z, v = logits(3)
    v[:, 4] = v[2, 7:9] = -math.inf
    if both:
        z[v == -math.inf] = -math.inf
    value, gradient = divergence(LossSpec(divergence=name, temperature=1.5, beta=0.3))(z.clone(), v.clone())
    for row in range(N):
        kept = v[row] > -math.inf if both else torch.ones(V, dtype=torch.bool)
        finite = v[row].masked_fill(v[row] == -math.inf, -1e5)  # its probability is exactly 0
        part = z[row, kept].unsqueeze(0).requires_grad_()
        p, q = torch.softmax(finite[kept] / 1.5, -1), torch.softmax(part / 1.5, -1)[0]
        m = 0.3 * p + 0.7 * q
        expected = {"forward_kl": torch.xlogy(p, p) - p * q.log(), "reverse_kl": q * q.log() - torch.xlogy(q, p),
                    "jsd": 0.3 * (torch.xlogy(p, p) - p * m.log()) + 0.7 * q * (q / m).log()}[name].sum()
        expected.backward()
        torch.testing.assert_close(value[row], expected.detach())
        torch.testing.assert_close(gradient[row, kept], part.grad[0])
        assert not gradient[row, ~kept].any()


def test_a_student_outside_what_the_teacher_allows_is_infinitely_far_in_reverse() -> None:
    z, v = logits(3)
    v[0, 4] = -math.inf
    value, _ = divergence(LossSpec(divergence="reverse_kl"))(z, v)
    assert value[0] == math.inf and torch.isfinite(value[1:]).all()
