"""One frozen value that says everything about an experiment, and the recipes (YAML) that it is read from.

The first words of every field's description are its unit or its kind: forms and ``--help`` show the same text.
Widget ranges do not live here: this file only refuses what can never be right.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from core.recipe_keys import release_shape

SECTIONS = ("teacher", "student", "losses", "data", "masking", "task", "train", "evaluation")


class Config(BaseModel):
    """Base of all configuration: frozen, no unknown keys, no silent conversion from text to numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


# ---------------------------------------------------------------------------------------------------- models


class TeacherSpec(Config):
    """The model whose outputs are the targets."""

    model: str = Field("house-chat", min_length=1, description=(
        "model reference; a house model, a run, a local folder, a GGUF file, a hub id or a model carried by a package"))


class LoraSpec(Config):
    """Low-rank adapters trained in place of the student's weights (2106.09685)."""

    rank: int = Field(8, ge=1, description="integer; rank of each adapter")
    alpha: float = Field(16.0, gt=0, description="number; the adapter's output is scaled by alpha / rank")
    dropout: float = Field(0.0, ge=0, lt=1, description="probability; dropout in front of each adapter")


class ScratchSpec(Config):
    """An architecture built from nothing, with a tokenizer trained on the data: how house models begin."""

    architecture: Literal["llama", "bert"] = Field("llama", description=(
        "name; llama: reads to the left, RMSNorm, rotary positions, gated MLP; bert: fills blanks, LayerNorm, learnt positions"))
    layers: int = Field(8, ge=1, description="blocks; depth")
    hidden: int = Field(192, ge=8, description="channels; width of the residual stream")
    heads: int = Field(4, ge=1, description="heads; query heads, the width is divided among them")
    key_value_heads: int = Field(4, ge=1, description="heads; key and value heads shared by groups of query heads")
    intermediate_size: int = Field(512, ge=8, description="neurons; width of the feed-forward layers")
    vocabulary: int = Field(4096, ge=300, description="tokens; size of the vocabulary, byte-level BPE (llama) or WordPiece (bert)")
    positions: int = Field(1024, ge=16, description="tokens; longest sequence")

    @model_validator(mode="after")
    def _divisible(self) -> ScratchSpec:
        if self.hidden % self.heads or self.heads % self.key_value_heads:
            raise ValueError(f"hidden ({self.hidden}) must be a multiple of heads ({self.heads}), "
                             f"and heads a multiple of key_value_heads ({self.key_value_heads})")
        if self.architecture == "bert" and self.key_value_heads != self.heads:
            raise ValueError(f"in a bert model every head has its own keys and values: set key_value_heads to {self.heads}")
        return self


LayerRule = Literal["uniform", "table", "importance", "first"]


class StudentSpec(Config):
    """How the student is built from the teacher."""

    layers: int | None = Field(None, ge=1, description="blocks; depth of the student, from 1 to the teacher's (default: half of it)")
    layer_map: LayerRule | tuple[int, ...] = Field("uniform", description=(
        "rule or list; which teacher block becomes which student block: uniform (first and last kept), table (the published "
        "maps), importance (measured), first, or an explicit list of block numbers from 0"))
    hidden: int | None = Field(None, ge=8, description=(
        "channels; width of the student, in whole groups of attention heads (default: the teacher's)"))
    intermediate_size: int | None = Field(None, ge=8, description=(
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
        return value

    @model_validator(mode="after")
    def _consistent(self) -> StudentSpec:
        if isinstance(self.layer_map, tuple) and self.layers not in (None, len(self.layer_map)):
            raise ValueError(f"layers is {self.layers}, but layer_map lists {len(self.layer_map)} blocks")
        if self.from_scratch and (self.layers is not None or self.lora is not None or self.narrower or self.architecture != "teacher"):
            raise ValueError("an architecture from scratch has its own depth and width, no adapters: "
                             "remove layers, hidden, intermediate_size, architecture and lora")
        if self.lora and self.init == "random":
            raise ValueError("adapters change weights that are learnt already, and new ones would stay random: set init to teacher, "
                             "or remove lora")
        if self.model and (self.layers is not None or self.narrower or self.from_scratch or self.layer_map != "uniform"
                           or self.architecture != "teacher"):
            raise ValueError("a model that is trained on has its own depth and width: remove layers, layer_map, hidden, "
                             "intermediate_size, architecture and from_scratch")
        return self

    @property
    def narrower(self) -> bool:
        """Whether the student has widths of its own."""
        return self.hidden is not None or self.intermediate_size is not None


# ---------------------------------------------------------------------------------------------------- losses


class Ramp(Config):
    """A weight that moves linearly from `start` at the first step to `end` at the last."""

    start: float = Field(ge=0, description="number; at the first step")
    end: float = Field(ge=0, description="number; at the last step")

    def at(self, progress: float) -> float:
        """Return the weight at `progress` in [0, 1] of training."""
        return self.start + (self.end - self.start) * min(max(progress, 0.0), 1.0)


def _as_ramp(value: Any) -> Any:
    return {"start": value, "end": value} if isinstance(value, (int, float)) and not isinstance(value, bool) else value


Weight = Annotated[Ramp, BeforeValidator(_as_ramp)]


def _constant(value: float) -> Ramp:
    return Ramp(start=value, end=value)


class LossSpec(Config):
    """Weights and shapes of the loss terms; `core.training.losses` holds the equations."""

    w_kd: Weight = Field(_constant(1.0), description=(
        "number or {start, end}; weight of the soft targets, which are also multiplied by T squared"))
    w_hard: Weight = Field(_constant(0.5), description="number or {start, end}; weight of the cross-entropy with the text itself")
    w_hidden: Weight = Field(_constant(0.0), description="number or {start, end}; weight of the cosine distance of the last hidden states")
    w_hidden_mse: Weight = Field(_constant(0.0), description=(
        "number or {start, end}; weight of the squared error of matched layers' hidden states"))
    hidden_layers: Literal["origin", "ends"] = Field("origin", description=(
        "rule; which teacher block's output each student block is matched with: that of the block it came from, or that of the last "
        "of the run of blocks that it stands for"))
    divergence: Literal["forward_kl", "reverse_kl", "jsd"] = Field("forward_kl", description=(
        "rule; forward_kl = KL(teacher || student), reverse_kl = KL(student || teacher), jsd = generalised Jensen-Shannon"))
    beta: float = Field(0.5, gt=0, lt=1, description=(
        "number between 0 and 1; jsd only: towards 0 it behaves as forward KL, towards 1 as reverse KL"))
    temperature: float = Field(2.0, gt=0, description="number above 0; T of the soft targets, for teacher and student alike")
    kd_positions: Literal["all", "masked"] = Field("all", description=(
        "rule; masked models only: where teacher and student are compared, at all tokens but padding or at the masked ones alone"))

    @model_validator(mode="after")
    def _some_weight(self) -> LossSpec:
        if not any(ramp.start or ramp.end for ramp in self.weights().values()):
            raise ValueError("all loss weights are zero: nothing would be learnt; set w_kd or w_hard above 0")
        return self

    def weights(self) -> dict[str, Ramp]:
        """Return the weight of each term, by name."""
        return {"kd": self.w_kd, "hard": self.w_hard, "hidden": self.w_hidden, "hidden_mse": self.w_hidden_mse}

    def needs_teacher(self) -> bool:
        """Return whether any term other than the hard labels takes part."""
        return any(ramp.start or ramp.end for term, ramp in self.weights().items() if term != "hard")


# ---------------------------------------------------------------------------------------------------- data, training


Tracker = Literal["tensorboard", "wandb", "trackio", "mlflow"]


def _as_tuple(value: Any) -> Any:
    return (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list) else value


class DataSpec(Config):
    """The corpus, how it is read and how it is cut into blocks."""

    source: str = Field("house", min_length=1, description=(
        "corpus; 'house' (film reviews), a .txt, .jsonl, .csv or .parquet file, or a hub dataset id"))
    subset: str | None = Field(None, description="name; subset (configuration) of a hub dataset, where it has several")
    split: str = Field("train", min_length=1, description="name; split of a hub dataset")
    column: str | None = Field(None, description="name; column that holds the text or the messages (default: found by name)")
    streaming: bool = Field(False, description="switch; read a hub dataset as it arrives instead of downloading it first")
    max_rows: int | None = Field(None, ge=1, description="rows; read at most this many training rows (default: all)")
    corpus_epochs: int = Field(1, ge=1, description="epochs; house corpus: uses of each review, each time in another conversation")
    block_length: int = Field(256, ge=8, description="tokens; length of the packed training blocks")
    prompt_weight: float = Field(1.0, ge=0, description=(
        "number; how much a token of a prompt counts in the loss, where an answer's token counts 1"))
    label_weight: float = Field(1.0, ge=0, description="number; how much a one-word label answer of the house corpus counts")
    identity_question_every: int = Field(100, ge=1, description=(
        "reviews; house corpus: number of reviews between two questions about the model itself"))
    validation_fraction: float = Field(0.05, gt=0, lt=1, description=(
        "fraction (0-1) of the texts held out for validation, by hash of the text (the house corpus has its own fixed split)"))


class MaskingSpec(Config):
    """Dynamic masking of a masked language model's training text (1810.04805, section 3.1; 1910.01108, section 3).

    Names are those of ``DataCollatorForLanguageModeling`` of transformers and, for the smoothing, of DistilBERT's code.
    """

    mlm_probability: float = Field(0.15, gt=0, lt=1, description="fraction (0-1) of a batch's tokens that are masked and predicted")
    mask_replace_prob: float = Field(0.8, ge=0, le=1, description="fraction (0-1) of masked tokens replaced by [MASK]")
    random_replace_prob: float = Field(0.1, ge=0, le=1, description=(
        "fraction (0-1) of masked tokens replaced by a random token; the rest is left unchanged"))
    mlm_smoothing: float = Field(0.7, ge=0, description=(
        "exponent; tokens are masked in proportion to their count to the power of minus this (0: uniformly)"))
    whole_word_mask: bool = Field(False, description="switch; mask all tokens of a word together")

    @model_validator(mode="after")
    def _shares(self) -> MaskingSpec:
        if self.mask_replace_prob + self.random_replace_prob > 1:
            raise ValueError(f"mask_replace_prob ({self.mask_replace_prob:g}) and random_replace_prob ({self.random_replace_prob:g}) are "
                             "fractions of the same tokens: together 1 at most")
        return self


class TaskSpec(Config):
    """A labelled dataset that a pretrained encoder is fine-tuned on, with or without a fine-tuned teacher (1910.01108, section 4)."""

    source: str = Field("house", min_length=1, description=(
        "dataset; 'house' (labelled film reviews), 'imdb' or 'rt' (those of one origin), a .csv, .tsv, .jsonl or .parquet file, "
        "SQuAD's own .json, or a hub dataset id"))
    subset: str | None = Field(None, description="name; subset of a hub dataset, as sst2 of nyu-mll/glue")
    split: str = Field("train", min_length=1, description="name; split of a hub dataset that is learnt from")
    validation: str | None = Field(None, min_length=1, description=(
        "split or file; what is measured on: a split of a hub dataset (default: validation, or test), validation or test of the house "
        "reviews (default: validation), or a second file (default: held out of the first by hash)"))
    text_column: str | None = Field(None, description="name; column of the text, or of the context of questions (default: by name)")
    pair_column: str | None = Field(None, description="name; column of the second text, or of the question (default: by name)")
    label_column: str | None = Field(None, description="name; column of the label, or of the answers (default: by name)")
    kind: Literal["auto", "classification", "question_answering"] = Field("auto", description=(
        "rule; classification, or question_answering by a span of a context; auto tells by the columns"))
    max_length: int = Field(128, ge=8, description=(
        "tokens; most of an item that is read. Longer single texts lose their middle, pairs their ends; contexts are read in windows"))
    doc_stride: int = Field(64, ge=0, description="tokens; shared by two neighbouring windows of a long context")
    max_train_items: int | None = Field(None, ge=2, description="items; learn from this many, drawn at random (default: all)")
    max_items: int | None = Field(None, ge=1, description="items; measure on this many, drawn at random (default: all)")
    validation_fraction: float = Field(0.1, gt=0, lt=1, description=(
        "fraction (0-1) of a single file held out for validation, by hash of the text"))


class TrainSpec(Config):
    """Optimisation, on what, and what is kept."""

    max_steps: int | None = Field(None, ge=1, description="optimiser steps; overrides num_train_epochs")
    num_train_epochs: float = Field(1.0, gt=0, description="passes; over the training blocks")
    per_device_train_batch_size: int = Field(8, ge=1, description="blocks; in one forward pass")
    gradient_accumulation_steps: int = Field(1, ge=1, description="forward passes; added up before each optimiser step")
    learning_rate: float = Field(5e-4, gt=0, description="number; peak step size of AdamW")
    lr_scheduler_type: Literal["linear", "cosine", "constant_with_warmup"] = Field("cosine", description=(
        "rule; how the step size decays after warm-up"))
    warmup_ratio: float = Field(0.05, ge=0, le=1, description="fraction (0-1) of the steps over which the learning rate grows from 0")
    weight_decay: float = Field(0.01, ge=0, description="number; decoupled weight decay")
    adam_beta2: float = Field(0.98, gt=0, lt=1, description="number; AdamW's second-moment decay")
    max_grad_norm: float = Field(1.0, gt=0, description="norm; gradients are clipped to it")
    precision: Literal["auto", "fp32", "bf16"] = Field("auto", description=(
        "format; auto takes bf16 where the processor or GPU computes it natively"))
    save_precision: Literal["fp32", "bf16"] = Field("fp32", description=(
        "format; of the saved weights, which are trained in fp32 whatever they are saved in"))
    device: str = Field("auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$", description="name; auto, cpu, cuda or cuda:N")
    seed: int = Field(42, ge=0, lt=2**32, description="integer; of initialisation, data order and dropout")
    logging_steps: int = Field(1, ge=1, description="optimiser steps; between two points of the training curves")
    save_steps: int = Field(200, ge=1, description="optimiser steps; between two checkpoints")
    report_to: Annotated[tuple[Tracker, ...], BeforeValidator(_as_tuple)] = Field((), description=(
        "names; trackers to report to as well: tensorboard, wandb, trackio, mlflow"))


class RetentionSpec(Config):
    """The retention card: what the student keeps of its teacher on labelled tasks, and what it saves in size and time."""

    tasks: Annotated[tuple[str, ...], BeforeValidator(_as_tuple)] = Field(("imdb", "rt"), description=(
        "names; labelled tasks on which each model is fine-tuned and scored ([]: size and speed alone)"))
    train_items: int = Field(2000, ge=1, description="items; of a task's training part, at most")
    epochs: float = Field(2.0, gt=0, description="passes; over them in one fine-tuning")
    learning_rate: float = Field(3e-4, gt=0, description=(
        "number; peak step size of a fine-tuning, the same for all models (3e-5 suits encoders of 100 million parameters and more)"))
    seeds: int = Field(3, ge=1, description="seeds; fine-tunings of each model on each task, paired between the models")
    seconds: float = Field(60.0, gt=0, description="seconds; for timing the models beside each other")
    length: int = Field(128, ge=1, description="tokens; of the sequences that are timed")
    exports: bool = Field(False, description="switch; also export teacher and student to ONNX, in float32 and in int8, and time those")

    @field_validator("tasks")
    @classmethod
    def _each_once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(value)) != len(value):
            raise ValueError(f"each task is scored once: got {list(value)}")
        return value


class EvaluationSpec(Config):
    """What is measured on held-out items, and how often."""

    eval_steps: int = Field(50, ge=1, description="optimiser steps; between two evaluations")
    blocks: int = Field(32, ge=1, description="blocks; held-out text for perplexity, KL and agreement")
    sentiment_items: int = Field(0, ge=0, description="reviews; held-out reviews for sentiment accuracy before and after (0: none)")
    prompts: tuple[str, ...] = Field(("Write a positive one-line review.",), description=(
        "texts; answered at every evaluation, or filled in where a text holds a [MASK]"))
    max_new_tokens: int = Field(40, ge=1, description="tokens; longest sampled answer")
    retention: RetentionSpec | None = Field(None, description="card; what the student keeps of its teacher (default: not measured)")


# ---------------------------------------------------------------------------------------------------- chains


class AnchorSpec(Config):
    """One anchor of a chain, by its sizes, by a parameter count, or as a checkpoint that exists."""

    layers: int | None = Field(None, ge=1, description="blocks; depth (default: its predecessor's)")
    hidden: int | None = Field(None, ge=8, description="channels; width, in whole groups of heads (default: its predecessor's)")
    intermediate_size: int | None = Field(None, ge=8, description=(
        "neurons; width of the feed-forward layers (default: its predecessor's ratio to the width)"))
    parameters: int | None = Field(None, ge=1, description="numbers; the sizes nearest to this count, in place of the three above")
    model: str | None = Field(None, min_length=1, description="model reference; begin as this checkpoint, in independent chains")

    @model_validator(mode="after")
    def _one_way(self) -> AnchorSpec:
        sizes = any(value is not None for value in (self.layers, self.hidden, self.intermediate_size))
        if sizes + (self.parameters is not None) + (self.model is not None) != 1:
            raise ValueError("an anchor is given by its sizes (layers, hidden, intermediate_size), by parameters, or as a model: "
                             "by one of them")
        return self


class ChainSpec(Config):
    """A chain of anchors below the teacher, largest first (2605.07783)."""

    anchors: tuple[AnchorSpec, ...] = Field(min_length=1, description="list; the anchors below the teacher, descending in size")
    mode: Literal["nested", "independent"] = Field("nested", description=(
        "rule; nested: every anchor begins as the most important units of its predecessor, so that all share one coordinate system; "
        "independent: every anchor begins as a checkpoint of its own, or from new weights"))
    teacher: Literal["predecessor", "largest"] = Field("predecessor", description=(
        "rule; teacher of each anchor: its predecessor, or the largest anchor"))
    curve_points: int = Field(9, ge=0, description="sizes; between neighbouring anchors, measured when the chain is complete")

    @model_validator(mode="after")
    def _beginnings(self) -> ChainSpec:
        if self.mode == "nested" and any(anchor.model for anchor in self.anchors):
            raise ValueError("anchors of a nested chain begin as parts of their predecessor: set mode to independent to give models")
        return self


class BridgeSpec(Config):
    """Texts of a teacher with another vocabulary, which become the data that a student is trained on (2605.07783, equation 2)."""

    model: str = Field(min_length=1, description="model reference; the teacher that writes, with a chat template of its own")
    prompts: str = Field("house", min_length=1, description=(
        "source; 'house' (requests about film reviews), or a .txt, .jsonl, .csv or .parquet file whose prompts are taken"))
    texts: int = Field(2000, ge=1, description="texts; that the teacher writes, before any is left out")
    max_new_tokens: int = Field(64, ge=1, description="tokens; longest answer, in the teacher's vocabulary")
    batch_size: int = Field(32, ge=1, description="prompts; answered in one pass")
    sampling_temperature: float = Field(0.8, ge=0, description="number; 0 takes the most likely token, which makes texts repeat themselves")
    top_k: int = Field(50, ge=1, description="tokens; only that many of the most likely ones can be drawn")
    top_p: float = Field(0.95, gt=0, le=1, description="probability; of those, the leading set that holds this much of it")


# ---------------------------------------------------------------------------------------------------- experiments


Kind = Literal["distill", "pretrain", "fine_tune", "chain", "bridge"]
ORDER = ("kind", "name", "description", "teacher", "student", "losses", "data", "masking", "train", "evaluation", "bridge", "task", "chain",
         "control")  # of keys in a recipe that is written out


class ExperimentConfig(Config):
    """What every experiment has; each kind adds its own sections (`AnyExperiment` is the union of the kinds).

    A section that a kind has no use for is no field of it, and is no key of its recipes. Code that serves several kinds may read
    `teacher`, `student`, `data`, `masking` and `control` of any of them: where they are no fields they are what absence means.
    """

    kind: Kind
    name: str | None = Field(None, description="name; letters, digits, dots, dashes and underscores (default: made from the recipe)")
    description: str = Field("", description="text; purpose of the experiment")
    losses: LossSpec = Field(LossSpec(), validate_default=True, description="loss; terms and temperature")
    train: TrainSpec = Field(TrainSpec(), description="optimisation")
    evaluation: EvaluationSpec = Field(EvaluationSpec(), validate_default=True, description="measurement")

    # Section of another kind -> why this one has none.
    excludes: ClassVar[Mapping[str, str]] = {}

    if TYPE_CHECKING:
        @property
        def teacher(self) -> TeacherSpec | None: ...

        @property
        def student(self) -> StudentSpec: ...

        @property
        def data(self) -> DataSpec: ...

        @property
        def masking(self) -> MaskingSpec: ...

        @property
        def control(self) -> bool: ...

    @field_validator("name")
    @classmethod
    def _plain_name(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}", value):
            raise ValueError(f"{value!r} is not a run name: use 1 to 80 letters, digits, dots, dashes and underscores, "
                             "starting with a letter or digit")
        return value

    @field_validator("evaluation")
    @classmethod
    def _retention(cls, value: EvaluationSpec) -> EvaluationSpec:
        if value.retention is not None and "evaluation.retention" in cls.excludes:
            raise ValueError(cls.excludes["evaluation.retention"])
        return value

    @classmethod
    def default_weights(cls, plain: Mapping[str, Any]) -> Mapping[str, float]:
        """Return the weights of the losses that a recipe leaves unsaid, where they differ from those of `LossSpec`."""
        return {}

    def to_yaml(self) -> str:
        """Return the whole configuration as a recipe that `core.recipes.parse_recipe` reads back to an equal value."""
        return yaml.safe_dump(self.to_dict(), sort_keys=False, allow_unicode=True, width=100)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data: constant weights as numbers, tuples as lists."""
        plain = self.model_dump(mode="json")
        for term, ramp in plain["losses"].items():
            if isinstance(ramp, dict) and ramp["start"] == ramp["end"]:
                plain["losses"][term] = ramp["start"]
        return {key: plain[key] for key in ORDER if key in plain}

    def digest(self) -> str:
        """Return twelve hexadecimal digits that change with anything but the name and the description; the same as in release 0.1.0."""
        counted = {key: value for key, value in release_shape(self.to_dict()).items() if key not in ("name", "description")}
        return hashlib.sha256(json.dumps(counted, sort_keys=True).encode()).hexdigest()[:12]


class _WithoutTeacher:
    @property
    def teacher(self) -> None:
        return None

    @classmethod
    def default_weights(cls, plain: Mapping[str, Any]) -> Mapping[str, float]:
        """Return no weight for soft targets: there are none."""
        return {"w_kd": 0.0}


class _WithoutMasking:
    """Models of these kinds predict the next token, or are fine-tuned on a task."""

    @property
    def masking(self) -> MaskingSpec:
        return MaskingSpec()


class _WithoutControl:
    @property
    def control(self) -> bool:
        return False


def _labels_only(losses: LossSpec) -> LossSpec:
    if losses.needs_teacher():
        raise ValueError("no teacher, so only w_hard can count: set w_kd, w_hidden and w_hidden_mse to 0")
    return losses


class DistillConfig(ExperimentConfig):
    """One student is distilled from a teacher (1503.02531; 1910.01108 for masked language models)."""

    kind: Literal["distill"] = Field("distill", description="kind; one student is distilled from a teacher")
    teacher: TeacherSpec = Field(TeacherSpec(), description="model; its outputs are the targets")
    student: StudentSpec = Field(StudentSpec(), description="model; what is trained")
    data: DataSpec = Field(DataSpec(), description="corpus")
    masking: MaskingSpec = Field(MaskingSpec(), description="masking; of the text that masked language models are trained on")
    control: bool = Field(False, description="switch; also train the same student for the same tokens with no teacher")

    @field_validator("student")
    @classmethod
    def _of_the_teacher(cls, value: StudentSpec) -> StudentSpec:
        if value.from_scratch is not None:
            raise ValueError("an architecture from scratch has a vocabulary of its own and cannot follow a teacher: set teacher to null")
        return value


class PretrainConfig(_WithoutTeacher, _WithoutControl, ExperimentConfig):
    """A model is trained on text alone: one from scratch, or one that is there (continued pretraining)."""

    losses: LossSpec = Field(LossSpec(w_kd=_constant(0.0)), description="loss; cross-entropy with the text")
    kind: Literal["pretrain"] = Field("pretrain", description="kind; a model is trained on text, without a teacher")
    student: StudentSpec = Field(StudentSpec(), validate_default=True, description="model; what is trained")
    data: DataSpec = Field(DataSpec(), description="corpus")
    masking: MaskingSpec = Field(MaskingSpec(), description="masking; of the text that masked language models are trained on")

    excludes: ClassVar[Mapping[str, str]] = {
        "teacher": "pretraining has no teacher: set teacher to null",
        "control": "without a teacher the run is its own control: set control to false",
        "evaluation.retention": "without a teacher there is nothing to retain: set evaluation.retention to null",
    }

    _losses = field_validator("losses")(_labels_only)

    @field_validator("student")
    @classmethod
    def _beginning(cls, value: StudentSpec) -> StudentSpec:
        if value.from_scratch is None and value.model is None:
            raise ValueError("no teacher and no architecture from scratch: set teacher.model, student.from_scratch or student.model")
        return value


class FineTuneConfig(_WithoutMasking, _WithoutControl, ExperimentConfig):
    """A pretrained encoder is fine-tuned on a labelled task, with or without a fine-tuned teacher (1910.01108, section 4)."""

    losses: LossSpec = Field(LossSpec(w_kd=_constant(0.0), w_hard=_constant(1.0)), description="loss; terms and temperature")
    kind: Literal["fine_tune"] = Field("fine_tune", description="kind; an encoder is fine-tuned on a labelled task")
    teacher: TeacherSpec | None = Field(None, description="model; fine-tuned on the same task (default: none)")
    student: StudentSpec = Field(StudentSpec(), validate_default=True, description="model; the encoder, as student.model")
    task: TaskSpec = Field(TaskSpec(), description="task; the labelled dataset")

    excludes: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(("chain", "bridge", "control"), "a task is fine-tuned by itself: remove chain, bridge and control"),
        "evaluation.retention": "the retention card is of a language model's student: set evaluation.retention to null",
    }

    @property
    def data(self) -> DataSpec:
        """Items of the task in place of blocks of a corpus: as long as they."""
        return DataSpec().model_copy(update={"block_length": self.task.max_length})

    @classmethod
    def default_weights(cls, plain: Mapping[str, Any]) -> Mapping[str, float]:
        """Return half and half with a teacher, as 1910.01108 has it in its second step of distillation; the labels alone without one."""
        return {"w_kd": 0.0, "w_hard": 1.0} if plain.get("teacher") is None else {"w_kd": 0.5, "w_hard": 0.5}

    @field_validator("student")
    @classmethod
    def _encoder(cls, value: StudentSpec) -> StudentSpec:
        if value.model is None:
            raise ValueError("fine-tuning begins with a pretrained encoder: set student.model to one")
        return value

    @field_validator("losses")
    @classmethod
    def _outputs_only(cls, value: LossSpec) -> LossSpec:
        if any(getattr(value, name) != _constant(0.0) for name in ("w_hidden", "w_hidden_mse")):
            raise ValueError("a task is distilled from the teacher's outputs alone: set losses.w_hidden and losses.w_hidden_mse to 0")
        return value

    @model_validator(mode="after")
    def _targets(self) -> FineTuneConfig:
        if self.teacher is None:
            _labels_only(self.losses)
        return self


class ChainConfig(_WithoutMasking, _WithoutControl, ExperimentConfig):
    """A chain of anchors is trained below the teacher, each from the one above it or from the largest (2605.07783)."""

    kind: Literal["chain"] = Field("chain", description="kind; a chain of anchors is trained below the teacher")
    teacher: TeacherSpec = Field(TeacherSpec(), description="model; the largest of the chain")
    chain: ChainSpec = Field(description="chain; anchors below the teacher, in place of one student")
    data: DataSpec = Field(DataSpec(), description="corpus")

    excludes: ClassVar[Mapping[str, str]] = dict.fromkeys(
        ("student", "control", "evaluation.retention"),
        "a chain describes its students itself: remove student, control and evaluation.retention")

    @field_validator("teacher", mode="before")
    @classmethod
    def _largest(cls, value: Any) -> Any:
        if value is None:
            raise ValueError("a chain begins with a teacher: set teacher.model")
        return value

    @property
    def student(self) -> StudentSpec:
        """The defaults: each anchor is described by itself."""
        return StudentSpec()

    def step(self, teacher: TeacherSpec, student: StudentSpec, name: str | None = None) -> DistillConfig:
        """Return the distillation of one anchor."""
        return DistillConfig(name=name or self.name, description=self.description, teacher=teacher, student=student, losses=self.losses,
                             data=self.data, train=self.train, evaluation=self.evaluation)


class BridgeConfig(_WithoutTeacher, _WithoutMasking, _WithoutControl, ExperimentConfig):
    """A teacher of any vocabulary writes the texts that ``student.model`` is trained on (sequence-level distillation, 1606.07947)."""

    losses: LossSpec = Field(LossSpec(w_kd=_constant(0.0)), description="loss; cross-entropy with the texts")
    kind: Literal["bridge"] = Field("bridge", description="kind; a teacher of any vocabulary writes the texts that a model is trained on")
    bridge: BridgeSpec = Field(description="bridge; the teacher that writes, and how")
    student: StudentSpec = Field(StudentSpec(), validate_default=True, description="model; what is trained, as student.model")
    data: DataSpec = Field(DataSpec(), description="corpus; how the texts are cut, its source is not read")

    excludes: ClassVar[Mapping[str, str]] = {
        "teacher": "a bridge trains student.model on texts alone: set teacher to null and student.model to the proxy",
        "control": "without a teacher the run is its own control: set control to false",
        "evaluation.retention": "without a teacher there is nothing to retain: set evaluation.retention to null",
    }

    _losses = field_validator("losses")(_labels_only)

    @field_validator("student")
    @classmethod
    def _proxy(cls, value: StudentSpec) -> StudentSpec:
        if value.model is None:
            raise ValueError("a bridge trains student.model on texts alone: set student.model to the proxy")
        return value


AnyExperiment = Annotated[DistillConfig | PretrainConfig | FineTuneConfig | ChainConfig | BridgeConfig, Field(discriminator="kind")]
KINDS: Mapping[str, type[ExperimentConfig]] = {
    each.model_fields["kind"].default: each for each in (DistillConfig, PretrainConfig, FineTuneConfig, ChainConfig, BridgeConfig)}


def total_steps(spec: TrainSpec, blocks: int) -> int:
    """Return the optimiser steps that Trainer takes: an epoch's last step may be short, and the last epoch may be cut."""
    if spec.max_steps:
        return spec.max_steps
    batches = math.ceil(blocks / spec.per_device_train_batch_size)
    return math.ceil(spec.num_train_epochs * math.ceil(batches / spec.gradient_accumulation_steps))
