"""A whole comparison, with an export: the int8 form is scored and timed, the export used again, a stop obeyed."""

from __future__ import annotations

import csv
import dataclasses
from pathlib import Path

import pytest

from core.errors import CompatibilityError
from core.events import StudyPart
from core.recorder import ListRecorder, StopRequested
from core.reports.deployment import store
from core.reports.deployment.measure import measure_deployment
from core.reports.deployment.record import DeploymentRequest
from tests.core.chat_models import save_chat_model
from tests.core.export.encoders import save_encoder
from tests.core.masked_models import classifier, corpus, save


def labelled(folder: Path) -> Path:
    path = folder / "items.csv"
    rows = [f"the film number {number} was {('bad', 'good')[number % 2]},{('negative', 'positive')[number % 2]}" for number in range(300)]
    path.write_text("\n".join(["text,label", *rows]), encoding="utf-8")
    return path


def test_from_teacher_to_int8(tmp_path: Path) -> None:
    teacher, student = (save(classifier(seed=seed), tmp_path / str(seed)) for seed in (1, 2))
    request = DeploymentRequest(str(student), str(teacher), ("it", "the-teacher"), task=str(labelled(tmp_path)))
    folder, recorder = store.save_request(request), ListRecorder()
    assert store.load_request(folder) == request and store.result_of(folder) is None and store.folders() == [folder]
    found = measure_deployment(request, folder, recorder, seconds=0.2, rounds=20)
    store.save_result(folder, found)
    assert store.result_of(folder) == found
    assert list(found.forms) == ["teacher", "student", "int8"] and found.baseline == "teacher" and found.metric == "accuracy"
    int8, float32 = found.forms["int8"], found.forms["student"]
    assert int8.bytes == (folder / "int8" / found.file).stat().st_size < float32.bytes
    assert int8.p50.value <= int8.p95.value and int8.p50.n >= 5 and int8.loss.method == "paired_wald"
    assert found.items == found.distinct > 20 and found.forms["teacher"].loss is None
    with (folder / "items.csv").open(encoding="utf-8") as file:
        assert len(list(csv.DictReader(file))) == found.items
    parts = recorder.of(StudyPart)
    assert [part.done for part in parts] == sorted(part.done for part in parts) and {part.total for part in parts} == {100}
    assert {"Loading the models", "Scoring the student, int8"} <= {part.name for part in parts}

    exported = (folder / "int8" / "export.json").stat().st_mtime_ns
    alone = dataclasses.replace(request, teacher=None, names=("it", None))
    again = measure_deployment(alone, folder, ListRecorder(), seconds=0.1, rounds=5)
    assert list(again.forms) == ["student", "int8"] and (folder / "int8" / "export.json").stat().st_mtime_ns == exported


def test_a_stop_is_obeyed_and_changed_weights_have_another_folder(tmp_path: Path) -> None:
    student = save(classifier(seed=2), tmp_path / "it")
    request = DeploymentRequest(str(student), None, ("it", None), task=str(labelled(tmp_path)))
    with pytest.raises(StopRequested):
        measure_deployment(request, tmp_path / "out", ListRecorder(stop_after=0))
    before = store.folder_of(request)
    save(classifier(seed=3, spread=0.3), student)
    assert store.folder_of(request) != before and store.folder_of(request) != store.folder_of(dataclasses.replace(request, items=5))


def test_models_that_cannot_be_compared_are_refused(tmp_path: Path) -> None:
    classifies, answers = save(classifier(), tmp_path / "c"), save_encoder(tmp_path / "qa", "bert", "question_answering")
    language = save_chat_model(tmp_path / "chat", layers=1)
    for student, teacher, problem in ((answers, None, "answers questions"), (classifies, language, "Teacher and student"),
                                      (classifies, None, "does not say what it was fine-tuned on")):
        request = DeploymentRequest(str(student), teacher and str(teacher), ("it", None), text=str(corpus(tmp_path)))
        folder = store.save_request(request)
        with pytest.raises(CompatibilityError, match=problem):
            measure_deployment(request, folder, ListRecorder(), seconds=0.1)
