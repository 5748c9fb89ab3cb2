"""What the folders of this project's own small classifiers have in common (`image_networks`, `text_networks`), without torch.

Their layers are called ``layers.N`` and their heads ``classifier``.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from core.errors import CorruptModelError
from core.models import checkpoints
from core.models.checkpoints import ParameterCount
from core.models.model_files import AGAIN, read_json

Shape = tuple[int, ...]


def is_of_type(folder: Path, model_type: str) -> bool:
    """Return whether a folder holds a network of a type, by its configuration."""
    path = folder / "config.json"
    try:
        config = read_json(path) if path.is_file() else None
    except CorruptModelError:
        return False  # whoever reads the folder as another model says so
    return isinstance(config, dict) and config.get("model_type") == model_type


def count_parameters(folder: Path, widths: Sequence[int], labels: int, embedding: Mapping[str, Shape] | None = None
                     ) -> tuple[ParameterCount, int]:
    """Count a network's parameters from the headers of its weights, which have to be as its configuration announces.

    Args:
        widths: of the input and of each hidden layer.
        labels: outputs of the head.
        embedding: name -> shape of what comes in front of the layers.

    Returns:
        The parameters, where a hidden layer counts as a block and the last layer as the head; bytes of the weights on disk.

    Raises:
        CorruptModelError: weights of another shape, or none.
    """
    files = checkpoints.weight_files(folder)
    shapes = {name: tensor.shape for name, tensor in checkpoints.read_headers(files).items()}
    before = dict(embedding or {})
    layers = enumerate(itertools.pairwise(widths))
    expected: dict[str, Shape] = {f"layers.{layer}.weight": (after, width) for layer, (width, after) in layers}
    expected |= {**before, "classifier.weight": (labels, widths[-1])}
    wrong = [name for name, shape in expected.items() if shapes.get(name) != shape]
    if wrong:
        raise CorruptModelError(f"'{folder}' lacks the weights {wrong[0]} of the shape {expected[wrong[0]]}.",
                                "Its configuration announces them.", AGAIN)

    def count(*prefixes: str) -> int:
        return sum(math.prod(shape) for name, shape in shapes.items() if name.startswith(prefixes))

    counts = ParameterCount(count(*before) if before else 0, tuple(count(f"layers.{layer}.") for layer in range(len(widths) - 1)),
                            count("classifier."), 0)
    return counts, sum(file.stat().st_size for file in files)
