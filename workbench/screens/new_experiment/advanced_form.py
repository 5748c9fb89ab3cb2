"""Every field of the configuration, in tabs, with its key in recipes in the help."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from core.config import is_address
from core.loss_terms import LOSS_TERMS
from workbench.screens.new_experiment import controls, data_view, experiment_form, forms, kinds, pictures, plan_view
from workbench.screens.new_experiment.controls import bound, control, draft, section_errors
from workbench.screens.new_experiment.experiment_form import Drawn, Errors

# Tab -> groups of fields; the teacher, the corpus and the switches of optional sections have widgets of their own.
TABS: dict[str, dict[str, tuple[str, ...]]] = {
    "Models": {
        "Student": ("student.layers", "student.layer_map", "student.hidden", "student.intermediate_size", "student.pruning_criterion",
                    "student.architecture", "student.dropout", "student.init", "student.model"),
        "Adapters": ("student.lora.rank", "student.lora.alpha", "student.lora.dropout"),
        "Fresh architecture": tuple(path for path in forms.LEAVES if path.startswith("student.from_scratch.")),
    },
    "Loss": {
        "Weights": (*(f"losses.{term.key}" for term in LOSS_TERMS), "losses.hidden_layers"),
        "Soft targets": ("losses.temperature", "losses.divergence", "losses.beta", "losses.kd_positions"),
        "Query the teacher once": tuple(path for path in forms.LEAVES if path.startswith("teacher.signals.")),
        "Teacher's server": tuple(path for path in forms.LEAVES if path.startswith("teacher.server.")),
    },
    "Data": {
        "Reading": ("data.split", "data.subset", "data.column", "data.streaming", "data.max_rows", "data.corpus_epochs",
                    "data.identity_question_every"),
        "Blocks": ("data.block_length", "data.prompt_weight", "data.label_weight", "data.validation_fraction"),
        "Masking": tuple(path for path in forms.LEAVES if path.startswith("masking.")),
    },
    "Training": {
        "Budget": ("train.max_steps", "train.num_train_epochs", "control", "train.per_device_train_batch_size",
                   "train.gradient_accumulation_steps"),
        "Optimiser": ("train.learning_rate", "train.lr_scheduler_type", "train.warmup_ratio", "train.weight_decay", "train.adam_beta2",
                      "train.max_grad_norm"),
        "Machine": ("train.device", "train.processes", "train.sharding", "train.precision", "train.compile", "train.save_precision",
                    "train.seed"),
        "Records": ("train.logging_steps", "train.save_steps", "train.report_to"),
    },
    "Evaluation": {
        "Held-out items": ("evaluation.eval_steps", "evaluation.min_evaluations", "evaluation.blocks", "evaluation.sentiment_items",
                           "evaluation.ensemble_seeds"),
        "Samples": ("evaluation.prompts", "evaluation.max_new_tokens", "description"),
        "Retention card": tuple(path for path in forms.LEAVES if path.startswith(f"{forms.RETENTION}.")),
    },
}
# Form of the teacher's answers -> fields that mean something to it.
SIGNAL_FIELDS = {"": ("teacher.signals.form",), "sampled": ("teacher.signals.form", "teacher.signals.samples"),
                 "top_k": ("teacher.signals.form", "teacher.signals.top_k", "teacher.signals.tail")}
ELSEWHERE = ("teacher.model", "data.source", "name")  # drawn by `experiment_form`, `data_view` and `submission`


def advanced(drawn: Drawn | None, errors: Errors) -> None:
    """Draw the tabs; only the open one is drawn."""
    for tab, container in zip(TABS, st.tabs(list(TABS), on_change="rerun", key="advanced tab"), strict=True):
        if container.open:
            with container:
                {"Models": _models, "Loss": _loss, "Data": _data, "Evaluation": _evaluation}.get(tab, _groups)(tab, drawn, errors)


def _models(tab: str, drawn: Drawn | None, errors: Errors) -> None:
    if (own := experiment_form.own_section()) is not None:
        own(errors)
        return
    left, right = st.columns(2, gap="large")
    with left:
        st.toggle("Teacher", help="Off: train a fresh architecture on the data alone.\n\nIn recipes: `teacher`",
                  **bound("has teacher", draft()["teacher"], _set_teacher))
        if draft()["teacher"]:
            experiment_form.teacher(errors, keys=True)
            _fields(TABS[tab]["Student"], errors)
            if experiment_form.kind() == "masked":
                st.caption(":material/info: A student of an encoder keeps its teacher's width.")
            st.toggle("LoRA adapters", help="adapters; train low-rank adapters in place of all weights\n\nIn recipes: `student.lora`",
                      **bound("has lora", draft()["student.lora"], controls.keep, "student.lora"))
    with right:
        if drawn is not None:
            pictures.layers(drawn.config, drawn.plan)
            plan_view.sizes(drawn.config, drawn.plan, masked=experiment_form.kind() == "masked")
    section_errors(errors, "student", "student.from_scratch")
    if not draft()["teacher"]:
        _group("Fresh architecture", TABS[tab]["Fresh architecture"], errors)
    elif draft()["student.lora"]:
        _group("Adapters", TABS[tab]["Adapters"], errors)


def _loss(tab: str, drawn: Drawn | None, errors: Errors) -> None:
    left, right = st.columns(2, gap="large")
    with left:
        section_errors(errors, "losses")
        _fields(TABS[tab]["Weights"], errors)
    with right:
        idle = () if draft()["losses.divergence"] == "jsd" else ("losses.beta",)
        _fields([path for path in TABS[tab]["Soft targets"] if path not in idle], errors)
        if draft()["teacher"]:
            served = is_address(draft()["teacher.model"])
            form = "top_k" if served else draft()["teacher.signals.form"]
            _fields([path for path in TABS[tab]["Query the teacher once"] if path in SIGNAL_FIELDS.get(form, SIGNAL_FIELDS[""])], errors)
            _fields(TABS[tab]["Teacher's server"] if served else (), errors)
        if drawn is not None:
            masked, teacher = experiment_form.kind() == "masked", drawn.config.teacher
            pictures.equation(drawn.config.losses, masked=masked)
            if teacher is not None and teacher.address is None:
                pictures.temperature(drawn.config, teacher.model, masked=masked)


def _data(tab: str, drawn: Drawn | None, errors: Errors) -> None:
    data_view.corpus(errors, keys=True)
    _groups(tab, drawn, errors)
    data_view.preview(None if drawn is None else drawn.config, errors)


def _evaluation(tab: str, drawn: Drawn | None, errors: Errors) -> None:
    for title in ("Held-out items", "Samples"):
        _group(title, TABS[tab][title], errors)
    if experiment_form.kind() == "masked":
        st.caption(":material/info: A masked language model does not generate answers. Its understanding of reviews is measured by the "
                   "retention card, which fine-tunes teacher and student alike.")
    if draft()["teacher"] or draft()["reading"]:
        st.toggle("Retention card", help="After training: what the student keeps of its teacher on labelled tasks, and how much "
                  f"smaller and faster it is, beside the published figures.\n\nIn recipes: `{forms.RETENTION}`",
                  **bound("has retention", draft()[forms.RETENTION], controls.keep, forms.RETENTION))
    section_errors(errors, forms.RETENTION)
    if (draft()["teacher"] or draft()["reading"]) and draft()[forms.RETENTION]:
        _group("Retention card", TABS[tab]["Retention card"], errors)


def _groups(tab: str, drawn: Drawn | None, errors: Errors) -> None:
    for title, paths in TABS[tab].items():
        _group(title, paths, errors)


def _group(title: str, paths: tuple[str, ...], errors: Errors) -> None:
    """Draw a titled group of fields in three columns, without those that do not apply to the models of the form, and no empty group."""
    offered = _offered(paths)
    if not offered:
        return
    st.markdown(f"**{title}**")
    columns = st.columns(3, gap="medium")
    for index, path in enumerate(offered):
        with columns[index % 3]:
            control(path, errors, masked=experiment_form.kind() == "masked")


def _fields(paths: Sequence[str], errors: Errors) -> None:
    for path in _offered(paths):
        control(path, errors, masked=experiment_form.kind() == "masked")


def _offered(paths: Sequence[str]) -> list[str]:
    kind = experiment_form.kind()
    return [path for path in paths if kinds.offered(path, kind)]


def _set_teacher(there: bool) -> None:
    kind = experiment_form.kind()
    forms.set_teacher(draft(), there)
    if not there and kind == "masked":
        draft().update({"student.from_scratch.architecture": "bert",
                        "student.from_scratch.key_value_heads": draft()["student.from_scratch.heads"]})
