"""Measures of agreement, against a second version written from their definitions."""

from __future__ import annotations

import numpy as np
import pytest

from core.export.agreement import MASK_EVERY, Batch, batches, compare, milliseconds
from tests.core.export.encoders import tiny_tokenizer

TEXTS = ["A quiet film with a very good script and an ending that nobody expected.", "Dull."]


def test_every_seventh_token_is_masked_and_nothing_special() -> None:
    tokenizer = tiny_tokenizer()
    (batch,) = batches(tokenizer, "masked", 64, TEXTS)
    plain = [tokenizer(text)["input_ids"] for text in TEXTS]
    assert batch.attention_mask.sum(1).tolist() == [len(row) for row in plain]
    for row, (ids, counted) in enumerate(zip(batch.input_ids, batch.counted, strict=True)):
        for place, token in enumerate(plain[row]):
            target = place % MASK_EVERY == MASK_EVERY // 2 and token not in tokenizer.all_special_ids
            assert counted[place] == target
            assert ids[place] == (tokenizer.mask_token_id if target else token)
    assert batch.counted.any()
    assert not (batch.counted & (batch.attention_mask == 0)).any()


def test_the_context_is_kept() -> None:
    (batch,) = batches(tiny_tokenizer(), "causal", 8, TEXTS)
    assert batch.input_ids.shape == (2, 8)


@pytest.mark.parametrize("task", ["masked", "classification"])
def test_agreement_by_its_definition(task: str) -> None:
    rng = np.random.default_rng(0)
    shape = (3, 5, 7) if task == "masked" else (3, 7)
    expected, other = rng.normal(size=shape), rng.normal(size=shape)
    batch = Batch(np.zeros((3, 5), np.int64), np.ones((3, 5), np.int64), rng.random((3, 5)) < 0.5)
    (found,) = compare(lambda *_: expected, [lambda *_: other], task, [batch])
    pairs = [(expected[place], other[place]) for place in np.ndindex(shape[:-1]) if task == "classification" or batch.counted[place]]
    gaps = []
    for one, two in pairs:
        first, second = (np.exp(logits) / sum(np.exp(logits)) for logits in (one, two))
        gaps.append(max(abs(first - second)))
    assert found.positions == len(pairs)
    assert found.top1 == pytest.approx(sum(np.argmax(one) == np.argmax(two) for one, two in pairs) / len(pairs))
    assert found.logit_difference == pytest.approx(max(max(abs(one - two)) for one, two in pairs))
    assert found.largest_probability_difference == pytest.approx(max(gaps))
    assert found.mean_probability_difference == pytest.approx(sum(gaps) / len(gaps))


def test_the_same_agrees_and_padding_does_not_count() -> None:
    logits = np.random.default_rng(0).normal(size=(1, 4, 5))
    batch = Batch(np.zeros((1, 4), np.int64), np.array([[1, 1, 1, 0]]), np.array([[True, True, True, False]]))
    other = logits.copy()
    other[0, 3] += 9
    (found,) = compare(lambda *_: logits, [lambda *_: other], "causal", [batch])
    assert (found.positions, found.logit_difference, found.top1, found.largest_probability_difference) == (3, 0, 1, 0)


def test_times_are_of_one_short_text() -> None:
    shapes = []
    batch = Batch(*(np.zeros((4, 50), np.int64) for _ in range(3)))
    times = milliseconds([lambda ids, mask: shapes.append(ids.shape)] * 2, batch)
    assert set(shapes) == {(1, 32)}
    assert all(0 <= time < 100 for time in times)
