"""Scores against a naive second version; length-normalised; items that do not fit."""

from __future__ import annotations

import pytest
import torch

from core.errors import CompatibilityError
from core.reading.items import Item, ReadingTask
from core.reading.scoring import candidate_scores, encode_pairs, score_tasks
from tests.core.chat_models import chat_model, chat_tokenizer

PAIRS = [("A quiet film", " with a script."), ("A quiet film", " that is dull and old, the jokes are."), ("The plot", " is")]


def naive(model, tokenizer, prompt: str, candidate: str) -> float:
    """Mean log-probability, token by token."""
    ids, before = tokenizer(prompt + candidate).input_ids, len(tokenizer(prompt).input_ids)
    with torch.no_grad():
        logs = model(torch.tensor([ids])).logits[0].log_softmax(-1)
    return sum(float(logs[at - 1, ids[at]]) for at in range(before, len(ids))) / (len(ids) - before)


def test_scores_are_mean_log_probabilities_of_the_candidates() -> None:
    model, tokenizer = chat_model(), chat_tokenizer()
    found = candidate_scores(model, tokenizer, PAIRS)
    assert found == pytest.approx([naive(model, tokenizer, *pair) for pair in PAIRS], abs=1e-4)
    alone = [candidate_scores(model, tokenizer, [pair])[0] for pair in PAIRS]
    assert found == pytest.approx(alone, abs=1e-4), "what pads a batch counts nowhere"


def test_tokens_that_reach_into_a_candidate_are_its_own() -> None:
    tokenizer = chat_tokenizer()
    (ids, counts), = encode_pairs(tokenizer, [("A quiet", " film")])
    assert tokenizer.decode(ids[counts]) == " film" and ids[0] == tokenizer.bos_token_id and not counts[0]


def test_accuracy_of_tasks_and_their_mean() -> None:
    model, tokenizer = chat_model(), chat_tokenizer()
    scores = candidate_scores(model, tokenizer, [("The plot", " is dull"), ("The plot", " is old")])
    best = scores.index(max(scores))
    task = ReadingTask("x", (Item("The plot", (" is dull", " is old"), best), Item("The plot", (" is dull", " is old"), 1 - best)))
    sure = ReadingTask("y", (Item("The plot", (" is dull", " is old"), best),))
    found = score_tasks(model, tokenizer, [task, sure])
    assert found.pop("answer_nll_y") == pytest.approx(-max(scores), abs=1e-4) and found.pop("answer_nll_x") > -max(scores)
    assert found == {"reading_accuracy": 0.75, "reading_x": 0.5, "reading_y": 1.0}
    assert score_tasks(model, tokenizer, []) == {} and task.chance == 0.5


def test_an_item_beyond_the_context_is_refused() -> None:
    with pytest.raises(CompatibilityError, match="The model reads 64") as refused:
        candidate_scores(chat_model(), chat_tokenizer(), [("A quiet film " * 40, " is")])
    assert refused.value.field == "reading.tasks"
