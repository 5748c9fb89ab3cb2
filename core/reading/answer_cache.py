"""Answers of reading teachers, kept by sentence, prompt and teacher, so that none is paid for twice.

    <cache>/reading/<key>.jsonl           one answer a line, appended and flushed as it comes
    <cache>/reading/<key>.reviews.jsonl   what a reader accepted, edited or rejected; the last line about a sentence counts

The key is made of teacher, prompt and longest answer. A line that a killed process left half-written is cut off. Reading needs no torch,
so that a page can show notes while another process takes them.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from core.recorder import Recorder, stop_if_requested
from core.system.locks import alone

FORMAT = 1  # of the lines


@dataclass(frozen=True, slots=True)
class Answer:
    """What a teacher said to a prompt.

    Attributes:
        whole: whether it ended the answer itself.
        prompt_tokens, answer_tokens: in its own vocabulary; what a server bills.
    """

    text: str
    whole: bool = True
    prompt_tokens: int = 0
    answer_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Review:
    """What a reader made of an answer.

    Attributes:
        text: in place of the teacher's, where it was edited.
    """

    action: Literal["accepted", "edited", "rejected"]
    text: str = ""


class AnswerCache:
    """Answers of one teacher to one prompt.

    Args:
        folder: made if it does not exist.
        teacher: its identity; another teacher has other answers.
        prompt: with ``{sentence}`` in it.
        max_new_tokens: longest answer.
    """

    def __init__(self, folder: Path, teacher: str, prompt: str, max_new_tokens: int) -> None:
        self.key = cache_key(teacher, prompt, max_new_tokens)
        self.path, self.reviews_path = folder / f"{self.key}.jsonl", folder / f"{self.key}.reviews.jsonl"
        self._answers: dict[str, Answer] = {
            line["sentence"]: Answer(line["text"], line["whole"], line["prompt_tokens"], line["answer_tokens"])
            for line in _lines(self.path)}

    def __len__(self) -> int:
        return len(self._answers)

    def get(self, sentence: str) -> Answer | None:
        """Return the answer about a sentence; None where there is none."""
        return self._answers.get(digest(sentence))

    def put(self, sentence: str, answer: Answer) -> None:
        """Keep an answer, on disk before this returns."""
        name = digest(sentence)
        self._answers[name] = answer
        _append(self.path, {"sentence": name, **asdict(answer)})

    def tokens(self) -> tuple[int, int]:
        """Return the tokens of all prompts and of all answers that are kept."""
        return sum(each.prompt_tokens for each in self._answers.values()), sum(each.answer_tokens for each in self._answers.values())

    def reviews(self) -> dict[str, Review]:
        """Return what readers made of answers: digest of a sentence -> review."""
        latest = {line["sentence"]: line for line in _lines(self.reviews_path)}
        return {name: Review(line["action"], line["text"]) for name, line in latest.items() if line["action"] != "withdrawn"}

    def review(self, sentence: str, review: Review) -> None:
        """Keep what a reader made of the answer about a sentence."""
        _append(self.reviews_path, {"sentence": digest(sentence), "action": review.action, "text": review.text})

    def withdraw(self, sentence: str) -> None:
        """Undo what a reader made of the answer about a sentence."""
        _append(self.reviews_path, {"sentence": digest(sentence), "action": "withdrawn", "text": ""})

    @contextmanager
    def alone(self, recorder: Recorder) -> Iterator[None]:
        """Let no other process ask the same teacher the same; one that does is waited for, unless a stop is requested."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with alone(self.path.with_suffix(".lock"), partial(stop_if_requested, recorder)):
            _cut(self.path)
            yield


def cache_key(teacher: str, prompt: str, max_new_tokens: int) -> str:
    """Return sixteen hexadecimal digits."""
    return hashlib.sha256(json.dumps([FORMAT, teacher, prompt, max_new_tokens]).encode()).hexdigest()[:16]


def digest(text: str) -> str:
    """Return sixteen hexadecimal digits of a text."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _append(path: Path, line: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line, ensure_ascii=False) + "\n")
        file.flush()
        os.fsync(file.fileno())


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    if path.is_file():
        for line in path.read_text(encoding="utf-8").split("\n")[:-1]:  # what follows the last line end is half-written
            yield json.loads(line)


def _cut(path: Path) -> None:
    """Cut off a line that a killed process left half-written."""
    if path.is_file():
        data = path.read_bytes()
        whole = data[:data.rfind(b"\n") + 1]
        if len(whole) < len(data):
            path.write_bytes(whole)
