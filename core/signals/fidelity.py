"""How far kept answers are from the live teacher, measured at positions of the cache itself.

Shapes: B blocks, T positions, N positions in all, V vocabulary.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from core.models.chunking import chunks
from core.signals.cache import SignalCache
from core.signals.forms import StoredForm
from core.signals.source import EnsembleTeacher, LocalTeacher
from core.signals.targets import Head, Mixture, Sampled, TopK

POSITIONS = 1000  # that are compared


@dataclass(frozen=True, slots=True)
class Fidelity:
    """The difference between kept and live answers, means over positions.

    Attributes:
        kl: nats; of live logits from rebuilt ones at temperature 1 for hidden states; over the kept tokens and the tail for the
            likeliest tokens; KL(kept || live) for a sparse distribution, whose other tokens have no mass.
        agreement: share of positions with the same likeliest token.
        mass: share of the teacher's probability that the kept tokens hold, at the temperature of the loss.
        positions: how many were compared.
    """

    kl: float
    agreement: float
    mass: float
    positions: int


def measure_fidelity(cache: SignalCache, form: StoredForm, teacher: LocalTeacher | EnsembleTeacher, temperature: float,
                     positions: int = POSITIONS) -> Fidelity:
    """Compare kept answers with the teacher's present ones, on blocks spread over the cache.

    Args:
        temperature: at which tokens were listed or drawn.

    Raises:
        CorruptSignalsError: a shard is damaged.
        ValueError: the cache is empty.
    """
    length, device = cache.key.block_length, teacher.model.device
    if not cache.manifest.blocks:
        raise ValueError("an empty cache has no answers to compare")
    ids, rows = cache.sample(math.ceil(positions / length))
    chosen = (torch.arange(len(rows) * length) < positions).view(len(rows), length).to(device)
    live = teacher.answer(ids.to(device), None, chosen).targets
    kept = form.decode(rows, chosen, cache.head(device), cache.key.vocabulary)
    total = torch.zeros(3, dtype=torch.float64)
    assert isinstance(live, (Head, Mixture)), "teachers in memory answer with their heads"
    for part in chunks(len(live), cache.key.vocabulary):
        values = _compared(kept.at(part, cache.key.vocabulary), live.at(part, cache.key.vocabulary), temperature)
        total += torch.stack([value.double().sum().cpu() for value in values])
    kl, agreement, mass = (total / len(live)).tolist()
    return Fidelity(kl, agreement, mass, len(live))


def _compared(kept: Tensor | TopK | Sampled, live: Tensor, temperature: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return divergence, agreement and kept mass of each position (n,), from kept answers and live logits (n, V)."""
    if isinstance(kept, Tensor):
        log_p = torch.log_softmax(live, -1)
        kl = (log_p.exp() * (log_p - torch.log_softmax(kept, -1))).sum(-1)
        return kl, (kept.argmax(-1) == live.argmax(-1)).float(), torch.ones_like(kl)
    log_p = torch.log_softmax(live / temperature, -1)
    listed = log_p.gather(-1, kept.ids)
    if isinstance(kept, TopK):
        tail = log_p.scatter(-1, kept.ids, -torch.inf).logsumexp(-1, keepdim=True)
        now, before = torch.cat([listed, tail], -1), torch.cat([kept.log_p, kept.log_tail.unsqueeze(-1)], -1)
        kl = torch.where(now.exp() > 0, now.exp() * (now - before), 0.0).sum(-1)
        return kl, (kept.ids.gather(-1, kept.log_p.argmax(-1, keepdim=True)).squeeze(-1) == live.argmax(-1)).float(), listed.exp().sum(-1)
    used = kept.weights > 0
    kl = torch.where(used, kept.weights * (kept.weights.clamp_min(1e-30).log() - listed), 0.0).sum(-1)
    likeliest = kept.ids.gather(-1, kept.weights.argmax(-1, keepdim=True)).squeeze(-1)
    return kl, (likeliest == live.argmax(-1)).float(), torch.where(used, listed.exp(), 0.0).sum(-1)
