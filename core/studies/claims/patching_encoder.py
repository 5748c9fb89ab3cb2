"""The protocol of E6: the house encoder's blocks patched back into its DistilBERT student, without any training for it.

The student is the one of the claims about DistilBERT. Its block i stands for the teacher's blocks from the one that it began as up to the
one before the next block's. The teacher, brought into DistilBERT's form (token type 0 folded into the positions), computes what it
computed, so that blocks of both fit into one model. With the last span come the teacher's head's own layers, with the first its embeddings.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from core.recorder import Recorder, stop_if_requested
from core.studies.claims import distilbert_protocols
from core.studies.claims.claim import Numbers
from core.studies.claims.distilbert_protocols import DistilBertProtocolConfig

if TYPE_CHECKING:
    from torch import Tensor

State = dict[str, "Tensor"]
BLOCKS, EMBEDDINGS = "distilbert.transformer.layer", "distilbert.embeddings"
TIED = "vocab_projector.weight"  # with the embeddings


def patched_back(seed: int, setting: DistilBertProtocolConfig, recorder: Recorder) -> Numbers:
    """Measure E6: CE at masked positions as spans come back from last to first; the teacher pruned to the same depths beside it."""
    import torch

    from core.data.prepare import held_out_blocks
    from core.evaluation.masked import evaluate_masked
    from core.models import catalog
    from core.models.loading import model_from_config
    from core.students.distilbert import converted, distilbert_config
    from core.students.layer_maps import student_map

    config = distilbert_protocols.recipe_of(seed, setting)
    report = distilbert_protocols.trained_variant(seed, "full", setting, recorder)
    teacher, student = (catalog.load(model, dtype=torch.float32) for model in (setting.teacher, report.output_dir))
    depth = teacher.model.config.num_hidden_layers
    origin = student_map(config.student, depth)
    spans = spans_of(origin, depth)
    whole = converted(teacher.model.state_dict(), range(depth))
    small = dict(student.model.state_dict())
    held_out = held_out_blocks(config.data, teacher.tokenizer, "masked").take(setting.blocks)

    def cross_entropy(state: State) -> float:
        stop_if_requested(recorder)
        layers = len({name.removeprefix(f"{BLOCKS}.").partition(".")[0] for name in state if name.startswith(BLOCKS)})
        model = model_from_config(distilbert_config(teacher.model.config, layers, 0.0), "masked", torch.float32)
        model.load_state_dict(state)
        return evaluate_masked(model.eval(), held_out, tokenizer=teacher.tokenizer, batch_size=8, device="cpu")["cross_entropy"]

    order = list(reversed(range(len(spans))))
    patched = [cross_entropy(patch(small, whole, spans, order[:count])) for count in range(len(order) + 1)]
    # The same sizes of the teacher's own blocks: a student that was copied and never distilled.
    copied = pruned(whole, origin)
    cut = [cross_entropy(patch(copied, whole, spans, order[:count])) for count in range(len(order) + 1)]
    return {"largest_rise": max(after - before for before, after in pairwise(patched)),
            "least_over_pruning": min(before - after for before, after in zip(cut[1:-1], patched[1:-1], strict=True)),
            **{f"patched_{count}": loss for count, loss in enumerate(patched)}, **{f"pruned_{count}": loss for count,
             loss in enumerate(cut)}}


def spans_of(origin: Sequence[int], depth: int) -> list[range]:
    """Return the teacher's blocks that each block of a student stands for: from its own origin to the next one's."""
    return [range(start, end) for start, end in pairwise((0, *origin[1:], depth))]


def pruned(whole: State, origin: Sequence[int]) -> State:
    """Return the teacher's blocks of `origin` alone, with all that is no block."""
    outside = {name: tensor for name, tensor in whole.items() if not name.startswith(BLOCKS)}
    return outside | {name: tensor for place, block in enumerate(origin) for name, tensor in _block(whole, block, place).items()}


def patch(small: State, whole: State, spans: Sequence[range], swapped: Sequence[int]) -> State:
    """Return a student's state with some blocks exchanged for the teacher's spans; both in DistilBERT's names.

    Args:
        swapped: numbers of the student's blocks.
    """
    last, first = len(spans) - 1 in swapped, 0 in swapped
    made: State = {}
    for name, tensor in small.items():
        if name.startswith(BLOCKS):
            continue
        embeds = name.startswith(EMBEDDINGS) or name == TIED
        made[name] = whole.get(name, tensor) if (first if embeds else last) else tensor
    place = 0
    for number, span in enumerate(spans):
        for block in (span if number in swapped else (number,)):
            made |= _block(whole if number in swapped else small, block, place)
            place += 1
    return made


def _block(state: State, block: int, place: int) -> State:
    prefix = f"{BLOCKS}.{block}."
    return {f"{BLOCKS}.{place}.{name.removeprefix(prefix)}": tensor for name, tensor in state.items() if name.startswith(prefix)}
