"""What a folder of a deep averaging network holds, without torch; the network itself is `core.models.word_average`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from core.errors import CorruptModelError
from core.models import checkpoints
from core.models.checkpoints import ParameterCount
from core.models.model_files import AGAIN, read_json
from core.models.small_networks import count_parameters, is_of_type

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
    return is_of_type(folder, MODEL_TYPE)


def read_sizes(folder: Path) -> TextNetworkSizes:
    """Read the sizes of a network from its configuration, compared with the headers of its weights.

    Raises:
        CorruptModelError: the two differ, or either cannot be read.
    """
    config = read_json(folder / "config.json")
    try:
        embedding, vocabulary, context = (int(config[key]) for key in ("embedding_size", "vocab_size", "max_position_embeddings"))
        hidden, labels = tuple(int(each) for each in config["hidden_sizes"]), len(config["id2label"])
    except (KeyError, TypeError, ValueError) as error:
        raise CorruptModelError(f"The configuration of '{folder}' lacks sizes of a network for texts.", "Those of one were expected.",
                                AGAIN) from error
    counts, size = count_parameters(folder, (embedding, *hidden), labels, {"embedding.weight": (vocabulary, embedding)})
    return TextNetworkSizes(embedding, hidden, vocabulary, context, counts, size)
