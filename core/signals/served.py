"""A teacher at an address: the likeliest tokens that a server lists for each position, with their tail.

The entry that a server gives for token t of a prompt is the distribution over that token, so position t is answered by entry t + 1; the
last position, which predicts nothing of the text, has no answer and never counts. A server lists the k likeliest tokens and, where it is
none of them, the text's own token as well; fewer than k can come (verl, issue 6120). What is not listed is the tail.

Shapes: B blocks, T positions, N chosen positions, K = k, or k + 1 with the text's own token.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from core.errors import TeacherServerError
from core.signals.server_client import ServerClient
from core.signals.source import Answer
from core.signals.targets import TopK
from core.signals.wire import FIELD

LEAST_TAIL = 2.0 ** -24  # probability of what is not listed, where rounding leaves none: half of float32's resolution at 1
TOO_MUCH = 1e-3  # by which listed probabilities may exceed 1


@dataclass(frozen=True)
class ServedTeacher:
    """A teacher that a server answers for.

    Attributes:
        k: tokens that are listed of each position, at most.
        temperature: at which the server is queried.
        vocabulary: ids that stand for tokens of the student; others count in the tail.
        own: whether the text's own token has a place of its own where it is none of the k.
    """

    client: ServerClient
    k: int
    temperature: float
    vocabulary: int
    own: bool = False
    form: Literal["top_k"] = "top_k"

    @property
    def places(self) -> int:
        """K."""
        return min(self.k, self.vocabulary) + self.own

    def answer(self, input_ids: Tensor, attention_mask: Tensor | None, positions: Tensor, *, all_hidden_states: bool = False) -> Answer:
        """Ask the server for all blocks of a batch; answers are those at the chosen positions.

        Raises:
            TeacherServerError: as `ServerClient.listed`, or what it lists is no distribution over the student's tokens.
        """
        assert attention_mask is None and not all_hidden_states, "a server answers for text without padding, and lists tokens"
        prompts = input_ids.tolist()
        blocks = [self._block(prompt, listed) for prompt, listed in
                  zip(prompts, self.client.listed(prompts, min(self.k, self.vocabulary), self.temperature), strict=True)]
        ids, log_p, log_tail = (torch.from_numpy(np.stack(part)).to(positions.device)[positions] for part in zip(*blocks, strict=True))
        return Answer(TopK(ids, log_p, log_tail))

    def flush(self) -> None:
        """Do nothing: nothing is kept here."""

    def metrics(self) -> dict[str, float]:
        """Return the server's latency since the last call, where it answered; tokens and failures so far."""
        return self.client.use_since_last()

    def _block(self, prompt: Sequence[int], listed: Sequence[Mapping[str, Any] | None]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return ids (T, K), log-probabilities (T, K) and tails (T,) of a block; at its last position what says nothing."""
        length, places = len(prompt), self.places
        ids, log_p = np.zeros((length, places), np.int64), np.full((length, places), -np.inf, np.float32)
        log_tail = np.full(length, math.log1p(-1 / self.vocabulary) if self.vocabulary > 1 else -np.inf, np.float32)
        log_p[-1, 0] = -math.log(self.vocabulary)
        for place in range(length - 1):
            found = listing(listed[place + 1], prompt[place + 1], self)
            if found.short:
                self.client.use.short += 1
            ids[place] = found.ids[0]
            ids[place, :len(found.ids)], log_p[place, :len(found.ids)], log_tail[place] = found.ids, found.log_p, found.log_tail
        return ids, log_p, log_tail


@dataclass(frozen=True, slots=True)
class Listing:
    """What is listed of one position.

    Attributes:
        ids, log_p: at most K, likeliest first; the text's own token last, where it has a place of its own.
        log_tail: of all others; minus infinity where there are none.
        short: whether fewer were listed than requested.
    """

    ids: np.ndarray
    log_p: np.ndarray
    log_tail: float
    short: bool


def listing(entry: Mapping[str, Any] | None, own: int, teacher: ServedTeacher) -> Listing:
    """Return what a server's entry lists for a position.

    Args:
        entry: token id -> ``logprob`` and more.
        own: the token that stands there.

    Raises:
        TeacherServerError: no log-probabilities, or those of no distribution.
    """
    try:
        pairs = sorted(((float(said["logprob"]), int(token)) for token, said in (entry or {}).items() if said["logprob"] is not None),
                       reverse=True)
    except (KeyError, TypeError, ValueError) as error:
        raise _unusable("lists something else than log-probabilities of token ids") from error
    k, vocabulary = min(teacher.k, teacher.vocabulary), teacher.vocabulary
    if not pairs:
        raise _unusable("lists no token for a position")
    if any(math.isnan(log_p) or log_p > TOO_MUCH for log_p, _ in pairs):
        raise _unusable("lists log-probabilities above 0, or none")
    pairs = [(log_p, token) for log_p, token in pairs if log_p > -math.inf]
    short = len(entry or {}) < k
    known = [(log_p, token) for log_p, token in pairs if 0 <= token < vocabulary]
    kept = known[:k]
    if not kept:
        raise _unusable(f"lists none of the student's {vocabulary:,} tokens for a position")
    if teacher.own and own not in {token for _, token in kept}:
        kept += [pair for pair in known[k:] if pair[1] == own]
        if kept[-1][1] != own:
            raise _unusable("does not list the text's own token")
    log_p, ids = np.array([each for each, _ in kept]), np.array([token for _, token in kept], np.int64)
    mass = float(np.exp(log_p).sum())
    if mass > 1 + TOO_MUCH or len(set(ids.tolist())) < len(ids):
        raise _unusable(f"lists probabilities that add up to {mass:.3f}" if mass > 1 + TOO_MUCH else "lists a token twice")
    if len(ids) == vocabulary:  # all that there is: padding rows of the teacher's head take no part
        return Listing(ids, log_p - math.log(mass), -math.inf, short)
    return Listing(ids, log_p, math.log(max(1 - mass, LEAST_TAIL)), short)


def _unusable(what: str) -> TeacherServerError:
    return TeacherServerError(f"The teacher's server {what}.", "For each position the k likeliest tokens with their log-probabilities were "
                              "expected, as vLLM and SGLang give them.", "Ask another server, or look at this one's log.", field=FIELD)
