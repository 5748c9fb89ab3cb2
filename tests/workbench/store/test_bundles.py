"""A bundle of a run, unpacked elsewhere and run there by its own script, reaches what is recorded."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml

from core.errors import ConfigError
from core.recipes import parse_recipe
from core.system.paths import SOURCE
from tests.core.chat_models import save_chat_model
from workbench.errors import StoreUnavailableError
from workbench.runs import jobs
from workbench.runs.worker import run_worker
from workbench.store import Store, bundles, reproduce
from workbench.store.records import Run


def trained(store: Store, folder: Path, name: str = "first", **changes: object) -> Run:
    """A run of two steps on a corpus and a teacher that are files of this machine."""
    corpus = folder / "reviews.txt"
    corpus.write_text("\n\n".join(f"Film number {n} has a quiet script and {n % 7} good jokes, I think." for n in range(60)))
    teacher = folder / "teacher"
    config = parse_recipe({
        "name": name, "teacher": {"model": str(teacher if teacher.is_dir() else save_chat_model(teacher, layers=2))},
        "student": {"layers": 1}, "data": {"source": str(corpus), "block_length": 24, "validation_fraction": 0.3},
        "train": {"max_steps": 2, "per_device_train_batch_size": 2, "device": "cpu", "precision": "fp32"},
        "evaluation": {"blocks": 2, "prompts": ["A film"], "max_new_tokens": 2, "sentiment_items": 0}} | changes)
    run = jobs.start_here(config, store, "the command")
    assert run_worker(run.id, store).error is None
    return store.run(run.id)


@pytest.fixture
def first(tmp_path: Path, home: Path) -> Run:
    return trained(Store(), tmp_path)


def unpacked(archive: bytes, folder: Path) -> dict:
    with zipfile.ZipFile(io.BytesIO(archive)) as found:
        found.extractall(folder)
    return json.loads((folder / "manifest.json").read_text())


def reproduced(folder: Path, *arguments: str, elsewhere: Path) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if key not in ("STILLHOUSE_HOME", "PYTHONPATH")}
    return subprocess.run([sys.executable, str(folder / "reproduce.py"), "--stillhouse", str(SOURCE), *arguments], cwd=elsewhere,
                          env=environment, capture_output=True, encoding="utf-8", check=False)


@pytest.mark.timeout(900)  # two trainings in processes of their own, each of which imports torch
def test_a_whole_bundle_reproduces_a_run_and_the_one_that_it_builds_on(tmp_path: Path, first: Run) -> None:
    store = Store()
    second = trained(store, tmp_path, "second", teacher={"model": "first"})
    folder, elsewhere = tmp_path / "unpacked", tmp_path / "elsewhere"
    elsewhere.mkdir()
    manifest = unpacked(bundles.bundle([second], store, whole=True), folder)
    assert [run["name"] for run in manifest["runs"]] == ["first", "second"], "what it builds on comes first"
    assert str(tmp_path) not in "".join(path.read_text() for path in folder.glob("recipes/*.yaml")), "no path of this machine"
    (tmp_path / "reviews.txt").unlink()
    done = reproduced(folder, elsewhere=elsewhere)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Training first" in done.stdout and "Training second" in done.stdout and "student_after perplexity" in done.stdout
    assert "Largest relative difference: 0.00%" in done.stdout
    assert (folder / "home" / "store.sqlite").is_file() and not list(elsewhere.iterdir())


def test_without_the_data_it_says_which_file_is_missing_or_other(tmp_path: Path, first: Run) -> None:
    folder = tmp_path / "unpacked"
    manifest = unpacked(bundles.bundle([first], Store()), folder)
    data = next(file for file in manifest["files"] if file["path"] == "data/reviews.txt")
    assert data["sha256"] == reproduce.sha256(tmp_path / "reviews.txt") and not (folder / "data").exists()
    assert manifest["runs"][0]["data"] and manifest["runs"][0]["measured"]["student_after"]["perplexity"] > 0
    assert "torch==" in (folder / "requirements.txt").read_text() and data["sha256"] in (folder / "README.md").read_text()
    done = reproduced(folder, elsewhere=tmp_path)
    assert done.returncode == 2 and "data/reviews.txt is missing" in done.stderr and data["sha256"] in done.stderr
    (folder / "data").mkdir()
    (folder / "data" / "reviews.txt").write_text("other text")
    assert "has the SHA-256" in reproduced(folder, elsewhere=tmp_path).stderr


def test_other_numbers_are_reported(capsys: pytest.CaptureFixture[str]) -> None:
    run = {"measured": {"student_after": {"perplexity": 10.0, "agreement": 0.5}}}
    assert reproduce.compare(run, {"metrics": {"student_after": {"perplexity": 12.5}}}) == [0.2]
    assert "not measured here" in capsys.readouterr().out


def test_what_is_gone_is_refused(tmp_path: Path, first: Run) -> None:
    (tmp_path / "reviews.txt").unlink()
    with pytest.raises(StoreUnavailableError, match="not there any more"):
        bundles.bundle([first], Store())


def recipes_of(run: Run, folder: Path) -> dict:
    """The recipe of a run in its bundle."""
    manifest = unpacked(bundles.bundle([run], Store(), whole=True), folder)
    return yaml.safe_load((folder / manifest["runs"][-1]["recipe"]).read_text())


def test_files_of_every_kind_of_recipe_are_in_the_bundle(tmp_path: Path, home: Path) -> None:
    for name in ("topics.csv", "exam.jsonl", "kept.csv", "digits.npz"):
        (tmp_path / name).write_text("label,text\n1,good\n")
    store, at = Store(), str(tmp_path)
    found = [recipes_of(store.create_run(parse_recipe(plain)), tmp_path / str(number)) for number, plain in enumerate((
        {"specialists": {"source": f"{at}/topics.csv"}}, {"images": {"source": f"{at}/digits.npz"}, "kind": "ensemble"},
        {"reading": {"tasks": [f"{at}/exam.jsonl", "yes_no"]}, "student": {"model": "house-chat"}},
        {"teacher": {"model": "house-chat"}, "evaluation": {"retention": {"tasks": ["imdb", f"{at}/kept.csv"]}, "prompts": ["/start"]}}))]
    assert found[0]["specialists"]["source"] == "./data/topics.csv" and found[1]["images"]["source"] == "./data/digits.npz"
    assert found[2]["reading"]["tasks"] == ["./data/exam.jsonl", "yes_no"]
    assert found[3]["evaluation"]["retention"]["tasks"] == ["imdb", "./data/kept.csv"]
    assert (tmp_path / "0" / "data" / "topics.csv").read_text() == "label,text\n1,good\n"


@pytest.mark.parametrize("plain", [
    {"kind": "ensemble", "images": {"source": "FOLDER"}},
    {"chain": {"anchors": [{"model": "FOLDER"}], "mode": "independent"}},
    {"teacher": {"model": "arithmetic(house-chat, FOLDER)"}},
    {"teacher": {"model": "geometric(20261130-120000-0123abcd:student, house-chat)"}}])
def test_what_a_bundle_cannot_hold_is_refused(tmp_path: Path, home: Path, plain: dict) -> None:
    config = parse_recipe(json.loads(json.dumps(plain).replace("FOLDER", str(tmp_path))))
    with pytest.raises(ConfigError, match="no bundle holds"):
        bundles.bundle([Store().create_run(config)], Store())
