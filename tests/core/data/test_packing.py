"""Packing keeps documents whole, loses nothing and pads little."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from core.data.packing import best_fit, pack
from core.data.tokenisation import Document, Span
from tests.core.chat_models import chat_tokenizer

LENGTH = 16


@settings(max_examples=50, deadline=None)
@given(lengths=st.lists(st.integers(1, LENGTH), max_size=60))
def test_best_fit_places_each_item_once_and_never_overfills(lengths):
    bins = best_fit(lengths, LENGTH)
    assert sorted(item for bin_ in bins for item in bin_) == list(range(len(lengths)))
    assert all(sum(lengths[item] for item in bin_) <= LENGTH for bin_ in bins)
    # Two bins at most half full would have been one.
    assert sum(sum(lengths[item] for item in bin_) * 2 <= LENGTH for bin_ in bins) <= 1


def test_best_fit_takes_the_tightest_room():
    # 10 and 8 leave rooms of 6 and 8; the 6 belongs into the first, the 8 into the second.
    assert best_fit([10, 8, 8, 6], LENGTH) == [[0, 3], [1, 2]]


def document(number: int, prompt: str, answer: str) -> Document:
    return Document(prompt + answer, 0.0, (Span(len(prompt), len(prompt + answer), float(number)),))


def documents() -> list[Document]:
    words = ["a", "quiet", "film", "with", "a", "very", "good", "script", "that", "is", "never", "dull", "and", "touching"]
    return [document(n + 1, " ".join(words[: n % 7 + 1]), f" {words[n % 11]}<|end|>") for n in range(30)]


def test_every_token_and_its_weight_survive():
    tokenizer = chat_tokenizer()
    blocks = pack(documents(), tokenizer, LENGTH)
    # In this byte-level vocabulary a word with its space is never joined with what stands before it.
    expected = sorted((token, weight) for document in documents() for span in document.spans
                      for text, weight in ((document.text[:span.start], 0.0), (document.text[span.start:], span.weight))
                      for token in tokenizer(text, add_special_tokens=False).input_ids)
    real = blocks.input_ids != tokenizer.pad_token_id
    assert sorted(zip(blocks.input_ids[real].tolist(), blocks.weights[real].tolist(), strict=True)) == expected
    assert blocks.tokens == len(expected) and blocks.documents == 30
    assert blocks.weights[~real].sum() == 0
    assert blocks.padding == 1 - len(expected) / blocks.input_ids.size < 0.2


def test_documents_that_fit_stay_whole_and_long_ones_are_cut():
    tokenizer = chat_tokenizer()
    text = "good script" * 12
    ids = tokenizer(text, add_special_tokens=False).input_ids
    assert len(ids) > LENGTH
    blocks = pack([Document(text), Document("dull")], tokenizer, LENGTH)
    joined = blocks.input_ids[blocks.input_ids != tokenizer.pad_token_id]
    assert joined[:LENGTH].tolist() == ids[:LENGTH]
    for document in documents():
        whole = tokenizer(document.text, add_special_tokens=False).input_ids
        packed = pack(documents(), tokenizer, 64)
        windows = np.lib.stride_tricks.sliding_window_view(packed.input_ids, len(whole), axis=1)
        assert (windows == np.array(whole)).all(-1).any()


def test_the_first_blocks_resemble_the_whole():
    """Best-fit packing begins with the longest documents; what is evaluated is the first blocks."""
    full = Document("good" * LENGTH, 5.0)  # one token a word: fills a block
    blocks = pack([full] * 40 + [Document("dull")] * 40 * LENGTH, chat_tokenizer(), LENGTH)
    assert len(blocks) >= 80
    share = [float((blocks.take(count).weights[:, 1] == 5.0).mean()) for count in (len(blocks) // 4, len(blocks))]
    assert abs(share[0] - share[1]) < 0.25


def test_nothing_gives_no_blocks():
    blocks = pack([], chat_tokenizer(), LENGTH)
    assert len(blocks) == 0 and blocks.input_ids.shape == (0, LENGTH) and blocks.counted == 0


def test_the_first_token_of_a_block_never_counts():
    blocks = pack([Document("film")], chat_tokenizer(), LENGTH)
    assert blocks.counted == int((blocks.weights > 0).sum()) - 1
