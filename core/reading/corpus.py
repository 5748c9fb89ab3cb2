"""What a reading run is trained on and measured with: documents of notes, packed, and tasks that are never trained on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from core.config import DataSpec, ReadingSpec
from core.data.packing import pack
from core.data.prepare import PreparedData, text_edges
from core.data.rows import Row
from core.data.tokenisation import Document
from core.errors import DataError
from core.reading.items import Item, ReadingTask
from core.reading.notes import ReadParagraph
from core.reading.oracle import oracle_paragraphs
from core.reading.oracle_tasks import oracle_items
from core.reading.scoring import longest_item, score_tasks
from core.reading.streams import documents
from core.reading.texts import text_paragraphs

HELD_OUT_PARAGRAPHS = 200  # of the text, for its cross-entropy
HELD_OUT_SEED = 1  # of an oracle's held-out text
READ_SEED = 1  # of items of tasks that are read with their answers; those that are scored have 0


def held_out_texts(spec: ReadingSpec, data: DataSpec) -> list[str]:
    """Return paragraphs of held-out text, without notes."""
    if spec.model == "oracle":
        return [paragraph.text for paragraph in oracle_paragraphs(HELD_OUT_PARAGRAPHS, HELD_OUT_SEED)]
    return [paragraph.text for paragraph, _ in zip(text_paragraphs(data, "validation"), range(HELD_OUT_PARAGRAPHS), strict=False)]


@dataclass(frozen=True)
class ReadingCorpus:
    """Paragraphs with notes, held-out text and tasks.

    Attributes:
        held_out: texts whose cross-entropy is measured.
        seed: of the order of the documents and of shuffled notes.
    """

    spec: ReadingSpec
    data: DataSpec
    paragraphs: Sequence[ReadParagraph]
    held_out: Sequence[str]
    tasks: Sequence[ReadingTask]
    seed: int

    def rows(self) -> Iterator[Row]:
        """Yield the text with all notes, so that students with and without notes have one vocabulary."""
        spec = self.spec.model_copy(update={"notes": "own", "original": 1.0, "entities": 1.0, "questions": 1.0})
        yield from ({"text": document.text} for document in documents(self.paragraphs, spec, seed=0))

    def prepare(self, tokenizer: Any) -> PreparedData:
        """Return packed blocks: the streams for training, held-out text without notes.

        Raises:
            DataError: less text than one block.
        """
        begin, end = text_edges(tokenizer)
        made = documents(self.paragraphs, self.spec, seed=self.seed, begin=begin, end=end)
        made += [Document(item.prompt + item.candidates[item.right] + end, 1.0, (), begin) for item in self.task_items()]
        train = pack(made, tokenizer, self.data.block_length)
        validation = pack((Document(text + end, 1.0, (), begin) for text in self.held_out), tokenizer, self.data.block_length)
        if train.tokens < self.data.block_length or not train.counted or not validation.counted:
            raise DataError("The annotated text holds too little for one block.",
                            f"At least {self.data.block_length} tokens were expected (found: {train.tokens}, counted: {train.counted}).",
                            "Annotate more paragraphs, or set a smaller data.block_length.", field="reading.paragraphs")
        return PreparedData.of(train, validation)

    def task_items(self) -> list[Item]:
        """Return items of the oracle's tasks that are read with their answers; none of them is scored."""
        scored = {item.prompt for task in self.tasks for item in task.items}
        count = self.spec.task_items
        found = [item for task in self.spec.exam for item in oracle_items(task, count, READ_SEED)] if count else []
        return [item for item in found if item.prompt not in scored]

    def measure(self, model: torch.nn.Module, tokenizer: Any, device: torch.device, dtype: torch.dtype) -> dict[str, float]:
        """Return the accuracy of each task and their mean."""
        return score_tasks(model, tokenizer, self.tasks, device, dtype=dtype)

    def rehearse(self, model: torch.nn.Module, tokenizer: Any, device: torch.device, dtype: torch.dtype) -> None:
        """Score the longest item of each task, so that what cannot be scored is found before the first step."""
        small = [ReadingTask(task.name, (longest_item(tokenizer, task)[0],)) for task in self.tasks]
        score_tasks(model, tokenizer, small, device, dtype=dtype)
