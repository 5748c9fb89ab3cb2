"""The description of a claim: statement, source, protocol, rule."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from core.recorder import Recorder
from core.studies.claims.rules import Rule
from core.studies.seeds import DEFAULT_SEEDS, FIRST_SEED, seeds_of


@dataclass(frozen=True)
class ProtocolConfig:
    """The scale of a protocol: sizes, steps, items. Each system has its own; a protocol reads nothing else but the seed."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return json.loads(json.dumps(asdict(self)))

    def digest(self) -> str:
        """Return twelve hexadecimal digits that change with anything in it."""
        return hashlib.sha256(json.dumps([type(self).__name__, self.to_dict()], sort_keys=True).encode()).hexdigest()[:12]


@dataclass(frozen=True, slots=True)
class Source:
    """Where a statement is published.

    Attributes:
        arxiv: number of the paper.
        place: section or table.
    """

    arxiv: str
    place: str

    @property
    def url(self) -> str:
        """Return the paper's address."""
        return f"https://arxiv.org/abs/{self.arxiv}"


@dataclass(frozen=True, slots=True)
class Figure:
    """A number that a protocol measures.

    Attributes:
        name: its key among the numbers.
        words: what it is.
        unit: empty for pure numbers.
    """

    name: str
    words: str
    unit: str = ""


Numbers = Mapping[str, float]
SeedProtocol = Callable[[int, Any, Recorder], Numbers]  # (seed, setting, recorder) -> numbers
WholeProtocol = Callable[[tuple[int, ...], Any, Recorder], Mapping[int, Numbers]]  # (seeds, setting, recorder) -> seed -> numbers


@dataclass(frozen=True, slots=True)
class AllSeeds:
    """A protocol that takes all seeds at once, where they share what is expensive; it is then resumed as a whole."""

    protocol: WholeProtocol


@dataclass(frozen=True, slots=True)
class Claim:
    """A statement of a paper and how it is checked here.

    Attributes:
        name: short and upper case, as C1.
        title: what it says, in a few words.
        system: the method that it belongs to.
        statement: what the paper says.
        published: the paper's number; says so where it gives none.
        source: where both stand.
        check: what is measured here, with its equation.
        figures: the numbers worth showing, the decisive one first.
        rule: what must hold; fixed before the first run.
        setting: the full scale.
        seconds: working time of one seed at full scale on one quiet core, roughly.
        protocol: measures; raises `StopRequested` soon after the recorder asks for it.
        pitfalls: what would make the number mean something else, and what is done about it.
        version: to be raised when the protocol or its rule measures something else; outcomes of earlier ones are shown as such.
        reasons: why each version after the first was made, the second's first.
        published_unit: of the published number; empty where none is published.
        sanity_check: it could hardly fail, and shows that the machinery works rather than that the paper is right.
        power: what the spread that was seen before lets the default seeds tell.
        first_seed: of the default seeds; another one where a rule was made after the outcome of the first ones was known.
    """

    name: str
    title: str
    system: str
    statement: str
    published: str
    source: Source
    check: str
    figures: tuple[Figure, ...]
    rule: Rule
    setting: ProtocolConfig
    seconds: float
    protocol: SeedProtocol | AllSeeds
    pitfalls: tuple[str, ...] = ()
    version: int = 1
    reasons: tuple[str, ...] = ()
    published_unit: str = ""
    sanity_check: bool = False
    power: str = ""
    first_seed: int = FIRST_SEED

    @property
    def default_seeds(self) -> tuple[int, ...]:
        """Return the seeds that a claim is tested with unless others are given."""
        return self.seeds(DEFAULT_SEEDS)

    def seeds(self, count: int) -> tuple[int, ...]:
        """Return the first so many seeds of the claim."""
        return seeds_of(count, self.first_seed)

    @property
    def units(self) -> str:
        """Return the units of the published number and of ours, and whether the two can be compared."""
        ours = self.figures[0].unit or "a pure number"
        if not self.published_unit:
            return f"no number is published; ours in {ours}"
        if self.published_unit == ours:
            return f"both in {ours}"
        return f"published in {self.published_unit}, ours in {ours}: the two cannot be compared"
