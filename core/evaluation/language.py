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
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from core.data.packing import Blocks
from core.errors import DataError, NonFiniteLossError
from core.models.chunking import chunks
from core.models.forward import eval_mode, last_hidden, log_softmax, output_head
from core.models.vocabulary import require_rows, unpadded_width


def evaluate_language(student: Any, blocks: Blocks, teacher: Any = None, *, tokenizer: Any, batch_size: int,
                      device: torch.device | str, dtype: torch.dtype = torch.float32) -> dict[str, float]:
    """Return the metrics above, with the counts ``tokens`` (N) and ``bytes``.

    A teacher is compared with itself by definition (KL 0, agreement 1) when `teacher is student`. With no teacher the two
    comparisons are left out, as are bits per byte where no target is text. Where vocabularies are padded to different
    widths, only the tokenizer's own entries count.

    Args:
        student: a causal language model on `device`, with or without adapters.
        batch_size: blocks in one forward pass.
        dtype: the format of the matrix products; log-softmax is always float32.

    Raises:
        DataError: no position of the blocks counts.
        NonFiniteLossError: the model's log-probabilities are not finite.
    """
    device = torch.device(device)
    compared = teacher is not None and teacher is not student
    models = (student, teacher) if compared else (student,)
    require_rows(np.unique(blocks.input_ids), tokenizer, *models)
    width = unpadded_width(tokenizer, *models)
    heads = [output_head(model) for model in models]
    special = torch.tensor(sorted(_special_ids(tokenizer)), device=device)
    nats = text_nats = kl = 0.0
    tokens = agreed = 0
    with eval_mode(*models), torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
        for input_ids, counts in _batches(blocks, batch_size, device):
            targets_N = input_ids[:, 1:][counts]
            hidden = [last_hidden(model, input_ids)[:, :-1][counts] for model in models]  # (N, D) each; D may differ
            for span in chunks(len(targets_N), width):
                logq_NV = log_softmax(heads[0], hidden[0][span], width)
                nll_N = -logq_NV.gather(1, targets_N[span, None]).squeeze(1)
                nats += nll_N.sum(dtype=torch.float64).item()
                text_nats += nll_N[~torch.isin(targets_N[span], special)].sum(dtype=torch.float64).item()
                if compared:
                    logp_NV = log_softmax(heads[1], hidden[1][span], width)
                    kl += F.kl_div(logq_NV, logp_NV, log_target=True, reduction="sum").item()
                    agreed += int((logq_NV.argmax(1) == logp_NV.argmax(1)).sum())
            tokens += len(targets_N)
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
    # No model that predicts anything comes near the cap; beyond it exp would overflow.
    result = {"cross_entropy": cross_entropy, "perplexity": math.exp(min(cross_entropy, 700.0))}
    if size:
        result["bits_per_byte"] = text_nats / math.log(2) / size
    if teacher is not None:
        result |= {"kl_to_teacher": kl / tokens, "agreement": agreed / tokens if compared else 1.0}
    return result | {"tokens": tokens, "bytes": size}


def text_bytes(blocks: Blocks, tokenizer: Any) -> int:
    """Return UTF-8 bytes of the counted targets' text, special tokens left out.

    Every run of counted targets is decoded as one piece, so a character that is cut at a run's edge counts as the
    replacement character's three bytes: at most two bytes too many for each edge.
    """
    special = np.array(sorted(_special_ids(tokenizer)))
    texts = (tokenizer.decode(run[~np.isin(run, special)].tolist(), clean_up_tokenization_spaces=False)
             for row, weights in zip(blocks.input_ids, blocks.weights, strict=True) for run in _runs(row[1:], weights[1:] > 0))
    return sum(len(text.encode("utf-8")) for text in texts)


def _runs(row: np.ndarray, counts: np.ndarray) -> Iterator[np.ndarray]:
    edges = np.flatnonzero(np.diff(counts.astype(np.int8), prepend=0, append=0))
    for start, stop in edges.reshape(-1, 2):
        yield row[start:stop]


def _special_ids(tokenizer: Any) -> set[int]:
    return {*tokenizer.all_special_ids, *(index for index, token in tokenizer.added_tokens_decoder.items() if token.special)}


def _batches(blocks: Blocks, batch_size: int, device: torch.device) -> Iterator[tuple[Tensor, Tensor]]:
    """Return (input_ids (B, T), counts (B, T-1)): which targets count; cut after the last one that does in the batch."""
    for start in range(0, len(blocks), batch_size):
        counts = blocks.weights[start:start + batch_size, 1:] > 0
        if not counts.any():
            continue
        end = int(np.flatnonzero(counts.any(0))[-1]) + 1
        ids = blocks.input_ids[start:start + batch_size, :end + 1]
        yield (torch.from_numpy(ids.astype(np.int64)).to(device), torch.from_numpy(counts[:, :end]).to(device))
