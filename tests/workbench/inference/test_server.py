"""What the engine process says of an answer while it grows."""

from __future__ import annotations

import io
import threading
from pathlib import Path

import pytest

from core.generation.streaming import GeneratedToken, GenerationResult
from core.reading.notes import BEHAVIOURS
from core.reading.together import student_notes
from tests.core.chat_models import save_chat_model
from workbench.inference import server
from workbench.inference.server import Server


class SilentStream:
    """An answer whose tokens make no whole character before its end."""

    def __iter__(self):
        return (GeneratedToken("", 200, index) for index in range(3))

    def result(self) -> GenerationResult:
        return GenerationResult("\N{REPLACEMENT CHARACTER}", 3, 5, 0, 0.1, 20.0, "length")


def test_an_answer_has_begun_before_its_first_character_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "stream", lambda *_args, **_more: SilentStream())
    folder = str(save_chat_model(tmp_path / "tiny"))
    loaded, first, *_, last = Server(io.BytesIO(), io.BytesIO())._generate(threading.Event(), folder, [], {})
    assert [loaded["kind"], first, last["kind"]] == ["loaded", {"kind": "piece", "text": "", "tokens": 1}, "answer"]


def test_models_note_sentences_side_by_side_until_they_are_stopped(tmp_path: Path) -> None:
    models = [str(save_chat_model(tmp_path / f"tiny{seed}", seed=seed)) for seed in (0, 1)]
    engine, stop, sentences = Server(io.BytesIO(), io.BytesIO()), threading.Event(), ["A quiet film.", "The plot is dull."]
    *notes, last = engine._read(stop, models, sentences, "\n")
    assert [(each["sentence"], each["behaviour"], each["reader"]) for each in notes] == [
        (sentence, behaviour, reader) for sentence in (0, 1) for behaviour in ("entities", "questions") for reader in (0, 1)]
    assert last == {"kind": "value", "value": {"stopped": False}}
    with engine._pool.using(models[1]) as (loaded, _):  # as a run that ends keeps them
        kept = student_notes(loaded.model, loaded.tokenizer, sentences, "\n")
    assert [each["text"] for each in notes if each["reader"] == 1] == [
        kept[each][behaviour] for each in sentences for behaviour in BEHAVIOURS]
    some = engine._read(stop, models, sentences, "\n")
    next(some)
    stop.set()
    assert len([each for each in some if each["kind"] == "note"]) == 1  # the other reader's of the same sentence


def test_steps_are_kept_between_calls_and_taken_again_for_who_is_behind(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("\n".join(f"The film number {number} was quite good, and then it was not." for number in range(60)))
    recipe = {"teacher": {"model": str(save_chat_model(tmp_path / "tiny", layers=4))}, "student": {"layers": 2},
              "data": {"source": str(tmp_path / "text.txt"), "block_length": 16},
              "train": {"max_steps": 5, "per_device_train_batch_size": 2, "device": "cpu", "warmup_ratio": 0}}
    engine = Server(io.BytesIO(), io.BytesIO())

    def step(number: int, **changes: object) -> dict:
        message, = engine._step(threading.Event(), {**recipe, **changes}, number)
        return message["value"]

    first, second = step(1), step(2)
    assert (first["number"], second["number"]) == (1, 2) and first["loss"] != second["loss"]
    held, = engine._steppers.values()
    assert step(3)["number"] == 3 and list(engine._steppers.values()) == [held]
    again = step(2)  # somebody who is behind
    assert [again[key] for key in ("loss", "update", "weights")] == pytest.approx([second[key] for key in ("loss", "update", "weights")])
    assert again["after"] == pytest.approx(second["after"]) and again["text"] == second["text"]
    for seed in (1, 2):
        step(1, name=f"other-{seed}", losses={"temperature": 1.0 + seed})
    assert len(engine._steppers) == server.MOST_STEPPERS
    for stepper in engine._steppers.values():
        stepper.close()
