"""A reading corpus: packed streams, held-out text without notes, one vocabulary for all controls."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from core.config import DataSpec, ReadingSpec
from core.errors import DataError
from core.reading import corpus as corpus_module
from core.reading.corpus import ReadingCorpus, held_out_texts
from core.reading.items import ReadingTask
from core.reading.oracle import oracle_paragraphs
from core.reading.tasks import load_tasks
from tests.core.chat_models import chat_model, chat_tokenizer


def corpus(block_length: int = 64, count: int = 4, **spec) -> ReadingCorpus:
    reading = ReadingSpec(**spec)
    return ReadingCorpus(reading, DataSpec(block_length=block_length), list(oracle_paragraphs(count, 0)),
                         held_out_texts(reading, DataSpec())[:3], (), seed=0)


def test_training_blocks_hold_notes_and_held_out_ones_none() -> None:
    tokenizer = chat_tokenizer()
    data = corpus().prepare(tokenizer)
    train, held_out = ("".join(tokenizer.batch_decode(blocks.input_ids)) for blocks in (data.train, data.validation))
    assert "Question:" in train and "Entities:" in train and "Question:" not in held_out
    assert data.train.documents == 12 and data.validation.documents == 3
    shuffled, further = (corpus(notes=notes).prepare(tokenizer) for notes in ("shuffled", "none"))
    assert shuffled.train.tokens == data.train.tokens and len({data.digest, shuffled.digest, further.digest}) == 3


def test_a_vocabulary_is_trained_on_the_same_text_whatever_is_read() -> None:
    assert list(corpus().rows()) == list(corpus(notes="none").rows()) == list(corpus(notes="shuffled", entities=0.0).rows())


def test_items_of_tasks_are_read_with_their_answers_and_none_is_scored() -> None:
    own = corpus(task_items=3)
    tasks = load_tasks(own.spec, ())
    own = replace(own, tasks=tasks)
    read, scored = own.task_items(), {item.prompt for task in tasks for item in task.items}
    assert 10 < len(read) <= 15 and not scored & {item.prompt for item in read}
    assert own.prepare(chat_tokenizer()).train.documents == 12 + len(read) and not corpus().task_items()


def test_a_rehearsal_scores_the_longest_item_of_each_task(monkeypatch: pytest.MonkeyPatch) -> None:
    own, seen = corpus(items=6), list[ReadingTask]()
    own = replace(own, tasks=load_tasks(own.spec, ()))
    monkeypatch.setattr(corpus_module, "score_tasks", lambda model, tokenizer, tasks, device, *, dtype: seen.extend(tasks))
    own.rehearse(chat_model(), chat_tokenizer(), torch.device("cpu"), torch.float32)
    assert [(task.name, len(task.items)) for task in seen] == [(task.name, 1) for task in own.tasks]
    for small, task in zip(seen, own.tasks, strict=True):
        lengths = {item: max(len(chat_tokenizer()(item.prompt + each).input_ids) for each in item.candidates) for item in task.items}
        assert lengths[small.items[0]] == max(lengths.values())


def test_less_than_a_block_is_refused() -> None:
    with pytest.raises(DataError, match="too little for one block") as refused:
        corpus(4096, 2).prepare(chat_tokenizer())
    assert refused.value.field == "reading.paragraphs"
