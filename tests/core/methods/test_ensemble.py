"""An ensemble of classifiers is distilled: all numbers, a resume, named members, an omitted class, and what cannot be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from core.classification.models import load_image_classifier
from core.config import EnsembleConfig
from core.errors import CompatibilityError, DataError, StillhouseError
from core.events import RunWarning, TrainingNetwork
from core.methods import run_experiment
from core.models import catalog
from core.recipes import parse_recipe
from core.recorder import ListRecorder
from core.reports.run_report import RunReport, parse_report

QUICK: dict[str, Any] = {
    "kind": "ensemble", "name": "digits", "images": {"source": "digits", "max_train_items": 60, "max_items": 100},
    "ensemble": {"members": [{"count": 2, "hidden": [12]}, {"hidden": [10], "jitter": 1, "num_train_epochs": 3.0}], "seeds": 2,
                 "student": {"hidden": [8]}},
    "train": {"max_steps": 12, "per_device_train_batch_size": 32, "learning_rate": 0.01, "device": "cpu"}}


def config(**changes: Any) -> EnsembleConfig:
    found = parse_recipe({**QUICK, **{key: {**QUICK.get(key, {}), **value} for key, value in changes.items()}})
    assert isinstance(found, EnsembleConfig)
    return found


def carry_out(spec: EnsembleConfig, folder: Path, recorder: ListRecorder | None = None) -> RunReport:
    report = run_experiment(spec, recorder or ListRecorder(), folder, load=catalog.load, command="again")
    assert isinstance(report, RunReport)
    return report


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, RunReport, ListRecorder]:
    folder, recorder = tmp_path_factory.mktemp("run"), ListRecorder()
    return folder, carry_out(config(ensemble={"weights": "fitted"}), folder, recorder), recorder


def test_the_report_has_the_errors_of_all_with_intervals_and_the_share_of_the_gain(done: tuple[Path, RunReport, ListRecorder]) -> None:
    folder, report, recorder = done
    assert parse_report(json.loads((folder / "report.json").read_text())) == report
    record = report.to_dict()["ensemble"]
    assert [each["name"] for each in record["members"]] == ["member-1", "member-2", "member-3"] and record["items"] == 100
    assert all(record[who]["errors"]["n"] == 2 for who in ("ensemble", "student", "hard_labels"))
    assert record["student"]["errors"]["method"] == "student_t"
    assert sum(record["repetitions"][0]["weights"]) == pytest.approx(1, abs=1e-3)
    gain = [each["hard_labels"] - each["ensemble"] for each in record["repetitions"]]
    kept = [each["hard_labels"] - each["student"] for each in record["repetitions"]]
    assert record["gain"]["value"] == pytest.approx(sum(gain) / 2)
    assert record["share_of_gain"] is None if sum(gain) <= 0 else record["share_of_gain"]["value"] == pytest.approx(sum(kept) / sum(gain))
    assert report.metrics["teacher"] is not None and report.student_after["errors"] == record["student"]["errors"]["value"]
    parts = recorder.of(TrainingNetwork)
    assert [part.done for part in parts] == list(range(10)) and {part.total for part in parts} == {10}
    assert recorder.series("student", "loss/kd") and not recorder.series("control", "loss/kd")


def test_the_student_is_a_model_folder_with_its_documents(done: tuple[Path, RunReport, ListRecorder]) -> None:
    folder, _, _ = done
    assert {"config.json", "model.safetensors", "README.md", "recipe.yaml", "stillhouse.json"} == {
        file.name for file in (folder / "student").iterdir()}
    entry = catalog.describe(str(folder / "student"))
    assert entry.task == "image_classification" and entry.parameters == 64 * 8 + 8 + 8 * 10 + 10
    card = (folder / "student" / "README.md").read_text()
    assert "image-classification" in card and "1503.02531" in card and "arithmetic mean of 3 classifiers" in card
    loaded = catalog.load(str(folder / "student"))
    assert loaded.model.config.hidden_sizes == [8]


def test_a_stopped_run_resumes_to_the_same_numbers(done: tuple[Path, RunReport, ListRecorder], tmp_path: Path) -> None:
    spec = config(ensemble={"weights": "fitted"})

    class Stops(ListRecorder):
        def should_stop(self) -> bool:
            return len(self.of(TrainingNetwork)) > 6

    stopped = carry_out(spec, tmp_path, Stops())
    assert stopped.stopped and stopped.ensemble is not None and len(stopped.ensemble.repetitions) == 1
    assert not (tmp_path / "student").exists() and not list(tmp_path.rglob("*.partial"))
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("model.safetensors")}
    assert carry_out(spec, tmp_path).ensemble == done[1].ensemble
    assert all(path.stat().st_mtime_ns == changed for path, changed in before.items())


def test_networks_that_are_there_are_members_and_are_not_trained(done: tuple[Path, RunReport, ListRecorder], tmp_path: Path) -> None:
    folder, _, _ = done
    named = [{"model": str(folder / "repetitions" / "1" / f"member-{number}")} for number in (1, 2)]
    recorder = ListRecorder()
    report = carry_out(config(ensemble={"members": named, "seeds": 1, "mean": "geometric", "weights": [3.0, 1.0]}), tmp_path, recorder)
    assert report.ensemble is not None and report.ensemble.repetitions[0].weights == (0.75, 0.25)
    assert len(recorder.of(TrainingNetwork)) == 2
    assert done[1].ensemble is not None and report.ensemble.repetitions[0].members == done[1].ensemble.repetitions[0].members[:2]


def test_an_omitted_class_comes_back_by_its_bias_and_the_saved_student_has_it(tmp_path: Path) -> None:
    spec = config(images={"omit_classes": ["3"], "max_train_items": 400, "max_items": None}, train={"max_steps": 150},
                  ensemble={"seeds": 1, "members": [{"hidden": [32]}], "student": {"hidden": [32]}},
                  losses={"temperature": 5.0, "w_hard": 0.3})
    recorder = ListRecorder()
    report = carry_out(spec, tmp_path, recorder)
    assert report.ensemble is not None
    found = report.ensemble.repetitions[0].omitted[0]
    assert found.label == "3" and found.b > 0 and found.after > max(found.before, 0.5)
    assert found.after > found.hard_labels
    assert "one member" in recorder.of(RunWarning)[0].message
    first = load_image_classifier(tmp_path / "repetitions" / "1" / "student").classifier.bias
    final = load_image_classifier(tmp_path / "student").classifier.bias
    assert float((final - first)[3].detach()) == pytest.approx(found.b, abs=1e-5)


@pytest.mark.parametrize(("changes", "error", "words"), [
    ({"images": {"omit_classes": [str(digit) for digit in range(10)]}}, DataError, "transfer set is empty"),
    ({"images": {"omit_classes": ["eleven"]}}, DataError, "no class 'eleven'"),
    ({"images": {"omit_classes": ["3"], "validation_fraction": 0.002}}, DataError, "No image of 3"),
    ({"ensemble": {"members": [{"model": "house-chat"}]}}, CompatibilityError, "no classifier of images"),
    ({"ensemble": {"members": [{"model": "./deleted-since"}]}}, StillhouseError, "no model './deleted-since'")])
def test_what_cannot_be_is_said_before_anything_is_made(tmp_path: Path, changes: dict[str, Any], error: type[Exception],
                                                         words: str) -> None:
    with pytest.raises(error, match=words):
        carry_out(config(**changes), tmp_path)
    assert not (tmp_path / "repetitions").exists() and not (tmp_path / "student").exists()


def test_members_of_other_labels_or_another_shape_say_which(done: tuple[Path, RunReport, ListRecorder], tmp_path: Path) -> None:
    member = tmp_path / "member"
    member.mkdir()
    origin = done[0] / "repetitions" / "1" / "member-1"
    plain = json.loads((origin / "config.json").read_text())
    (member / "model.safetensors").write_bytes((origin / "model.safetensors").read_bytes())
    (member / "config.json").write_text(json.dumps(plain | {"id2label": {**plain["id2label"], "9": "nine"}}))
    with pytest.raises(CompatibilityError, match="lacks 9; only it has nine"):
        carry_out(config(ensemble={"members": [{"model": str(member)}], "seeds": 1}), tmp_path / "run")
