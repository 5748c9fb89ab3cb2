"""The step mode of a lesson: one optimiser step at a click, with its batch, both distributions, each term and the update."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import streamlit as st

from core.errors import StillhouseError
from core.loss_terms import BY_NAME
from workbench.lessons import experiments
from workbench.lessons.blocks import Recipe, Steps
from workbench.lessons.parser import Lesson
from workbench.screens.shared import background, charts, views
from workbench.screens.shared.live_plotly import live_plotly
from workbench.screens.shared.theme import GREY, ROLE_COLOURS


def steps(block: Steps, lesson: Lesson, recipe: Recipe, sliders: Mapping[str, float], key: str) -> None:
    """Draw the button, and the step that was taken last."""
    label, config = next(iter(experiments.configs(lesson, recipe, sliders).items()))
    text = json.dumps(config.to_dict())
    most = min(block.most, config.train.max_steps or block.most)
    memory = f"steps.{key}"
    taken, of = st.session_state.get(memory, (0, text))
    taken = taken if of == text else 0  # a slider moved: another recipe has other steps
    with st.container(border=True, key=f"steps-{key}"):
        st.markdown(f"**One step at a time**{f': {views.plain(label)}' if label else ''}")
        with st.container(horizontal=True, vertical_alignment="center"):
            st.button("Take a step" if not taken else "Take the next step", icon=":material/skip_next:", key=f"step.{key}",
                      disabled=taken >= most, on_click=_keep, args=(memory, taken + 1, text))
            if taken:
                st.button("Begin again", icon=":material/restart_alt:", type="tertiary", key=f"step.again.{key}",
                          on_click=_keep, args=(memory, 0, text))
            st.caption(f"Step {taken} of {most} to look at; the run below takes all {config.train.max_steps}." if taken else
                       f"The first {most} steps can be looked at before the run below takes all {config.train.max_steps}.")
        if not taken:
            return
        try:
            found = background.answer(background.training_step, text, taken, meanwhile=f"Step {taken}: the models are loaded first …"
                                      if taken == 1 else f"Taking step {taken} …")
        except StillhouseError as error:
            _keep(memory, taken - 1, text)  # the next click takes it once more
            views.problem(error)
            return
        if found is not None:
            step(found, key)


def _keep(memory: str, taken: int, text: str) -> None:
    st.session_state[memory] = (taken, text)


def step(found: Mapping[str, Any], key: str) -> None:
    """Draw a step, as `core.methods.stepping.TrainingStep` describes it."""
    loss, gradient, rate, update = st.columns(4)
    loss.metric("Loss", f"{found['loss']:.4g}", help="The sum of the terms below, each times its weight, before this step.")
    gradient.metric("Gradient", f"{found['gradient_norm']:.3g}", help="Euclidean norm over all parameters, before it is clipped.")
    rate.metric("Learning rate", f"{found['learning_rate']:.2g}")
    update.metric("Update", f"{found['update']:.3g}", help="Euclidean norm of the change of all parameters.")
    share = found["update"] / found["weights"] if found["weights"] else 0.0
    st.caption(f"The step moved the weights by {share:.2%} of their length ({found['weights']:.4g}).")
    rows = [[BY_NAME[term["name"]].label, f"{term['raw']:.4g}", f"{term['weighted']:.4g}",
             f"{term['weighted'] / found['loss']:.0%}" if found["loss"] else "–"] for term in found["terms"]]
    views.text_table(["Term of the loss", "Mean", "Times its weight", "Share"], rows, numbers=True, label="Terms of the loss")
    st.caption(f"The batch: {found['blocks']} sequences, {found['positions']:,} positions that count. In the first of them, where "
               f"{'student and teacher differ most' if found['teacher'] else 'the student is most surprised'}:")
    st.code(found["text"], language=None, wrap_lines=True)
    st.caption(f"The text’s own token here is “{views.plain(_visible(found['target']))}”.")
    series = [("teacher", "Teacher", ROLE_COLOURS["teacher"]), ("before", "Student before", GREY),
              ("after", "Student after", ROLE_COLOURS["student"])]
    shown = [(name, words, colour) for name, words, colour in series if found[name]]
    tokens = [_visible(token) for token in found["tokens"]]
    places = list(range(len(tokens)))  # two tokens may read the same
    traces = [{"type": "bar", "x": places, "y": found[name], "name": words, "marker": {"color": colour}} for name, words, colour in shown]
    words = f"Next token at T = {found['temperature']:g}: teacher, and student before and after the step"
    live_plotly(charts.figure(traces, height=280, y_title="probability", x_title="", legend=True, barmode="group",
                              x_axis={"tickvals": places, "ticktext": tokens, "tickangle": -40}, y_axis={"tickformat": "~%"}),
                key=f"steps.figure.{key}", label=words)
    if found["divergence"] is not None:
        before, after = found["divergence"]
        st.caption(f"KL(teacher, student) there: {before:.3g} nats before the step, {after:.3g} after it, at T = {found['temperature']:g}. "
                   "One step of a whole batch need not help at every position.")
    with st.expander("The same as a table", key=f"steps.table.{key}"):
        views.text_table(["Token", *(words for _, words, _ in shown)],
                         [[token, *(f"{found[name][index]:.2%}" for name, _, _ in shown)] for index, token in enumerate(tokens)],
                         numbers=True, label=words)


def _visible(token: str) -> str:
    return token.replace("\n", "⏎").strip() or "␣"
