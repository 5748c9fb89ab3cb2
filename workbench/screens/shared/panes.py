"""The panes of the Compare page: which models each is for, and what buttons call it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from core.checkpoints import Task
from workbench.screens.shared import state


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
BLANKS = Pane("blanks", "masked", "Fill in the blank", "text_select_start", "Fill a blank", "Compare how they fill blanks")
CLASSES = Pane("classes", "classification", "Classify", "category", "Classify", "Compare how they classify")
PANES = {pane.key: pane for pane in (CHAT, BLANKS, CLASSES)}


def of_task(task: Task | None) -> Pane | None:
    """The pane for models with such a head; there is none yet for those that answer questions about a text."""
    return next((pane for pane in PANES.values() if pane.task == task), None)


def of_models(references: Iterable[str]) -> Pane | None:
    """The pane for these models: that of the first one whose head is known, the chat where none is."""
    return of_task(next(filter(None, map(state.task_of, references)), CHAT.task))
