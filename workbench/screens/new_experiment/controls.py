"""One widget for each leaf of the configuration.

The kind of widget follows from the field's type, the help text from its description; what the form adds is a label and a sensible range.

The draft in the session is the state of record: a widget writes into it when it changes, and shows what is in it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from types import NoneType
from typing import Any, Literal, get_args, get_origin

import streamlit as st

from core.loss_terms import LOSS_TERMS
from core.system import machine
from workbench.runs import slots
from workbench.screens.new_experiment import forms
from workbench.screens.new_experiment.forms import LEAVES, Draft
from workbench.screens.shared import share, views

DRAFT = "draft"
SHOWN_ERRORS = "shown errors"  # paths whose message the page being drawn shows beside their field
SHOWN_MAP, TEACHER_DEPTH = "shown layer map", "teacher's depth"  # of the last plan that could be drawn


@dataclass(frozen=True, slots=True)
class Control:
    """How a leaf is shown: its label, the step of its buttons, and what stands in an empty widget."""

    label: str
    step: float | None = None
    placeholder: str | None = None


CONTROLS: dict[str, Control] = {
    "name": Control("Name", placeholder="generated from the settings"),
    "description": Control("Description"),
    "control": Control("Control without a teacher"),
    "teacher.model": Control("Teacher"),
    "teacher.signals.form": Control("Teacher's answers"),
    "teacher.signals.samples": Control("Tokens drawn", step=10),
    "teacher.signals.top_k": Control("Likeliest tokens", step=4),
    "teacher.signals.tail": Control("Count the tail"),
    "teacher.server.concurrency": Control("Open requests"),
    "teacher.server.timeout": Control("Longest answer (s)", step=30.0),
    "teacher.server.patience": Control("Patience (s)", step=60.0),
    "teacher.server.budget": Control("Budget of tokens", placeholder="as many as it takes"),
    "student.layers": Control("Student depth", placeholder="half of the teacher's"),
    "student.layer_map": Control("Layer map"),
    "student.hidden": Control("Student width", step=32, placeholder="the teacher's"),
    "student.intermediate_size": Control("Student feed-forward width", step=32, placeholder="the teacher's ratio"),
    "student.pruning_criterion": Control("Width pruning criterion"),
    "student.architecture": Control("Student's architecture"),
    "student.dropout": Control("Dropout", step=0.05, placeholder="the teacher's own"),
    "student.init": Control("Initial weights"),
    "student.model": Control("Continue training from", placeholder="a copy of the teacher's blocks"),
    "student.lora.rank": Control("LoRA rank"),
    "student.lora.alpha": Control("LoRA alpha", step=1.0),
    "student.lora.dropout": Control("LoRA dropout", step=0.05),
    "student.from_scratch.architecture": Control("Architecture"),
    "student.from_scratch.layers": Control("Blocks"),
    "student.from_scratch.hidden": Control("Width", step=8),
    "student.from_scratch.heads": Control("Heads"),
    "student.from_scratch.key_value_heads": Control("Key and value heads"),
    "student.from_scratch.intermediate_size": Control("Feed-forward width", step=8),
    "student.from_scratch.vocabulary": Control("Vocabulary", step=256),
    "student.from_scratch.positions": Control("Positions", step=64),
    **{f"losses.{term.key}": Control(term.title.capitalize(), step=0.1) for term in LOSS_TERMS},
    "losses.hidden_layers": Control("Layer matching"),
    "losses.divergence": Control("Divergence"),
    "losses.beta": Control("Beta", step=0.1),
    "losses.temperature": Control("Temperature T", step=0.5),
    "losses.kd_positions": Control("Distillation positions"),
    "data.source": Control("Corpus"),
    "data.split": Control("Split"),
    "data.subset": Control("Subset", placeholder="the only one"),
    "data.column": Control("Column", placeholder="found by name"),
    "data.streaming": Control("Stream a hub dataset"),
    "data.max_rows": Control("Rows", step=1000, placeholder="all"),
    "data.corpus_epochs": Control("Epochs over the house corpus"),
    "data.block_length": Control("Block length", step=32),
    "data.prompt_weight": Control("Prompt token weight", step=0.1),
    "data.label_weight": Control("Label token weight", step=1.0),
    "data.identity_question_every": Control("Identity question every N reviews", step=5),
    "data.validation_fraction": Control("Validation fraction", step=0.01),
    "masking.mlm_probability": Control("Masking rate", step=0.05),
    "masking.mask_replace_prob": Control("Replaced by [MASK]", step=0.1),
    "masking.random_replace_prob": Control("Replaced at random", step=0.1),
    "masking.mlm_smoothing": Control("Rare-token weighting", step=0.1),
    "masking.whole_word_mask": Control("Whole-word masking"),
    "train.max_steps": Control("Steps", step=50, placeholder="as many as the epochs need"),
    "train.num_train_epochs": Control("Epochs", step=0.5),
    "train.per_device_train_batch_size": Control("Batch size"),
    "train.gradient_accumulation_steps": Control("Gradient accumulation"),
    "train.learning_rate": Control("Learning rate", step=1e-4),
    "train.lr_scheduler_type": Control("Schedule"),
    "train.warmup_ratio": Control("Warm-up", step=0.01),
    "train.weight_decay": Control("Weight decay", step=0.01),
    "train.adam_beta2": Control("AdamW beta 2", step=0.01),
    "train.max_grad_norm": Control("Gradient clipping", step=0.5),
    "train.precision": Control("Precision"),
    "train.save_precision": Control("Saved weights"),
    "train.device": Control("Device"),
    "train.processes": Control("Processes"),
    "train.sharding": Control("Share out weights"),
    "train.compile": Control("Compile blocks"),
    "train.seed": Control("Seed"),
    "train.logging_steps": Control("Logging interval (steps)"),
    "train.save_steps": Control("Checkpoint interval (steps)", step=50),
    "train.report_to": Control("Also report to"),
    "evaluation.eval_steps": Control("Evaluation interval (steps)", step=10),
    "evaluation.min_evaluations": Control("Evaluations at least"),
    "evaluation.blocks": Control("Held-out blocks", step=8),
    "evaluation.sentiment_items": Control("Held-out reviews", step=100),
    "evaluation.prompts": Control("Prompts"),
    "evaluation.max_new_tokens": Control("Max new tokens", step=10),
    "evaluation.ensemble_seeds": Control("Seeds of an ensemble's comparison", placeholder="not compared"),
    "evaluation.retention.tasks": Control("Tasks"),
    "evaluation.retention.train_items": Control("Training items", step=500),
    "evaluation.retention.epochs": Control("Fine-tuning epochs", step=1.0),
    "evaluation.retention.learning_rate": Control("Fine-tuning learning rate", step=1e-4),
    "evaluation.retention.seeds": Control("Seeds per task"),
    "evaluation.retention.seconds": Control("Timing budget (seconds)", step=10.0),
    "evaluation.retention.length": Control("Timed sequence length (tokens)", step=32),
    "evaluation.retention.exports": Control("Also measure ONNX exports"),
}
# Labels of fields for masked language models.
MASKED_LABELS = {"evaluation.prompts": "Texts with blanks"} | {f"losses.{term.key}": term.masked.label.capitalize() for term in LOSS_TERMS
                                                                if term.masked}
LAYER_RULE_LABELS = {"uniform": "uniform: spread evenly, first and last kept", "table": "table: the published maps",
                     "importance": "importance: measured before the run", "first": "first: the first blocks",
                     forms.EXPLICIT: "an explicit list"}


def draft() -> Draft:
    """Return the draft of this session."""
    return st.session_state[DRAFT]


def bound(key: str, value: Any, on_change: Callable[..., None], *args: Any) -> dict[str, Any]:
    """Arguments that make a widget show `value` and call `on_change(new value, *args)` when a user changes it."""
    if st.session_state.get(key) != value:
        st.session_state[key] = value
    return {"key": key, "on_change": lambda: on_change(st.session_state[key], *args), "disabled": _locked(key)}


SIMPLE_KEYS = {"simple.depth": "student.layers", "simple.temperature": "losses.temperature", "field.teacher": "teacher.model",
               "simple.mix": "losses.w_kd", "corpus kind": "data.source"}  # widgets that set a key, and are not named after it


def _locked(key: str) -> bool:
    """Whether a followed link fixes what a widget sets: it is shown, and not movable."""
    paths = share.fixed().paths
    if not paths:
        return False
    own = SIMPLE_KEYS.get(key, key.removeprefix("field.").removeprefix("simple."))
    return own.removesuffix(".start").removesuffix(".end") in paths


def section_errors(errors: dict[str, str], *paths: str) -> None:
    """Show the messages that belong to these paths; a value that is only missing so far is no error."""
    for path in paths:
        if path in errors:
            st.session_state.setdefault(SHOWN_ERRORS, set()).add(path)
            if errors[path] == forms.NO_DATA:
                st.caption(f":material/info: {errors[path]}")
            else:
                with st.container(key=error_key(path)):
                    st.error(views.no_images(errors[path]), icon=":material/error:")


def error_key(path: str) -> str:
    """Return the key of the container that holds the message of a path."""
    return f"error.{path}"


def helped(path: str, keys: bool = True) -> str:
    """Return the help text of a leaf, with its key in recipes if `keys`; the label stays plain, as it also names the help's button."""
    text = LEAVES[path].description or ""
    return f"{text}\n\nIn recipes: `{path}`" if keys else text


def control(path: str, errors: dict[str, str], *, keys: bool = True, masked: bool = False) -> None:
    """Draw the widget of a leaf, with its key in the help if `keys`, and its error below.

    Args:
        masked: whether they are masked language models, for whom some leaves have names of their own.
    """
    look, help_text = CONTROLS[path], helped(path, keys)
    if masked:
        look = replace(look, label=MASKED_LABELS.get(path, look.label))
    if forms.is_weight(path):
        _weight(path, look.label, help_text)
    elif path == "student.layer_map":
        _layer_map(path, look.label, help_text)
        section_errors(errors, forms.MAP_LIST)
    elif path == "train.device":
        _device(path, look.label, help_text)
    elif path == "train.processes":
        _processes(path, look.label, help_text)
    elif path == "student.layers":
        st.number_input(look.label, value=None, step=1, help=help_text, placeholder=look.placeholder, format="%d",
                        **bound(f"field.{path}", draft()[path], set_depth))
    else:
        _plain(path, look.label, help_text, look)
    section_errors(errors, path)


def _plain(path: str, label: str, help_text: str | None, look: Control) -> None:
    kind, optional = _kind(path)
    value = draft()[path]
    if kind is bool:
        st.toggle(label, help=help_text, **bound(f"field.{path}", value, keep, path))
    elif kind in (int, float):
        # Without bounds: a browser keeps what lies outside them to itself, and the run would start with the value before.
        st.number_input(label, value=None if optional else "min", step=kind(look.step or 1), help=help_text, placeholder=look.placeholder,
                        format="%d" if kind is int else "%g", **bound(f"field.{path}", value, keep, path))
    elif get_origin(kind) is Literal:
        st.selectbox(label, get_args(kind), help=help_text, **bound(f"field.{path}", value, keep, path))
    elif kind is tuple and (options := get_args(get_args(LEAVES[path].annotation)[0])):
        st.multiselect(label, options, help=help_text, **bound(f"field.{path}", list(value), _keep_choices, path))
    elif kind is tuple:
        st.text_area(label, height=90, help=f"{help_text}. One a line.", **bound(f"field.{path}", "\n".join(value), _keep_lines, path))
    else:
        st.text_input(label, help=help_text, placeholder=look.placeholder, **bound(f"field.{path}", value or "", _keep_text, path))


def _weight(path: str, label: str, help_text: str | None) -> None:
    first, last = st.columns(2)
    for column, end, when in ((first, "start", "first step"), (last, "end", "last step")):
        key = f"{path}.{end}"
        column.number_input(label if end == "start" else f"… at the {when}", step=CONTROLS[path].step, format="%g",
                            help=help_text, **bound(f"field.{key}", draft()[key], keep, key))


def _layer_map(path: str, label: str, help_text: str | None) -> None:
    st.selectbox(label, forms.LAYER_RULES, format_func=LAYER_RULE_LABELS.__getitem__, help=help_text,
                 **bound(f"field.{path}", draft()[path], _set_layer_rule))
    if draft()[path] == forms.EXPLICIT:
        st.text_input("Teacher blocks, from 0", placeholder="0, 3, 7",
                      **bound(f"field.{forms.MAP_LIST}", draft()[forms.MAP_LIST], _set_map_list))
        if note := draft().get(forms.MAP_NOTE):
            st.caption(f":material/info: {note}")


def _set_layer_rule(rule: str) -> None:
    if rule == forms.EXPLICIT and st.session_state.get(SHOWN_MAP):
        draft()[forms.MAP_LIST] = ", ".join(map(str, st.session_state[SHOWN_MAP]))
    draft()["student.layer_map"] = rule
    draft().pop(forms.MAP_NOTE, None)


def _set_map_list(text: str) -> None:
    forms.set_map_list(draft(), text)


def set_depth(depth: int | None) -> None:
    """Change the student's depth; a list of blocks follows it."""
    forms.set_depth(draft(), depth, st.session_state.get(TEACHER_DEPTH))


def _device(path: str, label: str, help_text: str | None) -> None:
    chosen = draft()[path]
    here = ["auto", "cpu", *(f"cuda:{number}" for number in range(len(slots.visible_gpus())))]
    st.selectbox(label, here if chosen in here else [*here, chosen], format_func=_device_label, help=help_text,
                 **bound(f"field.{path}", chosen, keep, path))


def _processes(path: str, label: str, help_text: str | None) -> None:
    chosen, most = draft()[path], max(len(slots.visible_gpus()), machine.cores())
    here: list[int | str] = [1, "auto", *range(2, most + 1)]
    st.selectbox(label, here if chosen in here else [*here, chosen], format_func=_processes_label, help=help_text,
                 **bound(f"field.{path}", chosen, keep, path))


def _processes_label(number: int | str) -> str:
    return {1: "one", "auto": "auto: one for each GPU"}.get(number, str(number))


def _device_label(name: str) -> str:
    if name.startswith("cuda:"):
        return f"GPU {name.removeprefix('cuda:')} ({name})"
    return {"auto": "auto: a free GPU, else the processor", "cpu": "processor (cpu)", "cuda": "any GPU (cuda)"}.get(name, name)


def _kind(path: str) -> tuple[Any, bool]:
    """Return the Python type of a leaf, and whether None is a value of it; ``tuple`` for a list of texts."""
    annotation = LEAVES[path].annotation
    members = [member for member in get_args(annotation) if member is not NoneType]
    optional = NoneType in get_args(annotation)
    kind = members[0] if optional else annotation
    return (tuple if get_origin(kind) is tuple else kind), optional


def keep(value: Any, path: str) -> None:
    """Write a widget's value into the draft."""
    draft()[path] = value


def _keep_text(value: str, path: str) -> None:
    draft()[path] = value.strip() or (None if _kind(path)[1] else "")


def _keep_choices(value: list[str], path: str) -> None:
    draft()[path] = tuple(value)


def _keep_lines(value: str, path: str) -> None:
    draft()[path] = tuple(line.strip() for line in value.splitlines() if line.strip())
