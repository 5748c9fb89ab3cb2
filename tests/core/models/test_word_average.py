from __future__ import annotations

from pathlib import Path

import torch

from core.models.loading import model_from_config, model_from_pretrained
from core.models.word_average import WordAverageConfig


def test_padding_changes_nothing_and_words_are_averaged() -> None:
    model = model_from_config(WordAverageConfig(vocab_size=20, embedding_size=4, hidden_sizes=[5], num_labels=3), "classification",
                              torch.float32, 0).eval()
    ids, mask = torch.tensor([[3, 7, 0, 0]]), torch.tensor([[1, 1, 0, 0]])
    plain = model(torch.tensor([[3, 7]])).logits
    assert torch.allclose(model(ids, mask).logits, plain) and torch.allclose(model(torch.tensor([[7, 3]])).logits, plain)
    hidden = torch.relu(model.layers[0]((model.embedding.weight[3] + model.embedding.weight[7]) / 2))
    assert torch.allclose(model.classifier(hidden), plain[0])


def test_a_saved_network_is_the_same(tmp_path: Path) -> None:
    model = model_from_config(WordAverageConfig(vocab_size=20, num_labels=2), "classification", torch.float32, 0).eval()
    model.save_pretrained(tmp_path)
    loaded = model_from_pretrained(tmp_path, "classification", torch.float32)
    assert torch.equal(loaded(torch.tensor([[3, 7]])).logits, model(torch.tensor([[3, 7]])).logits)
