"""The mean of distributions, against its definition."""

from __future__ import annotations

import pytest
import torch

from core.models.mixtures import fitted_weights, mixed_logits

LOGITS = torch.randn(3, 5, 7, generator=torch.Generator().manual_seed(0)) * 3
WEIGHTS = [0.5, 0.3, 0.2]


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_means_are_those_of_the_definition(temperature: float) -> None:
    p = torch.softmax(LOGITS.double() / temperature, -1)
    arithmetic = sum(weight * each for weight, each in zip(WEIGHTS, p, strict=True))
    powers = torch.stack([each**weight for weight, each in zip(WEIGHTS, p, strict=True)]).prod(0)
    geometric = powers / powers.sum(-1, keepdim=True)
    for mean, expected in (("arithmetic", arithmetic), ("geometric", geometric)):
        mixed = mixed_logits(iter(LOGITS), WEIGHTS, mean, temperature)  # type: ignore[arg-type]
        torch.testing.assert_close(torch.softmax(mixed / temperature, -1).double(), expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("mean", ["arithmetic", "geometric"])
def test_one_member_and_a_member_without_weight_change_nothing(mean: str) -> None:
    alone = mixed_logits([LOGITS[0]], [1.0], mean, 2.0)  # type: ignore[arg-type]
    torch.testing.assert_close(torch.softmax(alone / 2, -1), torch.softmax(LOGITS[0] / 2, -1))
    torch.testing.assert_close(mixed_logits(LOGITS[:2], [1.0, 0.0], mean, 2.0), alone)  # type: ignore[arg-type]


@pytest.mark.parametrize("mean", ["arithmetic", "geometric"])
def test_fitted_weights_are_the_best_of_a_grid(mean: str) -> None:
    generator = torch.Generator().manual_seed(1)
    targets = torch.randint(7, (200,), generator=generator)
    signal = torch.nn.functional.one_hot(targets, 7) * 2.0
    members = [signal + torch.randn(200, 7, generator=generator) * noise for noise in (1.0, 1.5, 6.0)]

    def loss(weights: tuple[float, ...]) -> float:
        return float(torch.nn.functional.cross_entropy(mixed_logits(members, weights, mean, 1.0), targets))  # type: ignore[arg-type]

    fitted = fitted_weights(members, targets, mean)  # type: ignore[arg-type]
    grid = [(a / 20, b / 20, 1 - (a + b) / 20) for a in range(21) for b in range(21 - a)]
    assert loss(fitted) <= min(map(loss, grid)) + 1e-5
    assert sum(fitted) == pytest.approx(1) and fitted[2] < 0.2
