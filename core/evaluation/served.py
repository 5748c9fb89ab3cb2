"""What is measured of a teacher at an address, on held-out text: what its server says of the text's own tokens.

The metrics are those of `core.evaluation.language`, from listed log-probabilities in place of a model's.
"""

from __future__ import annotations

import math

import numpy as np
import torch

from core.data.packing import Blocks
from core.errors import DataError
from core.evaluation.bootstrap import with_block_intervals
from core.evaluation.language import add_by_block, batches, listed_at, perplexity, special_ids, text_bytes
from core.recorder import Advance, unwatched
from core.signals.cached import CachedTeacher


def evaluate_served(teacher: CachedTeacher, blocks: Blocks, *, tokenizer: object, batch_size: int,
                    advance: Advance = unwatched) -> dict[str, float]:
    """Return the metrics of a teacher that a server answers for; compared with itself by definition.

    Args:
        teacher: at temperature 1, listing the text's own tokens.
        batch_size: blocks that are requested at once.
        advance: called before every request with the blocks that are done.

    Raises:
        DataError: no position counts.
        TeacherServerError: as `core.signals.served.ServedTeacher.answer`.
    """
    special = torch.tensor(sorted(special_ids(tokenizer)))
    sums, counted = {name: np.zeros(len(blocks)) for name in ("cross_entropy", "bits_per_byte")}, np.zeros(len(blocks))
    for start, input_ids, counts in batches(blocks, batch_size, torch.device("cpu"), advance):
        rows_N = start + counts.nonzero()[:, 0].numpy()
        targets_N, listed = input_ids[:, 1:][counts], listed_at(teacher, blocks, start, counts)
        own = (listed.ids == targets_N.unsqueeze(-1)) & ~listed.unused
        assert bool(own.any(-1).all()), "the text's own token is listed"
        nll_N = -listed.log_p.masked_fill(~own, -math.inf).amax(-1)
        add_by_block(sums, rows_N, {"cross_entropy": nll_N, "bits_per_byte": nll_N * ~torch.isin(targets_N, special)})
        counted += np.bincount(rows_N, minlength=len(blocks))
    teacher.flush()
    tokens = int(counted.sum())
    if not tokens:
        raise DataError("No held-out position counts.", "Evaluation needs text whose tokens have a weight above 0.",
                        "Give more text, or a larger data.validation_fraction.", field="data.validation_fraction")
    size, cross_entropy = text_bytes(blocks, tokenizer), float(sums["cross_entropy"].sum()) / tokens
    result = {"cross_entropy": cross_entropy, "perplexity": perplexity(cross_entropy)}
    if size:
        result["bits_per_byte"] = float(sums["bits_per_byte"].sum()) / math.log(2) / size
    result |= {"kl_to_teacher": 0.0, "agreement": 1.0, "tokens": tokens, "bytes": size}
    return with_block_intervals(result, {"perplexity": sums["cross_entropy"]}, counted, {"perplexity": perplexity})
