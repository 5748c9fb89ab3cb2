"""The data set of an experiment as items, and new networks that read it.

    planted   texts of `core.data.planted_confusions`: classes that are confusable by design
    digits    scikit-learn's handwritten digits, by a multilayer perceptron
    a file    texts with labels, as topics or intents

Texts are read by a deep averaging network over the word pieces of the house encoder's tokenizer, or by a Transformers encoder with its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from core.classification.images import load_images, split_items
from core.classification.items import ClassificationData, Items
from core.classification.models import new_mlp
from core.config import ImagesSpec, MlpSpec, SpecialistsSpec, TaskSpec
from core.data.planted_confusions import planted_texts
from core.errors import CompatibilityError, DataError, ModelNotFoundError, UnsupportedModelError, about
from core.models.compatibility import require_generalist
from core.models.entries import LoadedModel
from core.models.forward import max_positions
from core.models.loading import model_from_config, tokenizer_from_pretrained
from core.models.vocabulary import require_tokenizer_fits
from core.system.paths import ASSETS
from core.tasks.data import Example, TaskData, load_task
from core.tasks.heads import with_head

if TYPE_CHECKING:
    from transformers import PreTrainedModel

TOKENIZER = ASSETS / "models" / "house-encoder"
LONGEST_TEXT = 128  # tokens that are read
HELD_OUT = 0.2  # share of the training items that clusters and epochs are chosen on
TRAIN_SEED, TEST_SEED = 1, 2  # of planted texts


@dataclass(frozen=True, eq=False)
class SpecialistData:
    """A data set, and what is known of it besides.

    Attributes:
        data: its three parts as items.
        tokenizer: of texts; None for images.
        texts: the test part as texts, in the order of its items; none for images.
        groups: planted group of each class; None where nothing was planted.
        best_accuracy: that no classifier exceeds but by chance, 0 to 1; None where it is not known.
        start: the encoder that generalists are fine-tuned from; None where they are new networks.
    """

    data: ClassificationData
    tokenizer: Any = None
    texts: tuple[str, ...] = ()
    groups: tuple[int, ...] | None = None
    best_accuracy: float | None = None
    start: LoadedModel | None = None

    def encode(self, texts: Sequence[str]) -> Items:
        """Return texts as items whose targets are all 0."""
        return encode_texts(self.tokenizer, texts)


def load_data(spec: SpecialistsSpec, load: Callable[..., LoadedModel] | None = None) -> SpecialistData:
    """Read a data set, a fifth of whose training items are held out.

    Args:
        load: loads the encoder of a reference; needed where `spec` names one.

    Raises:
        DataError: what `core.tasks.data.load_task` refuses, or a class that is in none of the training items.
        CompatibilityError: a model that is no encoder.
    """
    if spec.source == "digits":
        images = ImagesSpec(source="digits", max_train_items=spec.train_items, max_items=spec.test_items)
        return _checked(SpecialistData(load_images(images)), spec)
    start = None if spec.model is None else _start(spec.model, load)
    tokenizer = tokenizer_from_pretrained(TOKENIZER) if start is None else start.tokenizer
    if spec.source == "planted":
        learnt, measured = planted_texts(spec.train_items, TRAIN_SEED), planted_texts(spec.test_items, TEST_SEED)
        train, validation = split_items(_items(tokenizer, learnt.texts, learnt.classes.tolist()), HELD_OUT)
        data = ClassificationData("planted", learnt.labels, train, validation,
                                  _items(tokenizer, measured.texts, measured.classes.tolist()))
        return _checked(SpecialistData(data, tokenizer, measured.texts, measured.groups, measured.best_accuracy, start), spec)
    with about("specialists.source"):
        task = load_task(TaskSpec(source=spec.source, text_column=spec.text_column, label_column=spec.label_column, kind="classification",
                                  max_train_items=spec.train_items, max_items=spec.test_items))
    items = [_items(tokenizer, [_text(item) for item in part], [_label(item) for item in part]) for part in (task.train, task.validation)]
    train, validation = split_items(items[0], HELD_OUT)
    data = ClassificationData(task.name, task.labels, train, validation, items[1])
    return _checked(SpecialistData(data, tokenizer, tuple(_text(item) for item in task.validation), start=start), spec)


def _start(reference: str, load: Callable[..., LoadedModel] | None) -> LoadedModel:
    """Load the encoder that generalists start from; its tokenizer cuts texts to what it reads."""
    assert load is not None, "whoever names a model says how it is loaded"
    with about("specialists.model", ModelNotFoundError, CompatibilityError, UnsupportedModelError):
        loaded = load(reference, device="cpu", dtype=torch.float32, needs_head=False)
        require_generalist(loaded.entry)
        require_tokenizer_fits(loaded.tokenizer, loaded.model, loaded.entry.name)
    loaded.tokenizer.model_max_length = min(LONGEST_TEXT, max_positions(loaded.model))
    return loaded


def new_generalist(data: SpecialistData, spec: SpecialistsSpec, seed: int) -> PreTrainedModel:
    """Return a generalist before its training: a new network, or the encoder with a head for the classes.

    Args:
        seed: of the weights; of an encoder, those of its head.
    """
    if data.start is None:
        return new_network(data, spec.embedding, spec.hidden, seed)
    return with_head(data.start, TaskData(data.data.name, "classification", data.data.labels, (), ()), seed)


def new_student(data: SpecialistData, spec: SpecialistsSpec, seed: int) -> PreTrainedModel:
    """Return a student before its training: as the generalist, or a new network of sizes of its own."""
    if spec.student_embedding is None and spec.student_hidden is None:
        return new_generalist(data, spec, seed)
    return new_network(data, spec.embedding if spec.student_embedding is None else spec.student_embedding,
                       spec.hidden if spec.student_hidden is None else spec.student_hidden, seed)


def new_network(data: SpecialistData, embedding: int, hidden: Sequence[int], seed: int) -> PreTrainedModel:
    """Return a new network that reads a data set: a perceptron for images, a deep averaging network for texts.

    Args:
        seed: of the weights.
    """
    if data.tokenizer is None:
        return new_mlp(MlpSpec(hidden=tuple(hidden)), data.data, seed)
    from core.models.word_average import WordAverageConfig

    labels = data.data.labels
    config = WordAverageConfig(vocab_size=len(data.tokenizer), embedding_size=embedding, hidden_sizes=list(hidden),
                               max_position_embeddings=LONGEST_TEXT, id2label=dict(enumerate(labels)),
                               label2id={label: number for number, label in enumerate(labels)})
    return model_from_config(config, "classification", torch.float32, seed)


def encode_texts(tokenizer: Any, texts: Sequence[str]) -> Items:
    """Return texts as items (N, T) whose targets are all 0."""
    return _items(tokenizer, texts, [0] * len(texts))


def _items(tokenizer: Any, texts: Sequence[str], targets: Sequence[int]) -> Items:
    if not texts:
        return Items({name: torch.empty(0, 1, dtype=torch.int64) for name in ("input_ids", "attention_mask")},
                     torch.empty(0, dtype=torch.int64))
    longest = min(LONGEST_TEXT, tokenizer.model_max_length)
    found = tokenizer(list(texts), padding=True, truncation=True, max_length=longest, return_tensors="pt", return_token_type_ids=False)
    return Items({"input_ids": found["input_ids"], "attention_mask": found["attention_mask"]}, torch.tensor(targets, dtype=torch.int64))


def _text(item: Any) -> str:
    assert isinstance(item, Example), "the task is one of classification"
    return item.text if item.pair is None else f"{item.text} {item.pair}"


def _label(item: Any) -> int:
    assert isinstance(item, Example), "the task is one of classification"
    return item.label


def _checked(found: SpecialistData, spec: SpecialistsSpec) -> SpecialistData:
    data = found.data
    counts = torch.bincount(data.train.targets, minlength=len(data.labels))
    if len(data.train) and not bool((counts == 0).any()) and len(data.validation) >= 2 and len(data.test):
        return found
    missing = [label for label, count in zip(data.labels, counts.tolist(), strict=True) if count == 0]
    what = (f"'{spec.source}' has no training item of {', '.join(missing[:5])}{' and more' if len(missing) > 5 else ''}." if missing
            else f"'{spec.source}' holds too few items to train on, to choose on and to measure on.")
    raise DataError(what, "At least one training item of each class was expected, and a few to hold out.",
                    "Take more items, or leave such classes out of the data.", field="specialists.train_items")
