from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from core.errors import ConfigError, ModelNotFoundError
from core.models import catalog
from core.recipes import parse_recipe
from core.recorder import CONTROL
from core.system import reach
from tests.core.chat_models import save_chat_model
from workbench import paths
from workbench.processes import Process, inherited
from workbench.store import Store, references
from workbench.store.records import Run


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_chat_model(tmp_path_factory.mktemp("model") / "model", layers=2)


def trained(store: Store, model: Path, name: str = "walk", *parts: str) -> Run:
    run = store.create_run(parse_recipe({"name": name}), device="cpu")
    store.mark_running(run.id, Process.current())
    for part in parts or ("student",):
        shutil.copytree(model, run.directory / part)
    store.finish(run.id, "finished")
    return store.run(run.id)


def test_a_run_is_its_students_folder(store: Store, model: Path):
    run = trained(store, model, "walk", "student", "control")
    for reference in ("walk", run.id, "walk:student"):
        assert references.resolve(reference, store) == str(run.directory / "student")
    assert references.resolve("walk:control", store) == str(run.directory / CONTROL)
    entry = references.describe("walk:control", store)
    assert (entry.name, entry.kind, entry.layers, entry.source) == ("walk:control", "run", 2, f"run {run.id}")


def test_the_student_before_training_is_there_for_those_who_ask(store: Store, model: Path):
    run = trained(store, model, "walk", "student", references.BEFORE)
    assert references.resolve("walk:before", store) == str(run.directory / references.BEFORE)
    names = [entry.name for entry in references.entries(store, references.PARTS)]
    assert names[-2:] == ["walk", "walk:before"]
    assert "walk:before" not in [entry.name for entry in references.entries(store)]
    trained(store, model, "older")
    with pytest.raises(ModelNotFoundError, match="has no student from before training"):
        references.resolve("older:before", store)


@pytest.mark.parametrize("reference", ["owner/name", "./folder", "C:\\models\\a.gguf", "nobody", "nobody:control"])
def test_anything_else_is_the_catalogues(store: Store, reference: str):
    assert references.resolve(reference, store) == reference


def test_the_catalogue_comes_before_a_run_of_the_same_name(store: Store, model: Path):
    name = catalog.entries()[0].name
    trained(store, model, name)
    assert references.resolve(name, store) == name
    assert references.resolve(f"{name}:student", store) != name


def test_a_run_without_the_model_says_so(store: Store, model: Path):
    store.create_run(parse_recipe({"name": "waiting"}))
    with pytest.raises(ModelNotFoundError, match=r"'waiting' \(queued\) has no student model"):
        references.resolve("waiting", store)
    trained(store, model, "walk")
    with pytest.raises(ModelNotFoundError, match="no control model"):
        references.resolve("walk:control", store)
    store.delete("walk")
    with pytest.raises(ModelNotFoundError, match="Restore it"):
        references.resolve("walk", store)


def test_entries_are_the_catalogue_and_what_was_trained(store: Store, model: Path):
    trained(store, model, "old", "student", "control")
    store.create_run(parse_recipe({"name": "waiting"}))
    damaged = trained(store, model, "damaged")
    (damaged.output_dir / "model.safetensors").write_bytes(b"torn")
    store.delete(trained(store, model, "gone").id)
    known = len(catalog.entries())
    assert [entry.name for entry in references.entries(store)[known:] if entry.kind == "run"] == ["old", "old:control"]


def test_pinning_survives_another_folder_and_another_name(store: Store, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    run = trained(store, model, "walk")
    (tmp_path / "text.txt").write_text("words")
    shutil.copytree(model, tmp_path / "teacher")
    monkeypatch.chdir(tmp_path)
    wanted = parse_recipe({"teacher": {"model": "walk:student"}, "data": {"source": "text.txt"}})
    config, parents = references.freeze_references(wanted, store)
    assert config.data.source == str(tmp_path / "text.txt")
    assert config.teacher.model == "walk:student"
    assert parents == {"walk:student": f"{run.id}:student"}
    child = store.create_run(config, parents=parents)
    store.rename("walk", "renamed")
    loaded = references.loader(store.run(child.id), store)("walk:student")
    assert (loaded.entry.name, loaded.entry.layers, loaded.model.config.num_hidden_layers) == ("renamed", 2, 2)
    config, parents = references.freeze_references(parse_recipe({"teacher": {"model": "teacher"}}), store)
    assert (config.teacher.model, parents) == (str(tmp_path / "teacher"), {})
    assert references.loader(child, store)(config.teacher.model).entry.kind == "folder"


def test_files_of_labels_become_absolute(store: Store, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    for name in ("films.csv", "rt"):
        (tmp_path / name).write_text("text,label")
    card = {"tasks": ["films.csv", "rt", "nyu-mll/glue:sst2"]}
    config, _ = references.freeze_references(parse_recipe({"teacher": {"model": str(model)}, "evaluation": {"retention": card}}), store)
    assert config.evaluation.retention.tasks == (str(tmp_path / "films.csv"), "rt", "nyu-mll/glue:sst2")
    task = {"source": "films.csv", "validation": "films.csv"}
    config, _ = references.freeze_references(parse_recipe({"student": {"model": str(model)}, "task": task}), store)
    assert (config.task.source, config.task.validation) == (str(tmp_path / "films.csv"),) * 2
    config, _ = references.freeze_references(parse_recipe({"student": {"model": str(model)}, "task": {"source": "rt"}}), store)
    assert config.task.source == "rt"


def test_a_duplicate_keeps_its_teacher_when_that_is_renamed(store: Store, model: Path):
    teacher = trained(store, model, "walk", "student", "control")
    wanted = parse_recipe({"name": "child", "teacher": {"model": "walk"}, "student": {"model": "walk:control"}})
    config, parents = references.freeze_references(wanted, store)
    child = store.create_run(config, parents=parents)
    assert references.duplicate(child, store) == child.config
    store.rename(teacher.id, "better")
    trained(store, model, "walk")  # another run under the old name
    again = references.duplicate(child, store)
    assert (again.teacher.model, again.student.model) == ("better:student", "better:control")
    assert set(references.freeze_references(again, store)[1].values()) == set(child.parents.values())
    store.delete(teacher.id)
    with pytest.raises(ModelNotFoundError, match="Restore it"):
        references.resolve(references.duplicate(child, store).teacher.model, store)
    store.purge(teacher.id)
    assert references.duplicate(child, store).teacher.model == f"{teacher.id}:student"


def test_names_stay_names(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "house").write_text("a file that happens to be called like the corpus")
    fresh = {"teacher": None, "student": {"from_scratch": {}}, "losses": {"w_kd": 0}}
    for source in ("house", "owner/data", "missing.txt"):
        config, _ = references.freeze_references(parse_recipe({**fresh, "data": {"source": source}}), store)
        assert config.data.source == source


def test_resolved_is_what_the_engine_understands(store: Store, model: Path):
    run = trained(store, model, "walk")
    config = references.resolved(parse_recipe({"teacher": {"model": "walk"}}), store)
    assert config.teacher.model == str(run.output_dir)


def test_who_is_the_teacher_and_who_the_student_among_those_compared():
    compared = ("house-chat", "walk", "walk:control", "walk:before")
    assert [references.role(number, compared) for number in range(4)] == ["Teacher", "Student", "Control", "Untrained student"]
    assert references.role(0, ("control",)) == "Model", "a run may be called so"


def test_a_path_is_short_by_its_last_part():
    assert [references.short(name) for name in ("/home/me/mine/", "./mine", "owner/name", "walk:control")] == [
        "mine", "mine", "owner/name", "walk:control"]


@pytest.mark.parametrize(("recipe", "field"), [
    ({"data": {"source": "{}/data.txt"}}, "data.source"),
    ({"data": {"source": "requirements.txt"}}, "data.source"),
    ({"kind": "fine_tune", "student": {"model": "{model}"}, "task": {"kind": "classification", "source": "{}/data.csv"}}, "task.source"),
    ({"kind": "fine_tune", "student": {"model": "{model}"},
      "task": {"kind": "classification", "source": "house-reviews", "validation": "{}/data.csv"}}, "task.validation"),
    ({"evaluation": {"retention": {"tasks": ["{}/data.csv"]}}}, "evaluation.retention.tasks"),
    ({"kind": "bridge", "student": {"model": "{model}"}, "bridge": {"model": "{model}", "prompts": "{}/data.jsonl"}}, "bridge.prompts"),
    ({"teacher": {"model": "{}/model"}}, None),
    ({"kind": "fine_tune", "student": {"model": "{}/model"}, "task": {"kind": "classification", "source": "house-reviews"}}, None)])
def test_what_visitors_may_not_read_is_not_submitted(store: Store, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                     recipe: dict, field: str | None):
    """The same recipe is submitted by whoever sits at this machine."""
    outside = tmp_path / "outside"
    outside.mkdir()
    for name in ("data.txt", "data.csv", "data.jsonl"):
        (outside / name).write_text("a,b\nc,d\n")
    shutil.copytree(model, outside / "model")

    def filled(plain: object) -> object:
        if isinstance(plain, dict):
            return {key: filled(value) for key, value in plain.items()}
        return [filled(each) for each in plain] if isinstance(plain, list) else str(plain).replace("{model}", str(model)).replace(
            "{}", str(outside))

    config = parse_recipe(filled(recipe))
    references.freeze_references(config, store)
    for name, value in reach.limited_to([*paths.visitors_folders(), model]).items():
        monkeypatch.setenv(name, value)
    with pytest.raises((ConfigError, ModelNotFoundError), match="not in a folder that visitors") as refused:
        references.freeze_references(config, store)
    assert refused.value.field == field


def test_visitors_use_runs_uploads_and_what_ships(store: Store, model: Path, monkeypatch: pytest.MonkeyPatch):
    run = trained(store, model)
    paths.uploads_dir().mkdir()
    upload = paths.uploads_dir() / "data.txt"
    upload.write_text("One.\n\nTwo.\n")
    for name, value in reach.limited_to(paths.visitors_folders()).items():
        monkeypatch.setenv(name, value)
    assert references.describe("walk", store).kind == "run"
    assert references.describe(str(run.directory / "student"), store).present
    assert "walk" in [entry.name for entry in references.entries(store)]
    config = parse_recipe({"data": {"source": str(upload)}, "teacher": {"model": "walk"}})
    assert references.freeze_references(config, store)[0].data.source == str(upload)
    with pytest.raises(ModelNotFoundError, match="STILLHOUSE_FOLDERS"):
        references.describe(str(model), store)
    assert "STILLHOUSE_REACH" not in inherited()  # a worker trusts what was submitted


def test_members_of_an_ensemble_are_runs_and_folders(store: Store, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    run = trained(store, model, "walk")
    shutil.copytree(model, tmp_path / "other")
    monkeypatch.chdir(tmp_path)
    written = "arithmetic(3 walk, 1 ./other)"
    assert references.resolve(written, store) == f"arithmetic(0.75 {run.directory / 'student'}, 0.25 ./other)"
    assert references.describe(written, store).name == written
    config, _ = references.freeze_references(parse_recipe({"teacher": {"model": written}, "student": {"layers": 1}}), store)
    assert config.teacher.model == f"arithmetic(0.75 {run.id}:student, 0.25 {tmp_path / 'other'})"
    store.rename("walk", "renamed")
    loaded = references.loader(store.create_run(config), store)(config.teacher.model)
    assert loaded.entry.kind == "ensemble" and loaded.entry.parameters == 2 * catalog.describe(str(model)).parameters
