"""What is known of a model: without loading it, and loaded."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from core.models.checkpoints import ParameterCount, Task
from core.models.dimensions import Dimensions, as_record
from core.models.header import ModelHeader

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

Kind = Literal["house", "package", "folder", "gguf", "hub", "run", "ensemble"]


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """What is known of a model without loading it.

    Attributes:
        name: the reference that leads to it.
        layers, hidden, heads: blocks, channels, query heads a block.
        parameters: numbers, tied weights once; `counts` has them by part.
        vocabulary, context: rows of the token embedding, tokens of the longest sequence.
        dimensions: all sizes; None for a packaged model that is not here yet.
        licence, source: as far as its card and its origin tell; may be empty.
        size_bytes: of its weights on disk, or of its download.
        task: what its head is for.
        trained_length: tokens of the sequences that it was trained on last, where Stillhouse trained it; longer ones are new to it.
        present: whether it can be loaded without the network.
        path: its folder or file, None until it is present.
        header: what its files say; None for a packaged model that is not here yet.
    """

    name: str
    kind: Kind
    architecture: str
    layers: int
    hidden: int
    heads: int
    parameters: int
    vocabulary: int
    context: int
    licence: str
    source: str
    size_bytes: int
    present: bool
    path: Path | None
    description: str
    counts: ParameterCount
    task: Task = "causal"
    dimensions: Dimensions | None = None
    trained_length: int | None = None
    header: ModelHeader | None = field(default=None, repr=False, compare=False)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON: every attribute but the header, from which most of them follow."""
        plain = as_record(replace(self, header=None))
        del plain["header"]
        return plain


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model in evaluation mode, its tokenizer and its entry.

    Attributes:
        initialised: parameters that the files lack, so that they are random: of a masked-language head that was not needed.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    entry: ModelEntry
    initialised: frozenset[str] = frozenset()

    @property
    def header(self) -> ModelHeader:
        """What its files say; those of a loaded model were read."""
        assert self.entry.header is not None
        return self.entry.header
