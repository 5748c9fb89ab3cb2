"""What a folder of a deep averaging network holds, without torch; the network itself is `core.models.word_average`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from core.errors import CorruptModelError
from core.models import checkpoints
from core.models.checkpoints import ParameterCount
from core.models.model_files import AGAIN, read_json

MODEL_TYPE = checkpoints.TEXT_MODEL_TYPE


@dataclass(frozen=True, slots=True)
class TextNetworkSizes:
    """Sizes of a network.

    Attributes:
        embedding: width of a word's vector; hidden: units of each hidden layer.
        vocabulary, context: tokens that it knows, and tokens of a text that it reads.
        counts: parameters; a hidden layer counts as a block, the last layer as the head.
        size_bytes: of its weights on disk.
    """

    embedding: int
    hidden: tuple[int, ...]
    vocabulary: int
    context: int
    counts: ParameterCount
    size_bytes: int


def is_text_network(folder: Path) -> bool:
    """Return whether a folder holds such a network, by its configuration."""
    path = folder / "config.json"
    try:
        config = read_json(path) if path.is_file() else None
    except CorruptModelError:
        return False  # whoever reads the folder as another model says so
    return isinstance(config, dict) and config.get("model_type") == MODEL_TYPE


def read_sizes(folder: Path) -> TextNetworkSizes:
    """Read the sizes of a network from its configuration, compared with the headers of its weights.

    Raises:
        CorruptModelError: the two differ, or either cannot be read.
    """
    config, files = read_json(folder / "config.json"), checkpoints.weight_files(folder)
    shapes = {name: tensor.shape for name, tensor in checkpoints.read_headers(files).items()}
    try:
        embedding, vocabulary, context = (int(config[key]) for key in ("embedding_size", "vocab_size", "max_position_embeddings"))
        hidden, labels = tuple(int(each) for each in config["hidden_sizes"]), len(config["id2label"])
    except (KeyError, TypeError, ValueError) as error:
        raise CorruptModelError(f"The configuration of '{folder}' lacks sizes of a network for texts.", "Those of one were expected.",
                                AGAIN) from error
    widths = [embedding, *hidden]
    expected = {f"layers.{layer}.weight": (after, before) for layer, (before, after) in enumerate(zip(widths, hidden, strict=False))}
    expected |= {"embedding.weight": (vocabulary, embedding), "classifier.weight": (labels, widths[-1])}
    wrong = [name for name, shape in expected.items() if shapes.get(name) != shape]
    if wrong:
        raise CorruptModelError(f"'{folder}' lacks the weights {wrong[0]} of the shape {expected[wrong[0]]}.",
                                "Its configuration announces them.", AGAIN)

    def count(prefix: str) -> int:
        return sum(math.prod(shape) for name, shape in shapes.items() if name.startswith(prefix))

    counts = ParameterCount(count("embedding."), tuple(count(f"layers.{layer}.") for layer in range(len(hidden))), count("classifier."), 0)
    return TextNetworkSizes(embedding, hidden, vocabulary, context, counts, sum(file.stat().st_size for file in files))
