"""A generalist, its specialists and what is distilled from them (1503.02531, section 5)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from core.config.base import MAX_COUNT, MAX_FACTOR, MAX_LAYERS, MAX_LISTED, MAX_WIDTH, Config, InvalidValueError
from core.config.images import Units
from core.errors import SetField


class SpecialistsSpec(Config):
    """The data set, the network of the generalist, the clusters of classes and the training of a specialist for each."""

    source: str = Field("planted", min_length=1, description=(
        "data set; 'planted' (texts of 40 classes in 10 topics, made so that the classes of a topic are confused), 'digits' "
        "(scikit-learn's), or a .csv, .tsv, .jsonl, .json or .parquet file of texts with labels"))
    text_column: str | None = Field(None, description="name; column of the text, of a file (default: by name)")
    label_column: str | None = Field(None, description="name; column of the label, of a file (default: by name)")
    model: str | None = Field(None, min_length=1, description=(
        "model reference; an encoder, or a classifier of texts made from one, that is fine-tuned as the generalist in place of a new "
        "network (default: a new one of embedding and hidden)"))
    train_items: int = Field(12_000, ge=2, le=MAX_COUNT, description="items; to train on, at most")
    test_items: int = Field(4_000, ge=1, le=MAX_COUNT, description="items; that are measured on, at most")
    embedding: int = Field(6, ge=1, le=MAX_WIDTH, description="numbers; that the generalist has for each word of a text")
    hidden: tuple[Units, ...] = Field((), max_length=MAX_LAYERS, description=(
        "units; of each hidden layer of the generalist ([]: none; images then have a linear classifier)"))
    clusters: int = Field(10, ge=1, le=MAX_COUNT, description=(
        "clusters; of classes that are predicted together, by k-means on the columns of the covariance of the predictions"))
    size: int | None = Field(None, ge=2, le=MAX_COUNT, description=(
        "classes; of every specialist: clusters are filled up with the classes most confused with theirs, or cut (default: as they "
        "are)"))
    top: int = Field(1, ge=1, le=MAX_COUNT, description=(
        "classes; a specialist is heard where one of the generalist's so many likeliest classes is its own (the paper: 1)"))
    guard: Literal["early_stopping", "soft_targets"] = Field("early_stopping", description=(
        "rule; against overfitting. early_stopping: classes and dustbin, the epoch with the least held-out loss is kept. soft_targets: all "
        "classes, for the others the generalist's distribution is the target"))
    epochs: float = Field(6.0, gt=0, le=1e9, description="passes; of a specialist over its own items, at most, each beside one of others")
    learning_rate: float = Field(5e-3, gt=0, le=MAX_FACTOR, description="number; peak step size of a specialist's training")
    patience: int = Field(2, ge=1, le=MAX_COUNT, description="epochs; early_stopping only: without improvement until training ends")
    distil: bool = Field(True, description=(
        "switch; also distil one network from the combined answers, and compare it with the same network distilled from the generalist and "
        "from an ensemble of equal compute, and trained on the labels"))
    student_embedding: int | None = Field(None, ge=1, le=MAX_WIDTH, description=(
        "numbers; that the distilled network has for each word (default: as the generalist)"))
    student_hidden: tuple[Units, ...] | None = Field(None, max_length=MAX_LAYERS, description=(
        "units; of each hidden layer of the distilled network (default: as the generalist)"))
    seeds: int = Field(3, ge=1, le=MAX_LISTED, description="seeds; repetitions of everything, counted up from train.seed")

    @model_validator(mode="after")
    def _reads_texts(self) -> SpecialistsSpec:
        if self.model is not None and self.source == "digits":
            raise InvalidValueError("an encoder reads texts, and digits are images: remove specialists.model, or name texts",
                                    suggestion=SetField("specialists.model", None))
        return self

    @model_validator(mode="after")
    def _distilled(self) -> SpecialistsSpec:
        if not self.distil and (self.student_embedding is not None or self.student_hidden is not None):
            raise InvalidValueError("without distillation there is no student: remove student_embedding and student_hidden, or set distil "
                                    "to true", suggestion=SetField("specialists.distil", True))
        return self
