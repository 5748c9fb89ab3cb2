"""How a text is masked, in one sentence."""

from __future__ import annotations

import pytest

from core.config import MaskingSpec
from workbench.screens.new_experiment import wording


@pytest.mark.parametrize(("spec", "words"), [
    (MaskingSpec(), "15% of the tokens are asked for, rare ones more often: 80% of them are masked, 10% are replaced by any token and 10% "
                    "stay as they are."),
    (MaskingSpec(fraction=0.3, mask=0.9, rarity=0), "30% of the tokens are asked for: 90% of them are masked, 10% are replaced by any "
                                                    "token."),
    (MaskingSpec(whole_words=True), "15% of the words are asked for")])
def test_masking_in_one_sentence(spec: MaskingSpec, words: str):
    assert words in wording.masking(spec)
