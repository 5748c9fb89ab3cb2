"""Items with labels in memory, and the three parts of a data set.

Shapes: N items, C classes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from core.errors import DataError


@dataclass(frozen=True, slots=True)
class Items:
    """Items and their classes.

    Attributes:
        inputs: name of the model's argument -> (N, ...): ``pixel_values`` (N, C, H, W) float32 from 0 to 1, or ``input_ids`` and
            ``attention_mask`` (N, T) int64 with padding on the right.
        targets: (N,) int64 numbers of classes.
    """

    inputs: Mapping[str, Tensor]
    targets: Tensor

    def __len__(self) -> int:
        return len(self.targets)

    def take(self, chosen: Tensor | slice) -> Items:
        """Return the items of an index or a mask (N,)."""
        return Items({name: tensor[chosen] for name, tensor in self.inputs.items()}, self.targets[chosen])

    def of_classes(self, classes: Sequence[int]) -> Items:
        """Return the items of some classes."""
        return self.take(torch.isin(self.targets, torch.tensor(classes)))

    def without_classes(self, classes: Sequence[int]) -> Items:
        """Return the items of all other classes."""
        return self.take(~torch.isin(self.targets, torch.tensor(classes)))

    def batch(self, chosen: Tensor, device: torch.device) -> dict[str, Tensor]:
        """Return the model's arguments for a batch, without the columns that are padding in all its items."""
        arguments = {name: tensor[chosen] for name, tensor in self.inputs.items()}
        if "attention_mask" in arguments:
            longest = int(arguments["attention_mask"].sum(1).max())
            arguments = {name: tensor[:, :longest] for name, tensor in arguments.items()}
        return {name: tensor.to(device) for name, tensor in arguments.items()}


@dataclass(frozen=True, slots=True)
class ClassificationData:
    """A labelled data set.

    Attributes:
        name: of its source.
        labels: in the order of the classes' numbers.
        train: trained on; also the transfer set of a distillation.
        validation: what weights, biases and temperatures are chosen on.
        test: measured on, and never chosen on.
    """

    name: str
    labels: tuple[str, ...]
    train: Items
    validation: Items
    test: Items

    @property
    def digest(self) -> str:
        """Twelve hexadecimal digits over all items and labels."""
        parts = hashlib.sha256(repr(self.labels).encode())
        for part in (self.train, self.validation, self.test):
            for name in sorted(part.inputs):
                parts.update(part.inputs[name].contiguous().numpy().tobytes())
            parts.update(part.targets.numpy().tobytes())
        return parts.hexdigest()[:12]

    @property
    def image_size(self) -> tuple[int, int, int]:
        """Channels, height and width of the images."""
        _, channels, height, width = self.train.inputs["pixel_values"].shape
        return channels, height, width

    def class_number(self, label: str | int) -> int:
        """Return the number of a class by its label. Raises DataError for a label that the data set does not have."""
        if str(label) not in self.labels:
            raise DataError(f"'{self.name}' has no class '{label}'.", f"One of {', '.join(self.labels)} was expected.")
        return self.labels.index(str(label))
