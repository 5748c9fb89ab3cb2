"""Batches of next-token prediction."""

from __future__ import annotations

import torch

from core.training.batches import StepSeed, causal_lm_batches


def test_targets_are_the_next_tokens_and_the_last_position_counts_nothing() -> None:
    ids, weights = torch.tensor([[5, 6, 7], [8, 9, 3]]), torch.tensor([[0.0, 1.0, 5.0], [1.0, 0.0, 2.0]])
    batch, = causal_lm_batches([{"input_ids": ids, "weights": weights}], StepSeed(1, 2))
    assert batch["input_ids"] is ids and batch["attention_mask"] is None
    assert batch["targets"][:, :2].tolist() == [[6, 7], [9, 3]]
    # A position counts as much as the token that it predicts.
    assert batch["label_weights"].tolist() == [[1, 5, 0], [0, 2, 0]]
    assert torch.equal(batch["distill_weights"], batch["label_weights"])


def test_every_block_is_a_batch_of_its_own() -> None:
    blocks = [{"input_ids": torch.full((rows, 4), rows), "weights": torch.ones(rows, 4)} for rows in (1, 3)]
    assert [batch["targets"].shape for batch in causal_lm_batches(blocks)] == [(1, 4), (3, 4)]
    assert causal_lm_batches([]) == []


def test_a_block_of_one_token_predicts_nothing() -> None:
    batch, = causal_lm_batches([{"input_ids": torch.tensor([[4]]), "weights": torch.tensor([[1.0]])}])
    assert batch["label_weights"].sum() == 0
