"""The head of a specialist, made of its generalist's (1503.02531, section 5.2: specialists start from the generalist's weights).

How the paper starts the dustbin is not said. Its probability is the sum of those of all other classes, so its logit is
log sum over j not in S of exp(w_j x + b_j). That is no linear function of x; with all terms equal it is mean(w_j) x + mean(b_j) + log R for
R other classes, which by Jensen's inequality is at most the exact value. That is the start here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn


def specialist_head(head: nn.Linear, classes: Sequence[int]) -> nn.Linear:
    """Return a linear layer with S + 1 outputs: copies of the rows of `classes`, then the dustbin.

    Args:
        head: of the generalist, (C, D).
        classes: S^m; at least one class is left for the dustbin.
    """
    special = torch.tensor(list(classes))
    others = torch.ones(head.out_features, dtype=torch.bool)
    others[special] = False
    weight, bias = head.weight.detach(), None if head.bias is None else head.bias.detach()
    count = int(others.sum())
    result = nn.Linear(head.in_features, len(special) + 1, dtype=weight.dtype, device=weight.device)
    start = torch.zeros(head.out_features, dtype=weight.dtype, device=weight.device) if bias is None else bias
    with torch.no_grad():
        result.weight.copy_(torch.cat([weight[special], weight[others].mean(0, keepdim=True)]))
        result.bias.copy_(torch.cat([start[special], start[others].mean(0, keepdim=True) + math.log(count)]))
    return result


def collapse(logits: Tensor, classes: Sequence[int]) -> Tensor:
    """Return logits (N, S + 1) of logits over all classes (N, C): the others' together as the dustbin, exactly."""
    special = torch.tensor(list(classes), device=logits.device)
    others = torch.ones(logits.shape[1], dtype=torch.bool, device=logits.device)
    others[special] = False
    return torch.cat([logits[:, special], logits[:, others].logsumexp(1, keepdim=True)], 1)
