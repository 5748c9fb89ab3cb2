"""The plan of an experiment beside its form: sizes at once, the time after a few real steps."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import streamlit as st

from core.config import ExperimentConfig, parse_recipe
from core.errors import StillhouseError
from workbench import background, references, state, views

if TYPE_CHECKING:
    from core.planning import Plan

# Beside which field a failed check is shown.
PLACES = {"teacher": "teacher.model", "student": "student.layers", "text": "data.source", "block length": "data.block_length"}
STATIC_SECONDS = 60  # how long an instant plan is believed: a hub id costs a request, a file may be put right


def static(config: ExperimentConfig) -> Plan:
    """What can be told in an instant. Raises ModelNotFound for a run that has no such model."""
    return _static(json.dumps(references.resolved(config, state.store()).to_dict()))


@st.cache_resource(ttl=STATIC_SECONDS, max_entries=100, show_spinner=False)
def _static(config_json: str) -> Plan:
    from core.planning import static_plan

    return static_plan(parse_recipe(json.loads(config_json)))


def failures(plan: Plan) -> dict[str, str]:
    """Failed checks by the dotted path of the field that they belong to."""
    return {PLACES.get(check.name, ""): f"{check.message} {check.fix}".strip() for check in plan.checks if not check.ok}


def sizes(plan: Plan) -> None:
    """How large the student is, and how much less it computes."""
    if plan.student is None:
        return
    with st.container(horizontal=True):
        st.metric("Student's parameters", views.count(plan.student.parameters))
        st.metric("Its weights", views.size(2 * plan.student.parameters), help="On disk, in 16 bits.")
        if plan.teacher:
            st.metric("Its speed", f"{plan.teacher.parameters / plan.student.parameters:.2g}×", help=(
                "Times the teacher's, from the arithmetic that a token costs: two operations a parameter. Small models gain less."))
    if plan.teacher:
        share = plan.student.parameters / plan.teacher.parameters
        st.caption(f"{share:.0%} of the teacher's {views.count(plan.teacher.parameters)} parameters.")


def plan(config: ExperimentConfig, planned: Plan) -> None:
    """What the run will need, and the button that measures how long it takes here."""
    st.subheader("Plan", anchor=False)
    question = json.dumps(references.resolved(config, state.store()).to_dict())
    asked = st.session_state.get("measured") == question
    answer = None
    if asked:
        try:
            future = background.measured_plan(question)
            answer = future.result() if future.done() else None
        except StillhouseError as error:
            background.measured_plan.clear(question)
            st.session_state["measured"] = None
            views.problem(error)
    _needs(planned, answer)
    if answer is None and asked:
        background.waiting(future, "Loading the models and training a few steps …")
    elif answer is None and st.button("Measure on this machine", icon=":material/timer:", key="measure", disabled=not planned.fits, help=(
            "Loads the models, packs the data and takes a few real steps, then throws them away.")):
        st.session_state["measured"] = question
        st.rerun()
    if answer is not None:
        _checks(answer["checks"])


def _needs(planned: Plan, measured: dict | None) -> None:
    steps = (measured or {}).get("total_steps") or planned.total_steps
    with st.container(horizontal=True):
        st.metric("Steps", f"{steps:,}" if steps else "by epochs", help="Optimiser steps of each arm.")
        st.metric("Tokens", views.count(planned.tokens_per_step * steps) if steps else f"{planned.tokens_per_step:,} a step",
                  help="Tokens that each arm is trained on.")
        if planned.memory is not None:
            memory = sum(measured["memory"].values()) if measured and measured["memory"] else planned.memory.total
            st.metric("Memory", views.size(memory), help="Estimate of the peak during a training step.")
        if planned.disk_bytes is not None:
            st.metric("Disk", views.size(planned.disk_bytes), help="Checkpoints and models, at most.")
        if measured and measured["seconds"]:
            st.metric("Time", views.duration(measured["seconds"]), help=f"Projected from {measured['measured_steps']} real steps an arm.")
            st.metric("Training speed", f"{measured['tokens_per_second']:,.0f} tokens/s", help="Of the student, measured.")


def _checks(checks: list[dict]) -> None:
    for check in checks:
        if not check["ok"]:
            st.error(f"**{check['name'].capitalize()}.** {check['message']} {check['fix']}", icon=":material/error:")
    with st.expander("What was checked", icon=":material/checklist:"):
        for check in checks:
            sign = ":green[:material/check:]" if check["ok"] else ":red[:material/close:]"
            st.markdown(f"{sign} **{check['name'].capitalize()}.** {check['message']}")
