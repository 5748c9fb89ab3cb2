"""Build a model and a vocabulary from scratch: how house models begin."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

from core.config import ScratchSpec
from core.data.tokenizers import train_masked_tokenizer, train_tokenizer
from core.models.architectures import Objective, architecture_of, blocks
from core.models.vocabulary import vocabulary_size
from core.students.build import new_model, seeded

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

    from core.data.rows import Row

MAX_WAVELENGTH = 100  # of the positions of a new encoder, in radians a turn: words depend on those near to them


def student_from_scratch(spec: ScratchSpec, tokenizer: PreTrainedTokenizerBase, seed: int) -> PreTrainedModel:
    """Return a new model in fp32, in training mode, without dropout: tied embeddings, one row for each token of the tokenizer."""
    import torch
    from transformers import BertConfig, LlamaConfig

    shared = {"vocab_size": vocabulary_size(tokenizer), "hidden_size": spec.hidden, "intermediate_size": spec.intermediate_size,
              "num_hidden_layers": spec.layers, "num_attention_heads": spec.heads, "max_position_embeddings": spec.positions,
              "tie_word_embeddings": True, "pad_token_id": tokenizer.pad_token_id}
    if spec.architecture == "llama":
        config: PreTrainedConfig = LlamaConfig(**shared, num_key_value_heads=spec.key_value_heads, initializer_range=0.02,
                             bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id)
    else:
        # BERT's 0.02 belongs to its 768 channels: what enters attention shall be as large in a narrower model.
        config = BertConfig(**shared, initializer_range=0.02 * math.sqrt(768 / spec.hidden), hidden_dropout_prob=0.0,
                            attention_probs_dropout_prob=0.0)
    with seeded(seed):
        model = new_model(config, torch.float32)
        if spec.architecture == "bert":
            _init_local_attention(model)
    return model.train()


def _init_local_attention(model: PreTrainedModel) -> None:
    """Make a new encoder begin by looking at near positions, which it would take many steps to find out.

    Its learnt positions begin as sinusoids (1706.03762, section 3.5) and its keys as its queries (2305.09828), so that near positions
    are alike and attract each other.
    """
    import torch

    path = architecture_of(model.config).positions
    assert path is not None, "a new encoder has learnt positions"
    positions = model.get_parameter(f"{path}.weight")  # (T, D)
    length, width = positions.shape
    angles = torch.arange(length)[:, None] * MAX_WAVELENGTH ** (-torch.arange(0, width, 2) / width)
    scale = math.sqrt(2) * model.config.initializer_range  # a wave's standard deviation is 1 / sqrt(2)
    with torch.no_grad():
        positions[:, 0::2], positions[:, 1::2] = scale * angles.sin(), scale * angles.cos()[:, :width // 2]
        for block in blocks(model):
            query, key = (block.get_parameter(f"attention.self.{name}.weight") for name in ("query", "key"))
            query.normal_(std=1 / math.sqrt(width))
            key.copy_(query)


def tokenizer_from_scratch(spec: ScratchSpec, rows: Iterable[Row]) -> PreTrainedTokenizerBase:
    """Return the vocabulary of a new model, trained on the rows."""
    train = train_tokenizer if spec.architecture == "llama" else train_masked_tokenizer
    return train(rows, spec.vocabulary, spec.positions)


def objective_from_scratch(spec: ScratchSpec) -> Objective:
    """Return what a new model predicts."""
    return architecture_of({"model_type": spec.architecture}).objective
