"""What is learnt from: a corpus, how it is masked, or a labelled task."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from core.config.base import MAX_COUNT, MAX_FACTOR, MAX_POSITIONS, Config, InvalidValueError


class DataSpec(Config):
    """The corpus, how it is read and how it is cut into blocks."""

    source: str = Field("house", min_length=1, description=(
        "corpus; 'house' (film reviews), a .txt, .jsonl, .json, .csv, .tsv or .parquet file, or a hub dataset id"))
    subset: str | None = Field(None, description="name; subset (configuration) of a hub dataset, where it has several")
    split: str = Field("train", min_length=1, description="name; split of a hub dataset")
    column: str | None = Field(None, description="name; column that holds the text or the messages (default: found by name)")
    streaming: bool = Field(False, description="switch; read a hub dataset as it arrives instead of downloading it first")
    max_rows: int | None = Field(None, ge=1, le=MAX_COUNT, description="rows; read at most this many training rows (default: all)")
    corpus_epochs: int = Field(1, ge=1, le=MAX_COUNT, description=(
        "epochs; house corpus: uses of each review, each time in another conversation"))
    block_length: int = Field(256, ge=8, le=MAX_POSITIONS, description="tokens; length of the packed training blocks")
    prompt_weight: float = Field(1.0, ge=0, le=MAX_FACTOR, description=(
        "number; how much a token of a prompt counts in the loss, where an answer's token counts 1"))
    label_weight: float = Field(1.0, ge=0, le=MAX_FACTOR, description="number; how much a one-word label answer of the house corpus counts")
    identity_question_every: int = Field(100, ge=1, le=MAX_COUNT, description=(
        "reviews; house corpus: number of reviews between two questions about the model itself"))
    validation_fraction: float = Field(0.05, gt=0, lt=1, description=(
        "fraction (0-1) of the text held out for validation: texts by their hash, or the ends of very few texts (the house corpus has its "
        "own fixed split)"))


class MaskingSpec(Config):
    """Dynamic masking of a masked language model's training text (1810.04805, section 3.1; 1910.01108, section 3).

    Names are those of ``DataCollatorForLanguageModeling`` of transformers and, for the smoothing, of DistilBERT's code.
    """

    mlm_probability: float = Field(0.15, gt=0, lt=1, description="fraction (0-1) of a batch's tokens that are masked and predicted")
    mask_replace_prob: float = Field(0.8, ge=0, le=1, description="fraction (0-1) of masked tokens replaced by [MASK]")
    random_replace_prob: float = Field(0.1, ge=0, le=1, description=(
        "fraction (0-1) of masked tokens replaced by a random token; the rest is left unchanged"))
    mlm_smoothing: float = Field(0.7, ge=0, le=1000, description=(
        "exponent; tokens are masked in proportion to their count to the power of minus this (0: uniformly)"))
    whole_word_mask: bool = Field(False, description="switch; mask all tokens of a word together")

    @model_validator(mode="after")
    def _shares(self) -> MaskingSpec:
        if self.mask_replace_prob + self.random_replace_prob > 1:
            raise InvalidValueError(
                f"mask_replace_prob ({self.mask_replace_prob:g}) and random_replace_prob ({self.random_replace_prob:g}) are "
                "fractions of the same tokens: together 1 at most", "masking.random_replace_prob")
        return self


class TaskSpec(Config):
    """A labelled dataset that a pretrained encoder is fine-tuned on, with or without a fine-tuned teacher (1910.01108, section 4)."""

    source: str = Field("house", min_length=1, description=(
        "dataset; 'house' (labelled film reviews), 'imdb' or 'rt' (those of one origin), a .csv, .tsv, .jsonl, .json or .parquet file, "
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
    max_length: int = Field(128, ge=8, le=MAX_POSITIONS, description=(
        "tokens; most of an item that is read. Longer single texts lose their middle, pairs their ends; contexts are read in windows"))
    doc_stride: int = Field(64, ge=0, le=MAX_POSITIONS, description="tokens; shared by two neighbouring windows of a long context")
    max_train_items: int | None = Field(None, ge=2, le=MAX_COUNT, description="items; learn from this many, drawn at random (default: all)")
    max_items: int | None = Field(None, ge=1, le=MAX_COUNT, description="items; measure on this many, drawn at random (default: all)")
    validation_fraction: float = Field(0.1, gt=0, lt=1, description=(
        "fraction (0-1) of a single file held out for validation, by hash of the text"))
