"""Terms on hidden states against their definitions."""

from __future__ import annotations

import torch

from core.training.state_losses import HiddenStateMatching, cosine_distance

D = 8  # channels


def test_layer_match_pairs_only_states_at_the_same_norm_point():
    assert HiddenStateMatching((0, 2, 3), 4, D, D).pairs == [(1, 1), (2, 3), (3, 4)]
    assert HiddenStateMatching((0, 1), 4, D, D).pairs == [(1, 1)]


def test_layer_match_equals_its_definition_and_projects_other_widths():
    generator = torch.Generator().manual_seed(6)
    teacher = [torch.randn(2, 3, D, generator=generator) for _ in range(5)]
    counted = torch.tensor([[True, False, True], [True, True, False]])
    student = [torch.randn(2, 3, D, generator=generator) for _ in range(3)]
    got = HiddenStateMatching((0, 3), 4, D, D)(student, teacher, counted)
    expected = sum(((student[s] - teacher[t]) ** 2).mean(-1)[counted] for s, t in ((1, 1), (2, 4))) / 2
    torch.testing.assert_close(got, expected)
    narrow = [states[..., :4] for states in student]
    match = HiddenStateMatching((0, 3), 4, 4, D)
    match(narrow, teacher, counted).sum().backward()
    assert all(projection.weight.grad.abs().sum() > 0 for projection in match.projections)


def test_cosine_distance_ranges_from_zero_to_two():
    states = torch.randn(4, D)
    torch.testing.assert_close(cosine_distance(states, 3 * states), torch.zeros(4), atol=1e-6, rtol=0)
    torch.testing.assert_close(cosine_distance(states, -states), torch.full((4,), 2.0))
