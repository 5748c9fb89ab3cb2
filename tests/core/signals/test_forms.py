"""Answers as kept arrays: what is read back is what was said, and takes the bytes that are promised."""

from __future__ import annotations

import pytest
import torch

from core.config import SignalSpec
from core.signals.forms import DrawnTokens, HiddenStates, LikeliestTokens, StoredForm, stored_form
from core.signals.targets import Head, Sampled, TopK

BLOCKS, T, D = 3, 6, 8


def head(vocabulary: int, seed: int = 0) -> Head:
    generator = torch.Generator().manual_seed(seed)
    return Head(torch.randn(BLOCKS * T, D, generator=generator), torch.randn(vocabulary, D, generator=generator))


def round_trip(form: StoredForm, said: Head, vocabulary: int, positions: torch.Tensor) -> Head | TopK | Sampled:
    rows = form.encode(said, BLOCKS, vocabulary, seeds=range(BLOCKS))
    return form.decode(rows, positions, Head(said.states[:0], said.weight), vocabulary)


@pytest.fixture
def positions() -> torch.Tensor:
    return torch.rand(BLOCKS, T, generator=torch.Generator().manual_seed(1)) < 0.6


def test_hidden_states_are_exact_up_to_bf16(positions):
    said = head(40)
    found = round_trip(HiddenStates(), said, 40, positions)
    assert torch.equal(found.states, said.states.bfloat16().float()[positions.flatten()])
    assert found.weight is said.weight


@pytest.mark.parametrize("vocabulary", [40, 70_000])
def test_the_likeliest_tokens_and_their_tail(positions, vocabulary):
    """Above 65,536 tokens ids take four bytes."""
    said = head(vocabulary)
    found = round_trip(LikeliestTokens(5, 2.0), said, vocabulary, positions)
    p = torch.softmax(said.states @ said.weight.T / 2.0, -1)[positions.flatten()]
    kept, ids = p.topk(5)
    assert torch.equal(found.ids, ids)
    torch.testing.assert_close(found.log_p.exp(), kept)
    torch.testing.assert_close(found.log_tail.exp(), 1 - kept.sum(-1), atol=1e-5, rtol=0)


def test_renormalised_tokens_are_a_distribution_of_their_own(positions):
    found = round_trip(LikeliestTokens(5, 2.0, tail=False), head(40), 40, positions)
    assert isinstance(found, Sampled)
    torch.testing.assert_close(found.weights.sum(-1), torch.ones(int(positions.sum())))
    torch.testing.assert_close(found.entropy, torch.special.entr(found.weights).sum(-1))


def test_a_list_of_all_tokens_has_no_tail(positions):
    found = round_trip(LikeliestTokens(99, 1.0), head(40), 40, positions)
    assert found.ids.shape[-1] == 40 and (found.log_tail == -torch.inf).all()


@pytest.mark.parametrize(("vocabulary", "samples", "size"), [(40, 50, 3), (200_000, 50, 3), (300_000, 127, 4)])
def test_drawn_tokens_are_counted(positions, vocabulary, samples, size):
    said = head(vocabulary)
    rows = DrawnTokens(samples, 2.0).encode(said, BLOCKS, vocabulary, seeds=[7, 8, 9])
    assert all(len(row["words"]) == size * int(row["counts"].long().sum()) for row in rows)
    found = DrawnTokens(samples, 2.0).decode(rows, torch.ones(BLOCKS, T, dtype=torch.bool), None, vocabulary)
    torch.testing.assert_close(found.weights.sum(-1), torch.ones(BLOCKS * T))
    generator = torch.Generator().manual_seed(8)
    p = torch.log_softmax(said.states @ said.weight.T / 2.0, -1).exp()  # to the last bit what is drawn from
    draws = torch.multinomial(p[T:2 * T], samples, replacement=True, generator=generator)
    expected = torch.zeros(T, vocabulary).scatter_add_(-1, draws, torch.full(draws.shape, 1 / samples))
    got = torch.zeros(T, vocabulary).scatter_add_(-1, found.ids[T:2 * T], found.weights[T:2 * T])
    torch.testing.assert_close(got, expected)
    torch.testing.assert_close(found.entropy, torch.special.entr(p).sum(-1), atol=1e-4, rtol=1e-4)
    part = DrawnTokens(samples, 2.0).decode(rows, positions, None, vocabulary)
    torch.testing.assert_close(part.weights.sum(-1), torch.ones(int(positions.sum())))


def test_what_is_drawn_for_a_block_does_not_depend_on_its_company():
    said, form = head(40), DrawnTokens(10, 1.0)
    together = form.encode(said, BLOCKS, 40, seeds=[7, 8, 9])
    alone = form.encode(Head(said.states[T:2 * T], said.weight), 1, 40, seeds=[8])
    assert all(torch.equal(alone[0][part], together[1][part]) for part in alone[0])


@pytest.mark.parametrize("form", [HiddenStates(), LikeliestTokens(5, 1.0), LikeliestTokens(5, 1.0, tail=False)], ids=str)
@pytest.mark.parametrize("vocabulary", [40, 70_000])
def test_the_size_is_what_is_promised(form, vocabulary):
    rows = form.encode(head(vocabulary), BLOCKS, vocabulary, seeds=range(BLOCKS))
    size = sum(part.numel() * part.element_size() for row in rows for part in row.values()) / (BLOCKS * T)
    assert size + 4 == form.bytes_per_token(D, vocabulary)


def test_recipes_name_the_forms():
    assert stored_form(SignalSpec(form="top_k", top_k=7, tail=False), 3.0) == LikeliestTokens(7, 3.0, tail=False)
    assert stored_form(SignalSpec(form="sampled", samples=9), 3.0) == DrawnTokens(9, 3.0)
    assert stored_form(SignalSpec(), 3.0) == stored_form(SignalSpec(), 1.0) == HiddenStates(), "states have no temperature"
