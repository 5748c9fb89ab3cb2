"""Annotate a text: a resumable job, whose answers are kept by sentence, prompt and teacher, and an Arrow dataset of what it found."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.config import ReadingSpec
from core.config.reading import ORACLE, SENTENCE
from core.errors import DataError, shorten
from core.events import Annotating, RunWarning
from core.reading.answer_cache import Answer, AnswerCache, Review, digest
from core.reading.notes import BEHAVIOURS, Behaviour, Entity, Question, ReadParagraph, SentenceNotes
from core.reading.oracle import NAME, VERSION, oracle_paragraphs
from core.reading.text import Paragraph, require_usable, usable
from core.reading.validation import REJECTED, Validated, ValidationStatistics, statistics_of, validate
from core.recorder import Recorder, StopRequested, stop_if_requested
from core.system.paths import cache_dir

if TYPE_CHECKING:
    import pyarrow as pa

    from core.reading.teachers import ReadingTeacher

TEXT_SEED = 0  # of an oracle's text, and of the order of the house corpus; the seed of a run is that of its training
GIVE_UP_AFTER = 40  # answers, none of them valid
SHOWN = 10  # of those
TRIED = 20  # longest sentences, whose prompts are tried before the first answer
REPORT_EVERY = 1.0  # seconds between two events
OTHER_SCRIPT = 0.5  # share of letters outside the Latin script from which a prompt in it is doubtful


@dataclass(frozen=True, slots=True)
class Source:
    """Where notes come from; the provenance columns of the dataset.

    Attributes:
        teacher: as recipes name it.
        identity: what caches are keyed by: its weights, or its name at a server.
        exact: whether notes are known by construction.
    """

    teacher: str
    identity: str
    entity_prompt: str
    question_prompt: str
    exact: bool

    @classmethod
    def of(cls, spec: ReadingSpec, identity: str) -> Source:
        """Return the source of notes of a recipe; prompts by the digests of their texts."""
        return cls(spec.model, identity, digest(spec.entity_prompt), digest(spec.question_prompt), spec.model == ORACLE)


@dataclass(frozen=True)
class Annotation:
    """Notes on a text.

    Attributes:
        answers: behaviour -> sentence -> the teacher's answer and what was left of it; empty for an oracle.
        usable: sentences of a usable length.
        seconds: that this call took.
        queried: answers that this call requested; all others were kept.
    """

    paragraphs: tuple[ReadParagraph, ...]
    source: Source
    answers: Mapping[Behaviour, Mapping[str, tuple[Answer, Validated]]] = field(default_factory=dict)
    reviews: Mapping[Behaviour, Mapping[str, Review]] = field(default_factory=dict)
    usable: int = 0
    seconds: float = 0.0
    queried: int = 0

    @property
    def statistics(self) -> ValidationStatistics:
        """Return how many answers are valid, and why others are not."""
        return statistics_of((behaviour, validated) for behaviour, found in self.answers.items() for _, validated in found.values())

    def to_dict(self) -> dict[str, Any]:
        """Return what a report says of it."""
        sentences = sum(len(paragraph.sentences) for paragraph in self.paragraphs)
        return {"teacher": self.source.teacher, "exact": self.source.exact, "paragraphs": len(self.paragraphs), "sentences": sentences,
                "usable": self.usable, "queried": self.queried, "seconds": round(self.seconds, 2),
                "sentences_per_second": round(self.queried / len(BEHAVIOURS) / self.seconds, 3) if self.queried and self.seconds else None,
                **self.statistics.to_dict()}

    def table(self) -> pa.Table:
        """Return one row a sentence: its place, its notes, the answers that they come from, why some were dropped, and their source."""
        import pyarrow as pa

        rows = [self._row(number, place, notes) for number, paragraph in enumerate(self.paragraphs)
                for place, notes in enumerate(paragraph.sentences)]
        entity = pa.struct([("text", pa.string()), ("type", pa.string()), ("note", pa.string()), ("start", pa.int32())])
        question = pa.struct([("question", pa.string()), ("answer", pa.string()), ("start", pa.int32())])
        texts = ("entities_answer", "questions_answer", "entities_review", "questions_review", "teacher", "identity", "entity_prompt",
                 "question_prompt")
        schema = pa.schema([("paragraph", pa.int32()), ("position", pa.int32()), ("sentence", pa.string()), ("entities", pa.list_(entity)),
                            ("questions", pa.list_(question)), ("entities_dropped", pa.list_(pa.string())),
                            ("questions_dropped", pa.list_(pa.string())), *((name, pa.string()) for name in texts), ("exact", pa.bool_())])
        return pa.Table.from_pylist(rows, schema=schema)

    def _row(self, paragraph: int, position: int, notes: SentenceNotes) -> dict[str, Any]:
        row: dict[str, Any] = {"paragraph": paragraph, "position": position, "sentence": notes.sentence,
                               "entities": notes.entities and [asdict(each) for each in notes.entities],
                               "questions": notes.questions and [asdict(each) for each in notes.questions]}
        if notes.entities == ():
            row["entities"] = []
        for behaviour in BEHAVIOURS:
            answer, validated = self.answers.get(behaviour, {}).get(notes.sentence, (None, None))
            review = self.reviews.get(behaviour, {}).get(digest(notes.sentence))
            row |= {f"{behaviour}_answer": answer and answer.text, f"{behaviour}_dropped": validated and list(validated.dropped),
                    f"{behaviour}_review": review and review.action}
        return row | {"teacher": self.source.teacher, "identity": self.source.identity, "entity_prompt": self.source.entity_prompt,
                      "question_prompt": self.source.question_prompt, "exact": self.source.exact}

    def save(self, folder: Path) -> None:
        """Write ``notes.arrow`` (`datasets.Dataset.from_file` reads it) and ``notes.json``, what `to_dict` says."""
        import pyarrow as pa

        folder.mkdir(parents=True, exist_ok=True)
        table = self.table()
        with pa.OSFile(str(folder / "notes.arrow"), "wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
            writer.write_table(table)
        (folder / "notes.json").write_text(json.dumps(self.to_dict(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def load_paragraphs(folder: Path) -> list[ReadParagraph]:
    """Return the paragraphs and notes that `Annotation.save` wrote; none where there is no such file. Needs no torch."""
    import pyarrow as pa

    path, found = folder / "notes.arrow", dict[int, list[SentenceNotes]]()
    if not path.is_file():
        return []
    with pa.memory_map(str(path)) as file, pa.ipc.open_stream(file) as reader:
        rows = reader.read_all().select(["paragraph", "sentence", "entities", "questions"]).to_pylist()
    for row in rows:
        entities = None if row["entities"] is None else tuple(Entity(**each) for each in row["entities"])
        questions = None if row["questions"] is None else tuple(Question(**each) for each in row["questions"])
        found.setdefault(row["paragraph"], []).append(SentenceNotes(row["sentence"], entities, questions))
    return [ReadParagraph(tuple(sentences)) for sentences in found.values()]


def annotate(spec: ReadingSpec, texts: Callable[[], Iterable[Paragraph]], recorder: Recorder, teacher: Callable[[], ReadingTeacher],
             identity: str, *, cache: Path | None = None, origin: str = "the text") -> Annotation:
    """Take notes of the first `spec.paragraphs` paragraphs, or resume it.

    Args:
        texts: the text; not read for an oracle, which writes its own.
        teacher: makes the teacher, where there is something left to query it about.
        identity: of the teacher, for the cache.
        cache: where answers are kept (default: the home folder's).
        origin: names the text in messages.

    Raises:
        StopRequested: what was answered is kept.
        DataError: no sentence of usable length, or none of the first answers is valid: ten of them are shown.
        TeacherServerError: the server fails, or a budget is spent; what was answered is kept.
    """
    if spec.model == ORACLE:
        made = tuple(oracle_paragraphs(spec.paragraphs, TEXT_SEED))
        return Annotation(made, Source.of(spec, f"{NAME}-{VERSION}"), usable=sum(
            each.entities is not None for paragraph in made for each in paragraph.sentences))
    started, paragraphs = time.monotonic(), tuple(islice(texts(), spec.paragraphs))
    require_usable(paragraphs, spec.shortest, spec.longest, origin)
    _warn_of_script(paragraphs, recorder)
    sentences = usable_sentences(paragraphs, spec)
    work, made_teacher, queried = caches(spec, identity, cache), None, 0
    for behaviour in wanted(spec):
        answers = work[behaviour]
        with answers.alone(recorder):
            answers = work[behaviour] = caches(spec, identity, cache)[behaviour]  # another process may have written since
            missing = [sentence for sentence in sentences if answers.get(sentence) is None]
            if missing:
                stop_if_requested(recorder)
                if made_teacher is None:
                    made_teacher = teacher()
                    made_teacher.require_room([prompt_of(spec, each).replace(SENTENCE, sentence) for each in wanted(spec)
                                               for sentence in sorted(sentences, key=len)[-TRIED:]])
                _query(spec, behaviour, missing, answers, work, made_teacher, recorder, sentences)
                queried += len(missing)
    found = _assembled(paragraphs, spec, work, identity, time.monotonic() - started, queried)
    for behaviour, answers_of in found.answers.items():
        if len(answers_of) >= SHOWN and not any(validated.notes is not None for _, validated in answers_of.values()):
            raise none_valid(spec.model, behaviour, [(sentence, *each) for sentence, each in answers_of.items()])
    return found


def kept_notes(spec: ReadingSpec, paragraphs: Sequence[Paragraph], identity: str, cache: Path | None = None) -> Annotation:
    """Return the notes that are kept of paragraphs; sentences that nothing was answered about have none. Needs no torch."""
    return _assembled(tuple(paragraphs), spec, caches(spec, identity, cache), identity, 0.0, 0)


def usable_sentences(paragraphs: Iterable[Paragraph], spec: ReadingSpec) -> list[str]:
    """Return the sentences that a teacher is shown, in order, each once."""
    return list(dict.fromkeys(sentence for paragraph in paragraphs for sentence in paragraph.sentences
                              if usable(sentence, spec.shortest, spec.longest)))


def wanted(spec: ReadingSpec) -> tuple[Behaviour, ...]:
    """Return the behaviours that a recipe reads; where it reads none, both: its control needs the same vocabulary."""
    if spec.notes == "none":
        return ()
    return tuple(behaviour for behaviour, times in zip(BEHAVIOURS, (spec.entities, spec.questions), strict=True) if times)


def caches(spec: ReadingSpec, identity: str, folder: Path | None = None) -> dict[Behaviour, AnswerCache]:
    """Return where the answers of each behaviour are kept."""
    folder = folder or cache_dir() / "reading"
    return {behaviour: AnswerCache(folder, identity, prompt_of(spec, behaviour), spec.max_new_tokens) for behaviour in BEHAVIOURS}


def prompt_of(spec: ReadingSpec, behaviour: Behaviour) -> str:
    """Return the template of a behaviour's prompts."""
    return spec.entity_prompt if behaviour == "entities" else spec.question_prompt


def _query(spec: ReadingSpec, behaviour: Behaviour, missing: Sequence[str], answers: AnswerCache, work: Mapping[Behaviour, AnswerCache],
           teacher: ReadingTeacher, recorder: Recorder, known_sentences: Sequence[str]) -> None:
    """Request what is missing; every answer is kept as it comes."""
    sentences = len(known_sentences)
    valid, examples, done, reported = 0, list[tuple[str, Answer, Validated]](), sentences - len(missing), 0.0

    def keep(number: int, answer: Answer) -> None:
        nonlocal valid, done, reported
        sentence = missing[number]
        answers.put(sentence, answer)
        found = validate(behaviour, sentence, answer.text, whole=answer.whole)
        valid, done = valid + (found.notes is not None), done + 1
        if found.notes is None:
            examples.append((sentence, answer, found))
        if time.monotonic() - reported >= REPORT_EVERY or done == sentences:
            reported = time.monotonic()
            recorder.event(Annotating(behaviour=behaviour, done=done, sentences=sentences, valid=valid, dropped=len(examples)))
        if not (valid or known) and len(examples) >= GIVE_UP_AFTER:
            raise none_valid(teacher.name, behaviour, examples)

    template = prompt_of(spec, behaviour)
    kept = [(sentence, answer) for sentence in known_sentences if (answer := answers.get(sentence)) is not None]
    known = any(validate(behaviour, sentence, answer.text, whole=answer.whole).notes is not None for sentence, answer in kept)
    spent = [each.tokens() for each in work.values()]
    teacher.start_from(sum(prompt for prompt, _ in spent), sum(answer for _, answer in spent))
    recorder.event(Annotating(behaviour=behaviour, done=done, sentences=sentences))
    if not teacher.answer([template.replace(SENTENCE, sentence) for sentence in missing], keep, recorder.should_stop):
        raise StopRequested


def none_valid(teacher: str, behaviour: Behaviour, examples: Sequence[tuple[str, Answer, Validated]]) -> DataError:
    """Return the error for a teacher whose first answers all fail validation, with ten of them."""
    shown = " ".join(f"({number}) '{shorten(sentence, 60)}' -> '{shorten(' '.join(answer.text.split()), 60)}': {', '.join(found.dropped)}."
                     for number, (sentence, answer, found) in enumerate(examples[:SHOWN], start=1))
    key = "reading.entity_prompt" if behaviour == "entities" else "reading.question_prompt"
    return DataError(f"None of the first {len(examples)} answers of '{teacher}' about {behaviour} can be used.",
                     f"Ten of them: {shown}",
                     "They are kept. Change the prompt, which needs examples in the language of the text, or choose another teacher.",
                     field=key)


def _warn_of_script(paragraphs: Sequence[Paragraph], recorder: Recorder) -> None:
    letters = [each for paragraph in paragraphs[:50] for each in paragraph.text if each.isalpha()]
    other = sum(each > "\u024f" for each in letters) / max(1, len(letters))
    if other > OTHER_SCRIPT:
        recorder.event(RunWarning(f"{other:.0%} of the text's letters are not Latin: the examples of reading.entity_prompt and "
                                  "reading.question_prompt should be in the language of the text."))


def _assembled(paragraphs: tuple[Paragraph, ...], spec: ReadingSpec, work: Mapping[Behaviour, AnswerCache], identity: str, seconds: float,
               queried: int) -> Annotation:
    """Return the notes of all sentences from what is kept, as readers left them."""
    sentences, found = usable_sentences(paragraphs, spec), dict[Behaviour, dict[str, tuple[Answer, Validated]]]()
    reviews = {behaviour: work[behaviour].reviews() for behaviour in wanted(spec)}
    for behaviour in wanted(spec):
        found[behaviour] = {}
        for sentence in sentences:
            if (answer := work[behaviour].get(sentence)) is not None:
                found[behaviour][sentence] = answer, reviewed(behaviour, sentence, answer, reviews[behaviour].get(digest(sentence)))

    def notes(sentence: str) -> SentenceNotes:
        of = {behaviour: found[behaviour][sentence][1].notes for behaviour in found if sentence in found[behaviour]}
        return SentenceNotes(sentence, of.get("entities"), of.get("questions"))  # type: ignore[arg-type]  # by behaviour

    read = tuple(ReadParagraph(tuple(map(notes, paragraph.sentences))) for paragraph in paragraphs)
    return Annotation(read, Source.of(spec, identity), found, reviews, len(sentences), seconds, queried)


def reviewed(behaviour: Behaviour, sentence: str, answer: Answer, review: Review | None) -> Validated:
    """Return what is left of an answer after a reader's review; an edited one is validated like the teacher's."""
    if review is not None and review.action == "rejected":
        return Validated(None, (REJECTED,))
    if review is not None and review.action == "edited":
        return validate(behaviour, sentence, review.text)
    return validate(behaviour, sentence, answer.text, whole=answer.whole)

