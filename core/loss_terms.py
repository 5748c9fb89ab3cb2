"""The loss terms: what each is called, measured in and shown as, once, for recipes, logs, forms, figures and reports.

A term `x` is weighted by `losses.w_x` of a recipe (`core.config.losses`) and logged as ``loss/x`` and ``raw/x`` (`core.metrics`). Its
equation is computed in `core.training.losses`, for a term on hidden states in `core.training.distillation_trainer`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True)
class MaskedWords:
    """What a term is called in runs of masked language models, where it reads otherwise.

    Attributes:
        label, help: as of `LossTerm`.
    """

    label: str
    help: str


@dataclass(frozen=True, slots=True)
class LossTerm:
    """One term.

    Attributes:
        name: short; part of recipe keys, metrics and ablations.
        label: how figures and tables call it.
        help: what the term itself is, in a few words that may follow "the".
        equation: LaTeX in p (teacher), q (student) and y (labels); ``T^2`` and ``D(p^T, q^T)`` are filled in with a recipe's
            temperature and divergence.
        unit: of its value, empty for a pure number.
        on: what it is computed from. Labelled tasks know terms on logits alone.
        needs_teacher: whether it compares the student with a teacher.
        softened: whether it is taken at temperature T, and so multiplied by T squared (1503.02531, section 2).
        long_label: how model cards and forms call it (default: as `label`).
        papers: arXiv identifier -> what of it is used; cited by model cards.
        left_out: how an ablation calls the recipe without the term; empty where ablations keep it.
        kept_because: why ablations keep it.
        masked: what it is called in runs of masked language models (default: the same).
    """

    name: str
    label: str
    help: str
    equation: str
    unit: Literal["nats/token", ""]
    on: Literal["logits", "states"]
    needs_teacher: bool = True
    softened: bool = False
    long_label: str = ""
    papers: Mapping[str, str] = field(default_factory=dict)
    left_out: str = ""
    kept_because: str = ""
    masked: MaskedWords | None = None

    @property
    def key(self) -> str:
        """The field of `LossSpec` that weighs it."""
        return f"w_{self.name}"

    @property
    def title(self) -> str:
        """How model cards and forms call it."""
        return self.long_label or self.label


# In the order of logs, legends and cards. An ablation trains its variants in this order, those of terms without a teacher last.
LOSS_TERMS: tuple[LossTerm, ...] = (
    LossTerm("kd", "soft targets", "divergence of the student from the teacher at temperature T",
             r"T^2\,D(p^T, q^T)", "nats/token", "logits", softened=True,
             papers={"1503.02531": "soft targets at a temperature"}, left_out="without soft targets"),
    LossTerm("hard", "hard labels", "cross-entropy with the text itself", r"\mathrm{CE}(y, q)", "nats/token", "logits",
             needs_teacher=False, left_out="without hard labels",
             masked=MaskedWords("masked tokens", "cross-entropy with the tokens behind the masks")),
    LossTerm("hidden", "hidden states", "mean of 1 - cosine similarity of the last hidden states", r"(1-\cos(h_s, h_t))", "", "states",
             long_label="last hidden states", papers={"1910.01108": "DistilBERT: its student, its losses"},
             left_out="without hidden states"),
    LossTerm("hidden_mse", "matched layers", "mean squared error between matched hidden states", r"\mathrm{MSE}(h_s, h_t)", "", "states",
             papers={"1412.6550": "matched hidden states (FitNets)", "1908.09355": "matched layers of transformers (PKD)"},
             kept_because="the ablation follows table 4 of 1910.01108, whose loss has no such term"),
)
BY_NAME: Mapping[str, LossTerm] = {term.name: term for term in LOSS_TERMS}


def keys(*, needs_teacher: bool | None = None, on: Literal["logits", "states"] | None = None) -> tuple[str, ...]:
    """Return the fields of `LossSpec` that weigh the terms, of all or of those of a kind."""
    return tuple(term.key for term in LOSS_TERMS
                 if needs_teacher in (None, term.needs_teacher) and on in (None, term.on))


def enumerated(names: tuple[str, ...]) -> str:
    """Return ``a, b and c``."""
    return " and ".join([*([", ".join(names[:-1])] if names[1:] else []), names[-1]])
