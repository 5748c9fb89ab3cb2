"""A deep averaging network for short texts, as an ordinary Transformers model: ``config.json`` and ``model.safetensors``.

    logits = W_n relu(... relu(W_1 (1 / T) sum_t e(token_t) + b_1) ...) + b_n

Word order does not count, and training takes seconds (Iyyer et al. 2015, doi:10.3115/v1/P15-1162). Importing this module makes
``AutoConfig`` and ``AutoModelForSequenceClassification`` know it.

Shapes: B texts, T tokens, D embedding width.
"""

from __future__ import annotations

import itertools

import torch
from huggingface_hub.dataclasses import strict
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForSequenceClassification, PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput

from core.models.text_networks import MODEL_TYPE


@strict
class WordAverageConfig(PreTrainedConfig):
    """Sizes of a `WordAverage`; the labels are those of every Transformers classifier (``id2label``).

    Attributes:
        vocab_size: tokens of the tokenizer.
        embedding_size: D.
        hidden_sizes: units of each hidden layer; none make a linear classifier of the average.
        hidden_dropout: probability that a unit is dropped in training.
        max_position_embeddings: tokens of a text that are read; there are no positions.
    """

    model_type = MODEL_TYPE

    vocab_size: int = 8192
    embedding_size: int = 16
    hidden_sizes: list[int] | tuple[int, ...] = ()
    hidden_dropout: float | int = 0.0
    max_position_embeddings: int = 512


class WordAverage(PreTrainedModel):
    """The network; see the module's docstring."""

    config_class = WordAverageConfig
    base_model_prefix = "layers"
    main_input_name = "input_ids"

    def __init__(self, config: WordAverageConfig) -> None:
        super().__init__(config)
        widths = [config.embedding_size, *config.hidden_sizes]
        self.embedding = nn.Embedding(config.vocab_size, config.embedding_size)
        self.dropout = nn.Dropout(config.hidden_dropout)
        self.layers = nn.ModuleList(nn.Linear(before, after) for before, after in itertools.pairwise(widths))
        self.classifier = nn.Linear(widths[-1], len(config.id2label or {}))
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        """Return the vectors of the words."""
        return self.embedding

    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.Linear):  # He et al., 1502.01852
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight)

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None, **_: object) -> SequenceClassifierOutput:
        """Return the logits (B, labels) of texts: `input_ids` (B, T), and 1 where `attention_mask` (B, T) has a token."""
        embedded = self.embedding(input_ids)  # (B, T, D)
        mask = torch.ones_like(embedded[..., :1]) if attention_mask is None else attention_mask[..., None].to(embedded.dtype)
        hidden = (embedded * mask).sum(1) / mask.sum(1).clamp_min(1)
        for layer in self.layers:
            hidden = torch.relu(layer(self.dropout(hidden)))
        return SequenceClassifierOutput(logits=self.classifier(hidden))


AutoConfig.register(MODEL_TYPE, WordAverageConfig, exist_ok=True)
AutoModelForSequenceClassification.register(WordAverageConfig, WordAverage, exist_ok=True)
