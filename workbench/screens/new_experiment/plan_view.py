"""The plan of an experiment beside its form: sizes at once, the time after a few real steps."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import streamlit as st

from core.config import BridgeConfig, ExperimentConfig
from core.errors import StillhouseError
from core.evaluation.teacher_help import TeacherHelp
from core.methods.room import stored_bytes
from core.models.header import precision_of
from core.planning.teacher_tuning import fine_tuning_of_teacher
from core.recipes import parse_recipe
from core.system import units
from workbench.runs import jobs, submission
from workbench.screens.new_experiment import wording
from workbench.screens.shared import background, state, views
from workbench.store import references

if TYPE_CHECKING:
    from core.planning.requirements import Plan

# Beside which field a failed check is shown.
PLACES = {"teacher": "teacher.model", "objective": "teacher.model", "student": "student.layers", "writer": "bridge.model",
          "prompts": "bridge.prompts", "text": "data.source", "block length": "data.block_length"}
MEASURING = "measured plan"  # in the session state: the configuration to measure
STATIC_SECONDS = 60  # lifetime of a cached plan: a hub id costs a request, a file may be fixed


def static(config: ExperimentConfig, *, elsewhere: bool = False) -> tuple[Plan | None, dict[str, str]]:
    """Return the plan without measurements, and the messages of its failed checks by field. No plan where a model is missing.

    Args:
        elsewhere: the run is carried out elsewhere, so that what this machine lacks does not count.
    """
    try:
        plan = _static(_question(config))
    except StillhouseError as error:
        return None, {"bridge.model" if isinstance(config, BridgeConfig) else "teacher.model": wording.in_form(error)}
    return plan, _failures(plan, config, submission.ELSEWHERE if elsewhere else ())


def _question(config: ExperimentConfig) -> str:
    """Return the configuration that decides the plan, as text, without its name."""
    config = config.model_copy(update={"name": None, "description": ""})
    return json.dumps(references.resolved(config, state.store()).to_dict())


@st.cache_resource(ttl=STATIC_SECONDS, max_entries=100, show_spinner=False)
def _static(config_json: str) -> Plan:
    from core.planning.plan import static_plan

    return static_plan(parse_recipe(json.loads(config_json)))


def _failures(plan: Plan, config: ExperimentConfig, left_out: Sequence[str]) -> dict[str, str]:
    places = PLACES | ({"student": "student.model"} if config.student.model else {})
    # Settings of another kind of model are not offered with this teacher: their message stands beside the teacher.
    return {places[check.name] if check.name == "objective" else check.field or places.get(check.name, ""):
            wording.in_form(check, config.data.source) for check in plan.checks if not check.ok and check.name not in left_out}


def _save_precision(config: ExperimentConfig) -> str:
    """Return the format that the student will be saved in, as far as its teacher or start is known."""
    known = (state.entry_of(spec.model) for spec in (config.teacher, config.student) if spec is not None and spec.model)
    return precision_of(config.train.save_precision, *(entry.header for entry in known if entry is not None))


def sizes(config: ExperimentConfig, plan: Plan, *, masked: bool = False) -> None:
    """How large the student is, and how much less it computes; `masked` says whether they are masked language models."""
    if plan.student is None:
        return
    with st.container(horizontal=True):
        st.metric("Student's parameters", units.count(plan.student.parameters))
        width = stored_bytes(_save_precision(config))
        st.metric(f"Weights, {8 * width} bit", units.format_bytes(width * plan.student.parameters),
                  help="On disk. 'Saved weights' in the advanced form chooses between 32 and 16 bits.")
        if plan.teacher and masked and config.student.model is None:
            st.metric("Estimated speed-up", f"{plan.teacher.layers / plan.student.layers:.2g}×", help=(
                "Relative to the teacher, from the FLOPs of the blocks: embeddings are looked up, the head runs at masked positions only. "
                "Small models gain less."))
        elif plan.teacher:
            st.metric("Estimated speed-up", f"{plan.teacher.parameters / plan.student.parameters:.2g}×", help=(
                "Relative to the teacher, from the FLOPs per token: two per parameter. Small models gain less."))
    if plan.teacher:
        share = plan.student.parameters / plan.teacher.parameters
        st.caption(f"{share:.0%} of the teacher's {units.count(plan.teacher.parameters)} parameters.")
    if config.student.lora is not None and plan.trainable_parameters is not None:
        st.caption(f":material/layers: LoRA adapters of rank {config.student.lora.rank} are trained, "
                   f"{units.count(plan.trainable_parameters)} parameters; the rest keeps its weights.")


def plan(config: ExperimentConfig, planned: Plan, *, partial: bool, ready: bool, note: str = "") -> None:
    """Draw what the run will need, and the button that measures how long it takes here.

    Args:
        partial: whether fields that are marked as wrong are left out.
        ready: whether nothing is wrong, so that it can be measured.
        note: one more line.
    """
    st.subheader("Plan", anchor=False)
    if partial:
        st.caption(":material/info: Figures and numbers ignore the invalid fields above and show their last valid values.")
    numbers = st.container(horizontal=True)
    question, measured = _question(config), None
    if st.session_state.get(MEASURING) == question:
        try:
            measured = background.answer(background.measured_plan, question, meanwhile="Loading the models and training a few steps …")
        except StillhouseError as error:
            del st.session_state[MEASURING]
            views.problem(error)
    elif st.button("Measure on this machine", icon=":material/timer:", key="measure", disabled=not (ready and planned.fits), help=(
            "Loads the models, packs the data and runs a few training steps, which are discarded.")):
        st.session_state[MEASURING] = question
        st.rerun()
    with numbers:
        _needs(planned, measured)
    for check in planned.checks:
        if check.caution:
            st.warning(views.plain(wording.in_form(check, config.data.source)), icon=":material/warning:")
    if note:
        st.caption(note)
    if measured is not None:
        if measured.get("teacher_help"):
            _teacher_help(config, TeacherHelp.from_dict(measured["teacher_help"]))
        _checks(measured["checks"])


def _teacher_help(config: ExperimentConfig, known: TeacherHelp) -> None:
    """Say whether the teacher can help on this text, and offer to fine-tune it first where that is unlikely."""
    if known.verdict == "helps":
        st.success(str(known), icon=":material/school:")
        return
    st.warning(str(known), icon=":material/school:")
    if st.button("Fine-tune the teacher first", icon=":material/model_training:", key="tune teacher", help=(
            "Queues two runs: the teacher is trained on this text, then this experiment starts with it as its teacher.")):
        with views.errors_shown():
            first = jobs.submit(fine_tuning_of_teacher(config), state.store())
            jobs.submit_after(first, config, state.store())
            st.switch_page(state.RUN, query_params={"run": first.id})


def _needs(planned: Plan, measured: dict[str, Any] | None) -> None:
    known = measured or {}
    steps = known.get("total_steps") or planned.total_steps
    st.metric("Steps", f"{steps:,}" if steps else "by epochs", help="Optimiser steps of each variant.")
    st.metric("Tokens", units.count(planned.tokens_per_step * steps) if steps else f"{planned.tokens_per_step:,} a step",
              help="Training tokens of each variant.")
    if known.get("counted_share") is not None:
        st.metric("Tokens that count", f"{known['counted_share']:.0%}", help="Share of the training tokens that count in the loss.")
    if planned.memory is not None:
        memory = sum(known["memory"].values()) if known.get("memory") else planned.memory.total
        st.metric("Memory", units.format_gib(memory), help="Estimate of the peak during a training step.")
    if planned.disk_bytes is not None:
        st.metric("Disk", units.format_gib(planned.disk_bytes), help="Checkpoints and models, at most.")
    if known.get("seconds"):
        st.metric("Time", units.duration(known["seconds"]), help=f"Projected from {known['measured_steps']} steps of each variant.")
    if known.get("tokens_per_second"):
        st.metric("Training speed", f"{known['tokens_per_second']:,.0f} tokens/s", help="Of the student, measured.")


def _checks(checks: list[dict[str, Any]]) -> None:
    for check in checks:
        if not check["ok"]:
            st.error(f"**{check['name'].capitalize()}.** {views.plain(check['message'] + ' ' + check['fix'])}", icon=":material/error:")
    with st.expander("Checks", icon=":material/checklist:"):
        for check in checks:
            sign = (":orange[:material/warning:]" if check["caution"] else ":green[:material/check:]" if check["ok"]
                    else ":red[:material/close:]")
            st.markdown(f"{sign} **{check['name'].capitalize()}.** {views.plain(check['message'])}")
