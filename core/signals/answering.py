"""What a server of our own answers with: the likeliest tokens of every position of several texts, in one forward pass.

Shapes: B texts, T tokens, V vocabulary, k likeliest tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from core.errors import CompatibilityError
from core.models.chunking import chunks
from core.models.entries import LoadedModel
from core.models.forward import forward, output_head
from core.models.vocabulary import require_rows, unpadded_width
from core.signals.targets import Head

Entry = dict[str, dict[str, float | int]]  # token id -> logprob and rank


@dataclass(frozen=True, slots=True)
class Question:
    """What is queried of one text.

    Attributes:
        prompt: token ids.
        k: tokens to list of each position; -1 for all.
        temperature: at which log-probabilities are taken; 0 stands for 1, as raw log-probabilities have it.
    """

    prompt: tuple[int, ...]
    k: int
    temperature: float


@dataclass(frozen=True, slots=True)
class Said:
    """What is said of one text.

    Attributes:
        listed: for each position the k likeliest tokens, and the text's own where it is none of them; None at the first.
        next_token: the likeliest one after the text.
    """

    listed: list[Entry | None]
    next_token: int


def require_tokens(teacher: LoadedModel, prompt: Sequence[int]) -> None:
    """Check one text before it shares a forward pass with those of others, which an error there would end too.

    Raises:
        CompatibilityError: a token that the teacher has no embedding or no row of its head for.
    """
    width = unpadded_width(teacher.tokenizer, teacher.model)
    if outside := [token for token in prompt if not 0 <= token < width]:
        raise CompatibilityError(f"The text holds token {outside[0]}.", f"Tokens from 0 to {width - 1} were expected.")
    require_rows(prompt, teacher.tokenizer, teacher.model)


def answers(teacher: LoadedModel, questions: Sequence[Question]) -> list[Said]:
    """Return what a teacher says of texts of one length, in one forward pass. `require_tokens` holds for each."""
    device, width = teacher.model.device, unpadded_width(teacher.tokenizer, teacher.model)
    ids = torch.tensor([each.prompt for each in questions], dtype=torch.long, device=device)
    with torch.no_grad():
        states = forward(teacher.model, ids, None).head_input
        head = output_head(teacher.model)
        return [_said(Head.of(head, states[place]), each, width) for place, each in enumerate(questions)]


def _said(head: Head, question: Question, width: int) -> Said:
    """Return what is said of one text, from the states in front of the head (T, D)."""
    k = width if question.k < 0 else min(question.k, width)
    listed: list[Entry | None] = [None]
    next_token = 0
    for part in chunks(len(head), width):
        log_p = torch.log_softmax(head.at(part, width) / (question.temperature or 1.0), -1)
        kept, ids = log_p.topk(max(k, 1), -1)
        own = torch.tensor([*question.prompt[part.start + 1:part.stop + 1], 0][:len(log_p)], device=log_p.device).unsqueeze(-1)
        own_log_p = log_p.gather(-1, own)
        ranks = (log_p > own_log_p).sum(-1) + 1
        rows: Any = zip(ids[:, :k].tolist(), kept[:, :k].tolist(), own.squeeze(-1).tolist(), own_log_p.squeeze(-1).tolist(), ranks.tolist(),
                        strict=True)
        for tokens, values, token, value, rank in rows:
            entry: Entry = {str(each): {"logprob": log, "rank": place} for place, (each, log) in
                            enumerate(zip(tokens, values, strict=True), 1)}
            entry.setdefault(str(token), {"logprob": value, "rank": rank})
            listed.append(entry)
        next_token = int(ids[-1, 0])
    return Said(listed[:len(head)], next_token)
