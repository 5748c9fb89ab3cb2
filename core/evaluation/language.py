"""Language-model metrics on held-out text, and closeness to the teacher.

Over the N counted positions of the blocks (those whose target has a weight above 0), with student q and teacher p at
temperature 1:

    cross_entropy   -1/N sum_n log q(x_{n+1})                       nats/token
    perplexity      exp(cross_entropy); compare only within one tokenizer
    bits_per_byte   -sum log q(x_{n+1}) / (ln 2 * bytes of text)    over targets that are text: special tokens carry no bytes
    kl_to_teacher   1/N sum_n sum_i p_i (log p_i - log q_i)         nats/token
    agreement       share of positions with argmax p = argmax q

Shapes: B blocks, T positions, D width, V vocabulary, N counted positions of a batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from core.data.packing import Blocks
from core.errors import DataError, NonFiniteLossError
from core.evaluation.bootstrap import with_block_intervals
from core.models.chunking import chunks
from core.models.forward import eval_mode, last_hidden, log_softmax, output_head
from core.models.vocabulary import require_rows, unpadded_width
from core.recorder import Advance, unwatched
from core.signals.cached import CachedTeacher
from core.signals.targets import TopK
from core.training.losses import forward_kl
from core.training.passes import ALONE, Passes
from core.training.sparse_losses import bucketed


def evaluate_language(student: Any, blocks: Blocks, teacher: Any = None, *, tokenizer: Any, batch_size: int,
                      device: torch.device | str, dtype: torch.dtype = torch.float32, advance: Advance = unwatched,
                      states: dict[int, Tensor] | None = None, passes: Passes = ALONE) -> dict[str, float]:
    """Return the metrics above, with the counts ``tokens`` (N) and ``bytes``.

    Perplexity, KL and agreement have their intervals over ``blocks`` beside them (`core.evaluation.bootstrap`).

    A teacher is compared with itself by definition (KL 0, agreement 1) when `teacher is student`. With no teacher the two
    comparisons are left out, as are bits per byte where no target is text. Where vocabularies are padded to different
    widths, only the tokenizer's own entries count.

    Args:
        student: a causal language model on `device`, with or without adapters.
        teacher: a model, or the kept answers of one at an address. Those list some tokens: the divergence is that over them and any
            other one, which is exact where they are all and at most the whole one else.
        batch_size: blocks in one forward pass.
        dtype: the format of the matrix products; log-softmax is always float32.
        advance: called before every forward pass with the blocks that are done; a stop that it raises leaves nothing behind.
        states: what the teacher's head reads, by the first block of a pass: filled by the first call, and read by later ones with the same
            teacher, blocks, batch size and format in place of running the teacher.
        passes: what of it this process computes, where several evaluate; all return the metrics of all blocks.

    Raises:
        DataError: no position of the blocks counts.
        NonFiniteLossError: the model's log-probabilities are not finite.
    """
    device = torch.device(device)
    compared = teacher is not None and teacher is not student
    served = teacher if isinstance(teacher, CachedTeacher) else None
    models = (student, teacher) if compared and served is None else (student,)
    require_rows(np.unique(blocks.input_ids), tokenizer, *models)
    width = unpadded_width(tokenizer, *models)
    heads = [output_head(model) for model in models]
    special = torch.tensor(sorted(special_ids(tokenizer)), device=device)
    sums = {name: np.zeros(len(blocks)) for name in ("cross_entropy", "bits_per_byte", "kl_to_teacher", "agreement")}
    counted = np.zeros(len(blocks))
    with eval_mode(*models), torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
        for start, input_ids, counts in batches(blocks, batch_size, device, advance, passes):
            listed = listed_at(served, blocks, start, counts) if served is not None else None
            rows_N = start + counts.nonzero()[:, 0].cpu().numpy()
            targets_N = input_ids[:, 1:][counts]
            hidden = [_states(student, input_ids, counts)]  # (N, D) each; D may differ
            if len(models) == 2:
                hidden.append(_once(states, start, partial(_states, teacher, input_ids, counts)))
            for span in chunks(len(targets_N), width):
                logq_NV = log_softmax(heads[0], hidden[0][span], width)
                nll_N = -logq_NV.gather(1, targets_N[span, None]).squeeze(1)
                found = {"cross_entropy": nll_N, "bits_per_byte": nll_N * ~torch.isin(targets_N[span], special)}
                if listed is not None:
                    part = listed.at(span, width)
                    found |= {"kl_to_teacher": bucketed(lambda z, v: forward_kl(z, v, 1.0), logq_NV, part, 1.0)[0],
                              "agreement": logq_NV.argmax(1) == part.ids[:, 0]}
                elif compared:
                    logp_NV = log_softmax(heads[1], hidden[1][span], width)
                    found |= {"kl_to_teacher": F.kl_div(logq_NV, logp_NV, log_target=True, reduction="none").sum(1),
                              "agreement": logq_NV.argmax(1) == logp_NV.argmax(1)}
                add_by_block(sums, rows_N[span], found)
            counted += np.bincount(rows_N, minlength=len(blocks))
    passes.add_up(*sums.values(), counted)
    if served is not None:
        served.flush()
    tokens = int(counted.sum())
    nats, text_nats, kl = (float(sums[name].sum()) for name in ("cross_entropy", "bits_per_byte", "kl_to_teacher"))
    if not tokens:
        raise DataError("No held-out position counts.", "Evaluation needs text whose tokens have a weight above 0.",
                        "Give more text, a larger data.validation_fraction or a shorter data.block_length.",
                        field="data.validation_fraction")
    size = text_bytes(blocks, tokenizer)
    cross_entropy = nats / tokens
    if not math.isfinite(cross_entropy + kl):
        raise NonFiniteLossError("The model's predictions on held-out text are not finite.", "Finite log-probabilities were expected.",
                                 "Lower train.learning_rate or train.max_grad_norm, or use train.precision=fp32.",
                                 field="train.learning_rate")
    result = {"cross_entropy": cross_entropy, "perplexity": perplexity(cross_entropy)}
    if size:
        result["bits_per_byte"] = text_nats / math.log(2) / size
    if teacher is not None:
        result |= {"kl_to_teacher": kl / tokens, "agreement": float(sums["agreement"].sum()) / tokens if compared else 1.0}
    result |= {"tokens": tokens, "bytes": size}
    named = ("kl_to_teacher", "agreement") if compared else ()
    return with_block_intervals(result, {"perplexity": sums["cross_entropy"], **{name: sums[name] for name in named}}, counted,
                                {"perplexity": perplexity})


def perplexity(cross_entropy: float) -> float:
    """Return exp of a cross-entropy. No model that predicts anything comes near the cap; beyond it exp would overflow."""
    return math.exp(min(cross_entropy, 700.0))


def _states(model: Any, input_ids: Tensor, counts: Tensor) -> Tensor:
    """Return what the head reads (N, D) where targets count (B, T-1)."""
    return last_hidden(model, input_ids)[:, :-1][counts]


def _once(states: dict[int, Tensor] | None, place: int, compute: Callable[[], Tensor]) -> Tensor:
    """Return what is kept at a place; computed, and kept where anything is, if it is not there."""
    if states is None:
        return compute()
    if place not in states:
        states[place] = compute()
    return states[place]


def add_by_block(sums: Mapping[str, np.ndarray], rows_N: np.ndarray, found: Mapping[str, Tensor]) -> None:
    """Add what was found at positions to the sums (B,) of their blocks; `rows_N` are their blocks."""
    for name, values in found.items():
        sums[name] += np.bincount(rows_N, values.double().cpu().numpy(), len(sums[name]))


def text_bytes(blocks: Blocks, tokenizer: Any) -> int:
    """Return UTF-8 bytes of the counted targets' text, special tokens left out.

    Every run of counted targets is decoded as one piece, so a character that is cut at a run's edge counts as the
    replacement character's three bytes: at most two bytes too many for each edge.
    """
    special = np.array(sorted(special_ids(tokenizer)))
    texts = (tokenizer.decode(run[~np.isin(run, special)].tolist(), clean_up_tokenization_spaces=False)
             for row, weights in zip(blocks.input_ids, blocks.weights, strict=True) for run in _runs(row[1:], weights[1:] > 0))
    return sum(len(text.encode("utf-8")) for text in texts)


def _runs(row: np.ndarray, counts: np.ndarray) -> Iterator[np.ndarray]:
    edges = np.flatnonzero(np.diff(counts.astype(np.int8), prepend=0, append=0))
    for start, stop in edges.reshape(-1, 2):
        yield row[start:stop]


def listed_at(teacher: CachedTeacher, blocks: Blocks, start: int, counts: Tensor) -> TopK:
    """Return what a teacher at an address lists at the counted positions of the blocks from `start` on.

    Args:
        counts: (B, t) bool, of the first t positions.
    """
    ids = torch.from_numpy(blocks.input_ids[start:start + len(counts)].astype(np.int64)).to(counts.device)
    positions = torch.zeros(ids.shape, dtype=torch.bool, device=ids.device)
    positions[:, :counts.shape[1]] = counts
    targets = teacher.answer(ids, None, positions).targets
    assert isinstance(targets, TopK), "a server lists tokens"
    return targets


def special_ids(tokenizer: Any) -> set[int]:
    """Return the ids of tokens that carry no text."""
    return {*tokenizer.all_special_ids, *(index for index, token in tokenizer.added_tokens_decoder.items() if token.special)}


def batches(blocks: Blocks, batch_size: int, device: torch.device, advance: Advance = unwatched,
            passes: Passes = ALONE) -> Iterator[tuple[int, Tensor, Tensor]]:
    """Yield (first block, input_ids (B, T), counts (B, T-1)): which targets count; cut after the last one that does in the batch.

    In an idle pass none counts, and its first block is below 0.

    Args:
        advance, passes: as of `evaluate_language`.
    """
    starts = [start for start in range(0, len(blocks), batch_size) if (blocks.weights[start:start + batch_size, 1:] > 0).any()]
    for start, idle in passes.own(starts, len(blocks), advance):
        counts = blocks.weights[start:start + batch_size, 1:] > 0
        end = int(np.flatnonzero(counts.any(0))[-1]) + 1
        ids = blocks.input_ids[start:start + batch_size, :end + 1]
        yield (~start if idle else start, torch.from_numpy(ids.astype(np.int64)).to(device),
               torch.from_numpy(counts[:, :end] & (not idle)).to(device))
