"""Masked metrics against their definitions, and blanks."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from core.config import MaskingSpec
from core.data.masking import Masker
from core.data.packing import Blocks
from core.errors import DataError
from core.evaluation.masked import HELD_OUT_SEED, evaluate_masked
from tests.core.masked_models import TEXTS, masked_model, masked_tokenizer

TOKENIZER = masked_tokenizer()


def blocks() -> Blocks:
    ids = TOKENIZER(list(TEXTS), padding="longest", return_tensors="np")["input_ids"].astype(np.int32)
    return Blocks(ids, (~np.isin(ids, TOKENIZER.all_special_ids)).astype(np.float32), len(ids), ids.size)


def test_metrics_equal_their_definitions():
    student, teacher, held_out = masked_model(2), masked_model(4, seed=1), blocks()
    masking = MaskingSpec(mlm_probability=0.4, mlm_smoothing=0)
    found = evaluate_masked(student, held_out, teacher, tokenizer=TOKENIZER, masking=masking, batch_size=2, device="cpu")
    masked = Masker(masking, TOKENIZER).mask(held_out.input_ids, held_out.weights > 0, HELD_OUT_SEED)
    nats, kl, right, agreed = [], [], [], []
    for row, chosen, truth in zip(masked.input_ids, masked.chosen, held_out.input_ids, strict=True):
        real = int((truth != TOKENIZER.pad_token_id).sum())
        with torch.no_grad():
            q, p = (model(input_ids=torch.from_numpy(row[None, :real])).logits[0].log_softmax(-1) for model in (student, teacher))
        for position in np.flatnonzero(chosen):
            nats.append(-q[position, truth[position]].item())
            kl.append((p[position].exp() * (p[position] - q[position])).sum().item())
            right.append(q[position].argmax().item() == truth[position])
            agreed.append(q[position].argmax() == p[position].argmax())
    assert found["tokens"] == len(nats) and found["cross_entropy"] == pytest.approx(np.mean(nats), rel=1e-4)
    assert found["perplexity"] == pytest.approx(math.exp(np.mean(nats)), rel=1e-4)
    assert found["kl_to_teacher"] == pytest.approx(np.mean(kl), rel=1e-3)
    assert (found["masked_accuracy"], found["agreement"]) == (pytest.approx(np.mean(right)), pytest.approx(np.mean(agreed)))


def test_masks_do_not_depend_on_the_batch():
    model = masked_model(2)
    one, other = (evaluate_masked(model, blocks(), tokenizer=TOKENIZER, batch_size=size, device="cpu") for size in (1, 6))
    assert one["cross_entropy"] == pytest.approx(other["cross_entropy"], rel=1e-5)


def test_text_without_a_position_to_mask_is_reported():
    empty = Blocks(blocks().input_ids, np.zeros_like(blocks().weights), 1, 1)
    with pytest.raises(DataError, match="No held-out position"):
        evaluate_masked(masked_model(1), empty, tokenizer=TOKENIZER, batch_size=2, device="cpu")
