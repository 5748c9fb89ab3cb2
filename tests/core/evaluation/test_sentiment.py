import math

import pytest
import torch

from core.data import movie_reviews
from core.data.chat_template import render
from core.data.movie_reviews import Review
from core.errors import CompatibilityError
from core.evaluation import sentiment
from core.evaluation.sentiment import evaluate_sentiment, label_scores, label_tokens
from tests.core.evaluation.conftest import SENTENCES, make_gpt2, make_llama, make_tokenizer

REVIEWS = [Review(" ".join([sentence] * (1 + index % 2)), index % 3 == 0, "imdb" if index % 4 else "rt", "test")
           for index, sentence in enumerate(SENTENCES * 4)]


def naive_score(model, tokenizer, text: str, label: str, space: str) -> float:
    """The log-probability of the label's tokens, one token and one forward pass at a time."""
    prompt = render(movie_reviews.sentiment_prompt(text), tokenizer, add_generation_prompt=True)
    ids = tokenizer(prompt, add_special_tokens=False)["input_ids"]
    total = 0.0
    for token in tokenizer(space + label, add_special_tokens=False)["input_ids"]:
        with torch.no_grad():
            total += float(torch.log_softmax(model(torch.tensor([ids])).logits[0, -1].double(), -1)[token])
        ids.append(token)
    return total


def naive(model, tokenizer, space: str) -> dict[str, float]:
    scores = [[naive_score(model, tokenizer, review.text, label, space) for label in ("Positive", "Negative")] for review in REVIEWS]
    right = [(positive > negative) == review.positive for (positive, negative), review in zip(scores, REVIEWS, strict=True)]
    share = sum(right) / len(right)
    result = {"sentiment_accuracy": share, "sentiment_items": len(right), "stderr": math.sqrt(share * (1 - share) / len(right))}
    for source in ("imdb", "rt"):
        of_source = [ok for ok, review in zip(right, REVIEWS, strict=True) if review.source == source]
        result |= {f"accuracy_{source}": sum(of_source) / len(of_source), f"items_{source}": len(of_source)}
    return result


@pytest.mark.parametrize("template", [True, False], ids=["chat template", "no template"])
@pytest.mark.parametrize("vocabulary", [259, 400], ids=["labels of many tokens", "labels of one token"])
@pytest.mark.parametrize("make", [make_llama, make_gpt2])
def test_equals_the_definition(monkeypatch, template, vocabulary, make):
    monkeypatch.setattr(sentiment, "BATCH_TOKENS", 300)  # several batches, with padding inside them
    options = {} if template else {"template": None}
    tokenizer = make_tokenizer(vocabulary=vocabulary, **options)
    model = make(len(tokenizer))
    model.config.max_position_embeddings = 1024
    if make is make_gpt2:
        model.transformer.wpe = torch.nn.Embedding(1024, 32)
    space = "" if template else " "
    assert label_tokens(tokenizer) == [tokenizer(space + label, add_special_tokens=False)["input_ids"] for label in movie_reviews.LABELS]
    assert evaluate_sentiment(model, tokenizer, REVIEWS, "cpu") == pytest.approx(naive(model, tokenizer, space))


def test_scores_are_log_probabilities_for_one_and_for_many_tokens():
    model = make_llama()
    prompts = [[5, 6, 7, 8], [9, 10], [11] * 20]
    labels = [[3], [4], [3, 9, 4]]
    scores = label_scores(model, prompts, labels, torch.device("cpu"))
    for row, prompt in enumerate(prompts):
        for column, label in enumerate(labels):
            with torch.no_grad():
                logp = torch.log_softmax(model(torch.tensor([prompt + label])).logits[0], -1)
            expected = sum(float(logp[len(prompt) - 1 + j, token]) for j, token in enumerate(label))
            assert float(scores[row, column]) == pytest.approx(expected, rel=1e-4)


def test_logits_beyond_the_tokenizer_take_no_part():
    model, prompts, labels = make_llama(320), [list(range(10, 40))], [[3, 5], [4]]
    found = label_scores(model, prompts, labels, torch.device("cpu"), 300)
    with torch.no_grad():
        logp = torch.log_softmax(model(torch.tensor([prompts[0] + [3]])).logits[0, -2:, :300], -1)
    torch.testing.assert_close(found, torch.stack([logp[0, 3] + logp[1, 5], logp[0, 4]])[None])
    assert not torch.allclose(found, label_scores(model, prompts, labels, torch.device("cpu")))


def test_products_are_computed_in_the_given_format():
    """Whatever format the weights are kept in: a run's teacher and its students are evaluated in the same."""
    model, prompts, labels = make_llama(), [list(range(10, 40)), list(range(50, 65))], [[3], [4]]
    exact = label_scores(model, prompts, labels, torch.device("cpu"))
    rounded = label_scores(model, prompts, labels, torch.device("cpu"), dtype=torch.bfloat16)
    assert not torch.equal(exact, rounded)
    torch.testing.assert_close(exact, rounded, rtol=0.1, atol=0.1)


@pytest.mark.parametrize("weights", [torch.bfloat16, torch.float32])
def test_labels_are_distinguished_in_bf16(weights):
    """Rounded to bf16, logits of 2 or more are multiples of 1/64 at best: most of these pairs would be ties."""
    model = make_llama().to(weights)
    model.lm_head = torch.nn.Linear(32, 300, bias=False, dtype=weights)
    model.lm_head.weight.data = torch.full((300, 32), 0.5, dtype=weights)
    model.lm_head.weight.data[4, 0] += 2**-8
    prompts = [[token] * 5 for token in range(10, 90)]
    positive, negative = label_scores(model, prompts, [[3], [4]], torch.device("cpu"), dtype=torch.bfloat16).T
    assert (positive != negative).all()


def test_a_model_that_always_says_positive_is_right_on_the_positive_ones():
    tokenizer = make_tokenizer(vocabulary=400)
    (positive,), (_,) = label_tokens(tokenizer)
    model = make_llama(len(tokenizer))
    model.lm_head = torch.nn.Linear(32, len(tokenizer))
    model.lm_head.weight.data.zero_()
    model.lm_head.bias.data.zero_()[positive] = 5.0
    found = evaluate_sentiment(model, tokenizer, REVIEWS, "cpu")
    assert found["sentiment_accuracy"] == sum(review.positive for review in REVIEWS) / len(REVIEWS)


def test_long_reviews_are_cut_to_the_context(tokenizer):
    seen = []
    model = make_llama()
    model.register_forward_pre_hook(lambda *_: pytest.fail("the whole model computes logits nobody reads"))
    model.base_model.register_forward_pre_hook(lambda _, args, kwargs: seen.append(kwargs["input_ids"].shape[1]), with_kwargs=True)
    evaluate_sentiment(model, tokenizer, [Review("a b " * 500, True, "imdb", "test")], "cpu")
    assert max(seen) <= model.config.max_position_embeddings


def test_a_context_too_short_for_the_question_is_an_error(tokenizer):
    model = make_llama()
    model.config.max_position_embeddings = 24
    with pytest.raises(CompatibilityError, match="sentiment_items"):
        evaluate_sentiment(model, tokenizer, REVIEWS, "cpu")


def test_an_origin_without_reviews_is_left_out(tokenizer):
    only_rt = [Review("Fine.", True, "rt", "test"), Review("Dull.", False, "rt", "test")]
    found = evaluate_sentiment(make_llama(), tokenizer, only_rt, "cpu")
    assert "accuracy_imdb" not in found
    assert found["items_rt"] == 2


def test_every_prompt_is_in_one_batch_and_batches_stay_in_their_budget(monkeypatch):
    monkeypatch.setattr(sentiment, "BATCH_TOKENS", 60)
    lengths = [7, 50, 3, 70, 20, 20, 20, 1]
    batches = list(sentiment._by_length([[0] * length for length in lengths]))
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    assert all(len(batch) == 1 or len(batch) * max(lengths[index] for index in batch) <= 60 for batch in batches)
    assert len(batches) == 4
