"""What must hold of a configuration before anything is counted, drawn or loaded by it.

The values come from a file that somebody else wrote. Whatever the web process makes of them (a list of blocks, a figure) is as large as
they say, so each is bounded by what no model reaches; and what a model's constructor would fail on is said by its key.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.config.base import MAX_VOCABULARY
from core.errors import CorruptModelError, UnsupportedModelError
from core.models.architectures import ARCHITECTURE_SPECS, architecture_of
from core.models.model_files import AGAIN

MAX_LABELS = 100_000  # of a classifier: Transformers makes a name for each when it reads a configuration


def require_typed(config: Any, model: str) -> None:
    """Check what everything else asks first: the kinds of values under the keys that say what the model is.

    Args:
        config: plain data of ``config.json``.
        model: names it in messages.

    Raises:
        CorruptModelError: no configuration, or a value of another kind.
        UnsupportedModelError: no ``model_type``.
    """
    if not isinstance(config, dict):
        raise CorruptModelError(f"The config.json of '{model}' holds no configuration.", "Keys and values were expected.", AGAIN)
    classes = config.get("architectures")
    if classes is not None and not (isinstance(classes, list) and all(isinstance(name, str) for name in classes)):
        raise _wrong(model, "architectures", classes, "a list of names")
    model_type = config.get("model_type")
    if model_type is None:
        raise UnsupportedModelError(f"The config.json of '{model}' names no model_type.",
                                    f"One of {', '.join(sorted(ARCHITECTURE_SPECS))} was expected.", _likely_type(classes or []))
    if not isinstance(model_type, str):
        raise _wrong(model, "model_type", model_type, "a name")


def require_sound(config: Mapping[str, Any], model: str) -> None:
    """Check the sizes that are given, groups of heads, lists with one entry a block, and the numbers of special tokens.

    Args:
        config: as `require_typed` let it through, of an architecture that is described.

    Raises:
        CorruptModelError: a value that no model has, or that does not go with another one; the key is named.
    """
    architecture = architecture_of(config)
    sizes = {key: architecture.dimension(config, key) for key in (
        architecture.depth_key, architecture.width_key, architecture.heads_key, architecture.context_key, "vocab_size",
        architecture.key_value_heads_key, architecture.head_size_key, architecture.intermediate_size_key, architecture.experts_key)
        if key is not None and architecture.value(config, key) is not None and not isinstance(architecture.value(config, key), list)}
    depth, width, heads = (sizes.get(key) for key in (architecture.depth_key, architecture.width_key, architecture.heads_key))
    groups = sizes.get(architecture.key_value_heads_key or "")
    if heads and groups and heads % groups:
        raise _wrong(model, architecture.key_value_heads_key, groups, f"a divisor of the {heads} query heads")
    if width and heads and width % heads and (architecture.head_size_key or "") not in sizes:
        raise _wrong(model, architecture.heads_key, heads, f"a divisor of the width {width}")
    for key in architecture.per_block_keys:
        listed = config.get(key)
        if depth and listed is not None and not (isinstance(listed, list) and len(listed) == depth):
            raise _wrong(model, key, listed, f"a list of {depth} entries, one a block")
    labels = config.get("num_labels")
    if isinstance(labels, int) and labels > MAX_LABELS:
        raise _wrong(model, "num_labels", labels, f"{MAX_LABELS:,} classes at most")
    _require_ids(config, model, sizes.get("vocab_size", MAX_VOCABULARY))


def _require_ids(config: Mapping[str, Any], model: str, rows: int) -> None:
    """Check that special tokens have an embedding row. Llama 2's configuration says -1 where there is no padding token."""
    for key in ("pad_token_id", "bos_token_id", "eos_token_id", "decoder_start_token_id"):
        value = config.get(key)
        several = value if isinstance(value, list) and key == "eos_token_id" else [value]
        if any(each is not None and (not isinstance(each, int) or isinstance(each, bool)) for each in several):
            raise _wrong(model, key, value, "a token's number")
    padding = config.get("pad_token_id")
    if padding is not None and not -1 <= padding < rows:
        raise CorruptModelError(f"The config.json of '{model}' has the pad_token_id {padding}.",
                                f"The model has embeddings for the tokens 0 to {rows - 1}.",
                                "Set pad_token_id in config.json to one of them, or to null.")


def _wrong(model: str, key: str | None, value: Any, expected: str) -> CorruptModelError:
    return CorruptModelError(f"The config.json of '{model}' has {key} {value!r}.",
                             f"{expected[0].upper()}{expected[1:]} was expected there.", AGAIN)


def _likely_type(classes: list[str]) -> str:
    """Return what to add to a configuration without a type, by the class that it names."""
    name = classes[0].lower() if classes else ""
    known = sorted((each for each in ARCHITECTURE_SPECS if name.startswith(each.replace("_", "").replace("-", ""))), key=len)
    return f'Add "model_type": "{known[-1]}" to it.' if known else "Add the family's name to it as model_type."
