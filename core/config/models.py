"""Teacher and student: which models they are and how the student is built."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from core.config.addresses import ServedAddress, is_address, parse_address
from core.config.base import (
    MAX_COUNT,
    MAX_FACTOR,
    MAX_HEADS,
    MAX_INTERMEDIATE,
    MAX_LAYERS,
    MAX_POSITIONS,
    MAX_VOCABULARY,
    MAX_WIDTH,
    Config,
    InvalidValueError,
)
from core.errors import SetField


class SignalSpec(Config):
    """How the teacher is queried: again at every step, or once, with its answers kept on disk (`core.signals`)."""

    form: Literal["auto", "live", "hidden", "top_k", "sampled"] = Field("auto", description=(
        "rule; live: the teacher answers at every step. hidden, top_k, sampled: it answers once for each block and its answers are kept: "
        "its last hidden states, its likeliest tokens, or tokens drawn from it. auto: hidden states where they are kept already for "
        "every block, else live"))
    samples: int = Field(50, ge=1, le=127, description="draws; sampled only: tokens drawn at each position, with replacement (2503.16870)")
    top_k: int = Field(12, ge=1, le=MAX_VOCABULARY, description="tokens; top_k only: likeliest tokens that are kept of each position")
    tail: bool = Field(True, description=(
        "switch; top_k only: what is left for all other tokens counts as one more outcome; off, the kept ones are renormalised, which "
        "inflates them"))


class ServerSpec(Config):
    """How a teacher at an address is queried. Its key is in the environment (STILLHOUSE_TEACHER_KEY), never in a recipe."""

    concurrency: int = Field(8, ge=1, le=256, description="requests; that are open at once")
    timeout: float = Field(120.0, gt=0, le=MAX_FACTOR, description="seconds; that an answer may take before it is requested again")
    patience: float = Field(600.0, ge=0, le=MAX_FACTOR, description=(
        "seconds; that a run waits for a server that does not answer, or is busy, before it ends; it can be resumed then"))
    budget: int | None = Field(None, ge=1, le=MAX_COUNT, description=(
        "tokens; most that are sent between the start and the end, or a stop, of a run (default: as many as it takes)"))


class TeacherSpec(Config):
    """The model whose outputs are the targets, and how it is queried."""

    model: str = Field("house-chat", min_length=1, description=(
        "model reference; a house model, a run, a local folder, a GGUF file, a hub id or a model carried by a package; the "
        "mean of several of one vocabulary, arithmetic(a, b) or geometric(0.7 a, 0.3 b); or the address of a "
        "server that answers as vLLM or SGLang does, http://host:port or http://host:port#model, which needs student.model"))
    signals: SignalSpec = Field(SignalSpec(), description="signals; whether the teacher's answers are kept on disk, and in which form")
    server: ServerSpec = Field(ServerSpec(), description="server; how a teacher at an address is queried")

    @field_validator("model")
    @classmethod
    def _without_credentials(cls, value: str) -> str:
        if is_address(value):
            parse_address(value)
        return value

    @property
    def address(self) -> ServedAddress | None:
        """Where the teacher answers; None for a model that is loaded."""
        return parse_address(self.model) if is_address(self.model) else None


class LoraSpec(Config):
    """Low-rank adapters trained in place of the student's weights (2106.09685)."""

    rank: int = Field(8, ge=1, le=MAX_WIDTH, description="integer; rank of each adapter")
    alpha: float = Field(16.0, gt=0, le=MAX_FACTOR, description="number; the adapter's output is scaled by alpha / rank")
    dropout: float = Field(0.0, ge=0, lt=1, description="probability; dropout in front of each adapter")


class ScratchSpec(Config):
    """An architecture built from nothing, with a tokenizer trained on the data: how house models begin."""

    architecture: Literal["llama", "bert"] = Field("llama", description=(
        "name; llama: reads to the left, RMSNorm, rotary positions, gated MLP; bert: predicts masked tokens, LayerNorm, learnt positions"))
    layers: int = Field(8, ge=1, le=MAX_LAYERS, description="blocks; depth")
    hidden: int = Field(192, ge=8, le=MAX_WIDTH, description="channels; width of the residual stream")
    heads: int = Field(4, ge=1, le=MAX_HEADS, description="heads; query heads, the width is divided among them")
    key_value_heads: int = Field(4, ge=1, le=MAX_HEADS, description="heads; key and value heads shared by groups of query heads")
    intermediate_size: int = Field(512, ge=8, le=MAX_INTERMEDIATE, description="neurons; width of the feed-forward layers")
    vocabulary: int = Field(4096, ge=300, le=MAX_VOCABULARY, description=(
        "tokens; size of the vocabulary, byte-level BPE (llama) or WordPiece (bert)"))
    positions: int = Field(1024, ge=16, le=MAX_POSITIONS, description="tokens; longest sequence")

    @model_validator(mode="after")
    def _divisible(self) -> ScratchSpec:
        if self.hidden % self.heads or self.heads % self.key_value_heads:
            raise InvalidValueError(f"hidden ({self.hidden}) must be a multiple of heads ({self.heads}), "
                                    f"and heads a multiple of key_value_heads ({self.key_value_heads})",
                                    f"student.from_scratch.{'hidden' if self.hidden % self.heads else 'key_value_heads'}")
        if self.architecture == "bert" and self.key_value_heads != self.heads:
            raise InvalidValueError(f"in a bert model every head has its own keys and values: set key_value_heads to {self.heads}",
                                    suggestion=SetField("student.from_scratch.key_value_heads", self.heads))
        return self


LayerRule = Literal["uniform", "table", "importance", "first"]


class StudentSpec(Config):
    """How the student is built from the teacher."""

    layers: int | None = Field(None, ge=1, le=MAX_LAYERS, description=(
        "blocks; depth of the student, from 1 to the teacher's (default: half of it)"))
    layer_map: LayerRule | tuple[int, ...] = Field("uniform", description=(
        "rule or list; which teacher block becomes which student block: uniform (first and last kept), table (the published "
        "maps), importance (measured), first, or an explicit list of block numbers from 0"))
    hidden: int | None = Field(None, ge=8, le=MAX_WIDTH, description=(
        "channels; width of the student, in whole groups of attention heads; where the teacher's heads do not fill its width any number, "
        "and all heads are kept (default: the teacher's)"))
    intermediate_size: int | None = Field(None, ge=8, le=MAX_INTERMEDIATE, description=(
        "neurons; width of the student's feed-forward layers (default: the teacher's ratio to the width)"))
    pruning_criterion: Literal["importance", "first"] = Field("importance", description=(
        "rule; channels, heads and neurons that a narrower student keeps: the most important ones by activations, or the first"))
    architecture: Literal["teacher", "distilbert"] = Field("teacher", description=(
        "name; the teacher's own architecture, or DistilBERT's for a BERT teacher: no token types, no pooler"))
    dropout: float | None = Field(None, ge=0, lt=1, description=(
        "probability; dropout while the student is trained (default: none in causal models, the teacher's own in masked ones)"))
    init: Literal["teacher", "random"] = Field("teacher", description=(
        "rule; copy the chosen blocks' weights, or draw new ones; with a model of one's own, keep its weights or only its shape"))
    model: str | None = Field(None, min_length=1, description=(
        "model reference; train this model on as it is, in place of a copy of the teacher's blocks (default: none)"))
    lora: LoraSpec | None = Field(None, description="adapters; train low-rank adapters in place of all weights")
    from_scratch: ScratchSpec | None = Field(None, description="architecture; build a model with new weights and a tokenizer of its own")

    @field_validator("layer_map")
    @classmethod
    def _ascending(cls, value: Any) -> Any:
        if isinstance(value, tuple) and (not value or value[0] < 0 or list(value) != sorted(set(value))):
            raise ValueError(f"an explicit layer map lists block numbers from 0 upwards, each once: got {list(value)}")
        if isinstance(value, tuple) and (len(value) > MAX_LAYERS or value[-1] >= MAX_LAYERS):
            raise ValueError(f"an explicit layer map lists block numbers below {MAX_LAYERS:,}: got {list(value)}")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> StudentSpec:
        if isinstance(self.layer_map, tuple) and self.layers not in (None, len(self.layer_map)):
            raise InvalidValueError(f"layers is {self.layers}, but layer_map lists {len(self.layer_map)} blocks",
                                    suggestion=SetField("student.layers", len(self.layer_map)))
        if self.from_scratch and (self.layers is not None or self.lora is not None or self.narrower or self.architecture != "teacher"):
            raise InvalidValueError("an architecture from scratch has its own depth and width, no adapters: "
                                    "remove layers, hidden, intermediate_size, architecture and lora", "student.from_scratch")
        if self.lora and self.init == "random":
            raise InvalidValueError("adapters change weights that are learnt already, and new ones would stay random: set init to teacher, "
                                    "or remove lora", suggestion=SetField("student.init", "teacher"))
        if self.model and (self.layers is not None or self.narrower or self.from_scratch or self.layer_map != "uniform"
                           or self.architecture != "teacher"):
            raise InvalidValueError("a model that is trained on has its own depth and width: remove layers, layer_map, hidden, "
                                    "intermediate_size, architecture and from_scratch", "student.model")
        return self

    @property
    def narrower(self) -> bool:
        """Whether the student has widths of its own."""
        return self.hidden is not None or self.intermediate_size is not None
