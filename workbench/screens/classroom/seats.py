"""Who looks at a page of a class, as the gate says it; and the lesson's reader that a participant is."""

from __future__ import annotations

import streamlit as st

from core.config import ExperimentConfig
from core.errors import StillhouseError
from core.system.units import duration
from workbench import classroom
from workbench.auth import PARTICIPANT_HEADER
from workbench.classroom import queue
from workbench.classroom.records import Item, Participant
from workbench.classroom.store import ClassStore
from workbench.errors import ClassError
from workbench.screens.learn.reader import LessonRun
from workbench.screens.shared import state
from workbench.sharing.restrictions import Restrictions


def participant_id() -> str | None:
    """Return who this page is drawn for; None for the instructor, and where there is no class.

    The header comes from the gate, which takes it out of what browsers send.
    """
    return st.context.headers.get(PARTICIPANT_HEADER)


def seat() -> tuple[ClassStore, Participant]:
    """Return the class and the participant. Raises ClassError where there is none (any more)."""
    room, who = classroom.current(), participant_id()
    if room is None or who is None:
        raise ClassError("This class is over.", "", "Its instructor deleted it, with everything in it.")
    return room, room.participant(who)


class Seat:
    """A participant as the reader of a lesson."""

    may_open_runs = False
    may_start_over = False

    def __init__(self, room: ClassStore, participant: Participant) -> None:
        self._room, self._participant = room, participant

    def locked(self) -> tuple[str, ...]:
        """Return the keys of recipes that the instructor has fixed for the class."""
        return Restrictions(self._room.settings().locked).paths

    def guess(self, lesson: str, question: str) -> str | float | None:
        """Return what was guessed."""
        return self._room.guess(self._participant.id, lesson, question)

    def commit(self, lesson: str, question: str, value: str | float) -> None:
        """Keep a guess. Raises ClassError where there is one already."""
        self._room.commit(self._participant.id, lesson, question, value)

    def start(self, lesson: str, recipe: str, runs: dict[str, ExperimentConfig]) -> None:
        """Put the runs into the queue of the class. Raises ClassError, LinkError."""
        queue.submit(self._room, self._participant.id, lesson, recipe, runs, fresh=bool(st.session_state.get("class.fresh")))

    def runs(self, lesson: str, recipe: str, labels: list[str]) -> dict[str, LessonRun]:
        """Return the latest runs of a recipe block."""
        latest: dict[str, Item] = {item.label: item for item in self._room.items(self._participant.id)
                                   if (item.lesson, item.recipe) == (lesson, recipe) and item.state != "withdrawn"}
        if not latest:
            return {}
        waiting = any(item.state == "waiting" for item in latest.values())
        places = queue.places(self._room, state.store()) if waiting else {}
        paused = self._room.settings().paused
        found = {}
        for label in labels:
            item = latest.get(label)
            if item is None:
                continue
            if item.state == "waiting":
                place, seconds = places.get(item.id, (1, 0.0))
                when = "the instructor paused the queue" if paused else f"about {duration(seconds)}" if seconds >= 1 else "next"
                found[label] = LessonRun(None, f"Place {place} in the queue, {when}.")
            elif item.run_id is not None:
                try:
                    found[label] = LessonRun(state.store().run(item.run_id), shared=item.shared)
                except StillhouseError:
                    continue  # the instructor deleted it
        return found

    def opened(self, lesson: str) -> None:
        """Note nothing: nobody is watched."""
