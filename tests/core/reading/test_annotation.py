"""Annotation: nothing is queried twice, a kill or a stop loses nothing, hopeless teachers end early, readers have the last word."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from core.config import ReadingSpec
from core.errors import CompatibilityError, DataError
from core.events import Annotating, RunWarning
from core.models import catalog
from core.reading.annotation import Annotation, annotate, caches, kept_notes
from core.reading.answer_cache import Answer, Review
from core.reading.teachers import LocalTeacher, identity_of
from core.reading.text import Paragraph, paragraphs
from core.reading.validation import REJECTED
from core.recorder import ListRecorder, StopRequested
from tests.core.chat_models import save_chat_model
from tests.waiting import wait_until

TEXT = "Ann left Rome. Bob met Ann in Oslo.\n\nOh. Carl wrote a long book."
SPEC = ReadingSpec(model="someone")


class Fake:
    """Answers as a scripted teacher would; counts."""

    name = "someone"

    def __init__(self, say: Callable[[str], str] = lambda sentence: "none", fail_after: int | None = None) -> None:
        self.say, self.fail_after = say, fail_after
        self.seen: list[str] = []

    def require_room(self, prompts: Sequence[str]) -> None:
        """Read prompts of any length."""

    def start_from(self, prompt_tokens: int, answer_tokens: int) -> None:
        """Count nothing."""

    def answer(self, prompts: Sequence[str], keep: Callable[[int, Answer], None], stop: Callable[[], bool]) -> bool:
        for number, prompt in enumerate(prompts):
            if stop():
                return False
            if self.fail_after is not None and len(self.seen) >= self.fail_after:
                raise OSError("lost")
            self.seen.append(prompt)
            sentence = prompt.rpartition("Sentence: ")[2].partition("\n")[0]
            keep(number, Answer(self.say(sentence) if "Entities" in prompt else f"Who did it? Answer: {sentence.split()[0]}"))
        return True


def take(teacher: Fake, folder: Path, spec: ReadingSpec = SPEC, recorder: ListRecorder | None = None, text: str = TEXT) -> Annotation:
    return annotate(spec, lambda: paragraphs([text]), recorder or ListRecorder(), lambda: teacher, "someone:1", cache=folder)


def test_each_usable_sentence_is_noted_once_and_kept(tmp_path: Path) -> None:
    teacher, recorder = Fake(), ListRecorder()
    found = take(teacher, tmp_path, recorder=recorder)
    assert found.queried == 6 and found.usable == 3 and len(teacher.seen) == 6
    first, second = found.paragraphs[0].sentences[0], found.paragraphs[1].sentences[0]
    assert first.of("questions") == "Question: Who did it? Answer: Ann"
    assert first.entities == () and second.entities is None and second.sentence == "Oh."
    assert [event.done for event in recorder.of(Annotating)][-1] == 3
    again = take(Fake(fail_after=0), tmp_path)
    assert again.queried == 0 and again.paragraphs == found.paragraphs
    assert kept_notes(SPEC, list(paragraphs([TEXT])), "someone:1", tmp_path).paragraphs == found.paragraphs


def test_another_prompt_or_teacher_has_answers_of_its_own(tmp_path: Path) -> None:
    take(Fake(), tmp_path)
    other = SPEC.model_copy(update={"entity_prompt": "Entities of\nSentence: {sentence}\nplease"})
    assert take(Fake(), tmp_path, other).queried == 3, "the question prompt is the same"
    assert {cache.key for cache in caches(SPEC, "someone:2", tmp_path).values()}.isdisjoint(
        cache.key for cache in caches(SPEC, "someone:1", tmp_path).values())


def test_a_prompt_that_is_too_long_is_refused_before_the_first_answer(tmp_path: Path) -> None:
    spec = SPEC.model_copy(update={"entity_prompt": "{sentence}", "question_prompt": "A film. " * 40 + "{sentence}", "max_new_tokens": 4})
    loaded = catalog.load(str(save_chat_model(tmp_path / "teacher", positions=64)))
    recorder = ListRecorder()
    with pytest.raises(CompatibilityError, match="It reads 60 beside an answer"):
        annotate(spec, lambda: paragraphs([TEXT]), recorder, lambda: LocalTeacher(loaded, spec), "someone:1", cache=tmp_path / "cache")
    assert not recorder.of(Annotating) and not list((tmp_path / "cache").rglob("*.jsonl"))


def test_a_failure_or_a_stop_loses_nothing(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="lost"):
        take(Fake(fail_after=4), tmp_path)
    with pytest.raises(StopRequested):
        take(Fake(), tmp_path, recorder=ListRecorder(stop_after=0))
    rest = Fake()
    assert take(rest, tmp_path).queried == 2 == len(rest.seen)


def test_a_killed_annotation_resumes_and_asks_nothing_twice(tmp_path: Path) -> None:
    sentences = " ".join(f"Person{number} came to the house." for number in range(30))
    program = textwrap.dedent(f"""
        import threading
        from pathlib import Path
        from tests.core.reading.test_annotation import Fake, take
        kept = []
        class Stuck(Fake):
            def answer(self, prompts, keep, stop):
                def stuck(number, answer):
                    keep(number, answer)
                    kept.append(number)
                    if len(kept) == 5:
                        threading.Event().wait()  # until the kill
                return super().answer(prompts, stuck, stop)
        take(Stuck(), Path({str(tmp_path)!r}), text={sentences!r})
    """)
    process = subprocess.Popen([sys.executable, "-c", program], cwd=Path(__file__).parents[3])
    path = caches(SPEC, "someone:1", tmp_path)["entities"].path
    try:
        wait_until(lambda: path.is_file() and path.read_text().count("\n") >= 3)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    path.write_text(path.read_text() + '{"sentence": "half')
    done = path.read_text().count("\n")
    rest = Fake()
    found = take(rest, tmp_path, text=sentences)
    assert 3 <= done < 30 and len(rest.seen) == 60 - done == found.queried
    assert path.read_text().count("\n") == 30


def test_a_teacher_whose_answers_all_fail_is_given_up_with_ten_of_them(tmp_path: Path) -> None:
    text = " ".join(f"Person{number} came to the house." for number in range(60))
    teacher = Fake(lambda sentence: "Atlantis (place)")
    with pytest.raises(DataError, match="None of the first 40 answers of 'someone' about entities") as refused:
        take(teacher, tmp_path, text=text)
    assert len(teacher.seen) == 40 and refused.value.field == "reading.entity_prompt"
    assert refused.value.expected.count("Atlantis") == 10 and "entity not in its sentence" in refused.value.expected


def test_text_that_cannot_be_read_is_refused_and_another_script_warned_of(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no sentence that a reading teacher could be shown"):
        take(Fake(), tmp_path, text="Oh. No.")
    recorder = ListRecorder()
    take(Fake(), tmp_path, recorder=recorder, text="Анна уехала в Рим. Она вернулась домой.")
    assert "not Latin" in recorder.of(RunWarning)[0].message


def test_readers_reject_and_edit(tmp_path: Path) -> None:
    teacher = Fake(lambda sentence: f"{sentence.split()[0]} (person)")
    assert take(teacher, tmp_path).paragraphs[0].sentences[0].entities
    cache = caches(SPEC, "someone:1", tmp_path)["entities"]
    cache.review("Ann left Rome.", Review("rejected"))
    cache.review("Bob met Ann in Oslo.", Review("edited", "Oslo (place)"))
    found = take(Fake(fail_after=0), tmp_path)
    first, second = found.paragraphs[0].sentences
    assert first.entities is None and second.entities is not None and second.entities[0].text == "Oslo"
    assert found.statistics.dropped["entities"] == {REJECTED: 1}
    cache.review("Ann left Rome.", Review("accepted"))
    assert take(Fake(fail_after=0), tmp_path).paragraphs[0].sentences[0].entities
    rows = found.table().to_pylist()
    assert [row["entities_review"] for row in rows[:2]] == ["rejected", "edited"] and rows[0]["entities_answer"] == "Ann (person)"
    assert rows[0]["identity"] == "someone:1" and not rows[0]["exact"] and rows[2]["entities_answer"] is None


def test_a_teacher_is_known_by_its_weights_its_release_or_its_name(tmp_path: Path, home: Path) -> None:
    from tests.core.chat_models import save_chat_model  # torch, which the process that is killed above would import too

    folders = [str(save_chat_model(tmp_path / name, seed=seed)) for name, seed in (("a", 0), ("b", 0), ("c", 1))]
    same, again, other = (identity_of(SPEC.model_copy(update={"model": folder})) for folder in folders)
    assert same == again != other and same.startswith("model:")
    assert identity_of(SPEC.model_copy(update={"model": "smollm2-135m-instruct"})) == "package:smollm2-135m-instruct-0.1.2"
    for address in ("http://127.0.0.1:9#reader", "http://127.0.0.1:8#reader"):
        assert identity_of(SPEC.model_copy(update={"model": address})) == "server:reader"


def test_what_is_not_read_is_not_queried(tmp_path: Path) -> None:
    teacher = Fake()
    assert take(teacher, tmp_path, SPEC.model_copy(update={"questions": 0.0})).queried == 3
    assert take(teacher, tmp_path / "none", SPEC.model_copy(update={"notes": "none"})).queried == 0
    assert Paragraph(("Ann left Rome.",)).text == "Ann left Rome."
