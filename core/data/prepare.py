"""A data specification into training and validation blocks: rows -> documents -> blocks, kept in a cache.

Causal models read conversations and texts as they are. Masked models read plain texts, each between the tokens that their
tokenizer begins and ends a text with; short ones share a block, as in RoBERTa (1907.11692, section 4.2).
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np

from core.config import DataSpec
from core.config.base import counted
from core.data import movie_reviews, sources
from core.data.chat_template import render, render_answers
from core.data.hub_datasets import hub_revision
from core.data.packing import Blocks, pack
from core.data.rows import Located, Row
from core.data.tokenisation import Document, Span
from core.data.tokenizers import texts
from core.errors import DataError
from core.models.architectures import Objective
from core.recipe_keys import release_names
from core.system.files import unique_suffix

WORDS_PER_TOKEN = 0.62  # house reviews are cut to this many words a token, so that review and answer share a block
VALIDATION_ROWS = 4000
FORMAT = 5  # of cached blocks: to be raised when the same specification gives other blocks


@dataclass(frozen=True)
class PreparedData:
    """What training and evaluation read.

    Attributes:
        digest: twelve hexadecimal digits over the tokens of all blocks and their weights.
    """

    train: Blocks
    validation: Blocks
    digest: str

    @classmethod
    def of(cls, train: Blocks, validation: Blocks) -> PreparedData:
        """Return the blocks with the fingerprint of their tokens and weights."""
        parts = hashlib.sha256()
        for blocks in (train, validation):
            parts.update(blocks.input_ids.tobytes())
            parts.update(blocks.weights.tobytes())
        return cls(train, validation, parts.hexdigest()[:12])


def rows(spec: DataSpec, split: Literal["train", "validation"], seed: int, objective: Objective = "causal") -> Iterator[Row]:
    """Yield rows of the training or validation part, whatever the source. Validation rows do not depend on the seed."""
    yield from (row for _, row in located_rows(spec, split, seed, objective))


def located_rows(spec: DataSpec, split: Literal["train", "validation"], seed: int, objective: Objective = "causal") -> Iterator[Located]:
    """Yield the rows of `rows`, each with the words by which messages name it."""
    limit = spec.max_rows if split == "train" else VALIDATION_ROWS
    if spec.source == movie_reviews.HOUSE:
        for number, row in enumerate(_house_rows(spec, split, seed, objective, limit), start=1):
            yield f"The house corpus, {split} row {number}", row
        return
    yield from islice(sources.located_rows(spec, split), limit)


def _house_rows(spec: DataSpec, split: Literal["train", "validation"], seed: int, objective: Objective, limit: int | None) -> Iterator[Row]:
    if objective == "masked":
        return movie_reviews.texts(split, seed=seed if split == "train" else 0, limit=limit)
    words = round(spec.block_length * WORDS_PER_TOKEN)
    if split == "train":
        return movie_reviews.rows("train", seed=seed, passes=spec.corpus_epochs, label_weight=spec.label_weight, words=words,
                                  small_talk=spec.identity_question_every, limit=limit)
    return movie_reviews.rows("validation", seed=0, label_weight=spec.label_weight, words=words, limit=limit)


def document(row: Row, tokenizer: Any, spec: DataSpec, objective: Objective) -> Document:
    """Return what models of an objective read of a row, and how much its tokens count.

    Masked models read the text alone, whatever the row's format. In causal models answers count `row["weight"]` (1 when absent),
    each with the token that ends it, prompts `spec.prompt_weight`, plain text 1. A tokenizer that begins texts with a token of its
    own does so here too; the end of a text is marked wherever there is an end token.

    Raises:
        DataError: prompts and answers count differently, and the template does not tell them apart; or it refuses the conversation.
    """
    if objective == "masked":
        return Document("\n".join(texts([row])))
    prompt_weight, answer_weight = spec.prompt_weight, row.get("weight", 1.0)
    if "messages" in row:
        return _conversation(row["messages"], tokenizer, prompt_weight, answer_weight)
    begin, end = text_edges(tokenizer)
    if "prompt" in row:
        text = row["prompt"] + row["completion"] + end
        spans = () if prompt_weight == answer_weight else (Span(len(row["prompt"]), len(text), answer_weight),)
        return Document(text, prompt_weight, spans, begin, prompt_weight)
    return Document(row["text"] + end, 1.0, (), begin)


def packed(documents: Iterable[Document], tokenizer: Any, spec: DataSpec, objective: Objective) -> Blocks:
    """Return documents as blocks; a masked model's texts stand between the tokens that its tokenizer begins and ends them with."""
    edges = (tokenizer.cls_token_id, tokenizer.sep_token_id)
    return pack(documents, tokenizer, spec.block_length, None if objective == "causal" or None in edges else edges)


def text_edges(tokenizer: Any) -> tuple[int | None, str]:
    """Return the token that the tokenizer begins every text with, if any, and the text of the one that ends it."""
    starts_itself = tokenizer.bos_token_id is not None and tokenizer("").input_ids[:1] == [tokenizer.bos_token_id]
    return (tokenizer.bos_token_id if starts_itself else None), (tokenizer.eos_token or "")


def _conversation(messages: list[dict[str, str]], tokenizer: Any, prompt_weight: float, answer_weight: float) -> Document:
    if prompt_weight == answer_weight:
        return Document(render(messages, tokenizer), prompt_weight)
    text, answers = render_answers(messages, tokenizer)
    if answers is None:
        raise DataError("The model's chat template rewrites this conversation, so that its answers cannot be found in it.",
                        f"Tokens of prompts count {prompt_weight:g} and those of answers {answer_weight:g}, so they must be distinguished.",
                        "Set data.prompt_weight to 1, or put {% generation %} and {% endgeneration %} around what the assistant writes "
                        "in the model's chat_template.", field="data.prompt_weight")
    return Document(text, prompt_weight, tuple(Span(start, end, answer_weight) for start, end in answers))


def prepare(spec: DataSpec, tokenizer: Any, seed: int, cache_dir: Path | None = None, objective: Objective = "causal") -> PreparedData:
    """Read, split, tokenise and pack; the result is kept under `cache_dir` and found again for equal input.

    Args:
        objective: of the models that read it.

    Raises:
        DataError: unreadable data, or less text than one training and one validation block.
    """
    cached = cache_dir / f"blocks-{_key(spec, tokenizer, seed, objective)}.npz" if cache_dir else None
    if cached and cached.is_file():
        return read_blocks(cached)
    train, validation = (_packed_rows(spec, split, tokenizer, seed, objective) for split in ("train", "validation"))
    for part, blocks, least in (("training", train, spec.block_length), ("validation", validation, 2)):
        if blocks.tokens < least or not blocks.counted:
            raise DataError(f"'{spec.source}' holds too little {part} text for blocks of {spec.block_length} tokens.",
                            f"At least one full block is needed (tokens found: {blocks.tokens}, counted: {blocks.counted}).",
                            "Use more text, a smaller data.block_length, or a larger data.validation_fraction.", field="data.block_length")
    data = PreparedData.of(train, validation)
    if cached:
        _write(cached, data)
    return data


def held_out_blocks(spec: DataSpec, tokenizer: Any, objective: Objective = "causal") -> Blocks:
    """Return the validation blocks that `prepare` gives, without reading what is learnt from. Raises DataError as `prepare`."""
    blocks = _packed_rows(spec, "validation", tokenizer, 0, objective)
    if not blocks.counted:
        raise DataError(f"'{spec.source}' holds no held-out text.", "At least one block with text was expected.",
                        "Use more text, or a larger data.validation_fraction.", field="data.validation_fraction")
    return blocks


def _packed_rows(spec: DataSpec, split: Literal["train", "validation"], tokenizer: Any, seed: int, objective: Objective) -> Blocks:
    rows = located_rows(spec, split, seed, objective)
    return packed((located_document(row, tokenizer, spec, objective) for row in rows), tokenizer, spec, objective)


def located_document(located: Located, tokenizer: Any, spec: DataSpec, objective: Objective) -> Document:
    """Return a row as a document. Raises DataError as `document`, which names the row."""
    where, row = located
    try:
        return document(row, tokenizer, spec, objective)
    except DataError as error:
        raise DataError(f"{where}: {error.given}", error.expected, error.fix, field=error.field, suggestion=error.suggestion) from error


def _key(spec: DataSpec, tokenizer: Any, seed: int, objective: Objective) -> str:
    vocabulary = tokenizer.backend_tokenizer.to_str() if tokenizer.is_fast else tokenizer.get_vocab()
    plain = counted(spec, spec.model_dump(mode="json"), "data")
    key: dict[str, Any] = {"format": FORMAT, "spec": release_names({"data": plain})["data"], "seed": seed,
                           "template": tokenizer.chat_template,
                           "vocabulary": vocabulary, "special": tokenizer.special_tokens_map,
                           "edges": text_edges(tokenizer)}
    if objective == "masked":
        key["objective"] = objective
    file = Path(os.path.expanduser(spec.source))
    if spec.source == movie_reviews.HOUSE:
        key["package"] = movie_reviews.version()
    elif file.is_file():
        key["file"] = (file.stat().st_size, file.stat().st_mtime_ns)
    elif sources.is_hub_id(spec.source):
        key["revision"] = hub_revision(spec)
    return hashlib.sha256(json.dumps(key, sort_keys=True, default=str).encode()).hexdigest()[:12]


def _write(path: Path, data: PreparedData) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{unique_suffix()}.partial")
    write_blocks(partial, data)
    partial.replace(path)


def write_blocks(path: Path, data: PreparedData) -> None:
    """Write blocks to a file, whatever its name ends with."""
    with path.open("wb") as file:
        np.savez(file, train_ids=data.train.input_ids, train_weights=data.train.weights, train_documents=data.train.documents,
                 validation_ids=data.validation.input_ids, validation_weights=data.validation.weights,
                 validation_documents=data.validation.documents,
                 train_tokens=data.train.tokens, validation_tokens=data.validation.tokens)


def read_blocks(path: Path) -> PreparedData:
    """Read what `write_blocks` wrote."""
    with np.load(path, allow_pickle=False) as held:
        parts = {part: Blocks(held[f"{part}_ids"], held[f"{part}_weights"], int(held[f"{part}_documents"]),
                              int(held[f"{part}_tokens"])) for part in ("train", "validation")}
    return PreparedData.of(**parts)
