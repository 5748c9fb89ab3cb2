"""Read the sizes that make a model larger or smaller from a configuration, and write them into one, without torch.

    parameters(dimensions) = sum over parameters of the product of their axes

so the size of a model that does not exist yet is known from the parameter names of one that does.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from core.config import StudentSpec
from core.errors import ConfigError, SetField, about
from core.models.architecture_spec import CHANNELS
from core.models.architectures import architecture_of

if TYPE_CHECKING:
    from transformers import PreTrainedConfig


# Name in files and JSON since 0.1.0 -> attribute.
_ATTRIBUTES = {"neurons": "intermediate_size", "gains": "swap_deltas", "bracket": "larger_anchor"}
_STORED = {attribute: name for name, attribute in _ATTRIBUTES.items()}


def as_record(value: Any) -> dict[str, Any]:
    """Return a dataclass as plain data, with the `Dimensions` and anchors in it under the names that files and JSON have for them."""
    return asdict(value, dict_factory=lambda pairs: {_STORED.get(name, name): each for name, each in pairs})


def from_record(plain: Mapping[str, Any]) -> dict[str, Any]:
    """Return the plain data of one dataclass, as `as_record` wrote it, under the names of its attributes."""
    return {_ATTRIBUTES.get(name, name): each for name, each in plain.items()}


@dataclass(frozen=True, slots=True, order=True)
class Dimensions:
    """A model's depth and widths.

    Attributes:
        layers: blocks.
        hidden: channels of the residual stream.
        heads, key_value_heads: query heads of a block, and the key and value heads that groups of them share.
        head_size: channels of one head.
        intermediate_size: inner width of the feed-forward part.
    """

    layers: int
    hidden: int
    heads: int
    key_value_heads: int
    head_size: int
    intermediate_size: int

    @classmethod
    def from_config(cls, config: PreTrainedConfig | Mapping[str, Any]) -> Dimensions:
        """Read the sizes of a configuration, an object or plain data. Raises UnsupportedModelError, CorruptModelError."""
        plain = config if isinstance(config, Mapping) else config.to_dict()
        architecture = architecture_of(plain)
        keys = (architecture.depth_key, architecture.width_key, architecture.heads_key)
        layers, hidden, heads = (architecture.dimension(plain, key) for key in keys)
        grouped, sized = architecture.key_value_heads_key, architecture.head_size_key
        return cls(layers, hidden, heads,
                   key_value_heads=(architecture.value(plain, grouped) if grouped else architecture.key_value_heads) or heads,
                   head_size=(architecture.value(plain, sized) if sized else None) or hidden // heads,
                   intermediate_size=architecture.value(plain, architecture.intermediate_size_key) or 4 * hidden)

    @classmethod
    def from_dict(cls, plain: Mapping[str, int]) -> Dimensions:
        """Read sizes from a chain, a created model's record or the engine's answer; see `as_record`."""
        return cls(**{_ATTRIBUTES.get(name, name): value for name, value in plain.items()})

    @property
    def group_size(self) -> int:
        """Return the number of query heads that share one key and value head."""
        return self.heads // self.key_value_heads

    def axis_length(self, axis: str) -> int:
        """Return the length of one of `core.models.architecture_spec.AXES`. Raises KeyError for ``-``, which these sizes leave open."""
        if axis in CHANNELS:
            return self.hidden
        head_channels, kv_channels = self.heads * self.head_size, self.key_value_heads * self.head_size
        return {"heads": head_channels, "heads_norm": head_channels, "kv": kv_channels, "kv_norm": kv_channels,
                "query_heads": self.heads, "kv_heads": self.key_value_heads, "qkv": head_channels + 2 * kv_channels,
                "qkv_head": 3 * head_channels, "intermediate": self.intermediate_size, "gate_up": 2 * self.intermediate_size}[axis]

    def with_width(self, hidden: int | None = None, intermediate_size: int | None = None, layers: int | None = None) -> Dimensions:
        """Return other sizes of the same family: heads keep their size and groups, so the width changes by whole head groups.

        Where the heads do not fill the width (Qwen3's 4B: 32 heads of 128 channels, a width of 2,560), it may take any value:
        at one that is no multiple of `width_step` all heads stay. The feed-forward part keeps its ratio to the width where
        `intermediate_size` is not given.

        Raises:
            ConfigError: a width that no whole number of head groups fills, in a model whose heads do.
        """
        hidden = self.hidden if hidden is None else hidden
        step = self.width_step
        in_proportion = max(1, round(self.intermediate_size * hidden / self.hidden))
        if hidden % step and hidden > 0 and not self.heads_fill_width:
            return replace(self, hidden=hidden, intermediate_size=intermediate_size or in_proportion, layers=layers or self.layers)
        if hidden < step or hidden % step:
            lower, upper = max(step, hidden // step * step), (hidden // step + 1) * step
            raise ConfigError(f"A width of {hidden} channels was requested.",
                              f"Heads of {self.head_size} channels in groups of {self.group_size} need a multiple of {step}.",
                              f"Use {lower} or {upper}.")
        key_value_heads = self.key_value_heads * hidden // self.hidden
        return replace(self, hidden=hidden, key_value_heads=key_value_heads, heads=key_value_heads * self.group_size,
                       intermediate_size=intermediate_size or in_proportion, layers=layers or self.layers)

    @property
    def heads_fill_width(self) -> bool:
        """Whether the channels of all query heads are as many as those of the residual stream."""
        return self.heads * self.head_size == self.hidden

    @property
    def width_step(self) -> int:
        """Return the smallest step of the width: the channels that belong to one key and value head."""
        return self.hidden // math.gcd(self.hidden, self.key_value_heads)


def student_dimensions(spec: StudentSpec, teacher: Dimensions) -> Dimensions:
    """Return the sizes of a student at its own widths and the teacher's depth.

    Raises:
        ConfigError: wider than the teacher, or a width that no whole number of head groups fills.
    """
    for name, wanted, there in (("hidden", spec.hidden, teacher.hidden),
                                ("intermediate_size", spec.intermediate_size, teacher.intermediate_size)):
        if wanted is not None and wanted > there:
            raise ConfigError(f"student.{name} is {wanted}.", f"The teacher has {there}, so {there} at most was expected.",
                              f"Set student.{name} to {there} or less.", suggestion=SetField(f"student.{name}", there))
    with about("student.hidden"):
        return teacher.with_width(spec.hidden, spec.intermediate_size)


def with_dimensions(config: PreTrainedConfig, wanted: Dimensions) -> PreTrainedConfig:
    """Return a copy of a configuration with other widths; `core.models.architectures.with_blocks` changes the depth.

    Raises:
        ConfigError: an architecture whose heads always fill the width, and sizes where they do not.
    """
    architecture, result = architecture_of(config), copy.deepcopy(config)
    if architecture.head_size_key is None and wanted.heads * wanted.head_size != wanted.hidden:
        raise ConfigError(f"{wanted.heads} heads of {wanted.head_size} channels and a width of {wanted.hidden} were requested.",
                          f"In a {architecture.model_type} model the heads fill the width.")
    setattr(result, architecture.width_key, wanted.hidden)
    setattr(result, architecture.heads_key, wanted.heads)
    setattr(result, architecture.intermediate_size_key, wanted.intermediate_size)
    if architecture.key_value_heads_key:
        setattr(result, architecture.key_value_heads_key, wanted.key_value_heads)
    if architecture.head_size_key:
        setattr(result, architecture.head_size_key, wanted.head_size)
    return result


def shapes_at(shapes: Mapping[str, tuple[int, ...]], config: Mapping[str, Any], wanted: Dimensions) -> dict[str, tuple[int, ...]]:
    """Return the shapes of a model's parameters at other widths and the same depth.

    Args:
        shapes: by canonical name, as `core.models.checkpoints.canonical_parameters` gives them.
        config: the plain data of its ``config.json``.
    """
    architecture = architecture_of(config)
    return {name: tuple(length if axis == "-" else wanted.axis_length(axis)
                        for length, axis in zip(shape, architecture.axes_of(name), strict=True))
            for name, shape in shapes.items()}


class ParameterCounter:
    """Counts the parameters of models of one family at any dimensions.

    Args:
        shapes: the parameters of one member by canonical name (tied weights once), as
            `core.models.checkpoints.canonical_parameters` gives them.
        config: the plain data of its ``config.json``.
    """

    def __init__(self, shapes: Mapping[str, tuple[int, ...]], config: Mapping[str, Any]) -> None:
        architecture = architecture_of(config)
        self._config = config
        self._known: dict[Dimensions, int] = {}
        self._outer = {name: shape for name, shape in shapes.items() if architecture.block_of(name) is None}
        self._inner = {name: shape for name, shape in shapes.items() if architecture.block_of(name) == 0}

    def __call__(self, dimensions: Dimensions) -> int:
        """Return the number of parameters, tied weights once."""
        if dimensions not in self._known:
            self._known[dimensions] = self._count(dimensions)
        return self._known[dimensions]

    def _count(self, dimensions: Dimensions) -> int:
        outer, inner = (sum(map(math.prod, shapes_at(part, self._config, dimensions).values())) for part in (self._outer, self._inner))
        return outer + dimensions.layers * inner
