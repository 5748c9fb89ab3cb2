"""Masked language model (MLM) metrics on held-out text, and closeness to the teacher.

Over the N positions that are masked, the same for every model and every time, with student q and teacher p at temperature 1. They are
chosen as BERT's were, 15% of the tokens and all alike (1810.04805, section 3.1), whatever training does: so models compare that were
trained with masks of different kinds.

    cross_entropy   -1/N sum_n log q(x_n)                           nats/token
    perplexity      exp(cross_entropy); compare only within one tokenizer
    masked_accuracy share of positions with argmax q = x_n
    kl_to_teacher   1/N sum_n sum_i p_i (log p_i - log q_i)         nats/token
    agreement       share of positions with argmax p = argmax q

Shapes: B blocks, T positions, D width, V vocabulary, N masked positions of a batch.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from core.config import MaskingSpec
from core.data.masking import Masker
from core.data.packing import Blocks, padding_id
from core.errors import DataError, NonFiniteLossError
from core.evaluation.bootstrap import with_block_intervals
from core.evaluation.language import add_by_block, perplexity
from core.models.chunking import chunks
from core.models.forward import eval_mode, forward, log_softmax, output_head
from core.models.vocabulary import require_rows, unpadded_width
from core.recorder import Advance, unwatched
from core.training.passes import ALONE, Passes

HELD_OUT = MaskingSpec(mlm_smoothing=0)
HELD_OUT_SEED = (0, 0)  # of the masks of held-out text: no training step's


def evaluate_masked(student: Any, blocks: Blocks, teacher: Any = None, *, tokenizer: Any, batch_size: int, device: torch.device | str,
                    dtype: torch.dtype = torch.float32, masking: MaskingSpec = HELD_OUT,
                    advance: Advance = unwatched, passes: Passes = ALONE) -> dict[str, float]:
    """Return the metrics above, with the count ``tokens`` (N) and the intervals of `core.evaluation.bootstrap` over ``blocks``.

    A teacher is compared with itself by definition when `teacher is student`.

    Args:
        student: a masked-language model on `device`, with or without adapters.
        dtype: the format of the matrix products; log-softmax is always float32.
        masking: how text is masked. What is masked depends on the blocks alone, not on `batch_size`.
        advance: called before every forward pass with the blocks that are done; a stop that it raises leaves nothing behind.
        passes: what of it this process computes, where several evaluate; all return the metrics of all blocks.

    Raises:
        DataError: no position of the blocks is masked.
        NonFiniteLossError: the model's log-probabilities are not finite.
    """
    device = torch.device(device)
    compared = teacher is not None and teacher is not student
    models = (student, teacher) if compared else (student,)
    require_rows(np.unique(blocks.input_ids), tokenizer, *models)
    width = unpadded_width(tokenizer, *models)
    masked = Masker(masking, tokenizer).mask(blocks.input_ids, blocks.weights > 0, HELD_OUT_SEED)
    if not masked.chosen.any():
        raise DataError("No held-out position is masked.", "Evaluation needs text whose tokens have a weight above 0.",
                        "Give more text, or a larger data.validation_fraction.", field="data.validation_fraction")
    real = blocks.input_ids != padding_id(tokenizer)
    sums = {name: np.zeros(len(blocks)) for name in ("cross_entropy", "masked_accuracy", "kl_to_teacher", "agreement")}
    counts = masked.chosen.sum(1).astype(float)  # (blocks,)
    with eval_mode(*models), torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
        for start, idle in passes.own(range(0, len(blocks), batch_size), len(blocks), advance):
            part = slice(start, start + batch_size)
            ids, mask, chosen, truth = (torch.from_numpy(each[part]).to(device)
                                        for each in (masked.input_ids, real, masked.chosen, blocks.input_ids))
            chosen = chosen & (not idle)
            targets_N = truth[chosen].long()
            rows_N = start + chosen.nonzero()[:, 0].cpu().numpy()
            states = [forward(model, ids, mask.long()).head_input[chosen] for model in models]  # (N, D) each; D may differ
            for span in chunks(len(targets_N), width):
                logq_NV = log_softmax(output_head(student), states[0][span], width)
                found = {"cross_entropy": -logq_NV.gather(1, targets_N[span, None]).squeeze(1)}
                guess_N = logq_NV.argmax(1)
                found["masked_accuracy"] = guess_N == targets_N[span]
                if compared:
                    logp_NV = log_softmax(output_head(teacher), states[1][span], width)
                    found |= {"kl_to_teacher": F.kl_div(logq_NV, logp_NV, log_target=True, reduction="none").sum(1),
                              "agreement": guess_N == logp_NV.argmax(1)}
                add_by_block(sums, rows_N[span], found)
    passes.add_up(*sums.values())
    tokens = int(counts.sum())
    nats, kl = sums["cross_entropy"].sum(), sums["kl_to_teacher"].sum()
    cross_entropy = float(nats) / tokens
    if not math.isfinite(cross_entropy + kl):
        raise NonFiniteLossError("The model's predictions on held-out text are not finite.", "Finite log-probabilities were expected.",
                                 "Lower train.learning_rate or train.max_grad_norm, or use train.precision=fp32.",
                                 field="train.learning_rate")
    result = {"cross_entropy": cross_entropy, "perplexity": perplexity(cross_entropy),
              "masked_accuracy": float(sums["masked_accuracy"].sum()) / tokens}
    if teacher is not None:
        result |= {"kl_to_teacher": float(kl) / tokens, "agreement": float(sums["agreement"].sum()) / tokens if compared else 1.0}
    result |= {"tokens": tokens}
    named = ("masked_accuracy", *(("kl_to_teacher", "agreement") if compared else ()))
    return with_block_intervals(result, {"perplexity": sums["cross_entropy"], **{name: sums[name] for name in named}}, counts,
                                {"perplexity": perplexity})
