"""The form of a new experiment: where it begins, and the simple way to fill it in; its submission is in `submission`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import streamlit as st

from core.config import ExperimentConfig, is_address
from core.config.reading import ORACLE
from core.errors import StillhouseError
from core.models.architectures import Objective
from core.models.checkpoints import TASK_DESCRIPTIONS
from core.system import units
from workbench.screens.new_experiment import (
    bridge_view,
    controls,
    data_view,
    forms,
    kinds,
    pictures,
    plan_view,
    reading_form,
    starting_points,
    wording,
)
from workbench.screens.new_experiment.chosen_model import described
from workbench.screens.new_experiment.controls import CONTROLS, MASKED_LABELS, bound, control, draft, helped, keep, section_errors
from workbench.screens.new_experiment.starting_points import StartingPoint
from workbench.screens.shared import share, state, views
from workbench.sharing import packed, restrictions

if TYPE_CHECKING:
    from core.models.entries import ModelEntry
    from core.planning.requirements import Plan

LINKED = ("from", "recipe", packed.KIND, packed.PACKED, packed.CHECKSUM, *packed.MAIN)
START, URL, VALID = "starting point", "form URL", "valid draft"
SIMPLE, ADVANCED = MODES = ("Simple", "Advanced")
TRIPLE_HELP = ("Soft targets, masked tokens and the direction of the last hidden states, weighted 5, 2 and 1 at T = 2; half the blocks; "
               "15 % of the tokens selected, 80 % of them masked, 10 % replaced at random: weights, temperature and shares of 1910.01108.")
Errors = dict[str, str]


@dataclass(frozen=True, slots=True)
class Drawn:
    """What pictures and numbers are drawn from."""

    config: ExperimentConfig
    plan: Plan


# ------------------------------------------------------------------------------------------------ beginning


def begin() -> StartingPoint:
    """Return the starting point that the URL names; what was typed since is kept as long as the URL stays the same.

    A link that cannot be followed is explained, and the form begins as it would without it.
    """
    linked = {key: st.query_params[key] for key in LINKED if key in st.query_params}
    overrides = st.query_params.get_all("set")
    if (linked or overrides) and st.session_state.get(URL) != (linked, overrides):
        try:
            share.follow()
            load(*starting_points.from_url(linked, overrides, state.store()))
            st.session_state[URL] = (linked, overrides)
        except StillhouseError as error:
            views.problem(error)
    if controls.DRAFT not in st.session_state:
        load(starting_points.from_recipe(starting_points.FIRST))
    return st.session_state[START]


def modes() -> tuple[str, ...]:
    """Return the forms that are offered: an instructor's link may hide the advanced one."""
    with suppress(StillhouseError):  # `begin` says what is wrong with the link
        share.follow()
    return (SIMPLE,) if restrictions.ADVANCED in share.fixed().hidden else MODES


def load(start: StartingPoint, config: ExperimentConfig | None = None) -> None:
    """Fill the form in; `config` is the starting point's own unless a link changes it."""
    st.session_state[START] = start
    st.session_state.pop(VALID, None)
    st.session_state[controls.DRAFT] = forms.to_draft(config or start.config)


def starting_point(start: StartingPoint) -> None:
    """Draw the picker of recipes, and the upload of one."""
    names = list(starting_points.shipped())
    options = names if start.label in names else [start.label, *names]
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.selectbox("Start from", options, width=360, help="A recipe sets every field; change any of them.",
                     **bound("start from", start.label, _choose_recipe))
        with st.popover("Upload a recipe", icon=":material/upload:"):
            file = st.file_uploader("YAML recipe", type=["yaml", "yml"], key="recipe file")
            if file is not None and st.button("Use it", type="primary", key="use recipe"):
                with views.errors_shown():
                    load(starting_points.from_upload(file.name, file.getvalue()))
                    st.rerun()
        st.page_link(state.ENSEMBLE, label="An ensemble of image classifiers", icon=":material/groups:")
        st.page_link(state.SPECIALISTS, label="Specialists for confused classes", icon=":material/diversity_3:")
    if start.config.description:
        st.caption(views.plain(start.config.description))
    if draft()["chain"]:
        with st.container(border=True):
            st.markdown(f":material/link: **This recipe builds a chain** of {len(draft()['chain']['anchors'])} anchors below the teacher, "
                        "not one student. Its anchors are kept as they are; this form changes the rest.")
            query = {"from": st.query_params["from"]} if "from" in st.query_params else {}
            st.page_link(state.CHAIN, label="Open on the Chain page", query_params=query, icon=":material/arrow_forward:")


def drawable(config: ExperimentConfig | None, plan: Plan | None, errors: Errors) -> Drawn | None:
    """Return what pictures and numbers are drawn from.

    That is the form as it is or, while something in it is wrong, with that as it last was valid, so that one field does not take the
    rest of the page with it.
    """
    if config is None or plan is None or plan.student is None:
        before = st.session_state.get(VALID) or forms.to_draft(st.session_state[START].config)
        for valid in forms.with_invalid_fields_reset(draft(), before, errors):
            config, _ = forms.check(valid)
            plan, _ = plan_view.static(config) if config else (None, {})
            if config is not None and plan is not None and plan.student is not None:
                break
        else:
            return None
    else:
        st.session_state[VALID] = dict(draft())
    st.session_state[controls.SHOWN_MAP] = plan.layer_map or st.session_state.get(controls.SHOWN_MAP)
    st.session_state[controls.TEACHER_DEPTH] = plan.teacher and plan.teacher.layers
    return Drawn(config, plan)


def _choose_recipe(name: str) -> None:
    if name in starting_points.shipped():
        load(starting_points.from_recipe(name))


def kind() -> Objective:
    """Return the task of the form's models: that of the teacher or of the initial model, else the one of the settings."""
    reference = draft()["teacher.model"] if draft()["teacher"] else draft()["student.model"]
    if reference:
        with suppress(StillhouseError):  # the plan reports the error
            return kinds.of_model(state.describe(reference)) or kinds.of_settings(draft())
    return kinds.of_settings(draft())


# ------------------------------------------------------------------------------------------------ simple


def simple(drawn: Drawn | None, errors: Errors) -> None:
    """Draw what an instructor needs: models, loss mix, temperature, data, budget, control."""
    if (own := own_section()) is not None:
        own(errors)
        _texts_budget(errors)
        return
    if not draft()["teacher"]:
        st.info("This recipe trains a model from scratch, without a teacher. Its fields are in the advanced form.", icon=":material/info:")
        return
    entry, config = _models(drawn, errors), None if drawn is None else drawn.config
    if kind() == "masked":
        _triple_loss(config, entry, errors)
    else:
        _signal(config, errors)
    _budget(config, errors)


def _models(drawn: Drawn | None, errors: Errors) -> ModelEntry | None:
    st.subheader("Teacher and student", anchor=False)
    left, right = st.columns(2, gap="large")
    with left:
        entry = teacher(errors)
        if draft()["student.model"]:
            _begins_as()
        elif entry is not None and not draft()["chain"]:
            depth = draft()["student.layers"] or max(1, entry.layers // 2)
            if entry.layers > 1:
                st.slider("Student depth (blocks)", 1, max(entry.layers, depth), help=forms.LEAVES["student.layers"].description,
                          **bound("simple.depth", depth, controls.set_depth))
            section_errors(errors, "student.layers", "student.layer_map", forms.MAP_LIST)
        if drawn is not None:
            plan_view.sizes(drawn.config, drawn.plan, masked=kind() == "masked")
    with right:
        if drawn is not None:
            pictures.layers(drawn.config, drawn.plan)
    return entry


def _begins_as() -> None:
    """Draw which model the student continues from, and the way back to a copy of the teacher's blocks."""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"Initialised from **{views.plain(draft()['student.model'].rstrip('/').rpartition('/')[2])}**", width="content",
                    help=views.plain(draft()["student.model"]))
        if st.button("Initialise from the teacher", key="simple.no model", icon=":material/undo:", type="tertiary"):
            draft()["student.model"] = None
            st.rerun()


def teacher(errors: Errors, *, keys: bool = False) -> ModelEntry | None:
    """Show the teacher's picker; return its description, or None after showing why it cannot be used."""
    chosen = draft()["teacher.model"]
    known = {entry.name: entry for entry in state.models() if kinds.of_model(entry)}
    options = list(known) if chosen in known else [chosen, *known]
    about = ("A model in the list, or type a path, a hub id or the address of a server (http://…). A masked language model such as BERT "
             "teaches by DistilBERT's triple loss.")
    st.selectbox(CONTROLS["teacher.model"].label, options, accept_new_options=True,
                 help=f"{about}\n\nIn recipes: `teacher.model`" if keys else about,
                 format_func=lambda name: _model_label(name, known), **bound("field.teacher", chosen, _set_teacher))
    section_errors(errors, "teacher.model")
    if is_address(chosen):
        st.caption(":material/dns: A server answers for the teacher: its likeliest tokens are what the student learns from. The student is "
                   "a model of its own with the same tokenizer (`student.model`).")
        return None
    return described(chosen, reported="teacher.model" in errors)  # the plan says the same


def _model_label(name: str, known: Mapping[str, ModelEntry]) -> str:
    entry = known.get(name)
    if entry is None:
        return name
    fills = f", {TASK_DESCRIPTIONS[entry.task]}" if entry.task == "masked" else ""
    return f"{name}, {entry.layers} blocks, {units.count(entry.parameters)} parameters{fills}"


def _set_teacher(name: str) -> None:
    values, before = draft(), kind()
    values["teacher.model"], values["student.layers"] = name, None  # the new teacher may be shallower
    if values["student.layer_map"] == forms.EXPLICIT:
        values["student.layer_map"] = "uniform"
    with suppress(StillhouseError):  # of a model that is not known, the plan says so
        kinds.switch_model_type(values, before, state.describe(name))


def _signal(config: ExperimentConfig | None, errors: Errors) -> None:
    st.subheader("Losses", anchor=False)
    left, right = st.columns(2, gap="large")
    with left:
        st.slider("Soft targets against hard labels", 0, 100, step=5, format="%d%% soft",
                  help="Soft targets are the teacher's whole distribution over the next token; hard labels are the text itself.",
                  **bound("simple.mix", round(100 * forms.soft_share(draft())), _set_mix))
        st.caption(forms.weights_text(draft()))
        _temperature(errors)
        if config is not None:
            pictures.equation(config.losses)
    with right:
        if config is not None and config.teacher is not None and config.teacher.address is None:
            pictures.temperature(config, config.teacher.model)


def _triple_loss(config: ExperimentConfig | None, entry: ModelEntry | None, errors: Errors) -> None:
    """Draw the three terms of a masked language model, and the way to the published weights."""
    st.subheader("Losses", anchor=False)
    left, right = st.columns(2, gap="large")
    with left:
        if entry is not None:
            _preset(entry)
        for column, path in zip(st.columns(3), ("losses.w_kd", "losses.w_hard", "losses.w_hidden"), strict=True):
            with column:
                st.number_input(MASKED_LABELS.get(path, CONTROLS[path].label), step=0.5, format="%g",
                                help=helped(path, keys=False),
                                **bound(f"simple.{path}", float(draft()[f"{path}.start"]), forms.set_weight, draft(), path))
        _temperature(errors)
        section_errors(errors, "losses.w_hidden")
        if config is not None:
            pictures.equation(config.losses, masked=True)
            st.caption(f":material/visibility_off: {wording.masking(config.masking)}")
    with right:
        if config is not None and config.teacher is not None:
            pictures.temperature(config, config.teacher.model, masked=True)


def _preset(entry: ModelEntry) -> None:
    """DistilBERT's recipe for this teacher: a button, or the word that the form follows it."""
    if kinds.is_triple_loss(draft(), entry):
        st.badge("DistilBERT (triple loss)", icon=":material/check:", color="green", help=TRIPLE_HELP)
    elif st.button("DistilBERT (triple loss)", icon=":material/auto_fix_high:", key="triple loss", help=TRIPLE_HELP):
        kinds.triple_loss(draft(), entry)
        st.rerun()


def _temperature(errors: Errors) -> None:
    st.slider("Temperature T", 0.5, 10.0, step=0.5, format="%g", help=forms.LEAVES["losses.temperature"].description,
              **bound("simple.temperature", min(max(float(draft()["losses.temperature"]), 0.5), 10.0), keep, "losses.temperature"))
    section_errors(errors, "losses", "losses.temperature", "losses.w_kd", "losses.w_hard")


def _budget(config: ExperimentConfig | None, errors: Errors) -> None:
    st.subheader("Data and budget", anchor=False)
    left, right = st.columns(2, gap="large")
    with left:
        data_view.corpus(errors)
    with right:
        control("train.max_steps", errors, keys=False)
        control("train.device", errors, keys=False)
        control("control", errors, keys=False)
    data_view.preview(config, errors)


def own_section() -> Callable[[Errors], None] | None:
    """Return what draws a kind that has a section of its own in place of teacher and losses."""
    return bridge_view.bridge if draft()["bridge"] else reading_form.reading if draft()["reading"] else None


def _texts_budget(errors: Errors) -> None:
    st.subheader("Training on the texts", anchor=False)
    if draft()["reading"] and draft()["reading"]["model"] != ORACLE:
        data_view.corpus(errors)
    for column, path in zip(st.columns(2, gap="large"), ("train.max_steps", "train.device"), strict=True):
        with column:
            control(path, errors, keys=False)


def _set_mix(percent: int) -> None:
    forms.set_mix(draft(), percent / 100)
