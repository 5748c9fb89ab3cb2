"""What a panel says of a few test items, kept beside a run's panel: opinions are looked at without loading a network.

Shapes: N items, C classes, S classes of a specialist.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from core.errors import CorruptModelError, ModelNotFoundError
from core.system.files import read_json, write_json

ITEMS = "items.json"
DIGITS = 6  # of probabilities that are kept


@dataclass(frozen=True, slots=True)
class KeptOpinion:
    """What a specialist says of the items.

    Attributes:
        classes: in the order of the columns.
        probabilities: (N, S + 1); the last is all other classes together.
        relevant: (N,) whether it is heard.
    """

    classes: Sequence[int]
    probabilities: Sequence[Sequence[float]]
    relevant: Sequence[bool]


@dataclass(frozen=True, slots=True)
class ShownItems:
    """A few test items, and what is said of them.

    Attributes:
        texts: of the items; none for images.
        pixels: (N, H, W) from 0 to 1; none for texts.
        targets: (N,) right classes.
        generalist, combined: (N, C) probabilities.
    """

    texts: Sequence[str]
    pixels: Sequence[Sequence[Sequence[float]]]
    targets: Sequence[int]
    generalist: Sequence[Sequence[float]]
    combined: Sequence[Sequence[float]]
    opinions: tuple[KeptOpinion, ...]

    def save(self, folder: Path) -> None:
        """Write the items into a folder."""
        write_json(folder / ITEMS, asdict(self))

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Self:
        """Read plain data back."""
        return cls(**{**plain, "opinions": tuple(KeptOpinion(**each) for each in plain["opinions"])})

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read the items of a folder.

        Raises:
            ModelNotFoundError: they are not there, since the run did not end or its folder was deleted.
            CorruptModelError: the file is not what was written.
        """
        plain = read_json(folder / ITEMS)
        if plain is None:
            raise ModelNotFoundError(f"'{folder}' holds no opinions of specialists.", "A run that trained them to its end was expected.",
                                     "Resume the run, or repeat it.")
        try:
            return cls.from_dict(plain)
        except (KeyError, TypeError) as error:
            raise CorruptModelError(f"'{folder / ITEMS}' is damaged.", "The opinions of a finished run were expected.",
                                    "Repeat the run.") from error


def rounded(rows: Any) -> list[list[float]]:
    """Return rows of probabilities as plain data."""
    return [[round(float(value), DIGITS) for value in row] for row in rows]


def heard(opinions: Sequence[KeptOpinion], item: int) -> Mapping[int, KeptOpinion]:
    """Return the specialists that are heard of an item, by their number from 1."""
    return {number: each for number, each in enumerate(opinions, start=1) if each.relevant[item]}
