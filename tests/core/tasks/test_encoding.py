"""Items as token ids: what is cut, where answers lie, and batches of like length."""

from __future__ import annotations

import numpy as np
import pytest

from core.errors import CompatibilityError
from core.tasks.data import Example, Question, TaskData
from core.tasks.encoding import LengthGroupedSampler, by_length, collate, encode
from tests.core.tasks.encoders import questions, sentiment, tokenizer


def task_of(*items: Example | Question, **changes) -> TaskData:
    kind = "question_answering" if isinstance(items[0], Question) else "classification"
    return TaskData("t", kind, (), items, items, **{"max_length": 16, "doc_stride": 4, **changes})


def test_a_long_text_loses_its_middle() -> None:
    text = "good " * 8 + "bad " * 8 + "great " * 8
    feature, = encode([Example(text, 1)], task_of(Example(text, 1), max_length=15), tokenizer(), 64)
    words = tokenizer().convert_ids_to_tokens(feature.input_ids)
    assert words[0] == "[CLS]" and words[-1] == "[SEP]" and len(words) == 15
    assert words[1:5] == ["good"] * 4 and words[5:14] == ["bad"] + ["great"] * 8
    assert feature.targets == (1,) and feature.second == 15


def test_a_short_text_is_whole() -> None:
    feature, = encode([Example("the film", 0)], task_of(Example("the film", 0)), tokenizer(), 64)
    assert feature.input_ids.tolist() == tokenizer()("the film")["input_ids"]


def test_the_longer_text_of_a_pair_is_cut() -> None:
    item = Example("good " * 20, 0, pair="bad film")
    feature, = encode([item], task_of(item), tokenizer(), 64)
    words = tokenizer().convert_ids_to_tokens(feature.input_ids)
    assert len(words) == 16 and words[feature.second:] == ["bad", "film", "[SEP]"]
    batch = collate([feature], 0, token_types=True)
    assert batch["token_type_ids"][0].tolist() == [0] * feature.second + [1] * 3


def test_order_is_kept_where_texts_and_pairs_mix() -> None:
    items = [Example("good", 0), Example("bad", 1, pair="film"), Example("great", 0)]
    features = encode(items, task_of(*items), tokenizer(), 64)
    assert [feature.item for feature in features] == [0, 1, 2]
    assert [tokenizer().convert_ids_to_tokens(feature.input_ids)[1] for feature in features] == ["good", "bad", "great"]


def test_the_answer_is_found_again_in_its_window() -> None:
    task = questions(train=12)
    features = encode(task.train, task, tokenizer(), 24)
    assert len(features) > len(task.train)  # contexts that take several windows
    found = set()
    for feature in features:
        first, last = feature.targets
        question = task.train[feature.item]
        assert len(feature) <= 24
        if (first, last) != (0, 0):
            found.add(feature.item)
            assert question.context[feature.spans[first, 0]:feature.spans[last, 1]] == question.answers[0][0]
    assert found == set(range(12))


def test_windows_cover_the_context() -> None:
    context = " ".join(f"anna wrote story {number}" for number in range(12))
    item = Question("1", "who", context, (("anna", 0),))
    features = encode([item], task_of(item), tokenizer(), 64)
    covered = {place for feature in features for start, end in feature.spans if start >= 0 for place in range(start, end)}
    assert covered >= {place for place, character in enumerate(context) if character != " "}
    assert all((feature.spans[0] == -1).all() for feature in features)


def test_a_question_may_be_long_but_not_everything() -> None:
    item = Question("1", "who wrote " * 50, "anna wrote the film", (("anna", 0),))
    feature, *_ = encode([item], task_of(item, max_length=32), tokenizer(), 64)
    assert len(feature) <= 32 and feature.targets != (0, 0)
    with pytest.raises(CompatibilityError, match=r"read in 8 tokens.*At least 16"):
        encode([item], task_of(item), tokenizer(), 8)


def test_padding_is_needed() -> None:
    class NoPadding:
        pad_token_id = None

    with pytest.raises(CompatibilityError, match="no padding token"):
        encode([], sentiment(), NoPadding(), 8)


def test_batches_hold_everything_once_within_the_limit() -> None:
    features = encode(sentiment().train, sentiment(), tokenizer(), 32)
    batches = list(by_length(features, tokens=40))
    assert sorted(number for batch in batches for number in batch) == list(range(len(features)))
    assert all(len(batch) * max(len(features[number]) for number in batch) <= 40 or len(batch) == 1 for batch in batches)


def test_like_lengths() -> None:
    lengths = np.random.default_rng(0).integers(4, 100, 333).tolist()
    sampler = LengthGroupedSampler(lengths, 8, seed=5)
    order = list(sampler)
    assert sorted(order) == list(range(333)) and order == list(sampler)
    spread = [np.ptp([lengths[each] for each in order[start:start + 8]]) for start in range(0, 328, 8)]
    assert np.mean(spread) < 10  # of random batches it would be about 80
    sampler.set_epoch(1)
    assert list(sampler) != order
    assert list(LengthGroupedSampler(lengths, 8, seed=6)) != order
