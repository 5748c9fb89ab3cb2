"""Who is scored can read every item, or is refused with the tasks that fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from core.config import ReadingConfig
from core.errors import CompatibilityError, SetField
from core.models import catalog
from core.reading.context import Reader, local_tasks, readers, require_context
from core.reading.items import Item, ReadingTask
from core.recipes import parse_recipe
from tests.core.chat_models import chat_tokenizer, save_chat_model

NAMES = ("short.jsonl", "long.jsonl")
TASKS = (ReadingTask("short", (Item("A film", (" is", " is old"), 0),)),
         ReadingTask("long", (Item("A film", (" is",), 0), Item("A quiet film with a very good script", (" is", " is dull and old"), 1))))
SCRATCH = {"architecture": "llama", "layers": 1, "hidden": 16, "heads": 2, "key_value_heads": 2, "intermediate_size": 32,
           "vocabulary": 400, "positions": 128}


def tokens(text: str) -> int:
    return len(chat_tokenizer()(text).input_ids)


def test_the_longest_item_is_that_of_prompt_and_candidate_together() -> None:
    longest = tokens("A quiet film with a very good script is dull and old")
    said = require_context(NAMES, TASKS, [Reader("x", chat_tokenizer(), longest)])
    assert said == f"The longest item of short.jsonl, long.jsonl takes {longest} tokens."
    with pytest.raises(CompatibilityError, match=rf"An item of long\.jsonl takes {longest} tokens\. y reads {longest - 1}") as refused:
        require_context(NAMES, TASKS, [Reader("x", chat_tokenizer(), longest), Reader("y", chat_tokenizer(), longest - 1)])
    assert refused.value.suggestion == SetField("reading.tasks", ["short.jsonl"]) and refused.value.field == "reading.tasks"


def test_where_no_task_fits_none_is_suggested() -> None:
    with pytest.raises(CompatibilityError, match=r"An item of short\.jsonl, long\.jsonl takes") as refused:
        require_context(NAMES, TASKS, [Reader("x", chat_tokenizer(), 2)])
    assert refused.value.suggestion is None


def config(reading: dict[str, Any], **changes: Any) -> ReadingConfig:
    found = parse_recipe({"kind": "reading", "reading": {"paragraphs": 12, **reading}, "teacher": None, **changes})
    assert isinstance(found, ReadingConfig)
    return found


def test_student_and_the_teacher_that_is_distilled_are_both_readers(tmp_path: Path) -> None:
    teacher, student = (str(save_chat_model(tmp_path / name, positions=room)) for name, room in (("teacher", 256), ("student", 96)))
    found = list(readers(config({"model": "oracle"}, student={"model": student}, teacher={"model": teacher},
                                losses={"w_kd": 1.0, "w_hard": 1.0}), catalog.load))
    assert [(each.name, each.context) for each in found] == [(student, 96), (teacher, 256)]


@pytest.mark.parametrize("model", ["oracle", "someone"])
def test_the_vocabulary_of_a_new_student_is_trained_on_the_text(model: str, tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("\n\n".join(f"Film number {number} has a very good script." for number in range(40)))
    reader, = readers(config({"model": model}, student={"from_scratch": SCRATCH}, data={"source": str(text)}), catalog.load)
    assert reader.context == 128
    assert (" script" in map(reader.tokenizer.decode, range(len(reader.tokenizer)))) == (model == "someone")


def test_tasks_of_the_hub_are_not_among_those_that_are_here(tmp_path: Path) -> None:
    assert local_tasks(("typing", "house-sentiment", "nyu-mll/glue:rte", "google/boolq", "./tasks/own.jsonl")) == (
        "typing", "house-sentiment", "./tasks/own.jsonl")
