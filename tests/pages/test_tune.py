"""The Fine-tune page: nothing to tune, a run started from it, mistakes beside their fields, and what is offered elsewhere."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from core.recipes import parse_recipe
from core.system import units
from tests.core.tasks.encoders import encoder, sentiment
from tests.pages.conftest import Open, answered, button, fault_free, texts
from workbench.screens.shared import background, state
from workbench.store import Store


@pytest.fixture(scope="session")
def masked(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A tiny encoder, as a folder."""
    folder = tmp_path_factory.mktemp("encoders") / "tiny-encoder"
    encoder(folder)
    return str(folder)


def test_without_an_encoder(open_page: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state, "models", list)
    page = open_page("tune")
    assert "No encoder on this machine yet" in texts(page) and "Choose a model and a dataset" in texts(page)


def test_the_defaults_start_a_run(open_page: Open, masked: str, store: Store) -> None:
    page = open_page("tune", model=masked)
    assert not page.error
    fault_free(button(page, "Start").click().run())
    run, = store.runs()
    config = run.config
    assert run.name == "tiny-encoder-task" and config.teacher is None and config.student.model == masked
    assert (config.task.source, config.losses.w_hard.start, config.losses.w_kd.start, config.student.lora) == ("house", 1, 0, None)


def test_a_teacher_adapters_and_a_file(open_page: Open, masked: str, store: Store, tmp_path: Path) -> None:
    from core.tasks.heads import with_head

    start = encoder(Path(masked))
    with_head(start, sentiment(), 1).save_pretrained(tmp_path / "teacher")
    start.tokenizer.save_pretrained(tmp_path / "teacher")
    data = tmp_path / "films.jsonl"
    data.write_text("".join(json.dumps({"text": f"text {number}", "label": number % 2}) + "\n" for number in range(20)))
    begun = store.create_run(parse_recipe({"name": "before", "student": {"model": masked}, "task": {},
                                           "teacher": {"model": str(tmp_path / "teacher")}}))
    page = open_page("tune", **{"from": begun.id})
    page.toggle(key="tune.lora").set_value(True)
    page.radio(key="tune.kind").set_value("other")
    fault_free(page.run())
    page.text_input(key="tune.source").set_value(str(data))
    page.number_input(key="tune.epochs").set_value(3.0)
    page.text_input(key="tune.name").set_value("films")
    fault_free(page.run())
    fault_free(button(page, "Start").click().run())
    run = store.run("films")
    config = run.config
    assert run.name == "films" and config.student.lora.rank == 8 and config.train.num_train_epochs == 3
    assert (config.teacher.model, config.task.source) == (str(tmp_path / "teacher"), str(data))
    assert (config.losses.w_kd.start, config.losses.w_hard.start, config.losses.temperature) == (0.5, 0.5, 2)


def test_mistakes_stand_beside_their_fields(open_page: Open, masked: str, teacher: str, tmp_path: Path) -> None:
    page = open_page("tune", model=teacher)
    assert "it predicts the next token" in texts(page) and button(page, "Start").disabled
    data = tmp_path / "films.jsonl"
    data.write_text(json.dumps({"words": "good", "stars": 1}) + "\n")
    page = open_page("tune", model=masked)
    page.radio(key="tune.kind").set_value("other")
    fault_free(page.run())
    assert "Choose a model and a dataset" in texts(page)
    page.text_input(key="tune.source").set_value(str(data))
    fault_free(page.run())
    assert "words, stars" in texts(page) and "Label column" in texts(page) and button(page, "Start").disabled
    page.text_input(key="tune.label_column").set_value("stars")
    page.text_input(key="tune.text_column").set_value("words")
    fault_free(page.run())
    assert not button(page, "Start").disabled


def test_a_run_can_be_begun_from(open_page: Open, masked: str, store: Store) -> None:
    run = store.create_run(parse_recipe({"name": "first", "student": {"model": masked, "lora": {"rank": 4}}, "task": {"source": "rt"},
                                         "train": {"num_train_epochs": 4}}))
    page = open_page("tune", **{"from": run.id})
    assert page.number_input(key="tune.epochs").value == 4 and page.toggle(key="tune.lora").value
    assert page.radio(key="tune.kind").value == "rt" and page.selectbox(key="tune.model").value == masked


def test_a_run_that_is_begun_from_keeps_all_of_its_settings(open_page: Open, masked: str, store: Store) -> None:
    first = store.create_run(parse_recipe({
        "name": "first", "student": {"model": masked, "lora": {"rank": 4, "alpha": 32}},
        "task": {"source": "rt", "max_length": 48, "max_train_items": 20, "max_items": 10, "validation": "test"},
        "train": {"per_device_train_batch_size": 4, "seed": 7, "weight_decay": 0.3, "max_steps": 5}, "evaluation": {"eval_steps": 3}}))
    page = open_page("tune", **{"from": first.id})
    page.text_input(key="tune.name").set_value("second")
    fault_free(button(page.run(), "Start").click().run())
    assert store.run("second").config.model_copy(update={"name": "first"}) == first.config
    page = open_page("tune", **{"from": first.id})
    page.number_input(key="tune.batch").set_value(16)
    page.number_input(key="tune.epochs").set_value(2.0)
    page.radio(key="tune.kind").set_value("imdb")
    page.text_input(key="tune.name").set_value("third")
    fault_free(button(page.run(), "Start").click().run())
    config = store.run("third").config
    assert (config.train.per_device_train_batch_size, config.train.weight_decay, config.train.max_steps) == (16, 0.3, None)
    assert config.task.source == "imdb" and config.evaluation.eval_steps == 3


def test_own_data_are_read_whole_unless_a_limit_is_set(open_page: Open, masked: str, store: Store, tmp_path: Path) -> None:
    data = tmp_path / "films.jsonl"
    data.write_text("".join(json.dumps({"text": f"text {number}", "label": number % 2}) + "\n" for number in range(20)))
    page = open_page("tune", model=masked)
    assert page.number_input(key="tune.max_train_items.house").value == 8000
    page.radio(key="tune.kind").set_value("other")
    fault_free(page.run())
    page.text_input(key="tune.source").set_value(str(data))
    fault_free(page.run())
    page.number_input(key="tune.max_items.other").set_value(3)
    page.number_input(key="tune.max_length.other").set_value(40)
    page.number_input(key="tune.seed").set_value(5)
    page.text_input(key="tune.validation").set_value(str(data))
    page.text_input(key="tune.name").set_value("films")
    fault_free(button(page.run(), "Start").click().run())
    config = store.run("films").config
    assert (config.task.max_train_items, config.task.max_items, config.task.max_length) == (None, 3, 40)
    assert (config.task.validation, config.train.seed) == (str(data), 5)


def test_squads_own_file_can_be_uploaded(open_page: Open, masked: str, store: Store) -> None:
    questions = [{"id": str(number), "question": "Who?", "answers": [{"text": "Ben", "answer_start": 0}]} for number in range(3)]
    squad = {"data": [{"paragraphs": [{"context": f"Ben read it {number}.", "qas": questions} for number in range(3)]}]}
    page = open_page("tune", model=masked)
    page.radio(key="tune.kind").set_value("other")
    fault_free(page.run())
    page.file_uploader(key="tune.file").set_value(("dev-v1.1.json", json.dumps(squad).encode(), "application/json"))
    fault_free(page.run())
    page.text_input(key="tune.name").set_value("squad")
    fault_free(button(page.run(), "Start").click().run())
    config = store.run("squad").config
    assert config.task.source.endswith(".json") and config.task.max_items is None


def test_models_that_answer_one_task_are_not_offered_for_chat_and_as_teachers(open_page: Open, masked: str) -> None:
    page = open_page("models", any=masked)
    labels = [each.label for each in page.button]
    assert "Fine-tune" in labels
    assert page.get_by_key(f"tune.{masked}").label == "Fine-tune"


def test_before_it_starts_the_labels_are_counted_and_the_time_is_measured(open_page: Open, masked: str,
                                                                          monkeypatch: pytest.MonkeyPatch) -> None:
    seen = {"name": "house", "kind": "classification", "train_items": 8000, "items": 1000, "warnings": ["The split is skewed."],
            "labels": [{"label": "negative", "train": 2000, "held_out": 500}, {"label": "positive", "train": 6000, "held_out": 500}],
            "rows": [{"text": "A <b>fine</b> film.", "label": "positive"}]}
    monkeypatch.setattr(background, "preview_task", lambda task, stamp: answered(seen))
    plan = {"checks": [{"name": "text", "ok": True, "message": "8,000 items.", "fix": "", "caution": False}], "seconds": 90.0,
            "measured_steps": 5, "total_steps": 500, "tokens_per_second": 3000.0}
    monkeypatch.setattr(background, "measured_plan", lambda config: answered(plan))
    page = open_page("tune", model=masked)
    assert "negative" not in "".join(each.proto.body for each in page.get("html")), "the data are read on request"
    page.session_state["task preview"] = True
    fault_free(page.run())
    labels, items = (each.proto.body for each in page.get("html") if "<table" in each.proto.body)
    assert labels.index("positive") < labels.index("negative") and "6,000 (75.0%)" in labels and "500 (50.0%)" in labels
    assert "A &lt;b&gt;fine&lt;/b&gt; film." in items and "The split is skewed" in texts(page)
    assert "Time" not in [metric.label for metric in page.metric]
    fault_free(button(page, "Measure on this machine").click().run())
    shown = {metric.label: metric.value for metric in page.metric}
    assert shown["Time"] == units.duration(90.0)
    assert shown["Steps"] == "500" and "tokens/s" in shown["Training speed"]
