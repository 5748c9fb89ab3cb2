"""Read together: the teacher's notes of sentences, and what the student notes of them before and after its training.

    <run>/together.json    sentence -> behaviour -> teacher, before, after; of a few sentences, when the run ends
    live_notes             of any sentences, one note after the other
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from core.reading.notes import BEHAVIOURS, ENTITIES, QUESTION, Behaviour, ReadParagraph, SentenceNotes
from core.system.files import read_json, write_json

FILE, SENTENCES, LONGEST = "together.json", 8, 48  # sentences that are read together; tokens of a student's note
LABELS = {"entities": ENTITIES, "questions": QUESTION}


def chosen_sentences(paragraphs: Sequence[ReadParagraph], count: int = SENTENCES) -> list[SentenceNotes]:
    """Return the first sentences that have both kinds of notes, or else those that have any."""
    every = list({each.sentence: each for paragraph in paragraphs for each in paragraph.sentences
                  if any(each.of(behaviour) for behaviour in BEHAVIOURS)}.values())
    both = [each for each in every if all(each.of(behaviour) for behaviour in BEHAVIOURS)]
    return (both or every)[:count]


def student_notes(model: Any, tokenizer: Any, sentences: Sequence[str], separator: str) -> dict[str, dict[str, str]]:
    """Return what a student notes of sentences, sentence -> behaviour -> the rest of the line, greedily."""
    found, ask = {sentence: dict[str, str]() for sentence in sentences}, _asking(model, tokenizer, separator)
    for behaviour in BEHAVIOURS:
        answers = ask(sentences, behaviour, lambda: False)
        assert answers is not None, "nothing stops it"
        for sentence, said in zip(sentences, answers, strict=True):
            found[sentence][behaviour] = said
    return found


def live_notes(model: Any, tokenizer: Any, sentences: Sequence[str], separator: str,
               stop: Callable[[], bool]) -> Iterator[tuple[int, Behaviour, str]]:
    """Yield what a student notes, sentence by sentence, greedily: number of the sentence, behaviour, the rest of the line.

    Args:
        stop: called before every token; it ends the iteration.
    """
    ask = _asking(model, tokenizer, separator)
    for number, sentence in enumerate(sentences):
        for behaviour in BEHAVIOURS:
            answers = ask([sentence], behaviour, stop)
            if answers is None:
                return
            yield number, behaviour, answers[0]


def _asking(model: Any, tokenizer: Any, separator: str) -> Callable[[Sequence[str], Behaviour, Callable[[], bool]], list[str] | None]:
    """Return what lets a student note something of sentences: its answers with their label; None where it was stopped."""
    import torch

    from core.data.conversation import context_length
    from core.data.prepare import text_edges
    from core.generation.batched import Candidates, generate_batch
    from core.models.vocabulary import decode_text
    from core.reading.teachers import line_ends

    begin, _ = text_edges(tokenizer)
    context, ends = context_length(model), line_ends(tokenizer)
    longest = min(LONGEST, context // 2)  # of a note, so that the end of its sentence fits too
    first, room = [] if begin is None else [begin], context - longest

    def ask(sentences: Sequence[str], behaviour: Behaviour, stop: Callable[[], bool]) -> list[str] | None:
        label = LABELS[behaviour]
        texts = [f"{sentence}{separator}{label}" for sentence in sentences]
        prompts = [(first + tokenizer(text, add_special_tokens=False).input_ids)[-room:] for text in texts]
        answers = generate_batch(model, tokenizer, prompts, max_new_tokens=longest, candidates=Candidates(0.0, 1, 1.0),
                                 generator=torch.Generator(), stop=stop, end_ids=ends)
        return None if answers is None else [f"{label} {decode_text(tokenizer, ids, skip_special_tokens=True).strip()}" for ids in answers]

    return ask


def write_together(folder: Path, sentences: Sequence[SentenceNotes], before: Mapping[str, Mapping[str, str]],
                   after: Mapping[str, Mapping[str, str]]) -> None:
    """Keep what teacher and student noted beside a run; `before` is empty where it is not known."""
    def said(each: SentenceNotes, behaviour: Behaviour) -> dict[str, str]:
        return {"teacher": each.of(behaviour) or "", "before": before.get(each.sentence, {}).get(behaviour, ""),
                "after": after[each.sentence][behaviour]}

    write_json(folder / FILE, {"sentences": [{"sentence": each.sentence, **{behaviour: said(each, behaviour) for behaviour in BEHAVIOURS}}
                                             for each in sentences]})


def read_together(folder: Path) -> list[dict[str, Any]]:
    """Return what `write_together` kept; nothing where there is nothing."""
    plain = read_json(folder / FILE)
    return plain["sentences"] if isinstance(plain, dict) and "sentences" in plain else []
