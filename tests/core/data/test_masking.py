"""Masks: a budget for the whole batch, special tokens left alone, rare tokens favoured, words kept whole."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pytest

from core.config import MaskingSpec
from core.data.masking import WRITTEN, Masker, blanked, has_blank, token_counts
from core.errors import CompatibilityError, DataError
from tests.core.chat_models import chat_tokenizer
from tests.core.masked_models import TEXTS, masked_tokenizer

TOKENIZER = masked_tokenizer()


def batch(rows: int = 60) -> tuple[np.ndarray, np.ndarray]:
    texts = (*TEXTS, "a filmgoer hates goodness")  # words of several tokens
    encoded = TOKENIZER([texts[row % len(texts)] for row in range(rows)], padding="longest", return_tensors="np")["input_ids"]
    return encoded, ~np.isin(encoded, TOKENIZER.all_special_ids)


def masked(spec: MaskingSpec, seed: int = 0, counts: np.ndarray | None = None):
    ids, countable = batch()
    return ids, countable, Masker(spec, TOKENIZER, counts).mask(ids, countable, (seed,))


@pytest.mark.parametrize("fraction", [0.15, 0.5])
def test_the_budget_is_the_batchs_and_special_tokens_are_left_alone(fraction):
    ids, countable, result = masked(MaskingSpec(mlm_probability=fraction))
    assert result.chosen.sum() == math.ceil(fraction * countable.sum())
    assert not (result.chosen & ~countable).any()
    assert np.array_equal(result.input_ids[~result.chosen], ids[~result.chosen])


def test_eighty_ten_ten():
    ids, _, result = masked(MaskingSpec(mlm_probability=0.9))
    chosen = result.chosen
    hidden = (result.input_ids[chosen] == TOKENIZER.mask_token_id).mean()
    kept = (result.input_ids[chosen] == ids[chosen]).mean()
    assert hidden == pytest.approx(0.8, abs=0.08) and kept == pytest.approx(0.1, abs=0.06)
    swapped = result.input_ids[chosen & (result.input_ids != TOKENIZER.mask_token_id)]
    assert not np.isin(swapped, TOKENIZER.all_special_ids).any()


def test_masks_are_new_for_every_seed_and_the_same_for_one():
    first, again, other = (masked(MaskingSpec(), seed)[2] for seed in (1, 1, 2))
    assert np.array_equal(first.input_ids, again.input_ids)
    assert not np.array_equal(first.chosen, other.chosen)


def test_rare_tokens_are_favoured():
    ids, _ = batch()
    counts = token_counts(ids, len(TOKENIZER))
    rare, common = (TOKENIZER.convert_tokens_to_ids(word) for word in ("boring", "the"))
    assert counts[rare] < counts[common]

    def share(token: int, spec: MaskingSpec) -> float:
        selected = sum((masked(spec, seed, counts)[2].chosen & (ids == token)).sum() for seed in range(60))
        return selected / (60 * counts[token])

    assert share(rare, MaskingSpec()) > 1.5 * share(common, MaskingSpec())
    assert share(rare, MaskingSpec(mlm_smoothing=0)) == pytest.approx(share(common, MaskingSpec(mlm_smoothing=0)), abs=0.05)


def test_whole_words_are_masked_whole():
    ids, countable, result = masked(MaskingSpec(mlm_probability=0.4, whole_word_mask=True))
    continues = np.array([token.startswith("##") for token in TOKENIZER.convert_ids_to_tokens(range(len(TOKENIZER)))])
    assert continues[ids[countable]].any(), "the text has no word of several tokens"
    inner = continues[ids[:, 1:]] & countable[:, 1:] & countable[:, :-1]
    assert np.array_equal(result.chosen[:, 1:][inner], result.chosen[:, :-1][inner])
    assert 0.7 * 0.4 * countable.sum() < result.chosen.sum() <= math.ceil(0.4 * countable.sum())


def test_a_tokenizer_without_a_mask_is_refused():
    with pytest.raises(CompatibilityError, match="no mask token"):
        Masker(MaskingSpec(), chat_tokenizer())


@pytest.mark.parametrize("blank", ["[MASK]", "[mask]", "<mask>", "__", "_______"])
def test_a_blank_is_written_in_one_of_a_few_ways(blank: str):
    assert has_blank(f"The film was {blank}.")
    assert blanked(f"The film was {blank}, and so {blank}.", "<m>") == "The film was <m>, and so <m>."


def test_a_text_without_a_blank():
    with pytest.raises(DataError, match=r"no blank in 'A snake_case film.'.*Write \[MASK\] or ___"):
        blanked("A snake_case film.")


def test_browsers_read_blanks_by_the_same_rule():
    worker = (Path(__file__).parents[3] / "workbench" / "on_device" / "worker.js").read_text(encoding="utf-8")
    assert re.search(r"BLANK = /(.*)/gi;", worker)[1].lower() == WRITTEN.pattern
