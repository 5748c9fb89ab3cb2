"""The page Reading: empty, started, notes with their marks and reviews, stopped, training, read together."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from core.config import ReadingConfig
from core.errors import DataError
from core.reading import requests as readings
from core.reading.annotation import caches
from core.reading.answer_cache import Answer
from core.reading.notes import Entity, Question, SentenceNotes
from core.reading.requests import ReadingRequest
from core.reading.together import write_together
from core.recipes import parse_recipe
from tests.pages.conftest import Open, button, fault_free, texts
from tests.pages.examples import GONE, finished
from workbench.processes import Process
from workbench.screens.reading import form, notes_view
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
    said = texts(open_page("reading", run=run.id))
    assert all(part in said for part in ("Read together", "Ann (person)", "zzz", "Student before", "Student after"))


def test_a_pasted_text_keeps_its_paragraphs_or_is_divided(home: Path) -> None:
    assert readings.save_text(TEXT).read_text().count("\n\n") == 2
    assert readings.save_text("One is here. Two is there. Three is gone.").read_text().count("\n\n") == 2
    with pytest.raises(DataError, match="1 sentences"):
        readings.save_text("Only one is here.")
    assert readings.load_request(home) is None
