"""A chain of anchors, and the bridge from a teacher of another vocabulary to its first (2605.07783)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from core.config.base import (
    MAX_BATCH,
    MAX_COUNT,
    MAX_FACTOR,
    MAX_INTERMEDIATE,
    MAX_LAYERS,
    MAX_POSITIONS,
    MAX_VOCABULARY,
    MAX_WIDTH,
    Config,
    InvalidValueError,
)
from core.errors import SetField


class AnchorSpec(Config):
    """One anchor of a chain, by its sizes, by a parameter count, or as a checkpoint that exists."""

    layers: int | None = Field(None, ge=1, le=MAX_LAYERS, description="blocks; depth (default: its predecessor's)")
    hidden: int | None = Field(None, ge=8, le=MAX_WIDTH, description=(
        "channels; width, in whole groups of heads (default: its predecessor's)"))
    intermediate_size: int | None = Field(None, ge=8, le=MAX_INTERMEDIATE, description=(
        "neurons; width of the feed-forward layers (default: its predecessor's ratio to the width)"))
    parameters: int | None = Field(None, ge=1, le=10**15, description=(
        "numbers; the sizes nearest to this count, in place of the three above"))
    model: str | None = Field(None, min_length=1, description="model reference; begin as this checkpoint, in independent chains")

    @model_validator(mode="after")
    def _one_way(self) -> AnchorSpec:
        sizes = any(value is not None for value in (self.layers, self.hidden, self.intermediate_size))
        if sizes + (self.parameters is not None) + (self.model is not None) != 1:
            raise InvalidValueError("an anchor is given by its sizes (layers, hidden, intermediate_size), by parameters, or as a model: "
                                    "by one of them", "chain.anchors")
        return self


class ChainSpec(Config):
    """A chain of anchors below the teacher, largest first (2605.07783)."""

    anchors: tuple[AnchorSpec, ...] = Field(min_length=1, max_length=1000, description=(
        "list; the anchors below the teacher, descending in size"))
    mode: Literal["nested", "independent"] = Field("nested", description=(
        "rule; nested: every anchor begins as the most important units of its predecessor, so that all share one coordinate system; "
        "independent: every anchor begins as a checkpoint of its own, or from new weights"))
    teacher: Literal["predecessor", "largest"] = Field("predecessor", description=(
        "rule; teacher of each anchor: its predecessor, or the largest anchor"))
    curve_points: int = Field(9, ge=0, le=1000, description="sizes; between neighbouring anchors, measured when the chain is complete")

    @model_validator(mode="after")
    def _beginnings(self) -> ChainSpec:
        if self.mode == "nested" and any(anchor.model for anchor in self.anchors):
            raise InvalidValueError("anchors of a nested chain begin as parts of their predecessor: set mode to independent to give models",
                                    suggestion=SetField("chain.mode", "independent"))
        return self


class BridgeSpec(Config):
    """Texts of a teacher with another vocabulary, which become the data that a student is trained on (2605.07783, equation 2)."""

    model: str = Field(min_length=1, description="model reference; the teacher that writes, with a chat template of its own")
    prompts: str = Field("house", min_length=1, description=(
        "source; 'house' (requests about film reviews), or a .txt, .jsonl, .json, .csv, .tsv or .parquet file whose prompts are taken"))
    texts: int = Field(2000, ge=1, le=MAX_COUNT, description="texts; that the teacher writes, before any is left out")
    max_new_tokens: int = Field(64, ge=1, le=MAX_POSITIONS, description="tokens; longest answer, in the teacher's vocabulary")
    batch_size: int = Field(32, ge=1, le=MAX_BATCH, description="prompts; answered in one pass")
    sampling_temperature: float = Field(0.8, ge=0, le=MAX_FACTOR, description=(
        "number; 0 takes the most likely token, which makes texts repeat themselves"))
    top_k: int = Field(50, ge=1, le=MAX_VOCABULARY, description="tokens; only that many of the most likely ones can be drawn")
    top_p: float = Field(0.95, gt=0, le=1, description="probability; of those, the leading set that holds this much of it")
