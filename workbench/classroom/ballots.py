"""Blind votes: the answers of models to one prompt, in an order that the page does not tell."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence

from workbench.classroom.store import ClassStore
from workbench.errors import ClassError
from workbench.inference.client import Engine
from workbench.inference.wire import Answer

MOST_TOKENS = 60
LONGEST_PROMPT = 400  # characters


def answer(engine: Engine, model: str, prompt: str, seed: int) -> str:
    """Return a model's whole answer. Raises the errors of the engine."""
    found = ""
    for message in engine.generate(model, [{"role": "user", "content": prompt}], max_new_tokens=MOST_TOKENS, sampling_temperature=0.7,
                                   seed=seed):
        if isinstance(message, Answer):
            found = message.text
    return found


def hold(room: ClassStore, models: Sequence[str], prompt: str, say: Callable[[str, str], str]) -> int:
    """Let models answer, shuffle them, and open the vote.

    Args:
        say: (model, prompt) -> its answer.

    Raises:
        ClassError: fewer than two models, or a prompt that is empty or too long.
        StillhouseError: a model that cannot answer.
    """
    if len(models) < 2 or len(set(models)) != len(models):
        raise ClassError("A vote needs two models at least, each of them once.")
    if not 1 <= len(prompt.strip()) <= LONGEST_PROMPT:
        raise ClassError(f"The prompt has {len(prompt.strip())} characters.", f"From 1 to {LONGEST_PROMPT} were expected.")
    shuffled = list(models)
    secrets.SystemRandom().shuffle(shuffled)
    return room.open_ballot(prompt.strip(), tuple(shuffled), tuple(say(model, prompt.strip()) for model in shuffled))


