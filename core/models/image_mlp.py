"""A multilayer perceptron for small images, as an ordinary Transformers model: ``config.json`` and ``model.safetensors``.

    logits = W_n relu(... relu(W_1 x + b_1) ...) + b_n

It is the network of 1503.02531, section 3: rectified linear units, dropout on the inputs and on the hidden units. Importing this module
makes ``AutoConfig`` and ``AutoModelForImageClassification`` know it.

Shapes: B images, C channels, H height, W width.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from huggingface_hub.dataclasses import strict
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForImageClassification, PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import ImageClassifierOutput

from core.models.image_networks import MODEL_TYPE


@strict
class ImageMlpConfig(PreTrainedConfig):
    """Sizes of an `ImageMlp`; the labels are those of every Transformers classifier (``id2label``).

    Attributes:
        num_channels: 1 for grey images, 3 for colours.
        image_size: height and width in pixels.
        hidden_sizes: units of each hidden layer; none make a linear classifier.
        input_dropout, hidden_dropout: probability that a pixel or a unit is dropped in training.
    """

    model_type = MODEL_TYPE

    num_channels: int = 1
    image_size: list[int] | tuple[int, ...] = (8, 8)
    hidden_sizes: list[int] | tuple[int, ...] = (32,)
    input_dropout: float | int = 0.0
    hidden_dropout: float | int = 0.0


class ImageMlp(PreTrainedModel):
    """The network; see the module's docstring."""

    config_class = ImageMlpConfig
    base_model_prefix = "layers"
    main_input_name = "pixel_values"

    def __init__(self, config: ImageMlpConfig) -> None:
        super().__init__(config)
        widths = [config.num_channels * math.prod(config.image_size), *config.hidden_sizes]
        self.dropout = nn.Dropout(config.input_dropout)
        self.hidden_dropout = nn.Dropout(config.hidden_dropout)
        self.layers = nn.ModuleList(nn.Linear(before, after) for before, after in pairwise(widths))
        self.classifier = nn.Linear(widths[-1], len(config.id2label or {}))
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.Linear):  # He et al., 1502.01852: keeps the variance through rectified units
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            nn.init.zeros_(module.bias)

    def forward(self, pixel_values: Tensor, **_: object) -> ImageClassifierOutput:
        """Return the logits (B, labels) of images (B, C, H, W), float32 from 0 to 1."""
        hidden = self.dropout(pixel_values.flatten(1))
        for layer in self.layers:
            hidden = self.hidden_dropout(torch.relu(layer(hidden)))
        return ImageClassifierOutput(logits=self.classifier(hidden))


AutoConfig.register(MODEL_TYPE, ImageMlpConfig, exist_ok=True)
AutoModelForImageClassification.register(ImageMlpConfig, ImageMlp, exist_ok=True)
