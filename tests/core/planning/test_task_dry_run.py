"""The plan of a fine-tuning with a few real steps: how long it will take, what the labels are, and what is wrong before it begins."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from core.config import FineTuneConfig
from core.planning.plan import plan
from core.planning.task_dry_run import TaskTimings
from core.recipes import parse_recipe
from core.tasks.preview import preview_task
from tests.core.tasks.encoders import BAD, GOOD, encoder


@pytest.fixture
def films(tmp_path: Path) -> str:
    path = tmp_path / "films.jsonl"
    path.write_text("".join(json.dumps({"text": f"the film was {word} {number}", "label": label}) + "\n" for number in range(12)
                            for label, words in (("bad", BAD), ("good", GOOD)) for word in words))
    return str(path)


def recipe(model: Path, source: str, **changes: object) -> FineTuneConfig:
    found = parse_recipe({"name": "tuned", "student": {"model": str(model)}, "task": {"source": source, "max_length": 32},
                          "train": {"num_train_epochs": 2, "per_device_train_batch_size": 8, "device": "cpu",
                                    "precision": "fp32"}} | changes)
    assert isinstance(found, FineTuneConfig)
    return found


def test_a_measured_plan_says_how_long_and_of_what(tmp_path: Path, films: str) -> None:
    encoder(tmp_path / "enc")
    config = recipe(tmp_path / "enc", films)
    assert plan(config, measure=False).seconds is None
    planned = plan(config, measure=True)
    items = next(check for check in planned.checks if check.name == "text").message
    train = preview_task(config.task)["train_items"]
    assert f"{train} items to train on" in items and "good" in items and "%" in items
    assert planned.fits and planned.measured_steps == 5 and planned.total_steps == 2 * -(-train // 8)
    assert planned.seconds is not None and planned.seconds > 0 and planned.tokens_per_second is not None
    cautions = [check for check in planned.checks if check.caution]
    assert any("distinct texts are held out" in check.message for check in cautions), "few items are warned of"
    broken = plan(recipe(tmp_path / "enc", str(tmp_path / "absent.jsonl")), measure=True)
    assert not broken.fits and broken.seconds is None


def test_the_parts_add_up(tmp_path: Path, films: str) -> None:
    encoder(tmp_path / "enc")
    timings = TaskTimings(steps=5, step=2.0, item=0.5, teacher_item=0.25, tokens_per_second=100.0)
    alone = recipe(tmp_path / "enc", films, evaluation={"eval_steps": 1000, "min_evaluations": 1})
    # 100 items in batches of 8, twice: 26 steps; all 20 held-out items before and after; the rest are points of the curve.
    points = (timings.seconds(alone, 100, 20) - 26 * 2.0 - 2 * 20 * 0.5 - 20 * 0.25) / (20 * 0.5)
    assert points == round(points) >= 0
    distilled = recipe(tmp_path / "enc", films, evaluation={"eval_steps": 1000, "min_evaluations": 1}, teacher={"model": "other"})
    assert timings.seconds(distilled, 100, 20) == pytest.approx(timings.seconds(alone, 100, 20) + 100 * 0.25)


def test_a_preview_counts_labels(tmp_path: Path, films: str) -> None:
    encoder(tmp_path / "enc")
    found = preview_task(recipe(tmp_path / "enc", films).task, rows=3)
    assert [each["label"] for each in found["labels"]] == ["bad", "good"] and len(found["rows"]) == 3
    assert sum(each["train"] for each in found["labels"]) == found["train_items"]
    assert found["train_items"] + found["items"] == len(Path(films).read_text().splitlines())
    assert {each["label"] for each in found["rows"]} <= {"bad", "good"} and found["rows"][0]["text"].startswith("the film was")
