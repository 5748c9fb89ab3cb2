"""A generalist with its specialists: what each says of an item, and the combined answer; kept as a folder.

    <folder>/
        panel.json          classes, shares and guards of the specialists, hashes of all weights
        generalist/         a Transformers model folder, with its tokenizer where it reads texts
        specialist-1/ ...   as many as there are

Shapes: N items, C classes, S classes of a specialist, M specialists.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch

from core.classification.items import Items
from core.classification.predicting import predict_logits
from core.errors import CorruptModelError, ModelNotFoundError
from core.models.checkpoints import WEIGHTS
from core.models.loading import model_from_pretrained, tokenizer_from_pretrained
from core.specialists.combining import Combined, Opinion, combine, is_relevant
from core.specialists.heads import collapse
from core.specialists.sampling import dustbin_shift
from core.specialists.training import Guard
from core.system.files import read_json, write_json

if TYPE_CHECKING:
    from transformers import PreTrainedModel

PANEL, GENERALIST = "panel.json", "generalist"
Task = Literal["classification", "image_classification"]
LEAST = 1e-30  # probability whose logarithm is passed on as a logit


@dataclass(frozen=True, eq=False)
class Specialist:
    """A trained specialist.

    Attributes:
        model: with S + 1 outputs (early stopping) or C (soft targets).
        classes: S^m in ascending order.
        share: pi, the natural share of its classes.
    """

    model: PreTrainedModel
    classes: tuple[int, ...]
    share: float
    guard: Guard

    def probabilities(self, items: Items) -> np.ndarray:
        """Return (N, S + 1) with the natural prior; the last column is the dustbin."""
        logits = predict_logits(self.model, items).double()
        if self.guard == "soft_targets":
            logits = collapse(logits, self.classes)
        logits[:, -1] += dustbin_shift(self.share)
        return logits.softmax(1).numpy()


@dataclass(frozen=True, eq=False)
class PanelAnswer:
    """What a panel says of N items.

    Attributes:
        generalist: (N, C) probabilities.
        opinions: of each specialist, with whether it is relevant.
        combined: the fixed point.
    """

    generalist: np.ndarray
    opinions: tuple[Opinion, ...]
    combined: Combined

    @property
    def soft_targets(self) -> torch.Tensor:
        """Return the combined distribution as logits (N, C), log q: their softmax at T = 1 is the distribution itself."""
        return torch.from_numpy(np.log(np.maximum(self.combined.probabilities, LEAST))).float()


@dataclass(frozen=True, eq=False)
class Panel:
    """A generalist and its specialists.

    Attributes:
        labels: names of the C classes.
        top: a specialist is heard where one of the generalist's `top` likeliest classes is its own.
        tokenizer: of texts; None for images.
    """

    labels: tuple[str, ...]
    generalist: PreTrainedModel
    specialists: tuple[Specialist, ...]
    top: int = 1
    tokenizer: Any = None

    def answer(self, items: Items) -> PanelAnswer:
        """Return what each member says of a batch of items, and the combined distribution."""
        general = predict_logits(self.generalist, items).double().softmax(1).numpy()
        opinions = tuple(Opinion(each.classes, each.probabilities(items), is_relevant(general, each.classes, self.top))
                         for each in self.specialists)
        return PanelAnswer(general, opinions, combine(general, opinions))

    def save(self, folder: Path) -> None:
        """Write the panel into an empty folder; see the module's docstring."""
        folder.mkdir(parents=True, exist_ok=True)
        names = [GENERALIST, *(f"specialist-{number}" for number in range(1, len(self.specialists) + 1))]
        for name, model in zip(names, [self.generalist, *(each.model for each in self.specialists)], strict=True):
            model.save_pretrained(folder / name)
        if self.tokenizer is not None:
            self.tokenizer.save_pretrained(folder / GENERALIST)
        members = [{"folder": name, "classes": list(each.classes), "share": each.share, "guard": each.guard}
                   for name, each in zip(names[1:], self.specialists, strict=True)]
        write_json(folder / PANEL, {"labels": list(self.labels), "top": self.top, "members": members,
                                    "task": "image_classification" if self.tokenizer is None else "classification",
                                    "weights": {name: _digest(folder / name / WEIGHTS) for name in names}})


def load_panel(folder: Path) -> Panel:
    """Load a saved panel in evaluation mode.

    Raises:
        ModelNotFoundError: there is none, or one of its members was deleted.
        CorruptModelError: a member is not the one that the panel was saved with.
    """
    plain = read_json(folder / PANEL)
    if plain is None:
        raise ModelNotFoundError(f"'{folder}' holds no generalist with specialists.", f"A folder with {PANEL} was expected.",
                                 "Name a finished run of specialists.")
    for name, digest in plain["weights"].items():
        weights = folder / name / WEIGHTS
        if not weights.is_file():
            raise ModelNotFoundError(f"The member '{name}' of '{folder}' is not there any more.",
                                     f"All {len(plain['weights'])} members answer together.", "Put the folder back, or repeat the run.")
        if _digest(weights) != digest:
            raise CorruptModelError(f"The weights of '{name}' in '{folder}' are not those that the panel was saved with.",
                                    "Unchanged members were expected: the combination was measured with them.",
                                    "Put the old ones back, or repeat the run.")
    load = _loader(plain["task"])
    specialists = tuple(Specialist(load(folder / each["folder"]), tuple(each["classes"]), each["share"], each["guard"])
                        for each in plain["members"])
    tokenizer = tokenizer_from_pretrained(folder / GENERALIST) if plain["task"] == "classification" else None
    return Panel(tuple(plain["labels"]), load(folder / GENERALIST), specialists, plain["top"], tokenizer)


def _loader(task: Task) -> Callable[[Path], PreTrainedModel]:
    from core.models import image_mlp, word_average  # noqa: F401 -- registers the architectures

    return lambda folder: model_from_pretrained(folder, task, torch.float32, local_files_only=True).eval()


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def mean_probabilities(members: Sequence[PreTrainedModel], items: Items) -> np.ndarray:
    """Return (N, C): the arithmetic mean of the members' distributions, the ensemble that specialists are compared with."""
    return np.mean([predict_logits(each, items).double().softmax(1).numpy() for each in members], axis=0)
