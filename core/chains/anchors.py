"""Which anchors can neighbour each other in a chain, from headers alone, so that no anchor is trained in vain. No torch."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from core.chains.sizes import heads_follow_width, solve
from core.config import AnchorSpec
from core.errors import CompatibilityError, ConfigError
from core.models.architectures import architecture_of
from core.models.dimensions import Dimensions, ParameterCounter
from core.models.header import ModelHeader

SIZES = {"layers": "blocks", "hidden": "channels", "heads": "heads", "key_value_heads": "key and value heads",
         "intermediate_size": "neurons"}  # attribute of Dimensions -> what it counts


@dataclass(frozen=True, slots=True)
class PlannedAnchor:
    """What is known of an anchor before it is trained.

    Attributes:
        config: the plain data of its configuration, with the vocabulary and the tying that it will have.
        parameters: canonical names of its parameters, tied weights once; None where its files do not name them.
    """

    config: Mapping[str, Any]
    dimensions: Dimensions
    parameters: Collection[str] | None = None

    @classmethod
    def of(cls, header: ModelHeader) -> PlannedAnchor:
        """Return what a header says of a model that an anchor begins as."""
        return cls(header.config, header.dimensions, frozenset(header.parameters) if header.format == "safetensors" else None)


def planned_anchors(teacher: PlannedAnchor, specs: Collection[AnchorSpec], sizer: ParameterCounter | None,
                    describe: Callable[[str], PlannedAnchor]) -> list[PlannedAnchor]:
    """Return all anchors of a chain, the teacher first.

    Args:
        sizer: counts parameters of the teacher's family; None where its matrices are not known: an anchor given by a count then counts
            as the one above it.
        describe: returns what is known of the model of a reference.

    Raises:
        ConfigError: sizes that do not descend, or a count that no shape comes near.
        CompatibilityError, UnsupportedModelError: as `require_neighbours`.
    """
    anchors = [teacher]
    for spec in specs:
        above = anchors[-1]
        if spec.model is not None:
            anchor = describe(spec.model)
        elif spec.parameters is not None and sizer is None:
            anchor = above
        else:
            # An anchor that is cut from its predecessor has its parameters, in fewer blocks.
            anchor = replace(above, dimensions=requested_dimensions(spec, above.dimensions, sizer))
        if anchor is not above:
            require_neighbours(above, anchor)
        anchors.append(anchor)
    return anchors


def requested_dimensions(spec: AnchorSpec, above: Dimensions, sizer: ParameterCounter | None) -> Dimensions:
    """Return the sizes of an anchor that is given by sizes or by a parameter count.

    Raises:
        ConfigError: it is not smaller than the anchor above it.
    """
    wanted = _wanted(spec, above, sizer)
    if wanted == above or any(getattr(wanted, name) > getattr(above, name) for name in ("layers", "hidden", "intermediate_size")):
        raise ConfigError(f"An anchor of {wanted.layers} blocks, {wanted.hidden} channels and {wanted.intermediate_size} neurons "
                          "was requested.",
                          f"The anchor above it has {above.layers}, {above.hidden} and {above.intermediate_size}.",
                          "Give the anchors in descending size.", field="chain.anchors")
    return wanted


def _wanted(spec: AnchorSpec, above: Dimensions, sizer: ParameterCounter | None) -> Dimensions:
    if spec.parameters is None:
        return above.with_width(spec.hidden, spec.intermediate_size, spec.layers) if spec.hidden else replace(
            above, layers=spec.layers or above.layers, intermediate_size=spec.intermediate_size or above.intermediate_size)
    assert sizer is not None, "`planned_anchors` asks for no count without one"
    smallest = above.with_width(above.width_step, layers=1)
    if not sizer(smallest) <= spec.parameters < sizer(above):
        raise ConfigError(f"An anchor of {spec.parameters:,} parameters was requested.",
                          f"Below the anchor above it there are {sizer(smallest):,} to {sizer(above):,}.",
                          field="chain.anchors")
    return solve(spec.parameters, smallest, above, sizer, slack=0.01)


def require_neighbours(large: PlannedAnchor, small: PlannedAnchor) -> str:
    """Check that models can be created between two anchors, and say what lies between them.

    Raises:
        CompatibilityError: two models that share no weights' places, or of which neither holds the other's sizes.
        UnsupportedModelError: an architecture whose weights are not described channel by channel.
    """
    above, below = large.dimensions, small.dimensions
    of_large, of_small = architecture_of(large.config), architecture_of(small.config)
    for each in (of_large, of_small):
        if each.objective != "causal":
            raise CompatibilityError(f"One of the anchors is a {each.model_type} model, a masked language model.",
                                     "Models are created between two that predict the next token.",
                                     "Distil a masked-language model into the depth that you want.", field="chain.anchors")
    if of_large.model_type != of_small.model_type or above.head_size != below.head_size:
        raise CompatibilityError(f"The anchors are a {of_small.model_type} with heads of {below.head_size} channels and a "
                                 f"{of_large.model_type} with heads of {above.head_size}.",
                                 "Anchors of one chain share architecture and head size.", "Choose anchors of one family and generation.",
                                 field="chain.anchors")
    if small.config["vocab_size"] != large.config["vocab_size"]:
        raise CompatibilityError(f"The anchors know {small.config['vocab_size']:,} and {large.config['vocab_size']:,} tokens.",
                                 "Anchors of one chain share their vocabulary.", "Bridge to the other vocabulary first.",
                                 field="chain.anchors")
    _require_same_parameters(large, small)
    larger = [name for name in SIZES if getattr(below, name) > getattr(above, name)]
    if larger or above == below:
        sizes = " and ".join(f"{getattr(below, name):,} {SIZES[name]} below {getattr(above, name):,}" for name in larger)
        raise CompatibilityError(f"One anchor has {sizes}." if sizes else "Two neighbouring anchors have the same sizes.",
                                 "Each anchor was expected to be smaller than the one above it, and in no respect larger.",
                                 "Choose other anchors, or give them in descending size.", field="chain.anchors")
    if of_large.head_size_key is None and not heads_follow_width(below, above):
        raise CompatibilityError(f"The anchors have {below.heads} heads and {below.key_value_heads} key and value heads at a width of "
                                 f"{below.hidden}, and {above.heads} and {above.key_value_heads} at {above.hidden}.",
                                 f"In {of_large.model_type} models the heads fill the width, in groups of one size.",
                                 "Choose anchors whose heads are in proportion to their width.", field="chain.anchors")
    return ", ".join(f"{getattr(below, name):,} to {getattr(above, name):,} {counted}" if getattr(below, name) != getattr(above, name)
                     else f"{getattr(above, name):,} {counted}" for name, counted in SIZES.items())


def _require_same_parameters(large: PlannedAnchor, small: PlannedAnchor) -> None:
    """Check that every parameter of one anchor is there in the other, whatever its sizes, and that its axes are described."""
    architecture = architecture_of(large.config)
    tied = {anchor: architecture.is_tied(config) for anchor, config in (("larger", large.config), ("smaller", small.config))}
    if tied["larger"] != tied["smaller"]:
        which = "larger" if tied["larger"] else "smaller"
        raise CompatibilityError(f"Only the {which} of two neighbouring anchors shares one matrix between its embeddings and its head.",
                                 "Anchors of one chain were expected to tie them both, or neither.",
                                 "Choose anchors that agree in tie_word_embeddings.", field="chain.anchors")
    if large.parameters is None or small.parameters is None:
        return
    for name in (*large.parameters, *small.parameters):
        architecture.axes_of(name)
    names = [{architecture.with_block(name, 0) for name in each} for each in (large.parameters, small.parameters)]
    different = sorted(names[0] ^ names[1])
    if different:
        raise CompatibilityError(f"Only one of two neighbouring anchors has {', '.join(different[:3])}"
                                 f"{' and more' if len(different) > 3 else ''}.",
                                 "Anchors of one chain have the same parameters in their blocks.",
                                 "Choose anchors of one family and generation.", field="chain.anchors")
