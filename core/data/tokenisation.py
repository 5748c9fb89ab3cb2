"""Documents into tokens with weights: the whole text is tokenised once, and each token counts as much as the characters that it holds.

Parts that are tokenised one by one are other tokens than the whole's: SentencePiece puts a space in front of every text that it is
given, and byte-level BPE joins what stands on both sides of a cut. Where the characters of a token are is what the tokenizer says
(its offsets), or, of tokenizers that do not say it, what decoding the first n tokens gives.
"""

from __future__ import annotations

import copy
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from core.errors import DataError
from core.models.model_files import refuse_damaged
from core.models.vocabulary import decode_text


@dataclass(frozen=True, slots=True)
class Span:
    """Characters `start` to `end` of a document, whose tokens count `weight` in the loss."""

    start: int
    end: int
    weight: float


@dataclass(frozen=True, slots=True)
class Document:
    """A text as a model reads it, special tokens included, and how much its tokens count in the loss.

    Attributes:
        text: tokenised as one, with ``add_special_tokens=False``.
        weight: of the tokens that no span touches.
        spans: parts that count otherwise, in their order. A token that reaches into a span counts as the span does.
        begin: the token that the tokenizer itself puts in front of a text, if any; it does not stand in `text`, because a text
            behind it is still the beginning of a text to SentencePiece.
        begin_weight: how much `begin` counts.
    """

    text: str
    weight: float = 1.0
    spans: tuple[Span, ...] = ()
    begin: int | None = None
    begin_weight: float = 0.0


def tokenise(documents: Sequence[Document], tokenizer: Any) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield token ids (T,) int32 and weights (T,) float32 of each document.

    Raises:
        DataError: parts count otherwise than the rest, and the tokenizer neither says where its tokens stand nor gives the text back.
    """
    spanned = any(document.spans for document in documents)
    if spanned and tokenizer.is_fast and _trims(tokenizer):
        tokenizer = _untrimmed(tokenizer)
    texts = [document.text for document in documents]
    if not texts:
        return
    with refuse_damaged("The model's tokenizer", "used"):
        encoded = tokenizer(texts, add_special_tokens=False, return_attention_mask=False, verbose=False)
    for number, (document, tokens) in enumerate(zip(documents, encoded["input_ids"], strict=True)):
        ids = np.asarray(tokens, dtype=np.int32)
        weights = np.full(len(ids), document.weight, dtype=np.float32)
        if document.spans and tokenizer.is_fast:
            offsets = np.array(encoded.encodings[number].offsets, dtype=np.int64).reshape(-1, 2)
            starts, ends = offsets[:, 0], np.maximum(offsets[:, 1], offsets[:, 0] + 1)
            for span in document.spans:
                weights[(starts < span.end) & (ends > span.start)] = span.weight
        elif document.spans:
            for span in document.spans:
                weights[_decoded_range(document.text, tokens, span, tokenizer)] = span.weight
        if document.begin is not None:
            ids, weights = np.append(np.int32(document.begin), ids), np.append(np.float32(document.begin_weight), weights)
        yield ids, weights


def tokens_between(text: str, start: int, end: int, tokenizer: Any) -> list[int]:
    """Return the ids of the tokens of `text` that reach into its characters `start` to `end`. Raises DataError as `tokenise`."""
    (ids, weights), = tokenise([Document(text, 0.0, (Span(start, end, 1.0),))], tokenizer)
    return ids[weights > 0].tolist()


def _trims(tokenizer: Any) -> bool:
    """Return whether offsets leave out the spaces that tokens hold, as those of GPT-2 and Llama 3 do."""
    processor = tokenizer.backend_tokenizer.post_processor
    return processor is not None and b'"trim_offsets":true' in processor.__getstate__()


def _untrimmed(tokenizer: Any) -> Any:
    """Return the same tokenizer with offsets that hold all characters. What it no longer does is for special tokens and offsets alone."""
    from tokenizers.processors import ByteLevel

    tokenizer = copy.deepcopy(tokenizer)
    tokenizer.backend_tokenizer.post_processor = ByteLevel(trim_offsets=False)
    return tokenizer


def _decoded_range(text: str, tokens: Sequence[int], span: Span, tokenizer: Any) -> slice:
    """Return the tokens that reach into a span, by what the first n of them decode to.

    Token n holds the characters from where the first n tokens agree with the text to where the first n + 1 do, or a part of the
    next character.
    """
    @cache
    def agreed(count: int) -> int:
        decoded = decode_text(tokenizer, tokens[:count], skip_special_tokens=False, clean_up_tokenization_spaces=False)
        differs = (at for at, (found, wanted) in enumerate(zip(decoded, text, strict=False)) if found != wanted)
        return next(differs, min(len(decoded), len(text)))

    if agreed(len(tokens)) < len(text):
        raise DataError(f"The tokenizer '{type(tokenizer).__name__}' neither says where its tokens stand nor gives back the text.",
                        "Prompts and answers count differently, so they must be distinguished.",
                        "Set data.prompt_weight to 1, or choose a model with a tokenizer.json.", field="data.prompt_weight")
    counts = range(len(tokens) + 1)
    first = min(bisect_left(counts, span.start, key=agreed), bisect_left(counts, span.start + 1, key=agreed) - 1)
    return slice(first, bisect_left(counts, span.end, key=agreed))
