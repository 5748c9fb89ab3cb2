"""What a run needs at its end is tried before its first step: whatever is broken there ends it at once."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from transformers import PreTrainedTokenizerFast

from core.errors import CompatibilityError, CorruptModelError, DataError, DiskFullError, ExportError, StillhouseError
from core.evaluation import sentiment
from core.events import Phase, RunWarning, WritingTexts
from core.export import graph
from core.methods import bridge, method_for, rehearsal, room
from core.methods.rehearsal import one_block, rehearse_exports
from core.models import catalog
from core.models.entries import LoadedModel
from core.recipes import parse_recipe
from core.recorder import STUDENT, ListRecorder, StopRequested
from core.reports import model_card
from core.tasks import fine_tuning
from tests.core.chat_models import SENTENCES, save_chat_model
from tests.core.masked_models import masked_model, save
from tests.core.tasks.encoders import BAD, GOOD, encoder
from tests.tiny_chains import chain_recipe

TRAIN = {"max_steps": 2, "per_device_train_batch_size": 2, "device": "cpu", "precision": "fp32"}
ONE_MODEL = 200_000  # bytes; more than the largest anchor of a tiny chain takes, less than all of them and their checkpoints
EVALUATION = {"eval_steps": 2, "blocks": 2, "prompts": []}


def broken(*_: Any, **__: Any) -> None:
    raise DataError("This stage is broken.")


def no_room(monkeypatch: pytest.MonkeyPatch, free: int = 1000) -> None:
    monkeypatch.setattr(room.shutil, "disk_usage", lambda folder: SimpleNamespace(free=free))


class Backwards(PreTrainedTokenizerFast):
    """A tokenizer with Python code of its own, which no folder keeps."""

    def __call__(self, text: Any, *given: Any, **options: Any) -> Any:
        return super().__call__(text[::-1] if isinstance(text, str) else [each[::-1] for each in text], *given, **options)


def backwards(reference: str, **options: Any) -> LoadedModel:
    loaded = catalog.load(reference, **options)
    loaded.tokenizer.__class__ = Backwards
    return loaded


def unwritable(reference: str, **options: Any) -> LoadedModel:
    loaded = catalog.load(reference, **options)
    loaded.tokenizer.init_kwargs["made_by"] = object()  # no JSON holds it
    return loaded


@pytest.fixture
def distillation(tmp_path: Path, corpus: Path) -> dict[str, Any]:
    return {"teacher": {"model": str(save_chat_model(tmp_path / "teacher", layers=3, positions=64))}, "student": {"layers": 2},
            "losses": {"w_hidden": 0.2}, "data": {"source": str(corpus), "block_length": 24, "validation_fraction": 0.2},
            "train": TRAIN, "evaluation": EVALUATION}


@pytest.fixture
def fine_tune(tmp_path: Path) -> dict[str, Any]:
    encoder(tmp_path / "enc")
    films = tmp_path / "films.jsonl"
    films.write_text("".join(json.dumps({"text": f"the film was {word} {number}", "label": label}) + "\n" for number in range(12)
                             for label, words in (("bad", BAD), ("good", GOOD)) for word in words))
    return {"student": {"model": str(tmp_path / "enc")}, "task": {"source": str(films), "max_length": 32}, "train": TRAIN,
            "evaluation": {"eval_steps": 2}}


@pytest.fixture
def bridged(tmp_path: Path) -> dict[str, Any]:
    proxy, writer = (str(save_chat_model(tmp_path / name, sentences=words, positions=64))
                     for name, words in (("proxy", SENTENCES), ("writer", ("Other words.", "Other merges."))))
    return {"teacher": None, "student": {"model": proxy}, "losses": {"w_kd": 0, "w_hard": 1},
            "bridge": {"model": writer, "texts": 4, "max_new_tokens": 8}, "data": {"block_length": 32}, "train": TRAIN,
            "evaluation": EVALUATION}


def refused(plain: dict[str, Any], run: Path, kind: type[Exception], words: str,
            load: Callable[..., LoadedModel] = catalog.load) -> Exception:
    """The run ends with this error before its first step and before a text is written, and what was tried is gone."""
    recorder, config = ListRecorder(), parse_recipe(plain)
    with pytest.raises(kind, match=words) as caught:
        method_for(config)(config, recorder, run, load=load)
    assert not recorder.series(STUDENT, "loss") and not recorder.of(WritingTexts)
    assert not (run / STUDENT).exists() and not list(run.glob("rehearsal-*"))
    return caught.value


@pytest.mark.parametrize("method", ["distillation", "fine_tune", "bridged"])
def test_a_disk_too_small_for_what_comes(method: str, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    plain = request.getfixturevalue(method)
    no_room(monkeypatch)
    refused(plain, tmp_path / "run", DiskFullError, "checkpoints and models")
    assert not (tmp_path / "run" / "before").exists()


def test_a_disk_too_small_for_the_anchors_of_a_chain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    no_room(monkeypatch, free=ONE_MODEL)
    recorder, config = ListRecorder(), chain_recipe(tmp_path)
    with pytest.raises(DiskFullError, match="checkpoints and models"):
        method_for(config)(config, recorder, tmp_path / "run")
    assert not recorder.series(STUDENT, "loss") and not (tmp_path / "run" / "steps").exists()


def test_what_is_there_already_counts_as_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    no_room(monkeypatch)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "checkpoint").write_bytes(bytes(500))
    assert room.require_room(tmp_path / "run", 1500, within=tmp_path / "run")
    with pytest.raises(DiskFullError):
        room.require_room(tmp_path / "run", 1501, within=tmp_path / "run")


@pytest.mark.parametrize("method", ["distillation", "fine_tune"])
def test_a_tokenizer_that_is_another_one_once_it_is_saved(method: str, request: pytest.FixtureRequest, tmp_path: Path):
    refused(request.getfixturevalue(method), tmp_path / "run", CompatibilityError, "as others once it is saved", backwards)


@pytest.mark.parametrize("method", ["distillation", "fine_tune"])
def test_a_tokenizer_that_cannot_be_saved(method: str, request: pytest.FixtureRequest, tmp_path: Path):
    refused(request.getfixturevalue(method), tmp_path / "run", CorruptModelError, "beside its weights cannot be saved", unwritable)


@pytest.mark.parametrize("anchored", [backwards, unwritable])
def test_a_tokenizer_that_a_chain_cannot_keep(anchored: Callable[..., LoadedModel], tmp_path: Path):
    config = chain_recipe(tmp_path)
    with pytest.raises(StillhouseError, match="saved"):
        method_for(config)(config, ListRecorder(), tmp_path / "run", load=anchored)
    assert not (tmp_path / "run" / "anchors").exists()


def test_a_proxy_whose_tokenizer_cannot_be_kept(bridged: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    read = bridge.tokenizer_from_pretrained

    def odd(folder: Path) -> Any:
        tokenizer = read(folder)
        tokenizer.__class__ = Backwards
        return tokenizer

    monkeypatch.setattr(bridge, "tokenizer_from_pretrained", odd)
    refused(bridged, tmp_path / "run", CompatibilityError, "as others once it is saved")


def test_blocks_longer_than_a_proxy_reads(bridged: dict[str, Any], tmp_path: Path):
    refused(bridged | {"data": {"block_length": 65}}, tmp_path / "run", CompatibilityError, "64")


@pytest.mark.parametrize("method", ["distillation", "fine_tune"])
def test_a_card_that_cannot_be_made(method: str, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(model_card, "methods_section", broken)
    refused(request.getfixturevalue(method), tmp_path / "run", DataError, "This stage is broken")


def test_a_task_that_a_causal_student_cannot_answer(distillation: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sentiment, "label_scores", broken)
    distillation["evaluation"] = EVALUATION | {"retention": {"tasks": ["rt"], "seconds": 0.1}}
    refused(distillation, tmp_path / "run", DataError, "This stage is broken")


@pytest.fixture
def masked(distillation: dict[str, Any], fine_tune: dict[str, Any], tmp_path: Path) -> dict[str, Any]:
    """A masked student whose card is measured on a task of our own."""
    return distillation | {"teacher": {"model": str(save(masked_model(layers=3), tmp_path / "masked"))}, "losses": {},
                           "evaluation": EVALUATION | {"retention": {"tasks": [fine_tune["task"]["source"]], "seconds": 0.1}}}


def test_a_task_that_a_masked_student_cannot_learn(masked: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(fine_tuning, "with_head", broken)
    refused(masked, tmp_path / "run", DataError, "This stage is broken")


class StopsAtTraining(ListRecorder):
    """Requests a stop once the later stages were tried."""

    def should_stop(self) -> bool:
        return any(phase.name == "train" for phase in self.of(Phase))


def test_a_task_is_learnt_by_one_block_for_one_step(masked: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    seen: list[tuple[int, int]] = []
    learn = fine_tuning.fine_tune

    def watched(start: LoadedModel, task: Any, **more: Any) -> Any:
        tuned = learn(start, task, **more)
        seen.append((start.model.config.num_hidden_layers, tuned.steps))
        return tuned

    monkeypatch.setattr(fine_tuning, "fine_tune", watched)
    config = parse_recipe(masked)
    with pytest.raises(StopRequested):
        method_for(config)(config, StopsAtTraining(), tmp_path / "run")
    assert seen == [(1, 1)]


def test_a_model_that_cannot_be_exported_is_warned_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    loaded = catalog.load(str(save_chat_model(tmp_path / "model", layers=3)))
    small, recorder, written = one_block(loaded, loaded.model, "student"), ListRecorder(), []
    monkeypatch.setattr(graph, "to_onnx", lambda model, task, inputs: written.append((model.config.num_hidden_layers, task)))
    rehearse_exports({"student": loaded}, {"student": small}, recorder)
    assert written == [(1, "causal")] and not recorder.of(RunWarning)

    def unknown(*_: Any) -> None:
        raise ExportError("An operator has no form in ONNX.")

    monkeypatch.setattr(graph, "to_onnx", unknown)
    rehearse_exports({"student": loaded}, {"student": small}, recorder)
    monkeypatch.setattr(graph, "LARGEST_FILE", 1000)
    rehearse_exports({"student": loaded}, {"student": small}, recorder)
    warnings = [str(event) for event in recorder.of(RunWarning)]
    assert "no form in ONNX" in warnings[0] and "An ONNX file ends at 2 GiB" in warnings[1]


def test_one_block_is_of_the_students_family(tmp_path: Path):
    loaded = catalog.load(str(save_chat_model(tmp_path / "model", layers=3)))
    small = one_block(replace(loaded, entry=replace(loaded.entry, architecture="other")), loaded.model, "student")
    assert (small.entry.architecture, small.entry.layers) == (loaded.model.config.model_type, 1)
    assert small.tokenizer is loaded.tokenizer and rehearsal.SAMPLE
