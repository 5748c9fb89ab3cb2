"""Items of a task as what a model reads: token ids of one length limit, with their targets, in batches of like length.

Single texts that are too long lose their middle: the first third and the last two thirds are kept, where the verdict is (head and
tail as in 1905.05583, section 5.3.1). Of pairs the longer one is cut. Contexts of questions are read in windows that overlap,
as in BERT's reference code (1810.04805, section 4.2); a window without the answer points to its first token.

Shapes: B items, T positions.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Sampler

from core.errors import CompatibilityError
from core.tasks.data import Example, Question, TaskData, of_type

MAX_QUESTION = 64  # tokens of a question that are read, as in BERT's reference code
SHORTEST = 16  # tokens; a window needs a question, specials and some context
CHUNK = 1000  # items tokenised at once: offsets of all would fill the memory
BATCH_TOKENS = 8192  # of one forward pass without gradients, padding included


@dataclass(frozen=True, slots=True)
class Feature:
    """One sequence.

    Attributes:
        input_ids: (T,) int32.
        second: tokens from here on belong to the second text of a pair; T where there is none.
        targets: the class; or the first and the last token of the answer.
        item: number of the example or question that it is made from.
        spans: (T, 2) characters of the context that each token stands for, -1 for those that do not; None for classes.
    """

    input_ids: np.ndarray
    second: int
    targets: tuple[int, ...]
    item: int
    spans: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.input_ids)


def encode(items: Sequence[Example] | Sequence[Question], task: TaskData, tokenizer: Any, positions: int) -> list[Feature]:
    """Return the sequences of one part of a task.

    Args:
        positions: tokens of the longest sequence that every model which reads them can take.

    Raises:
        CompatibilityError: a model that reads too little for questions, or a tokenizer that cannot say where its tokens stand
            or has no token for padding.
    """
    if tokenizer.pad_token_id is None:
        raise CompatibilityError("The tokenizer has no padding token.", "Items of different lengths are padded to one.",
                                 "Set pad_token in the model's tokenizer_config.json.")
    length = min(task.max_length, positions)
    if task.kind == "question_answering":
        questions = of_type(items, Question)
        return [feature for start in range(0, len(questions), CHUNK)
                for feature in _windows(questions[start:start + CHUNK], start, task, tokenizer, length)]
    examples = of_type(items, Example)
    return [feature for start in range(0, len(examples), CHUNK)
            for feature in _examples(examples[start:start + CHUNK], start, tokenizer, length)]


def _examples(items: Sequence[Example], first: int, tokenizer: Any, length: int) -> Iterator[Feature]:
    single = [item for item in items if item.pair is None]
    pairs = [item for item in items if item.pair is not None]
    read = {"add_special_tokens": True, "return_attention_mask": False, "verbose": False}
    ids = iter(tokenizer([item.text for item in single], **read)["input_ids"] if single else ())
    both = iter(tokenizer([item.text for item in pairs], [item.pair for item in pairs], truncation="longest_first", max_length=length,
                          return_token_type_ids=True, **read).encodings if pairs else ())
    for number, item in enumerate(items, start=first):
        if item.pair is None:
            whole = next(ids)
            # Special tokens stand at the two ends, so they are kept.
            kept = whole if len(whole) <= length else whole[:length // 3] + whole[len(whole) - (length - length // 3):]
            yield Feature(np.asarray(kept, np.int32), len(kept), (item.label,), number)
        else:
            pair = next(both)
            yield Feature(np.asarray(pair.ids, np.int32), _second(pair), (item.label,), number)


def _windows(items: Sequence[Question], first: int, task: TaskData, tokenizer: Any, length: int) -> Iterator[Feature]:
    if not tokenizer.is_fast:
        raise CompatibilityError("The tokenizer cannot say which characters its tokens stand for.",
                                 "A span of the context is found by them: a tokenizer with a tokenizer.json was expected.",
                                 "Save the model with its fast tokenizer.")
    limit = min(MAX_QUESTION, length // 2)
    room = length - limit - tokenizer.num_special_tokens_to_add(pair=True)
    if length < SHORTEST or room < 4:
        raise CompatibilityError(f"Questions were to be read in {length} tokens.", f"At least {SHORTEST} are needed for a question, "
                                 "special tokens and some context.", "Raise task.max_length, or choose a model with more positions.",
                                 field="task.max_length")
    encoded = tokenizer([_shortened(item.text, limit, tokenizer) for item in items], [item.context for item in items],
                        truncation="only_second", max_length=length, stride=min(task.doc_stride, room // 2),
                        return_overflowing_tokens=True, return_offsets_mapping=True, verbose=False)
    for number, window in zip(encoded["overflow_to_sample_mapping"], encoded.encodings, strict=True):
        of_context = np.array([sequence == 1 for sequence in window.sequence_ids])
        spans = np.where(of_context[:, None], np.asarray(window.offsets), -1).astype(np.int32)
        yield Feature(np.asarray(window.ids, np.int32), _second(window), _place(spans, items[number]), first + number, spans)


def _shortened(question: str, limit: int, tokenizer: Any) -> str:
    spans = tokenizer(question, add_special_tokens=False, return_offsets_mapping=True, verbose=False)["offset_mapping"]
    return question if len(spans) <= limit else question[:spans[limit - 1][1]]


def _place(spans: np.ndarray, question: Question) -> tuple[int, int]:
    """Return the first and last token of the first answer; (0, 0) where this window does not hold all of it."""
    text, start = question.answers[0]
    end = start + len(text)
    held = np.flatnonzero((spans[:, 0] < end) & (spans[:, 1] > start) & (spans[:, 1] > spans[:, 0]) & (spans[:, 0] >= 0))
    whole = len(held) and spans[held[0], 0] <= start and spans[held[-1], 1] >= end
    return (int(held[0]), int(held[-1])) if whole else (0, 0)


def _second(encoding: Any) -> int:
    """Return where token types change from 0 to 1; the length where the family knows one type only."""
    types = encoding.type_ids
    return types.index(1) if 1 in types else len(types)


# ---------------------------------------------------------------------------------------------------- batches


def collate(features: Sequence[Feature], padding: int, token_types: bool) -> dict[str, Tensor]:
    """Return ``input_ids``, ``attention_mask`` and, for models that take them, ``token_type_ids``: (B, T) int64, padded on the right."""
    longest = max(map(len, features))
    ids = np.full((len(features), longest), padding, np.int64)
    types, mask = np.zeros((2, *ids.shape), np.int64)
    for row, feature in enumerate(features):
        ids[row, :len(feature)] = feature.input_ids
        mask[row, :len(feature)] = 1
        types[row, feature.second:len(feature)] = 1
    batch = {"input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy(mask)}
    return batch | {"token_type_ids": torch.from_numpy(types)} if token_types else batch


def by_length(features: Sequence[Feature], tokens: int = BATCH_TOKENS) -> Iterator[list[int]]:
    """Yield numbers of features in batches of at most so many padded tokens, longest first."""
    batch: list[int] = []
    for number in sorted(range(len(features)), key=lambda each: -len(features[each])):
        if batch and (len(batch) + 1) * len(features[batch[0]]) > tokens:
            yield batch
            batch = []
        batch.append(number)
    if batch:
        yield batch


class LengthGroupedSampler(Sampler):
    """Features in an order in which those of one batch are of like length.

    They are shuffled, sorted within groups of many batches, and the batches shuffled again. The order depends on the seed and the epoch
    alone, so a resumed training finds it again.

    Args:
        lengths: tokens of each feature.
        batch: features of a batch.
    """

    GROUP = 32  # batches

    def __init__(self, lengths: Sequence[int], batch: int, seed: int) -> None:
        self.lengths, self.batch, self.seed, self.epoch = lengths, batch, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch whose order `__iter__` gives."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[int]:
        rng = random.Random(f"{self.seed}/{self.epoch}")
        order = rng.sample(range(len(self.lengths)), len(self.lengths))
        batches: list[list[int]] = []
        for start in range(0, len(order), self.GROUP * self.batch):
            group = sorted(order[start:start + self.GROUP * self.batch], key=lambda each: -self.lengths[each])
            batches += [group[first:first + self.batch] for first in range(0, len(group), self.batch)]
        # A batch that is not full ends the epoch, wherever it stands in the order: in front of others it would shift them.
        full = [batch for batch in batches if len(batch) == self.batch]
        rng.shuffle(full)
        for batch in [*full, *(batch for batch in batches if len(batch) < self.batch)]:
            yield from batch
