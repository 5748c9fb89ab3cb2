"""The page Reading: empty, started, notes with their marks and reviews, stopped, training, read together."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from core.config import ReadingConfig
from core.errors import DataError, StillhouseError
from core.reading import requests as readings
from core.reading.annotation import Annotation, Source, caches
from core.reading.answer_cache import Answer
from core.reading.notes import BEHAVIOURS, Entity, Question, ReadParagraph, SentenceNotes
from core.reading.requests import ReadingRequest
from core.reading.together import write_together
from core.recipes import parse_recipe
from tests.pages.conftest import Open, button, fault_free, texts
from tests.pages.examples import GONE, finished
from tests.waiting import wait_until
from workbench.inference import client
from workbench.inference.wire import Note
from workbench.processes import Process
from workbench.screens.reading import form, notes_view
from workbench.screens.reading.live_reading import LiveReading
from workbench.store import Store
from workbench.studies import background
from workbench.studies.jobs import JobState, ReadingJob

TEXT = "Ann left Rome. Bob <b>met</b> Ann.\n\nCarl wrote a book. Dora read it.\n\nEmil saw the sea. Fred was there."


def request_of(teacher: str) -> ReadingRequest:
    config = parse_recipe({"kind": "reading", "teacher": None, "student": {"model": teacher},
                           "data": {"source": str(readings.save_text(TEXT))}, "reading": {"model": teacher, "paragraphs": 5}})
    assert isinstance(config, ReadingConfig)
    return ReadingRequest(config, "model:1")


@pytest.fixture
def noted(store: Store, teacher: str) -> Path:
    """An annotation that was stopped: two sentences have both answers, of which one fails."""
    request = request_of(teacher)
    folder = readings.save_request(request)
    work = caches(request.config.reading, request.identity)
    for sentence, entities, question in (("Ann left Rome.", "Ann (person): left; Rome (place)", "Who left? Answer: Ann"),
                                         ("Bob <b>met</b> Ann.", "Zoe (person)", "Who met Ann? Answer: Bob"),
                                         ("Carl wrote a book.", "Carl (person)", "What did he write? Answer: a book")):
        work["entities"].put(sentence, Answer(entities))
        work["questions"].put(sentence, Answer(question))
    ReadingJob(folder).save_state(JobState("stopped", GONE, time.time(), message="Stopped.", hint=ReadingJob.RESUME_HINT))
    return folder


def drawn(page) -> str:
    return "\n".join(str(each.proto.body) for each in page.get("html"))


def test_empty(open_page: Open, store: Store) -> None:
    page = open_page("reading")
    assert "No notes yet" in texts(page) and button(page, "Take notes")
    assert "Two or more were expected" in texts(fault_free(button(page, "Take notes").click().run()))


def test_a_pasted_text_is_annotated_in_the_background(open_page: Open, store: Store, teacher: str, monkeypatch: pytest.MonkeyPatch) -> None:
    started = []

    def start(request: ReadingRequest) -> ReadingJob:
        started.append(request)
        job = ReadingJob(readings.save_request(request))
        job.save_state(JobState("running", Process.current(), time.time(), done=1, total=6, text="entities: 1 answers valid, 0 dropped"))
        return job

    monkeypatch.setattr(background, "start_reading", start)
    monkeypatch.setattr(form, "LOCAL", teacher)
    page = open_page("reading")
    page.text_area(key="reading.pasted").set_value(TEXT)
    page = fault_free(button(page, "Take notes").click().run())
    request, = started
    assert request.config.reading.model == teacher and request.identity.startswith("model:")
    assert page.query_params["notes"] == request.config.digest() and button(page, "Take notes").disabled
    fault_free(button(page, "Stop").click().run())
    assert ReadingJob(readings.folders()[0]).stop_file.exists()


def test_an_address_with_a_key_in_it_is_refused(open_page: Open, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(form, "LOCAL", "http://user:secret@host")
    page = open_page("reading")
    page.text_area(key="reading.pasted").set_value(TEXT)
    page = fault_free(button(page, "Take notes").click().run())
    assert "holds a user, a password" in texts(page)


def test_entities_are_marked_answers_located_and_what_fails_is_said(open_page: Open, noted: Path) -> None:
    page = open_page("reading", notes=noted.name)
    said, marks = texts(page), drawn(page)
    assert ">Ann</u></mark>" in marks or ("<mark" in marks and "Ann" in marks)
    assert 'title="place">Rome</mark>' in marks and "Bob</u>" in marks and "&lt;b&gt;met&lt;/b&gt;" in marks
    assert "entity not in its sentence" in said and "Stopped." in said and button(page, "Resume")
    assert any(each.label == "Failing validation" and each.value == "17%" for each in page.metric)


def test_a_note_is_rejected_edited_and_taken_back(open_page: Open, noted: Path) -> None:
    request = readings.load_request(noted)
    assert request is not None
    page = open_page("reading", notes=noted.name)

    def press(page, action: str):
        chosen = next(each for each in page.button
                      if each.key and each.key.startswith("reading.entities.") and each.key.endswith(f".0.{action}"))
        return fault_free(chosen.click().run())

    page = press(page, "reject")
    assert notes_view.notes_of(request).paragraphs[0].sentences[0].entities is None and "rejected by a reader" in texts(page)
    text = next(each for each in page.text_area if each.key and each.key.startswith("reading.entities.") and each.key.endswith(".0.text"))
    text.set_value("Oslo (place)")
    page = press(page, "edit")
    assert "no note of the sentence" in texts(page)
    next(each for each in page.text_area if each.key == text.key).set_value("Rome (city)")
    press(page, "edit")
    kept = notes_view.notes_of(request).paragraphs[0].sentences[0].entities
    assert kept is not None and [each.type for each in kept] == ["city"]
    press(open_page("reading", notes=noted.name), "undo")
    kept = notes_view.notes_of(request).paragraphs[0].sentences[0].entities
    assert kept is not None and len(kept) == 2


def test_training_is_queued_with_the_notes(open_page: Open, store: Store, noted: Path, teacher: str) -> None:
    page = open_page("reading", notes=noted.name)
    page.number_input(key="reading.steps").set_value(4)
    page.selectbox(key="reading.notes").set_value("shuffled")
    fault_free(button(page, "Start training").click().run())
    run, = store.runs()
    assert isinstance(run.config, ReadingConfig) and run.config.reading.notes == "shuffled" and run.config.train.max_steps == 4


def test_teacher_and_student_are_read_together(open_page: Open, store: Store, teacher: str) -> None:
    run = finished(store, "reader", kind="reading", reading={"model": teacher}, teacher=None, student={"model": teacher}, control=False)
    notes = SentenceNotes("Ann left Rome.", (Entity("Ann", "person", "", 0),), (Question("Who left?", "Ann", 0),))
    write_together(run.directory, [notes], {"Ann left Rome.": {"entities": "Entities: zzz", "questions": "Question: hm"}},
                   {"Ann left Rome.": {"entities": "Entities: Ann", "questions": "Question: Who?"}})
    page = open_page("run", run=run.id)
    assert button(page, "Read together") and "notes by" in texts(page)
    page = open_page("reading", run=run.id)
    said, cells = texts(page), drawn(page)
    assert all(part in said for part in ("Read together", "2 of 2 notes hold", "0 of 2 notes hold"))
    assert all(part in cells for part in ("Ann (person)", "zzz", "(malformed)", "Student before", "Student after"))


class Written:
    """An engine whose models have written all their notes, or fail."""

    def __init__(self, error: StillhouseError | None = None) -> None:
        self.error, self.requested, self.stops = error, [], 0

    def read(self, models: Sequence[str], sentences: Sequence[str], separator: str) -> Written:
        self.requested.append((tuple(models), tuple(sentences), separator))
        return self

    def stop(self) -> None:
        self.stops += 1

    def __iter__(self) -> Iterator[Note]:
        if self.error is not None:
            raise self.error
        for number in range(len(self.requested[-1][1])):
            for behaviour in BEHAVIOURS:
                for reader in (0, 1):
                    yield Note(reader, number, behaviour, ("Entities: none", "Entities: Zoe (person)")[reader]
                               if behaviour == "entities" else f"Question: Who came? Answer: {'Zoe' if reader else 'Ann'}")


def settled(reading: LiveReading) -> LiveReading:
    wait_until(lambda: not reading.running, "the reading to end")
    return reading


def test_a_paragraph_is_read_now_by_the_student_as_it_was_and_as_it_is(open_page: Open, store: Store, teacher: str,
                                                                       monkeypatch: pytest.MonkeyPatch) -> None:
    run = finished(store, "reader", kind="reading", reading={"model": teacher, "separator": " | "}, teacher=None,
                   student={"model": teacher}, control=False)
    notes = SentenceNotes("Ann came.", (Entity("Ann", "person", "", 0),), (Question("Who came?", "Ann", 0),))
    Annotation((ReadParagraph((notes, SentenceNotes("Oh."))),), Source(teacher, "model:1", "", "", False)).save(run.directory / "notes")
    write_together(run.directory, [notes], {}, {"Ann came.": {"entities": "Entities: none", "questions": "Question: Who?"}})
    engine = Written()
    monkeypatch.setattr(client, "engine", lambda: engine)
    page = open_page("reading", run=run.id)
    page = fault_free(page.selectbox(key=f"reading.paragraph.{run.id}").set_value("Ann came. Oh.").run())
    page = fault_free(button(page, "Read").click().run())
    settled(page.session_state["reading.live"][1])
    page = fault_free(page.run())
    # The run kept no untrained student: the model that it began as is read with.
    assert engine.requested == [((teacher, run.id), ("Ann came.", "Oh."), " | ")]
    assert "Teacher**: 2 of 2 notes hold · **Student before**: 3 of 4 notes hold · **Student after**: 0 of 4" in texts(page)
    assert '<u style' in drawn(page) and "entity not in its sentence" in drawn(page)


def test_a_reading_is_stopped_and_an_error_is_shown() -> None:
    failed = settled(LiveReading(Written(DataError("It is gone.")), {"before": "a", "after": "b"}, ["Ann came."], "\n"))
    assert str(failed.error) == "It is gone." and not failed.notes and failed.total == 4
    engine = Written()
    reading = settled(LiveReading(engine, {"before": "a", "after": "b"}, ["Ann came."], "\n"))
    reading.stop()
    assert engine.stops == 1 and reading.stopped and reading.notes["before", 0, "questions"].endswith("Ann")


def test_annotations_of_like_names_are_distinguished(open_page: Open, noted: Path, teacher: str) -> None:
    request = readings.load_request(noted)
    assert request is not None and "“Ann left Rome." in form.label(noted)
    changed = request.config.model_copy(update={"reading": request.config.reading.model_copy(update={"max_new_tokens": 9})})
    other = readings.save_request(ReadingRequest(changed, request.identity))
    assert form.label(other) == form.label(noted)
    options = open_page("reading", notes=noted.name).selectbox(key="reading.shown").options
    assert len(set(options)) == 2 and any(noted.name in each for each in options)


def test_a_pasted_text_keeps_its_paragraphs_or_is_divided(home: Path) -> None:
    assert readings.save_text(TEXT).read_text().count("\n\n") == 2
    assert readings.save_text("One is here. Two is there. Three is gone.").read_text().count("\n\n") == 2
    with pytest.raises(DataError, match="1 sentences"):
        readings.save_text("Only one is here.")
    assert readings.load_request(home) is None
