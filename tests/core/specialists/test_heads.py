from __future__ import annotations

import torch
from torch import nn

from core.specialists.heads import collapse, specialist_head


def test_special_rows_are_copied_and_the_dustbin_is_the_rest() -> None:
    torch.manual_seed(0)
    head, x = nn.Linear(5, 6), torch.randn(4, 5)
    made = specialist_head(head, (1, 4))
    logits = made(x)
    assert torch.allclose(logits[:, :2], head(x)[:, [1, 4]])
    exact = collapse(head(x), (1, 4))
    assert torch.allclose(exact[:, -1], head(x)[:, [0, 2, 3, 5]].exp().sum(1).log())
    assert (logits[:, 2] <= exact[:, 2] + 1e-6).all()  # Jensen


def test_the_dustbin_is_exact_where_the_other_rows_are_equal() -> None:
    head = nn.Linear(3, 4, bias=False)
    with torch.no_grad():
        head.weight[1:] = head.weight[1]
    x = torch.randn(5, 3)
    assert torch.allclose(specialist_head(head, (0,))(x), collapse(head(x), (0,)), atol=1e-6)


def test_collapsing_keeps_the_distribution() -> None:
    logits = torch.randn(3, 5)
    whole, made = logits.softmax(1), collapse(logits, (3, 0)).softmax(1)
    assert torch.allclose(made, torch.stack([whole[:, 3], whole[:, 0], whole[:, [1, 2, 4]].sum(1)], 1))


def test_the_generalists_weights_stay_its_own() -> None:
    head = nn.Linear(2, 3)
    made = specialist_head(head, (0, 1))
    with torch.no_grad():
        made.weight.zero_()
    assert head.weight.abs().sum() > 0 and made.weight.requires_grad
