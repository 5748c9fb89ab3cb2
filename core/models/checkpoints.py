"""Read a model folder's configuration and tensor headers, count its parameters and hash its weights, without torch.

A safetensors file begins with the length of its header (8 bytes, little-endian), then the header as JSON: for each tensor
its type, shape and offsets. That is enough to count the parameters of a student at any depth.
"""

from __future__ import annotations

import math
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from core.errors import CorruptModelError, ModelError, ModelNotFoundError, UnsafeModelError, UnsupportedModelError
from core.models.architectures import architecture_of
from core.models.config_checks import require_sound, require_typed
from core.models.model_files import read_json
from core.system.plain_data import PlainDataError, parse_json

if TYPE_CHECKING:
    pass

Tensor = TypeVar("Tensor")
Task = Literal["causal", "masked", "classification", "question_answering", "image_classification"]  # of a model's head
TASK_DESCRIPTIONS: dict[Task, str] = {"causal": "predicts the next token", "masked": "predicts masked tokens",
                                      "classification": "classifies texts", "question_answering": "finds answers in a text",
                                      "image_classification": "classifies images"}

IMAGE_MODEL_TYPE = "image_mlp"  # of networks for images, `core.models.image_mlp`
TEXT_MODEL_TYPE = "word_average"  # of small classifiers of texts, `core.models.word_average`
WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
PICKLE_SUFFIXES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")
TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "spiece.model", "vocab.txt", "sentencepiece.bpe.model", "spm.model")

MAX_HEADER_BYTES = 1 << 25  # 32 MiB, for 120,000 tensors in one file; the format's own limit is 100 MB
MAX_TENSORS = 500_000  # of a model; mixtures of experts with a trillion parameters have 140,000
LONGEST_NAME = 512  # characters of a tensor's name
# Bits of a number, by the names that the format has for its types; https://github.com/huggingface/safetensors.
DTYPE_BITS = {"BOOL": 8, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8,
              "F8_E5M2FNUZ": 8, "I16": 16, "U16": 16, "F16": 16, "BF16": 16, "I32": 32, "U32": 32, "F32": 32, "C64": 64, "F64": 64,
              "I64": 64, "U64": 64}


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """One tensor in a file: its type (F32, BF16, ...), its shape, and its byte offsets `start` to `end` (exclusive) within the file."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class ParameterCount:
    """Numbers of parameters, by part.

    Attributes:
        embeddings: token embedding, learned positions and token types.
        blocks: one number a block.
        head: output head; 0 where it is tied to the token embedding.
        other: norms, projections and task heads outside the blocks.
    """

    embeddings: int
    blocks: tuple[int, ...]
    head: int
    other: int

    @property
    def total(self) -> int:
        """Return the parameters of the whole model."""
        return self.with_blocks(range(len(self.blocks)))

    def with_blocks(self, layer_map: Iterable[int]) -> int:
        """Return the total of a model that keeps only these blocks: a student's, known before it is built."""
        return self.embeddings + self.head + self.other + sum(self.blocks[block] for block in layer_map)


def read_config(folder: Path) -> dict[str, Any]:
    """Read the plain data of a model folder's ``config.json``.

    Raises:
        ModelNotFoundError: the folder holds no model.
        ModelError: it holds adapters, alone or beside a model.
        CorruptModelError: not JSON, or values that no model has.
        UnsupportedModelError: an architecture that is not described, or quantised weights.
    """
    path = folder / "config.json"
    if (folder / "adapter_config.json").is_file():
        # Beside a model, Transformers would load them with it, and it would not be the model that the files describe.
        where = "beside a model" if path.is_file() else "without the model they belong to"
        raise ModelError(f"'{folder}' holds adapters {where}.", "A whole model, and nothing else, was expected.",
                         "Merge the adapters into their model and save that.")
    if not path.is_file():
        files = sorted(folder.glob("*.gguf"))
        raise ModelNotFoundError(f"'{folder}' holds no model: there is no config.json.",
                                 "A folder that a Transformers model was saved to was expected.",
                                 f"Give the GGUF file itself: {files[0]}" if files else "")
    config = read_json(path)
    check_config(config, str(folder))
    return config


def check_config(config: Any, model: str) -> None:
    """Refuse a configuration of an unsupported architecture, head or quantisation; `model` names it in messages.

    Raises:
        CorruptModelError, UnsupportedModelError: as `read_config` does.
    """
    require_typed(config, model)
    task_of(config)
    if config.get("quantization_config"):
        raise UnsupportedModelError(f"The weights of '{model}' are quantised.", "Plain weights in 16 or 32 bits were expected.",
                                    "Use the model's unquantised version, or a GGUF file of it.")
    require_sound(config, model)


def task_of(config: Mapping[str, Any]) -> Task:
    """Return what a model's head is for: by the class that its plain ``config.json`` names, else by its architecture.

    Raises:
        UnsupportedModelError: a head of another kind.
    """
    name = next(iter(config.get("architectures") or ()), "")
    objective = architecture_of(config).objective
    heads: dict[str, Task] = {"ForMaskedLM": "masked", "ForPreTraining": "masked", "ForSequenceClassification": "classification",
                              "ForQuestionAnswering": "question_answering", "Model": objective}
    known = next((task for ending, task in heads.items() if name.endswith(ending)), None)
    if objective == "causal" and known in (None, "causal"):
        return "causal"
    if name and (known is None or objective == "causal"):
        raise UnsupportedModelError(f"The model is a {name}.", "A language model, a sequence classifier or an extractive question answerer "
                                    "was expected.", "Choose another checkpoint of this family.")
    return known or objective


def weight_files(folder: Path) -> list[Path]:
    """List the safetensors files of a model folder.

    Raises:
        UnsafeModelError: the weights are there as pickle only.
        CorruptModelError: no weights, or one of several files is missing.
    """
    if (folder / WEIGHTS).is_file():
        return [folder / WEIGHTS]
    if (folder / INDEX).is_file():
        plain = read_json(folder / INDEX)
        listed = plain.get("weight_map") if isinstance(plain, dict) else None
        if not isinstance(listed, dict) or not listed or not all(isinstance(name, str) for name in listed.values()):
            raise CorruptModelError(f"'{folder / INDEX}' is no index of weights.",
                                    "Under 'weight_map', a file for each tensor was expected.", "Download or export the model again.")
        names = sorted(set(listed.values()))
        # A name with a folder in it would lead out of this one; one that no file can have is missing too.
        missing = [name for name in names if Path(name).name != name or not os.path.isfile(folder / name)]
        if missing:
            shown = ", ".join(missing[:3]) + (f" and {len(missing) - 3} more" if len(missing) > 3 else "")
            raise CorruptModelError(f"'{folder}' lacks {shown}.", f"The index lists {len(names)} files of weights.",
                                    "Download the model again.")
        return [folder / name for name in names]
    pickles = sorted(path.name for path in folder.iterdir() if path.suffix in PICKLE_SUFFIXES)
    if pickles:
        raise unsafe_weights_error(f"The weights in '{folder}' are pickle files ({', '.join(pickles[:3])}).")
    raise CorruptModelError(f"'{folder}' holds no weights.", f"A file {WEIGHTS} was expected.", "Download or export the model again.")


def unsafe_weights_error(given: str) -> UnsafeModelError:
    """Return the error for weights that could run code when they are read."""
    return UnsafeModelError(given, "Only safetensors and GGUF are read, because a pickle can run any code.",
                            "Ask for the model's safetensors files, or save it again with save_pretrained.")


def read_header(path: Path) -> dict[str, TensorInfo]:
    """Read the tensors of a safetensors file by name, checked against the file's size.

    Raises:
        CorruptModelError: truncated, or not a safetensors file.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(8)
        if start == b"version ":
            raise CorruptModelError(f"'{path}' is a Git LFS pointer, not the weights.", "", "Run 'git lfs pull' in its repository.")
        length = int.from_bytes(start, "little")
        text = file.read(length) if len(start) == 8 and 2 <= length <= min(size - 8, MAX_HEADER_BYTES) else b""
    try:
        entries = parse_json(text)
        if not isinstance(entries, dict):
            raise PlainDataError("its header holds no tensors")
        tensors = {name: _tensor(name, entry, 8 + length) for name, entry in entries.items() if name != "__metadata__"}
    except PlainDataError as error:
        raise CorruptModelError(f"'{path}' is not a safetensors file, or only the beginning of one ({size} bytes): {error.problem}.",
                                "A file that safetensors wrote was expected.", "Download or export the model again.") from error
    end = max((tensor.end for tensor in tensors.values()), default=0)
    if end != size:
        raise CorruptModelError(f"'{path}' has {size} bytes.", f"Its header describes {end} bytes.", "Download or export the model again.")
    place = 8 + length
    for name, tensor in sorted(tensors.items(), key=lambda item: (item[1].start, item[1].end)):
        if tensor.start != place:
            raise CorruptModelError(f"'{path}' has the tensor '{name}' at byte {tensor.start}.", f"The one before it ends at byte {place}.",
                                    "Download or export the model again.")
        place = tensor.end
    return tensors


def _tensor(name: str, entry: Any, start: int) -> TensorInfo:
    """Return one entry of a header, whose offsets count from byte `start`. Raises PlainDataError for what no tensor has."""
    if len(name) > LONGEST_NAME:
        raise PlainDataError(f"a tensor's name has {len(name):,} characters")
    shown = f"the tensor '{name[:100]}'"
    if not isinstance(entry, dict) or not all(key in entry for key in ("dtype", "shape", "data_offsets")):
        raise PlainDataError(f"{shown} lacks its type, shape or offsets")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPE_BITS:
        raise PlainDataError(f"{shown} has the type {str(dtype)[:40]!r}")
    whole = isinstance(shape, list) and isinstance(offsets, list) and all(type(each) is int and each >= 0 for each in (*shape, *offsets))
    if not whole or len(shape) > 16 or len(offsets) != 2 or any(each >= 2**63 for each in (*shape, *offsets)):
        raise PlainDataError(f"{shown} has no shape or no offsets")
    if math.prod(shape) * DTYPE_BITS[dtype] != 8 * (offsets[1] - offsets[0]):
        raise PlainDataError(f"{shown} of shape {shape} stands in {offsets[1] - offsets[0]} bytes")
    return TensorInfo(sys.intern(dtype), tuple(shape), start + offsets[0], start + offsets[1])


def parameter_shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    """Read the shape of every tensor in a model folder, from the headers alone. Raises as `weight_files` and `read_header` do."""
    return {name: tensor.shape for name, tensor in read_headers(weight_files(folder)).items()}


def read_headers(paths: Iterable[Path]) -> dict[str, TensorInfo]:
    """Read the tensors of the files of one model. Raises CorruptModelError as `read_header` does, and for more than `MAX_TENSORS`."""
    tensors: dict[str, TensorInfo] = {}
    for path in paths:
        tensors |= read_header(path)
        if len(tensors) > MAX_TENSORS:
            raise CorruptModelError(f"The files up to '{path}' hold {len(tensors):,} tensors.", f"{MAX_TENSORS:,} at most were expected.",
                                    "Use another version of the model.")
    return tensors


def count_parameters(shapes: Mapping[str, Sequence[int]], config: Mapping[str, Any]) -> ParameterCount:
    """Count parameters by part.

    Args:
        shapes: the tensors' shapes by name, as `parameter_shapes` gives them.
        config: the plain data of ``config.json``.

    Raises:
        CorruptModelError: the blocks are not those that the configuration announces.
    """
    architecture = architecture_of(config)
    depth = architecture.dimension(config, architecture.depth_key)
    looked_up = tuple(f"{part}." for part in (architecture.embeddings, architecture.positions, architecture.token_types) if part)
    blocks, embeddings, head, other = [0] * depth, 0, 0, 0
    beyond: set[int] = set()
    for name, shape in canonical_parameters(shapes, config):
        block, numbers = architecture.block_of(name), math.prod(shape)
        if block is not None and block >= depth:
            beyond.add(block)
        elif block is not None:
            blocks[block] += numbers
        elif name.startswith(f"{architecture.head}."):
            head += numbers
        elif name.startswith(looked_up):
            embeddings += numbers
        else:
            other += numbers
    if not embeddings or not all(blocks) or beyond:
        found = sum(map(bool, blocks)) + len(beyond)
        raise CorruptModelError(f"The weights hold {found} blocks{'' if embeddings else ' and no embeddings'}.",
                                f"The configuration announces {depth}.", _way_out(shapes, architecture.blocks))
    return ParameterCount(embeddings, tuple(blocks), head, other)


def _way_out(names: Iterable[str], blocks: str) -> str:
    """Return what helps where the blocks are not found: their names may have a prefix, which wrappers for training put in front."""
    prefix = next((name[:place] for name in names if (place := name.find(f"{blocks}.")) > 0), "")
    if not prefix:
        return "Download or export the model again."
    return (f"Its tensors are named '{prefix[:100]}{blocks}...': save the model inside the wrapper with save_pretrained, "
            f"or its tensors without '{prefix[:100]}'.")


def canonical_parameters(tensors: Mapping[str, Tensor], config: Mapping[str, Any]) -> Iterator[tuple[str, Tensor]]:
    """Yield the parameters among a checkpoint's tensors by canonical name: no buffers, tied weights once, no parts of other heads."""
    if config.get("model_type") in (IMAGE_MODEL_TYPE, TEXT_MODEL_TYPE):  # nothing is tied in it, and it has no other head
        yield from tensors.items()
        return
    architecture = architecture_of(config)
    seen: set[str] = set()
    is_tied = architecture.is_tied(config)
    tied = {f"{architecture.head}.weight"} if is_tied else set()
    language_model = task_of(config) in ("causal", "masked")
    for name, tensor in tensors.items():
        # An alias names the same tensor only in a tied model.
        canonical = architecture.canonical(name) if is_tied or name not in architecture.aliases else name
        if canonical is None or canonical in tied | seen or (language_model and re.search(architecture.unused_pattern, canonical)):
            continue
        seen.add(canonical)
        yield canonical, tensor
