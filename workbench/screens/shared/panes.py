"""The panes of the Compare page: which models each is for, and what buttons call it."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NoReturn

import streamlit as st

from core.models.checkpoints import Task
from workbench.screens.shared import state

CHAT_ID = "compare.chat"  # in the session state


@dataclass(frozen=True, slots=True)
class Pane:
    """One way to compare models.

    Attributes:
        key: its name in the page's address.
        task: what its models' heads are for.
        action: what a button says that opens it with one model.
        comparison: what a button says that opens it with several.
    """

    key: str
    task: Task
    title: str
    icon: str
    action: str
    comparison: str


CHAT = Pane("chat", "causal", "Chat", "forum", "Chat", "Compare in chat")
BLANKS = Pane("blanks", "masked", "Fill-mask", "text_select_start", "Predict masked tokens", "Compare masked-token predictions")
CLASSES = Pane("classes", "classification", "Classify", "category", "Classify", "Compare how they classify")
PANES = {pane.key: pane for pane in (CHAT, BLANKS, CLASSES)}


def of_task(task: Task | None) -> Pane | None:
    """Return the pane for models with such a head; there is none yet for those that answer questions about a text."""
    return next((pane for pane in PANES.values() if pane.task == task), None)


def of_models(references: Iterable[str]) -> Pane | None:
    """Return the pane for these models: that of the first one whose head is known, the chat where none is."""
    return of_task(next(filter(None, map(state.task_of, references)), CHAT.task))


def chat_id() -> str:
    """Return the id of this session's conversation."""
    return st.session_state.setdefault(CHAT_ID, uuid.uuid4().hex)


def open_with(models: Sequence[str], pane: Pane = CHAT) -> NoReturn:
    """Go to the Compare page with these models. The address is complete, so that the page adds nothing to the browser's history."""
    st.switch_page(state.COMPARE, query_params={"pane": pane.key, "models": ",".join(models)} | ({"c": chat_id()} if pane is CHAT else {}))
