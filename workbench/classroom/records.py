"""What a class consists of, as frozen values."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any, Literal

LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"  # without those that look alike on a projector
CODE_LENGTH = 6
LONGEST_NICKNAME = 24
LONGEST_TEXT = 2000  # characters of what a participant hands in

ItemState = Literal["waiting", "placed", "failed", "withdrawn"]
Axis = Literal["size", "temperature"]


@dataclass(frozen=True, slots=True)
class Settings:
    """What the instructor has set.

    Attributes:
        lesson: the lesson that participants see.
        paused: no waiting run is started.
        names_hidden: the board shows no nicknames.
        most_steps, most_layers: caps of a run.
        locked: settings (`workbench.sharing.packed.MAIN`) that stay as the lesson has them.
        own_seeds: every participant's runs have a seed of their own; otherwise equal recipes are computed once for all.
        models: references that participants may send prompts to, beside their own students.
    """

    lesson: str = "temperature"
    paused: bool = False
    names_hidden: bool = False
    most_steps: int = 400
    most_layers: int = 8
    own_seeds: bool = False
    models: tuple[str, ...] = ("house-chat",)
    locked: tuple[str, ...] = ()

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> Settings:
        """Return settings as a class keeps them; those that it does not have yet are as usual."""
        values: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in plain.items()}
        return cls(**values)


@dataclass(frozen=True, slots=True)
class Participant:
    """Somebody in the class: a nickname, and nothing else that says who it is.

    Attributes:
        number: from 1, in the order of joining; the seed of their runs where everybody has their own.
        removed: whether the instructor took them out.
    """

    id: str
    nickname: str
    number: int
    joined: float
    removed: bool


@dataclass(frozen=True, slots=True)
class Item:
    """One run that a participant wants, or has.

    Attributes:
        state: ``waiting`` for its turn; ``placed``: `run_id` is its run, which may be shared; ``failed`` with `message`.
        digest: of its recipe and seed; equal ones are computed once.
        submitted: seconds since 1970.
        first: the instructor put it first.
        shared: whether its run was started for somebody else.
    """

    id: int
    participant: str
    lesson: str
    recipe: str
    label: str
    config_json: str
    digest: str
    submitted: float
    state: ItemState
    run_id: str | None
    message: str
    first: bool
    shared: bool
    fresh: bool


@dataclass(frozen=True, slots=True)
class Guess:
    """What a participant guessed: an option's text, or a number as text."""

    participant: str
    lesson: str
    question: str
    value: str | float


@dataclass(frozen=True, slots=True)
class Ballot:
    """A blind vote on answers.

    Attributes:
        models: who answered, in the order in which the answers are shown as A, B and C.
        open: whether votes are taken; `revealed`: whether the names are shown.
    """

    id: int
    prompt: str
    models: tuple[str, ...]
    answers: tuple[str, ...]
    open: bool
    revealed: bool


@dataclass(frozen=True, slots=True)
class HandedIn:
    """A text that a participant handed in, and the answers of models that it is about."""

    participant: str
    when: float
    text: str


def join_code() -> str:
    """Return a new code."""
    return "".join(secrets.choice(LETTERS) for _ in range(CODE_LENGTH))
