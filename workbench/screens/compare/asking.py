"""Models queried side by side: loaded one by one, with an error message for each that fails, then queried all at once."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st

from core.errors import StillhouseError
from core.system import units
from workbench.inference.wire import ModelCard
from workbench.screens.compare import picking
from workbench.screens.shared import background, state, views
from workbench.screens.shared.background import Question
from workbench.screens.shared.panes import Pane
from workbench.screens.shared.theme import BLUE, ROLE_COLOURS, TEAL, VIOLET
from workbench.store import references

PATIENCE = 0.6  # seconds to wait in place for an answer that mostly takes less
COLOURS = {"Teacher": ROLE_COLOURS["teacher"], "Control": ROLE_COLOURS["control"], "Untrained student": VIOLET, "Second student": BLUE}


@dataclass(frozen=True, slots=True)
class Participant:
    """A model that is queried.

    Attributes:
        role: what it is among the others, each in its own words.
        stamp: changes with its weights.
    """

    name: str
    role: str
    card: ModelCard
    stamp: str

    @property
    def colour(self) -> str:
        """Return the colour of the model's role."""
        return COLOURS.get(self.role, TEAL)


def query(models: Sequence[str], pane: Pane, question: Question, given: Callable[[], tuple[Any, ...]], *, again: bool,
          meanwhile: str) -> tuple[list[Participant], dict[str, Any]] | None:
    """Load the models and query them; what is wrong, or awaited, is drawn where this is called.

    Args:
        given: what `question` takes between their names and their stamps; errors that it raises are drawn too.
        again: whether to query again though nothing changed.
        meanwhile: what the page says while they answer.

    Returns:
        Who answered what; None while it is awaited, or where nobody can answer.
    """
    with st.container():
        try:
            between = given()
            participants = _loaded(models, pane)
            if not participants:
                return None
            arguments = (tuple(each.name for each in participants), *between, tuple(each.stamp for each in participants))
            if again:
                question.clear(*arguments)
            found = _answers(question, *arguments, meanwhile=meanwhile)
        except StillhouseError as error:
            views.problem(error)
            return None
    return None if found is None else (participants, found)


def _loaded(models: Sequence[str], pane: Pane) -> list[Participant] | None:
    """Return the models in memory, without those that are missing, which the page names.

    Returns:
        None while one is being loaded; then the page is drawn again when it is done.
    """
    missing = picking.awaited(models)
    queried = [(name, pane.task, state.weights_stamp(name)) for name in models if name not in missing]
    cards = [background.card(*each) for each in queried]
    concurrent.futures.wait(cards, PATIENCE)
    loading = [number for number, card in enumerate(cards) if not card.done()]
    if loading:
        names = " and ".join(views.plain(references.short(queried[number][0])) for number in loading)
        background.wait(cards[loading[0]], f"Loading {names}: {len(cards) - len(loading)} of {len(cards)} models are ready.")
        return None
    there = []
    for each, card in zip(queried, cards, strict=True):
        error = card.exception()
        if error is None:
            there.append((each, card.result()))
            continue
        background.card.clear(*each)  # queried again at the next rerun
        if not isinstance(error, StillhouseError):
            raise error
        views.problem(error)
    roles = distinct_roles([name for (name, *_), _ in there])
    return [Participant(name, role, card, stamp) for ((name, _, stamp), card), role in zip(there, roles, strict=True)]


def distinct_roles(models: Sequence[str]) -> list[str]:
    """Return the role of each model; where two have the same, the later one is the second."""
    roles: list[str] = []
    for number in range(len(models)):
        role = references.role(number, models)
        roles.append(f"Second {role.lower()}" if role in roles else role)
    return roles


def _answers(question: Question, *arguments: Any, meanwhile: str) -> dict[str, Any] | None:
    """As `background.answer`, for questions that are mostly answered at once: the page then has the answer without being drawn twice."""
    concurrent.futures.wait([question(*arguments)], PATIENCE)
    return background.answer(question, *arguments, meanwhile=meanwhile)


def heading(participant: Participant, seconds: float | None) -> None:
    """Who answers; with which weights and how long it takes, unless shown before."""
    card = participant.card
    st.markdown(f"**{participant.role}** · {views.plain(references.short(participant.name))}")
    if seconds is None:
        return
    st.caption(f"{units.count(card.parameters)} parameters · {card.layers} layers · weights `{card.weights}` · "
               f"**{1000 * seconds:.3g} ms**{'' if card.device == 'cpu' else f' · {views.plain(card.device)}'}")


def recipe(name: str, form: str) -> None:
    """Draw the command that runs a recipe, and the page whose form holds it."""
    st.code(f"python -m workbench distill assets/recipes/{name}.yaml", language="bash", wrap_lines=True)
    st.page_link(form, label="Open in the experiment form", icon=":material/science:",
                 query_params={"recipe": name} if form == state.NEW else None)
