"""What is copied for a run, how its paths are called there, and that what comes back names the paths of this machine."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from core.config import DistillConfig
from core.recipes import parse_recipe, read_recipe
from workbench.launch.copies import copies_of, placed_there, restore_documents, restore_json
from workbench.launch.job import Job
from workbench.store import Store, references
from workbench.store.named_files import files_of

FOLDER = "/far/it's \"mine\""


def model(folder: Path) -> str:
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(bytes(1000))
    return str(folder)


def place(path: str, kind: str = "folder") -> dict[str, Any]:
    return {"path": path, "name": "named", "kind": kind, "source": "", "description": ""}


@pytest.fixture
def job(tmp_path: Path) -> Job:
    corpus = tmp_path / "film reviews.txt"
    corpus.write_text("words " * 10)
    config = parse_recipe({"name": "far", "teacher": {"model": str(tmp_path / "teacher")}, "data": {"source": str(corpus)}})
    return Job(tmp_path / "runs" / "1", config, {str(tmp_path / "teacher"): place(model(tmp_path / "teacher"))}, "command", (str(corpus),))


def test_files_and_local_models_are_copied_and_the_rest_is_taken_by_name(job: Job, tmp_path: Path) -> None:
    members = {"both": place(f"arithmetic({model(tmp_path / 'a')}, owner/b, house-chat)", "ensemble"),
               "house-chat": place("house-chat", "house"), "hub": place("owner/name", "hub"),
               "packaged": place("smollm2-135m-instruct", "package")}
    copies = copies_of(Job(job.directory, job.config, {**job.models, **members}, "", job.files), FOLDER)
    assert [(Path(item.source).name, item.bytes) for item in copies.items] == [("film reviews.txt", 60), ("teacher", 1002), ("a", 1002)]
    assert copies.by_name == ("owner/b", "owner/name", "smollm2-135m-instruct") and copies.bytes == 2064
    text = copies.text("cluster")
    assert "3 inputs, 2.06 kB" in text and "film reviews.txt (60 B)" in text and "fetched where it is missing: owner/b, owner/name" in text


def test_a_key_changes_with_what_is_in_a_file_and_is_the_same_for_every_run(job: Job) -> None:
    first = copies_of(job, FOLDER)
    assert copies_of(Job(job.directory / "2", job.config, job.models, "", job.files), FOLDER) == first
    os.utime(job.files[0], ns=(1, 1))
    second = copies_of(job, FOLDER)
    assert [a == b for a, b in zip(first.items, second.items, strict=True)] == [False, True]


def test_a_job_there_names_paths_there(job: Job, tmp_path: Path) -> None:
    copies = copies_of(job, FOLDER)
    there = placed_there(job, copies)
    assert isinstance(there.config, DistillConfig)
    assert there.config.data.source == copies.items[0].target and there.config.data.source.endswith("/film reviews.txt")
    (reference, entry), = there.models.items()
    assert reference == there.config.teacher.model == entry["path"] == copies.items[1].target
    assert entry["name"] == "named" and there.directory == job.directory


def test_documents_name_the_paths_of_this_machine_again(job: Job, tmp_path: Path) -> None:
    copies = copies_of(job, FOLDER)
    there, student = placed_there(job, copies), job.directory / "student"
    student.mkdir(parents=True)
    record = {"config": there.config.to_dict(), "config_digest": there.config.digest(), "command": f"see {FOLDER}/1/student"}
    (student / "stillhouse.json").write_text(json.dumps(record, indent=2) + "\n")
    (student / "recipe.yaml").write_text(there.config.to_yaml())
    (student / "tokenizer.json").write_text('{"a":  "é"}')
    checkpoint = job.directory / "checkpoints" / "trainer_state.json"
    checkpoint.parent.mkdir()
    checkpoint.write_text(json.dumps(FOLDER + "/1"))
    restore_documents(job.directory, {item.target: item.source for item in copies.items} | {f"{FOLDER}/1": str(job.directory)})
    assert json.loads((student / "stillhouse.json").read_text()) == {
        "config": job.config.to_dict(), "config_digest": job.config.digest(), "command": f"see {job.directory}/student"}
    assert read_recipe(student / "recipe.yaml") == job.config
    assert (student / "tokenizer.json").read_text() == '{"a":  "é"}' and json.loads(checkpoint.read_text()) == FOLDER + "/1"


def test_json_is_restored_in_whatever_it_escapes() -> None:
    there, here = "/far/é\"", "/here/ü\\"
    assert json.loads(restore_json(json.dumps({"a": [f"{there}/x", "y"]}), {there: here})) == {"a": [f"{here}/x", "y"]}


def test_the_files_of_a_recipe_are_those_that_are_here(tmp_path: Path) -> None:
    tasks = tmp_path / "tasks.csv"
    tasks.write_text("text,label\na,b\n")
    config = parse_recipe({"student": {"model": "house-encoder"}, "task": {"source": str(tasks), "validation": "validation"}})
    assert files_of(config) == (str(tasks),)
    frozen, parents = references.freeze_references(config, Store())
    assert references.places(frozen, parents, Store())["house-encoder"]["kind"] == "house"
