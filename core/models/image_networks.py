"""What a folder of a network for images holds, without torch; the network itself is `core.models.image_mlp`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from core.errors import CorruptModelError
from core.models import checkpoints
from core.models.checkpoints import ParameterCount
from core.models.model_files import AGAIN, read_json
from core.models.small_networks import count_parameters, is_of_type

MODEL_TYPE = checkpoints.IMAGE_MODEL_TYPE


@dataclass(frozen=True, slots=True)
class ImageNetworkSizes:
    """Sizes of a network.

    Attributes:
        hidden: units of each hidden layer.
        image: channels, height and width that it reads.
        labels: in the order of its outputs.
        counts: parameters; a hidden layer counts as a block, the last layer as the head.
        size_bytes: of its weights on disk.
    """

    hidden: tuple[int, ...]
    image: tuple[int, ...]
    labels: tuple[str, ...]
    counts: ParameterCount
    size_bytes: int


def is_image_network(folder: Path) -> bool:
    """Return whether a folder holds such a network, by its configuration."""
    return is_of_type(folder, MODEL_TYPE)


def read_sizes(folder: Path) -> ImageNetworkSizes:
    """Read the sizes of a network from its configuration, compared with the headers of its weights.

    Raises:
        CorruptModelError: the two differ, or either cannot be read.
    """
    config = read_json(folder / "config.json")
    try:
        hidden = tuple(int(each) for each in config["hidden_sizes"])
        image = (int(config["num_channels"]), *(int(each) for each in config["image_size"]))
        names = {int(number): str(label) for number, label in config["id2label"].items()}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CorruptModelError(f"The configuration of '{folder}' lacks sizes of a network for images.", "Those of one were expected.",
                                AGAIN) from error
    counts, size = count_parameters(folder, (math.prod(image), *hidden), len(names))
    return ImageNetworkSizes(hidden, image, tuple(names[number] for number in sorted(names)), counts, size)
