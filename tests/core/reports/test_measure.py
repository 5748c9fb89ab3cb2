"""Any model on any task that it can be measured on."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from core.data import prepare
from core.errors import CompatibilityError, ConfigError, DataError
from core.methods.fine_tuning import tune
from core.models import catalog
from core.recipes import parse_recipe
from core.recorder import STUDENT, ListRecorder
from core.reports.measure import LANGUAGE, block_length_for, default_tasks, measure
from tests.core.chat_models import save_chat_model
from tests.core.tasks.encoders import encoder


@pytest.fixture
def tuned(tmp_path: Path) -> Path:
    encoder(tmp_path / "enc")
    config = parse_recipe({"student": {"model": str(tmp_path / "enc")}, "task": {"source": "rt", "max_train_items": 16, "max_items": 12},
                           "train": {"max_steps": 1, "device": "cpu", "precision": "fp32"}})
    tune(config, ListRecorder(), tmp_path / "run")
    return tmp_path / "run" / STUDENT


def test_a_classifier_is_measured_on_what_it_was_fine_tuned_on(tuned) -> None:
    loaded = catalog.load(str(tuned), dtype=torch.float32)
    task, = default_tasks(loaded.entry)
    found = measure("it", loaded, task)
    assert (found.task, found.headline, found.counted, found.unit) == ("rt", "accuracy", 12, "items")
    report = json.loads((tuned.parent / "report.json").read_text())
    assert found.metrics == report["metrics"]["student_after"]
    assert measure("it", loaded, "rt", split="test", items=5).counted == 5
    with pytest.raises(CompatibilityError, match="no language head any more"):
        measure("it", loaded, LANGUAGE)
    (tuned / "stillhouse.json").unlink()
    with pytest.raises(ConfigError, match=r"does not say what it was fine-tuned on.*--tasks house"):
        default_tasks(loaded.entry)


def test_a_masked_model_predicts_masked_tokens_and_labels_nothing(tmp_path) -> None:
    loaded = encoder(tmp_path / "enc")
    assert default_tasks(loaded.entry) == [LANGUAGE]
    text = tmp_path / "text.txt"
    text.write_text("\n\n".join(f"the film was good and great {number}" for number in range(60)))
    found = measure("it", loaded, LANGUAGE, text=str(text))
    assert found.headline == "perplexity" and found.metrics["masked_accuracy"] >= 0
    assert found.unit == f"tokens in blocks of {loaded.entry.context}"
    with pytest.raises(CompatibilityError, match="has no head for 'rt'"):
        measure("it", loaded, "rt")


def test_a_causal_model_is_measured_on_text_and_zero_shot(tmp_path) -> None:
    loaded = catalog.load(str(save_chat_model(tmp_path / "chat")), dtype=torch.float32)
    text = tmp_path / "text.txt"
    text.write_text("\n\n".join(f"a film {number} of many" for number in range(600)))
    assert measure("it", loaded, LANGUAGE, text=str(text)).metrics["bits_per_byte"] > 0
    assert measure("it", loaded, LANGUAGE, text=str(text), items=1).counted < measure("it", loaded, LANGUAGE, text=str(text)).counted
    assert measure("it", loaded, "rt", items=4).counted == 4
    for items in (0, -3):
        with pytest.raises(ConfigError, match=rf"{items} items.*At least 1"):
            measure("it", loaded, "rt", items=items)
    with pytest.raises(ConfigError, match="split 'test' of the task language"):
        measure("it", loaded, LANGUAGE, text=str(text), split="test")
    for split in ("train", "tset"):
        with pytest.raises(DataError, match=f"'{split}'.*validation and test"):
            measure("it", loaded, "rt", split=split)
    for dataset in ("owner/name", "hf/imdb"):  # ids of the hub, however much like a name of ours
        with pytest.raises(CompatibilityError, match="film reviews: house, imdb, rt"):
            measure("it", loaded, dataset)
    with pytest.raises(DataError, match=r"'IMBD' is no file here.*Did you mean imdb\?"):
        measure("it", loaded, "IMBD")


def test_text_is_read_in_blocks_no_longer_than_those_of_its_training(tmp_path, monkeypatch) -> None:
    folder, text, lengths = save_chat_model(tmp_path / "chat"), tmp_path / "text.txt", []
    text.write_text("\n\n".join(f"a film {number} of many" for number in range(600)))
    held_out_blocks = prepare.held_out_blocks
    monkeypatch.setattr(prepare, "held_out_blocks", lambda spec, *rest: lengths.append(spec.block_length) or held_out_blocks(spec, *rest))
    for length in (64, 512):
        (folder / "stillhouse.json").write_text(json.dumps({"config": {"data": {"block_length": length}}}))
        measure("it", catalog.load(str(folder), dtype=torch.float32), LANGUAGE, text=str(text))
    assert lengths == [64, 256]
    entry = catalog.describe(str(folder))
    others = [replace(entry, trained_length=length) for length in (None, 96)]
    assert block_length_for(others) == 96 and block_length_for([replace(entry, context=80), *others]) == 80
