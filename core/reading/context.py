"""Whether those who are scored can read every item: known before any note is taken, as far as their vocabulary is there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from core.config import ReadingConfig
from core.config.reading import ORACLE
from core.data import sources
from core.data.rows import Row
from core.errors import CompatibilityError, SetField
from core.reading.corpus import ReadingCorpus
from core.reading.items import ReadingTask
from core.reading.oracle import oracle_paragraphs
from core.reading.scoring import longest_item
from core.reading.texts import TEXT_SEED, text_paragraphs

if TYPE_CHECKING:
    from core.models.entries import LoadedModel


@dataclass(frozen=True, slots=True)
class Reader:
    """A model that is scored.

    Attributes:
        context: tokens of the longest sequence that it reads.
    """

    name: str
    tokenizer: Any
    context: int


def readers(config: ReadingConfig, load: Callable[..., LoadedModel]) -> Iterator[Reader]:
    """Yield the models that a run scores; a vocabulary that does not exist yet is trained on the text, without a model's notes."""
    names = [spec.model for spec in (config.student, config.teacher) if spec is not None and spec.model is not None]
    for name in names:
        loaded = load(name, device="cpu")
        yield Reader(name, loaded.tokenizer, loaded.entry.context)
    if config.student.from_scratch is not None:
        yield new_student(config)


def new_student(config: ReadingConfig) -> Reader:
    """Return the student that is built from nothing."""
    from core.students.from_scratch import tokenizer_from_scratch

    scratch = config.student.from_scratch
    assert scratch is not None, "others begin as a model"
    return Reader("The new student", tokenizer_from_scratch(scratch, _rows(config)), scratch.positions)


def _rows(config: ReadingConfig) -> Iterable[Row]:
    """Return what a new vocabulary is trained on; of a text that nobody has noted yet, the text."""
    spec = config.reading
    if spec.model == ORACLE:
        return ReadingCorpus(spec, config.data, list(oracle_paragraphs(spec.paragraphs, TEXT_SEED)), (), (), 0).rows()
    return ({"text": paragraph.text} for paragraph in islice(text_paragraphs(config.data, "train"), spec.paragraphs))


def local_tasks(names: Sequence[str]) -> tuple[str, ...]:
    """Return the tasks of an exam that are read without the network."""
    return tuple(name for name in names if not sources.is_hub_id(name.partition(":")[0]))


def require_context(names: Sequence[str], tasks: Sequence[ReadingTask], found: Iterable[Reader]) -> str:
    """Check that each reader's context holds the longest item of each task.

    Args:
        names: of the tasks, as recipes have them.

    Raises:
        CompatibilityError: it does not; suggests the tasks whose items fit all readers.
    """
    if not names:
        return "No task is scored."
    longest = 0
    for reader in found:
        tokens = {name: longest_item(reader.tokenizer, task)[1] for name, task in zip(names, tasks, strict=True)}
        beyond = [name for name in names if tokens[name] > reader.context]
        if beyond:
            most, fitting = max(tokens.values()), [name for name in names if name not in beyond]
            raise CompatibilityError(
                f"An item of {', '.join(beyond)} takes {most:,} tokens.", f"{reader.name} reads {reader.context:,}.",
                "Choose tasks with shorter texts (reading.tasks), or a student with a longer context.", field="reading.tasks",
                suggestion=SetField("reading.tasks", fitting) if fitting else None)
        longest = max(longest, max(tokens.values()))
    return f"The longest item of {', '.join(names)} takes {longest:,} tokens."
