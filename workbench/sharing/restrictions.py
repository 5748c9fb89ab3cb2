"""What an instructor's link fixes: settings that cannot be moved, sections that are not shown, and a budget.

    lock=T,layers        these settings stay as the link has them
    hide=Models,advanced sections of the menu, and the advanced form
    most_steps=60        optimiser steps of a run at most
    most_layers=4        blocks of a student at most
    lesson=temperature   which lesson the page of lessons opens

They hold for the browser session that followed the link. Where nobody may get around them, a class has the same on the server
(`workbench.classroom`), for everybody in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from core.config import ChainConfig, ExperimentConfig
from workbench.errors import LinkError
from workbench.sharing.packed import MAIN

LOCK, HIDE, STEPS, LAYERS, LESSON = KEYS = ("lock", "hide", "most_steps", "most_layers", "lesson")
ADVANCED = "advanced"
SECTIONS = ("Learn", "Train", "Runs", "Compare", "Models", "Evidence")
HIDEABLE = (*SECTIONS, ADVANCED)


@dataclass(frozen=True, slots=True)
class Restrictions:
    """What a link or a class fixes.

    Attributes:
        locked: short names of settings (`MAIN`).
        hidden: of `HIDEABLE`.
        most_steps, most_layers: caps; None for none.
    """

    locked: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()
    most_steps: int | None = None
    most_layers: int | None = None

    def __bool__(self) -> bool:
        """Return whether anything is fixed."""
        return bool(self.locked or self.hidden or self.most_steps or self.most_layers)

    def to_query(self) -> dict[str, str]:
        """Return the parameters of a link."""
        found = {LOCK: ",".join(self.locked), HIDE: ",".join(self.hidden), STEPS: str(self.most_steps or ""),
                 LAYERS: str(self.most_layers or "")}
        return {key: value for key, value in found.items() if value}

    @property
    def paths(self) -> tuple[str, ...]:
        """Return the recipe's keys of what is locked."""
        return tuple(MAIN[name] for name in self.locked)


def from_query(query: Mapping[str, str]) -> Restrictions:
    """Return what the parameters of an address fix. Raises LinkError for what cannot be fixed."""
    locked, hidden = _names(query, LOCK, tuple(MAIN)), _names(query, HIDE, HIDEABLE)
    return Restrictions(locked, hidden, _number(query, STEPS), _number(query, LAYERS))


def check(config: ExperimentConfig, given: Restrictions, linked: ExperimentConfig | None = None) -> None:
    """Raise LinkError unless a run keeps within what is fixed.

    Args:
        linked: what the link held; without it nothing is locked.
    """
    for name in given.locked if linked is not None else ():
        path = MAIN[name]
        mine, fixed = _reach(config, path), _reach(linked, path)
        if mine != fixed:
            raise LinkError(f"{path} was given as {mine}.", f"The instructor fixed it at {fixed}.",
                            "Set it back, or open the link or lesson again.", field=path)
    steps = config.train.max_steps
    if given.most_steps is not None and (steps is None or steps > given.most_steps):
        raise LinkError(f"train.max_steps was given as {'no limit' if steps is None else steps}.",
                        f"At most {given.most_steps} steps are allowed here.", field="train.max_steps")
    layers = depth_of(config)
    named = getattr(getattr(config, "student", None), "model", None) is not None  # a model that is there already, however deep
    if given.most_layers is not None and not named and (layers is None or layers > given.most_layers):
        raise LinkError(f"The student would have {layers or 'half of its teacher’s'} blocks.",
                        f"At most {given.most_layers} are allowed here.", "Set student.layers.", field="student.layers")


def depth_of(config: ExperimentConfig) -> int | None:
    """Return the most blocks that a run trains, as the configuration says it; None where that depends on a model."""
    student = getattr(config, "student", None)
    if isinstance(config, ChainConfig):
        return None
    if student is None:
        return 0  # networks without blocks, for images
    if student.from_scratch is not None:
        return int(student.from_scratch.layers)
    if isinstance(student.layer_map, tuple):
        return len(student.layer_map)
    return None if student.model is not None else student.layers


def _names(query: Mapping[str, str], key: str, known: tuple[str, ...]) -> tuple[str, ...]:
    names = tuple(name for name in query.get(key, "").split(",") if name)
    for name in names:
        if name not in known:
            raise LinkError(f"The link says {key}={name[:60]}.", f"Of these: {', '.join(known)}.")
    return names


def _number(query: Mapping[str, str], key: str) -> int | None:
    text = query.get(key, "")
    if not text:
        return None
    if not text.isdecimal() or not 1 <= int(text[:9]) <= 10**6:
        raise LinkError(f"The link says {key}={text[:60]}.", "A whole number from 1 was expected.")
    return int(text)


def _reach(config: ExperimentConfig | None, path: str) -> object:
    value: object = config
    for key in path.split("."):
        value = getattr(value, key, None)
    return value
