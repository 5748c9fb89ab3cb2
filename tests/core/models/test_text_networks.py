"""Small classifiers of texts in the catalogue: described without torch, loaded, queried for classes, and refused where damaged."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from core.errors import CompatibilityError, CorruptModelError
from core.evaluation.classes import class_probabilities
from core.models import catalog, compatibility
from core.models.loading import model_from_config, tokenizer_from_pretrained
from core.models.weight_digests import loaded_hash
from core.system.paths import ASSETS


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from core.models.word_average import WordAverageConfig

    tokenizer = tokenizer_from_pretrained(ASSETS / "models" / "house-encoder")
    config = WordAverageConfig(vocab_size=len(tokenizer), embedding_size=4, hidden_sizes=[6], max_position_embeddings=128,
                               id2label={0: "tea", 1: "ale"}, label2id={"tea": 0, "ale": 1})
    place = tmp_path_factory.mktemp("models") / "averages"
    model_from_config(config, "classification", torch.float32, 0).save_pretrained(place)
    tokenizer.save_pretrained(place)
    return place


def test_it_is_described_and_loaded_as_a_classifier(folder: Path) -> None:
    entry = catalog.describe(str(folder))
    assert (entry.task, entry.architecture, entry.layers, entry.hidden, entry.heads, entry.context) == (
        "classification", "word_average", 1, 4, 0, 128)
    loaded = catalog.load(str(folder))
    assert entry.parameters == sum(each.numel() for each in loaded.model.parameters())
    shares = class_probabilities(loaded.model, loaded.tokenizer, "A pot of leaves.")
    assert [each.label for each in shares] == ["tea", "ale"] and sum(each.probability for each in shares) == pytest.approx(1)
    logits = loaded.model(**loaded.tokenizer("A pot of leaves.", return_tensors="pt", return_token_type_ids=False)).logits[0]
    assert [each.probability for each in shares] == pytest.approx(logits.softmax(-1).tolist())
    assert len(loaded_hash(loaded.model)) == 12
    with pytest.raises(CompatibilityError, match="over averaged words"):
        compatibility.require_task_teacher(entry)


def test_another_shape_than_announced_is_damage(folder: Path, tmp_path: Path) -> None:
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"hidden_sizes": [7]}))
    with pytest.raises(CorruptModelError, match=r"layers.0.weight of the shape \(7, 4\)"):
        catalog.describe(str(tmp_path))
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "tokenizer.json").unlink()
    with pytest.raises(CorruptModelError, match="no tokenizer"):
        catalog.describe(str(tmp_path))
