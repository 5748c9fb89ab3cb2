"""What a teacher says at N positions, in the forms that losses are computed from.

    Head       states in front of an output head, and the head: exact, logits are made chunk by chunk
    Mixture    the same of an ensemble: the mean of its members' distributions
    TopK       the k likeliest tokens and what is left for all others
    Sampled    a sparse distribution that stands for the whole: drawn from it, or its likeliest tokens renormalised

Shapes: N positions, V vocabulary, D width, K tokens at most that a position lists.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from core.models.architecture_spec import LogitTransform
from core.models.forward import MixtureHead, OutputHead

NOTHING_FOLLOWS = LogitTransform()


class Chunk(Protocol):
    """What a teacher says at n of the positions, up to a last cheap step that is left to whoever takes rows of it."""

    def __getitem__(self, rows: slice) -> Tensor | TopK | Sampled:
        """Return what terms compare the student's logits with, for some of the rows."""


class Targets(Protocol):
    """What all forms have."""

    def __len__(self) -> int:
        """Return N."""

    def at(self, part: slice, width: int) -> Tensor | TopK | Sampled:
        """Return what terms compare the student's logits (n, width) with, for a slice of the positions."""

    def chunk(self, part: slice, width: int) -> Chunk:
        """Return the same, to be taken row by row."""

    @property
    def rows(self) -> int | None:
        """How many logits the teacher has; None where only those that stand for tokens are listed."""


@dataclass(frozen=True, slots=True)
class Head:
    """States in front of an output head, and the head.

    Attributes:
        states: (N, D).
        weight: (V, D).
        bias: (V,), or None.
        transform: what follows the product of states and weight.
    """

    states: Tensor
    weight: Tensor
    bias: Tensor | None = None
    transform: LogitTransform = NOTHING_FOLLOWS

    @classmethod
    def of(cls, head: OutputHead, states: Tensor) -> Head:
        """Return a model's head with the states in front of it."""
        return cls(states, head.weight, head.bias, head.transform)

    def __len__(self) -> int:
        return len(self.states)

    @property
    def rows(self) -> int:
        """How many logits there are."""
        return len(self.weight)

    def cut(self, part: slice) -> Head:
        """Return the same at a slice of the positions."""
        return Head(self.states[part], self.weight, self.bias, self.transform)

    def at(self, part: slice, width: int) -> Tensor:
        """Return float32 logits (n, width)."""
        return self.chunk(part, width)[:]

    def chunk(self, part: slice, width: int) -> Products:
        """Return the products of states and weight (n, width)."""
        bias = None if self.bias is None else self.bias[:width].float()
        return Products(self.states[part] @ self.weight[:width].T, bias, self.transform)


@dataclass(frozen=True, slots=True)
class Products:
    """Products of states and a head's weight, in the format that they were computed in; rows of them give logits.

    Attributes:
        values: (n, V).
        bias: (V,) float32, or None.
        transform: what follows.
    """

    values: Tensor
    bias: Tensor | None
    transform: LogitTransform

    def __getitem__(self, rows: slice) -> Tensor:
        """Return float32 logits."""
        products = self.values[rows].float()
        return self.transform(products if self.bias is None else products + self.bias)


@dataclass(frozen=True, slots=True)
class TopK:
    """The likeliest tokens of each position, at the temperature of the loss, and the mass of all others in one bucket.

    Attributes:
        ids: (N, K) int64, each token once; a place that is not used repeats the first id, with log-probability minus infinity.
        log_p: (N, K) float32 log-probabilities.
        log_tail: (N,) float32, log of 1 - sum of the listed; minus infinity where all tokens are listed.
    """

    ids: Tensor
    log_p: Tensor
    log_tail: Tensor
    rows: None = None

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def unused(self) -> Tensor:
        """Places that hold no token, (N, K) bool."""
        repeated = self.ids == self.ids[:, :1]
        repeated[:, 0] = False
        return repeated

    def __getitem__(self, rows: slice) -> TopK:
        """Return the slice."""
        return TopK(self.ids[rows], self.log_p[rows], self.log_tail[rows])

    def at(self, part: slice, width: int) -> TopK:
        """Return the slice; ids are below any width that the student is trained at."""
        return self[part]

    chunk = at


@dataclass(frozen=True, slots=True)
class Sampled:
    """A sparse distribution in place of the teacher's, at the temperature of the loss.

    Attributes:
        ids: (N, K) int64; places that are not used hold id 0 with weight 0.
        weights: (N, K) float32, together 1 at each position.
        entropy: (N,) float32 nats, of the distribution that it stands for: what a cross-entropy with it has above the divergence.
    """

    ids: Tensor
    weights: Tensor
    entropy: Tensor
    rows: None = None

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, rows: slice) -> Sampled:
        """Return the slice."""
        return Sampled(self.ids[rows], self.weights[rows], self.entropy[rows])

    def at(self, part: slice, width: int) -> Sampled:
        """Return the slice; ids are below any width that the student is trained at."""
        return self[part]

    chunk = at


@dataclass(frozen=True, slots=True)
class Mixture:
    """States of an ensemble's members, and their heads: logits of the mean at a temperature are made chunk by chunk.

    Attributes:
        states: (N, sum of D_m).
        head: of the ensemble.
        temperature: of the loss, at which the members' distributions are averaged.
    """

    states: Tensor
    head: MixtureHead
    temperature: float

    def __len__(self) -> int:
        return len(self.states)

    @property
    def rows(self) -> int:
        """How many logits there are."""
        return min(len(head.weight) for head in self.head.heads)

    def at(self, part: slice, width: int) -> Tensor:
        """Return float32 logits (n, width) whose softmax at the temperature is the mean."""
        return self.head.logits(self.states[part], width, self.temperature)

    chunk = at

    def cut(self, part: slice) -> Mixture:
        """Return the same at a slice of the positions."""
        return Mixture(self.states[part], self.head, self.temperature)
