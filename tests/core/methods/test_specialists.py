"""A run of specialists: its report, what it leaves, a stop, and what cannot be."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForSequenceClassification, RobertaConfig

from core.config import SpecialistsConfig
from core.errors import CompatibilityError, ConfigError, CorruptModelError, DataError, ModelNotFoundError
from core.events import TrainingNetwork
from core.methods import run_experiment
from core.models import catalog
from core.planning.plan import static_plan
from core.recipes import check_recipe, parse_recipe
from core.recorder import ListRecorder
from core.reports.run_report import RunReport, parse_report
from core.reports.specialist_items import ITEMS, ShownItems, heard
from core.reports.specialists_card import student_card
from core.specialists.opinions import opinions_on
from core.specialists.panel import load_panel
from core.system.paths import ASSETS
from tests.core.masked_models import POSITIONS, masked_model, masked_tokenizer, save

QUICK: dict[str, Any] = {
    "kind": "specialists", "name": "digits",
    "specialists": {"source": "digits", "train_items": 300, "test_items": 120, "hidden": [8], "clusters": 3, "size": 4, "epochs": 1.0,
                    "seeds": 2, "student_hidden": [6]},
    "train": {"num_train_epochs": 3.0, "per_device_train_batch_size": 32, "learning_rate": 0.02, "device": "cpu", "seed": 0}}


def config(**changes: Any) -> SpecialistsConfig:
    found = parse_recipe({**QUICK, "specialists": {**QUICK["specialists"], **changes}})
    assert isinstance(found, SpecialistsConfig)
    return found


def carry_out(spec: SpecialistsConfig, folder: Path, recorder: ListRecorder | None = None) -> RunReport:
    report = run_experiment(spec, recorder or ListRecorder(), folder, load=catalog.load, command="again")
    assert isinstance(report, RunReport)
    return report


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, RunReport, ListRecorder]:
    folder, recorder = tmp_path_factory.mktemp("run"), ListRecorder()
    return folder, carry_out(config(), folder, recorder), recorder


def test_the_report_has_every_specialist_and_the_students_with_intervals(done: tuple[Path, RunReport, ListRecorder]) -> None:
    folder, report, recorder = done
    assert parse_report(json.loads((folder / "report.json").read_text())) == report
    record = report.to_dict()["specialists"]
    numbers, first = record["numbers"], record["repetitions"][0]
    assert all(numbers[name]["n"] == 2 and numbers[name]["method"] == "student_t" for name in (
        "combined", "overall_change", "conditional_change", "student_of_specialists_over_generalist",
        "student_of_specialists_over_ensemble"))
    assert numbers["overall_change"]["value"] == pytest.approx(numbers["combined"]["value"] - numbers["generalist"]["value"])
    over = [each["students"]["specialists"] - each["students"]["generalist"] for each in record["repetitions"]]
    assert numbers["student_of_specialists_over_generalist"]["value"] == pytest.approx(sum(over) / 2)
    assert len(record["specialists"]) == len(first["sets"]) and {"classes", "gain", "items"} <= set(record["specialists"][0])
    assert sum(row["items"] for row in record["coverage"]) == 120 == record["items"]
    assert "purity" not in numbers and not record["planted"]
    assert report.metrics["teacher"] == {"accuracy": numbers["combined"]["value"], "items": 120.0}
    assert recorder.series("student", "loss/kd") and not recorder.series("control", "loss/kd")
    parts = recorder.of(TrainingNetwork)
    assert {part.seed for part in parts} == {0, 1} and all(part.done <= part.total for part in parts)


def test_the_students_are_models_as_any_other(done: tuple[Path, RunReport, ListRecorder]) -> None:
    folder, report, _ = done
    for variant, name in (("student", "student-specialists"), ("control", "student-labels")):
        entry = catalog.describe(str(folder / variant))
        assert entry.task == "image_classification" and entry.parameters == report.student.parameters
        assert (folder / variant / "model.safetensors").read_bytes() == (
            folder / "repetitions" / "0" / name / "model.safetensors").read_bytes()
        card = (folder / variant / "README.md").read_text()
        assert card == student_card(config(), report, variant)
        assert ("1503.02531" if variant == "student" else "hard labels alone") in card
        assert "means over 2 repetitions" in card and str(folder) not in card and "A classifier (0, 1" in entry.description
        assert {"recipe.yaml", "stillhouse.json"} <= {path.name for path in (folder / variant).iterdir()}
    assert catalog.load(str(folder / "student")).model.config.id2label[0]


def test_the_kept_items_are_those_of_the_panel(done: tuple[Path, RunReport, ListRecorder]) -> None:
    folder, _, _ = done
    items, panel = ShownItems.load(folder), load_panel(folder / "panel")
    assert len(items.targets) == 120 == len(items.pixels) and len(items.pixels[0]) == 8
    for item in range(120):
        assert sum(items.combined[item]) == pytest.approx(1, abs=1e-4)
        if not heard(items.opinions, item):
            assert items.combined[item] == items.generalist[item]
        for number, opinion in heard(items.opinions, item).items():
            assert tuple(opinion.classes) == panel.specialists[number - 1].classes


def test_a_stopped_run_resumes_to_the_same_numbers(done: tuple[Path, RunReport, ListRecorder], tmp_path: Path) -> None:
    class Stops(ListRecorder):
        def should_stop(self) -> bool:
            return len(self.of(TrainingNetwork)) > 3

    stopped = carry_out(config(), tmp_path, Stops())
    assert stopped.stopped and stopped.specialists is None and not (tmp_path / "panel").exists()
    again = ListRecorder()
    assert carry_out(config(), tmp_path, again).specialists == done[1].specialists
    assert len(again.of(TrainingNetwork)) < len(done[2].of(TrainingNetwork))


def test_a_member_that_was_deleted_later_is_named(done: tuple[Path, RunReport, ListRecorder], tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(done[0], folder)
    shutil.rmtree(folder / "panel" / "specialist-1")
    with pytest.raises(ModelNotFoundError, match="The member 'specialist-1'"):
        load_panel(folder / "panel")
    (folder / ITEMS).write_text('{"texts": []}')
    with pytest.raises(CorruptModelError, match="is damaged"):
        ShownItems.load(folder)
    (folder / ITEMS).unlink()
    with pytest.raises(ModelNotFoundError, match="holds no opinions"):
        ShownItems.load(folder)


def test_impossible_clusters_are_refused_before_anything_is_trained(tmp_path: Path) -> None:
    recorder = ListRecorder()
    with pytest.raises(ConfigError, match="11 clusters") as caught:
        carry_out(config(clusters=11, size=None), tmp_path, recorder)
    assert caught.value.field == "specialists.clusters" and not recorder.of(TrainingNetwork)
    planned = static_plan(config(clusters=11, size=None))
    assert not planned.fits and static_plan(config()).fits


def test_the_plan_describes_sources(tmp_path: Path) -> None:
    file = tmp_path / "intents.csv"
    file.write_text("text,label\nlate parcel,delivery\nmoney back,refund\n")
    said = [next(check.message for check in static_plan(config(source=source)).checks if check.name == "data")
            for source in ("planted", "digits", str(file))]
    assert "40 classes" in said[0] and "digits" in said[1] and "labels from 'label'" in said[2]
    assert not static_plan(config(source=str(tmp_path / "nowhere.csv"))).fits


def test_recipes_of_specialists_say_what_they_have_no_use_for() -> None:
    for wrong, words in (({"teacher": {"model": "house-chat"}}, "are the teacher"), ({"losses": {"w_hidden": 1.0}}, "outputs alone"),
                         ({"specialists": {"distil": False, "student_hidden": [3]}}, "there is no student")):
        found, errors = check_recipe({"kind": "specialists", **wrong})
        assert found is None and words in " ".join(map(str, errors)), errors
    assert isinstance(parse_recipe({"specialists": {"clusters": 4}}), SpecialistsConfig)


def test_the_shipped_recipe_fits() -> None:
    from core.recipes import read_recipe

    assert static_plan(read_recipe(str(ASSETS / "recipes" / "specialists.yaml"), [])).fits


def test_a_text_of_ones_own_is_answered_by_a_saved_panel(done: tuple[Path, RunReport, ListRecorder], tmp_path: Path) -> None:
    rows = [f"{word} number {number},{word}" for number in range(40) for word in ("refund", "delivery", "return", "parcel")]
    (tmp_path / "intents.csv").write_text("\n".join(["text,label", *rows]))
    spec = config(source=str(tmp_path / "intents.csv"), clusters=2, size=2, hidden=[], embedding=4, seeds=1, distil=False,
                  student_hidden=None, train_items=200)
    carry_out(spec, tmp_path / "run")
    said = opinions_on(tmp_path / "run" / "panel", "my refund")
    assert said.targets == [-1] and said.texts == ("my refund",) and sum(said.combined[0]) == pytest.approx(1, abs=1e-4)
    assert ShownItems.from_dict(asdict(said)) == said
    with pytest.raises(DataError, match="No text"):
        opinions_on(tmp_path / "run" / "panel", " ")
    with pytest.raises(CompatibilityError, match="reads images"):
        opinions_on(done[0] / "panel", "seven")
    shutil.rmtree(tmp_path / "run" / "panel")
    with pytest.raises(ModelNotFoundError):
        opinions_on(tmp_path / "run" / "panel", "my refund")


@pytest.mark.parametrize("family", ["bert", "roberta"])
def test_a_transformers_classifier_is_the_generalist_of_specialists(tmp_path: Path, family: str) -> None:
    """Its head lies directly in the model (BERT) or inside a part of it (RoBERTa); specialists and students are such models too."""
    classes = ("refund", "delivery", "return", "parcel")
    rows = [f"{word} number {number},{word}" for number in range(30) for word in classes]
    (tmp_path / "intents.csv").write_text("\n".join(["text,label", *rows]))
    start = _encoder(family, tmp_path / "encoder")
    spec = config(source=str(tmp_path / "intents.csv"), model=str(start), clusters=2, size=2, hidden=[], seeds=1, student_hidden=None,
                  train_items=90, test_items=30, epochs=0.5)
    spec = spec.model_copy(update={"train": spec.train.model_copy(update={"num_train_epochs": 1.0, "learning_rate": 2e-3})})
    report = carry_out(spec, tmp_path / "run")
    assert report.specialists is not None and report.student.layers == 2
    panel = load_panel(tmp_path / "run" / "panel")
    assert {type(each).__name__ for each in (panel.generalist, *(one.model for one in panel.specialists))} == {
        type(panel.generalist).__name__} and family in type(panel.generalist).__name__.lower()
    assert all(one.model.config.num_labels == 3 for one in panel.specialists) and panel.generalist.config.num_labels == 4
    said = opinions_on(tmp_path / "run" / "panel", "my refund " * 60)
    assert sum(said.combined[0]) == pytest.approx(1, abs=1e-4)
    loaded = catalog.load(str(tmp_path / "run" / "student"))
    assert loaded.entry.task == "classification" and tuple(loaded.model.config.id2label.values()) == tuple(sorted(classes))
    assert "word_average" not in (tmp_path / "run" / "student" / "README.md").read_text()


def _encoder(family: str, folder: Path) -> Path:
    """Save a tiny encoder: a masked BERT, or a RoBERTa that was fine-tuned on other labels."""
    if family == "bert":
        return save(masked_model(2), folder)
    tokenizer = masked_tokenizer()
    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_config(RobertaConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=48, num_attention_heads=4, num_hidden_layers=2,
        max_position_embeddings=POSITIONS + 2 + tokenizer.pad_token_id, pad_token_id=tokenizer.pad_token_id, num_labels=2))
    return save(model, folder)


@pytest.mark.parametrize(("model", "error", "words"), [
    ("house-chat", CompatibilityError, "is a llama model"), ("house-digits", CompatibilityError, "An encoder"),
    ("./deleted-since", ModelNotFoundError, "no model './deleted-since'")])
def test_what_is_no_encoder_is_no_generalist(tmp_path: Path, model: str, error: type[Exception], words: str) -> None:
    spec = config(source="planted", model=model, hidden=[], student_hidden=None)
    with pytest.raises(error, match=words) as caught:
        carry_out(spec, tmp_path)
    assert getattr(caught.value, "field", None) == "specialists.model" and not (tmp_path / "repetitions").exists()
    planned = static_plan(spec)
    assert not planned.fits and "specialists.model" in [check.field for check in planned.checks]


def test_an_encoder_reads_no_images() -> None:
    found, errors = check_recipe({"specialists": {"source": "digits", "model": "house-encoder"}})
    assert found is None and "digits are images" in " ".join(map(str, errors))
