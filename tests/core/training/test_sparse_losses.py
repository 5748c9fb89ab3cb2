"""Divergences from partly listed teachers against their definitions, and their gradients against autograd."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from core.config import LossSpec
from core.signals.targets import Sampled, TopK
from core.training.losses import divergence

N, V = 5, 17


def two_logits(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return tuple(2 * torch.randn(N, V, generator=generator, dtype=torch.float64) for _ in range(2))


def top_k(v: torch.Tensor, k: int, temperature: float) -> TopK:
    log_p = torch.log_softmax(v / temperature, -1)
    kept, ids = log_p.topk(k, -1)
    return TopK(ids, kept, log_p.scatter(-1, ids, -torch.inf).logsumexp(-1))


def outcomes(z: torch.Tensor, ids: torch.Tensor, temperature: float) -> torch.Tensor:
    """Probabilities of the listed tokens and of all others, by a plain loop over the vocabulary."""
    q = torch.softmax(z / temperature, -1)
    rows = []
    for row, listed in zip(q, ids, strict=True):
        rest = [row[token] for token in range(V) if token not in listed.tolist()]
        rows.append(torch.stack([*row[listed], torch.stack(rest).sum() if rest else row.new_zeros(())]))
    return torch.stack(rows)


def naive(name: str, p: torch.Tensor, q: torch.Tensor, beta: float) -> torch.Tensor:
    def kl(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return torch.xlogy(a, a).sub(torch.xlogy(a, b)).sum(-1)

    m = beta * p + (1 - beta) * q
    return {"forward_kl": lambda: kl(p, q), "reverse_kl": lambda: kl(q, p), "jsd": lambda: beta * kl(p, m) + (1 - beta) * kl(q, m)}[name]()


@pytest.mark.parametrize("name", ["forward_kl", "reverse_kl", "jsd"])
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000), k=st.integers(1, V - 1), temperature=st.floats(0.5, 8), beta=st.floats(0.1, 0.9))
def test_the_tail_is_one_more_outcome(name, seed, k, temperature, beta):
    z, v = two_logits(seed)
    listed = top_k(v, k, temperature)
    value, gradient = divergence(LossSpec(divergence=name, temperature=temperature, beta=beta))(z.clone(), listed)
    z.requires_grad_()
    expected = naive(name, outcomes(v, listed.ids, temperature), outcomes(z, listed.ids, temperature), beta)
    torch.testing.assert_close(value, expected.detach())
    torch.testing.assert_close(gradient, torch.autograd.grad(expected.sum(), z)[0])


@pytest.mark.parametrize("name", ["forward_kl", "reverse_kl", "jsd"])
def test_all_tokens_listed_are_the_whole_divergence(name):
    z, v = two_logits(3)
    term = divergence(LossSpec(divergence=name, temperature=2.0))
    for got, expected in zip(term(z.clone(), top_k(v, V, 2.0)), term(z.clone(), v.clone()), strict=True):
        torch.testing.assert_close(got, expected)


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_a_sparse_distribution_is_compared_as_a_whole_one(temperature):
    """Its listed weights are a distribution with zeros; unused places count for nothing."""
    z, _ = two_logits(4)
    weights = torch.rand(N, 3, dtype=torch.float64).softmax(-1)
    weights = torch.cat([weights, torch.zeros(N, 1, dtype=torch.float64)], -1)
    ids = torch.tensor([[2, 9, 11, 0]] * N)
    t = torch.zeros(N, V, dtype=torch.float64).scatter_add(-1, ids, weights)
    entropy = -torch.xlogy(t, t).sum(-1)
    value, gradient = divergence(LossSpec(temperature=temperature))(z.clone(), Sampled(ids, weights, entropy))
    z.requires_grad_()
    q = torch.softmax(z / temperature, -1)
    expected = (torch.xlogy(t, t) - torch.xlogy(t, q)).sum(-1)
    torch.testing.assert_close(value, expected.detach())
    torch.testing.assert_close(gradient, torch.autograd.grad(expected.sum(), z)[0])


def test_the_mean_gradient_of_samples_is_the_whole_one():
    """1,000 draws of 50 tokens: every entry of the mean within four standard errors (RS-KD is unbiased, 2503.16870)."""
    z, v = two_logits(5)
    p, term = torch.softmax(v / 2.0, -1), divergence(LossSpec(temperature=2.0))
    draws = torch.multinomial(p.repeat(1000, 1), 50, replacement=True, generator=torch.Generator().manual_seed(0))
    sampled = Sampled(draws, torch.full_like(draws, 1 / 50, dtype=torch.float64), torch.zeros(len(draws), dtype=torch.float64))
    gradients = term(z.repeat(1000, 1), sampled)[1].view(1000, N, V)
    error = (gradients.mean(0) - term(z.clone(), v.clone())[1]).abs()
    assert (error <= 4 * gradients.std(0) / 1000**0.5 + 1e-12).all()
    assert gradients.std(0).max() > 0.01, "single draws do differ"
