"""GGUF files: what their headers say, and their conversion into an ordinary model folder.

A GGUF file is one file with everything: metadata as typed keys, a table of tensors, then the tensors, often quantised in
blocks. Reading the header needs no torch; the strings of the vocabulary are skipped, so it takes milliseconds.
"""

from __future__ import annotations

import math
import mmap
import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import CorruptModelError, UnsupportedModelError
from core.models.architectures import ARCHITECTURE_SPECS, ArchitectureSpec
from core.models.config_checks import require_sound
from core.models.loading import model_from_pretrained, require_size
from core.models.model_files import refuse_damaged

# Those of ARCHITECTURE_SPECS that the GGUF format and Transformers' reader share, under the same name in both.
ARCHITECTURES = ("llama", "qwen2", "qwen3", "gpt2")

_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9

# A header's numbers of things are checked before anything is read by them. Published files stay far below.
MAX_ENTRIES = 100_000  # metadata, or tensors
MAX_DIMENSIONS = 4  # of a tensor, as in ggml
MAX_ITEMS = 10_000_000  # of all arrays whose items have to be walked over: texts of vocabularies and merges
MAX_TEXT = 1 << 20  # bytes of one text that is kept; chat templates are the longest
MAX_TEXTS = 1 << 24  # bytes of all of them
MAX_DEPTH = 4  # arrays inside each other


@dataclass(frozen=True, slots=True)
class GgufHeader:
    """The header of one file.

    Attributes:
        metadata: scalar values and strings by key; of an array, its length.
        shapes: the tensors' shapes by the file's own names, in torch's order.
    """

    metadata: dict[str, Any]
    shapes: dict[str, tuple[int, ...]]

    @property
    def architecture(self) -> ArchitectureSpec:
        """Return the architecture that the file names."""
        return ARCHITECTURE_SPECS[self.metadata["general.architecture"]]

    def config(self) -> dict[str, Any]:
        """Return the plain configuration, as far as `core.models.checkpoints` and the catalogue need it."""
        architecture = self.architecture

        def entry(key: str) -> Any:
            return self.metadata.get(f"{architecture.model_type}.{key}")

        return {
            "model_type": architecture.model_type,
            architecture.depth_key: entry("block_count"),
            architecture.width_key: entry("embedding_length"),
            architecture.heads_key: entry("attention.head_count"),
            architecture.context_key: entry("context_length"),
            "vocab_size": self.shapes.get("token_embd.weight", (None,))[0],
            "tie_word_embeddings": "output.weight" not in self.shapes,
        }

    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the tensors' shapes under names that `core.models.checkpoints.count_parameters` can sort into parts."""
        architecture = self.architecture
        parts = {"token_embd": architecture.embeddings, "position_embd": architecture.positions, "output_norm": architecture.final_norm,
                 "output": architecture.head}
        shapes = {}
        for name, shape in self.shapes.items():
            module, _, kind = name.rpartition(".")
            shapes[f"{parts[module]}.{kind}" if parts.get(module) else re.sub(r"^blk\.", f"{architecture.blocks}.", name)] = shape
        return shapes


def read_header(path: Path) -> GgufHeader:
    """Read and check a file's header.

    Raises:
        CorruptModelError: not a GGUF file, or truncated.
        UnsupportedModelError: an architecture or a variant of one that would not be converted faithfully.
    """
    size = path.stat().st_size
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            header, end = _parse(data)
    except (struct.error, ValueError, KeyError, IndexError, OverflowError) as error:  # mmap refuses an empty file with ValueError
        reason = f": {error}" if type(error) is ValueError else ""
        raise CorruptModelError(f"'{path}' is not a GGUF file, or only the beginning of one ({size} bytes){reason}.",
                                "A file of GGUF version 2 or 3 was expected.", "Download it again.") from error
    if end > size:
        raise CorruptModelError(f"'{path}' has {size} bytes.", f"Its header describes at least {end} bytes.", "Download it again.")
    _check_faithful(path, header)
    require_sound(header.config(), str(path))
    return header


def convert(source: Path, folder: Path) -> None:
    """Write a GGUF file's model and tokenizer into an empty folder, as safetensors in fp16 with everything beside it.

    Raises:
        CorruptModelError: the file lacks weights that its architecture needs.
    """
    import torch
    from transformers import AutoTokenizer, GgufConfig

    with refuse_damaged(f"The tokenizer in '{source}'"):
        tokenizer = AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name)
    _set_pre_tokenizer(tokenizer, read_header(source).metadata.get("tokenizer.ggml.pre"))
    require_size(source.parent, "causal", sum(map(math.prod, read_header(source).shapes.values())), str(source), gguf_file=source.name)
    # Dequantised while it loads, the model is a plain one; otherwise it would refuse to be saved.
    model, report = model_from_pretrained(
        source.parent, "causal", torch.float16, gguf_file=source.name, quantization_config=GgufConfig(dequantize=True),
        output_loading_info=True)
    if report["missing_keys"]:
        raise CorruptModelError(f"'{source}' lacks {len(report['missing_keys'])} weights, as {sorted(report['missing_keys'])[0]}.", "",
                                "Use another conversion of this model to GGUF.")
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _set_pre_tokenizer(tokenizer: Any, name: str | None) -> None:
    """Set SmolLM's splitting rules (digits stand alone), which Transformers does not know as it does those of most GGUF files."""
    from tokenizers import pre_tokenizers

    if name == "smollm":
        tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
            pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])


def _check_faithful(path: Path, header: GgufHeader) -> None:
    architecture = header.metadata.get("general.architecture")
    if not isinstance(architecture, str) or architecture not in ARCHITECTURES:
        raise UnsupportedModelError(f"'{path}' holds a model of the architecture '{architecture}'.",
                               f"One of {', '.join(ARCHITECTURES)} was expected of a GGUF file.", "Use the model's safetensors instead.")
    # The reader ignores these, so the converted model would answer differently from the one in the file.
    scaled = header.metadata.get(f"{architecture}.rope.scaling.type", "none") != "none" or "rope_freqs.weight" in header.shapes
    if scaled or header.metadata.get(f"{architecture}.expert_count"):
        raise UnsupportedModelError(f"'{path}' has {'scaled rotary positions' if scaled else 'a mixture of experts'}.",
                                    "These are not converted from GGUF.", "Use the model's safetensors instead.")


def _parse(data: mmap.mmap) -> tuple[GgufHeader, int]:
    """Return the header, and the number of bytes that the file must have at least. A cut in the header raises struct.error."""
    from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType

    magic, version, tensor_count, entry_count = struct.unpack_from("<4sIQQ", data, 0)
    if magic != b"GGUF" or version not in (2, 3):
        raise ValueError("no GGUF file of a known version")
    if max(tensor_count, entry_count) > MAX_ENTRIES:
        raise ValueError(f"it announces {entry_count:,} keys and {tensor_count:,} tensors")
    place, metadata, shapes, ends, budget = 24, {}, {}, [0], _Budget(MAX_TEXTS, MAX_ITEMS)
    for _ in range(entry_count):
        key, place = _string(data, place, budget)
        (kind,) = struct.unpack_from("<I", data, place)
        metadata[key], place = _value(data, place + 4, kind, budget)
    for _ in range(tensor_count):
        name, place = _string(data, place, budget)
        (dimensions,) = struct.unpack_from("<I", data, place)
        if dimensions > MAX_DIMENSIONS:
            raise ValueError(f"the tensor '{name[:100]}' has {dimensions:,} dimensions")
        *shape, kind, offset = struct.unpack_from(f"<{dimensions}QIQ", data, place + 4)
        place += 4 + 8 * dimensions + 12
        shapes[name] = tuple(reversed(shape))
        block_numbers, block_bytes = GGML_QUANT_SIZES[GGMLQuantizationType(kind)]
        ends.append(offset + math.prod(shape) // block_numbers * block_bytes)
    alignment = metadata.get("general.alignment", 32)
    if not isinstance(alignment, int) or alignment < 1:
        raise ValueError("tensors aligned to nothing")
    return GgufHeader(metadata, shapes), math.ceil(place / alignment) * alignment + max(ends)


@dataclass(slots=True)
class _Budget:
    """What reading one header may still take: bytes of texts that are kept, and items that are walked over."""

    text: int
    items: int


def _string(data: mmap.mmap, place: int, budget: _Budget) -> tuple[str, int]:
    (length,) = struct.unpack_from("<Q", data, place)
    budget.text -= length
    if length > MAX_TEXT or budget.text < 0:
        raise ValueError(f"a text of {length:,} bytes stands at byte {place}")
    return data[place + 8:place + 8 + length].decode(), place + 8 + length


def _value(data: mmap.mmap, place: int, kind: int, budget: _Budget, depth: int = 0) -> tuple[Any, int]:
    if kind == _STRING:
        return _string(data, place, budget)
    if kind != _ARRAY:
        code = f"<{_SCALARS[kind]}"
        return struct.unpack_from(code, data, place)[0], place + struct.calcsize(code)
    item_kind, length = struct.unpack_from("<IQ", data, place)
    place += 12
    if item_kind in _SCALARS:
        return length, place + length * struct.calcsize(f"<{_SCALARS[item_kind]}")
    budget.items -= length
    if budget.items < 0 or depth == MAX_DEPTH:
        raise ValueError(f"an array of {length:,} items {depth + 1} deep stands at byte {place - 12}")
    for _ in range(length):
        if item_kind == _STRING:  # a vocabulary: skipped unread
            place += 8 + struct.unpack_from("<Q", data, place)[0]
        else:
            _, place = _value(data, place, item_kind, budget, depth + 1)
    return length, place
