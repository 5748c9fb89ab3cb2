"""What the engine process says of an answer while it grows, and how answers share the cores."""

from __future__ import annotations

import io
import threading
from pathlib import Path

import pytest
import torch

from core.generation.streaming import GeneratedToken, GenerationResult
from core.reading.notes import BEHAVIOURS
from core.reading.together import student_notes
from tests.core.chat_models import save_chat_model
from workbench.inference import server
from workbench.inference.server import SMALL, Cores, Server


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


def test_answers_share_the_cores_and_small_models_take_one() -> None:
    before, cores = torch.get_num_threads(), Cores(cores=4)
    try:
        with cores.share(SMALL) as adjust:
            assert torch.get_num_threads() == 4
            with cores.share(SMALL):
                adjust()
                assert torch.get_num_threads() == 2
            adjust()
            assert torch.get_num_threads() == 4
        with cores.share(SMALL - 1):
            assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)
