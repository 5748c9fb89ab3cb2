"""What our own server says of texts, against the model's logits."""

from __future__ import annotations

import pytest
import torch

from core.errors import CompatibilityError
from core.signals.answering import Question, answers, require_tokens
from tests.core.tiny import logits

PROMPTS = ((1, 5, 9, 7), (1, 80, 3, 3))


@pytest.mark.parametrize(("k", "temperature"), [(3, 2.0), (0, 1.0), (-1, 0.5), (10_000, 1.0), (3, 0)], ids=str)
def test_each_position_lists_its_likeliest_tokens_and_the_texts_own(served_model, k, temperature):
    width = len(served_model.tokenizer)
    said = answers(served_model, [Question(prompt, k, temperature) for prompt in PROMPTS])
    for prompt, each in zip(PROMPTS, said, strict=True):
        log_p = torch.log_softmax(logits(served_model.model, torch.tensor([prompt]))[0, :, :width] / (temperature or 1), -1)
        assert each.listed[0] is None and len(each.listed) == len(prompt)
        assert each.next_token == int(log_p[-1].argmax())
        for place, entry in enumerate(each.listed[1:]):
            wanted = set(log_p[place].topk(width if k < 0 else min(k, width)).indices.tolist()) | {prompt[place + 1]}
            assert {int(token) for token in entry} == wanted
            for token, about in entry.items():
                assert about["logprob"] == pytest.approx(float(log_p[place, int(token)]), abs=1e-5)
                assert about["rank"] == int((log_p[place] > log_p[place, int(token)]).sum()) + 1


def test_a_token_that_the_model_lacks_is_refused(served_model):
    with pytest.raises(CompatibilityError, match="token 100000"):
        require_tokens(served_model, (1, 100_000))
