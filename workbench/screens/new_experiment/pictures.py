"""What the chosen numbers mean: which block becomes which, the loss as an equation, a distribution that softens with T."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import streamlit as st

from core.config import ExperimentConfig, LossSpec
from core.data.masking import BLANKS, has_blank
from core.errors import StillhouseError
from workbench.screens.new_experiment import forms
from workbench.screens.new_experiment.layer_picture import layer_picture
from workbench.screens.shared import background, charts, state, views
from workbench.screens.shared.live_plotly import live_plotly

if TYPE_CHECKING:
    from core.planning.requirements import Plan

TOKENS_SHOWN = 12
PROMPT = "Write a positive one-line review."
FIRST_TOKEN, FIRST_BLANK = "First token of the teacher's answer to", "The teacher's guesses for the first blank of"


def layers(config: ExperimentConfig, plan: Plan) -> None:
    """Which teacher block becomes which student block."""
    if plan.student is None:
        return
    if config.student.model is not None:
        st.caption("The student keeps its own blocks and weights, and training continues.")
        return
    copied = config.student.init == "teacher" and plan.teacher is not None
    depth = plan.teacher.layers if plan.teacher else 0
    st.markdown(layer_picture(depth, plan.student.layers, plan.layer_map, copied=copied), unsafe_allow_html=True)
    if plan.teacher is not None:
        rest = ("Embeddings, final norm and output head are copied too." if config.student.architecture == "teacher" else
                "Embeddings and the masked-language head are copied too; what BERT adds to every token of a single text is folded into the "
                "positions, so that nothing is lost with the token types.")
        st.caption(rest if copied else "All weights are initialised at random; dashed lines only pair the layers.")


def equation(losses: LossSpec, *, masked: bool = False) -> None:
    """Draw the loss with the chosen numbers."""
    st.latex(forms.equation(losses, masked=masked))
    if masked:
        where = "at every token but padding" if losses.kd_positions == "all" else "where tokens are masked"
        st.caption("p is the teacher's distribution over the token of a position and q the student's, at temperature T where marked, "
                   f"compared {where}; y are the tokens behind the masks; h are the last hidden states. Multiplying by T² keeps the soft "
                   "targets' gradients at their size when T changes.")
        return
    st.caption("p is the teacher's distribution over the next token and q the student's, at temperature T where marked; y is the text "
               "itself. Multiplying by T² keeps the soft targets' gradients at their size when T changes.")


def temperature(config: ExperimentConfig, teacher: str, *, masked: bool = False) -> None:
    """Draw the teacher's distribution over the first token of an answer, or over a blank, at T = 1 and at the chosen T."""
    prompts = [prompt for prompt in config.evaluation.prompts if not masked or has_blank(prompt)]
    prompt = next(iter(prompts), BLANKS[0] if masked else PROMPT)
    try:
        if not state.describe(teacher).present:
            st.caption("The teacher's distribution is drawn here once the teacher is on this machine.")
            return
        answer = background.answer(background.next_token, state.resolved(teacher), prompt,
                                   meanwhile=f"Computing the teacher's distribution over the {'blank' if masked else 'next token'} …")
    except StillhouseError as error:
        st.caption(views.plain(f"The picture of the teacher's distribution is not available. {error}"))
        return
    if answer is None:
        return
    value = config.losses.temperature
    tokens, entropies = softened(answer["tokens"], np.asarray(answer["logits"]), value)
    live_plotly(charts.temperature(tokens, value), key="temperature",
                label=f"The teacher's distribution over the {'blank' if masked else 'next token'} at T = 1 and T = {value:g}")
    if charts.is_cut(tokens):
        st.caption("Bars with ↑ are truncated; their probability is printed on them.")
    st.page_link(state.TEMPERATURE, label="Turn the temperature", icon=":material/thermostat:",
                 query_params={"example": "blank" if masked else "token", "teacher": teacher})
    st.caption(f"{FIRST_BLANK if masked else FIRST_TOKEN} “{views.first_line(prompt)}” Entropy {entropies[0]:.2f} nats at T = 1, "
               f"{entropies[1]:.2f} at T = {value:g}.")


def softened(tokens: list[str], logits: np.ndarray, value: float) -> tuple[pd.DataFrame, tuple[float, float]]:
    """Return the most likely tokens with their probabilities at T = 1 and T = `value`, and both entropies in nats."""
    plain, soft = _softmax(logits), _softmax(logits / value)
    shown = [_visible(token) for token in tokens[:TOKENS_SHOWN]]
    table = pd.DataFrame({"token": shown, "plain": plain[: len(shown)], "softened": soft[: len(shown)]})
    return table, (_entropy(plain), _entropy(soft))


def _softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max())
    return powers / powers.sum()


def _entropy(probabilities: np.ndarray) -> float:
    positive = probabilities[probabilities > 0]
    return float(-(positive * np.log(positive)).sum())


def _visible(token: str) -> str:
    text = token.replace("\n", "⏎").replace("\t", "⇥")
    return text.strip() or "␣" * len(text) or "(part of a character)"
