"""The form that fine-tunes an encoder on a labelled task, as `core.methods.fine_tuning` carries it out."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import streamlit as st

from core.config import ExperimentConfig, FineTuneConfig, LoraSpec, TaskSpec
from core.config.fields import describe
from core.data.movie_reviews import HOUSE_SOURCES
from core.errors import StillhouseError
from core.recipes import parse_recipe, read_recipe
from core.system import units
from core.system.paths import ASSETS
from workbench.screens.new_experiment import plan_view, wording
from workbench.screens.shared import background, state, views
from workbench.screens.shared.uploads import is_upload, save_upload, show_upload
from workbench.store import references

if TYPE_CHECKING:
    from core.models.entries import ModelEntry
    from core.planning.requirements import Plan

RECIPE = ASSETS / "recipes" / "house-sentiment.yaml"  # the source of everything that is not in the form
STAGE2 = ASSETS / "recipes" / "house-sentiment-stage2.yaml"  # with its weights and temperature
HELD_OUT = ("validation", "test")  # of the house reviews
DATA_TYPES = ("csv", "tsv", "jsonl", "parquet", "json")  # .json: also SQuAD's own file
OTHER = "other"
MOST_LABELS = 20  # rows of the preview
SOURCES = {"house": "All film reviews", "imdb": "IMDb", "rt": "Rotten Tomatoes", OTHER: "My own data"}
NO_TEACHER = "No teacher: hard labels only"
COLUMNS = {"text_column": "Text column", "pair_column": "Second text column", "label_column": "Label column"}
LABELS = {f"task.{column}": label for column, label in COLUMNS.items()} | {"student.model": "Encoder"}


def form() -> None:
    """Everything, from the model to the start."""
    begun = _begun()
    models = [entry for entry in state.models() if entry.task == "masked" and entry.present]
    linked = st.query_params.get("model") or (begun.student.model if begun else None)
    if not models and not linked:
        views.empty_state("No encoder on this machine yet. Train the house encoder, or enter the id of one below.", "school")
    left, right = st.columns(2, gap="large")
    with left:
        plain: dict[str, Any] = {"student": {"model": _model(models, linked)}}
        below_model = st.container()
        plain["teacher"], below_teacher = _teacher(begun)
        lora = st.toggle("LoRA adapters", value=bool(begun and begun.student.lora), key="tune.lora", help=describe("student.lora"))
        plain["student"] |= {"lora": ((begun and begun.student.lora) or LoraSpec(rank=8)).model_dump() if lora else None}
    with right:
        plain["task"] = _task(begun)
        below_data = st.container()
        plain["train"] = _budget(begun)
        details, steps = _details(begun, plain["task"]["source"])
        plain["task"] |= details
        plain["train"] |= steps
        name = st.text_input("Name", placeholder="generated from the settings", key="tune.name").strip()
    if not plain["student"]["model"] or not plain["task"]["source"]:
        st.caption(":material/info: Choose a model and a dataset.")
        return
    places = {"student": below_model, "teacher": below_teacher, "text": below_data}
    try:
        config = recipe(plain, name, begun)
        planned, problems = _plan(config, plain["task"]["source"])
    except StillhouseError as error:
        views.problem(error)
        return
    for check, message in problems.items():
        places.get(check, st.container()).caption(f":red[:material/error: {views.no_images(message)}]")
    with below_data:
        _preview(config)
    plan_view.plan(config, planned, partial=False, ready=not problems)
    _out(config, disabled=bool(problems))


def recipe(plain: dict[str, Any], name: str, begun: FineTuneConfig | None = None) -> ExperimentConfig:
    """Return the recipe of the run that is begun from, or the house recipe, with the form's values. Raises ConfigError."""
    distilled = plain["teacher"] is not None
    house = read_recipe(STAGE2 if distilled else RECIPE)
    base = (begun or house).to_dict()
    if begun is not None and (begun.teacher is not None) != distilled:  # its weights are of the other kind of run
        base["losses"] = house.to_dict()["losses"]
    base |= {"name": name or f"{plain['student']['model'].partition(':')[0].rstrip('/').rpartition('/')[2]}-task", "description": ""}
    base["task"] = _task_base(begun, plain["task"]["source"]).model_dump(mode="json")
    if begun is not None and plain["train"].get("num_train_epochs") != begun.train.num_train_epochs:
        base["train"]["max_steps"] = None  # it would override the epochs of the form
    for section in ("student", "task", "train"):
        base[section] |= plain[section]
    return parse_recipe(base | {"teacher": plain["teacher"] and {"model": plain["teacher"]}})


def _task_base(begun: FineTuneConfig | None, source: str) -> TaskSpec:
    """Return what the fields of a dataset begin with.

    They are those of the run that is begun from where it has the same data, the house recipe's limits for the house reviews, and none for
    anything else.
    """
    if begun is not None and begun.task.source == source:
        return begun.task
    if source not in HOUSE_SOURCES:
        return TaskSpec(source=source or OTHER)
    house = read_recipe(RECIPE)
    assert isinstance(house, FineTuneConfig)
    return house.task.model_copy(update={"source": source})


def _begun() -> FineTuneConfig | None:
    """Return the configuration of the run that the URL names."""
    if "from" not in st.query_params:
        return None
    config = references.duplicate(state.store().run(st.query_params["from"]), state.store())
    return config if isinstance(config, FineTuneConfig) else None


def _model(models: Sequence[ModelEntry], linked: str | None) -> str:
    known = {entry.name: entry for entry in models}
    options = list(known) if linked is None or linked in known else [linked, *known]
    chosen = st.selectbox("Encoder", options, index=options.index(linked) if linked else 0 if options else None, key="tune.model",
                          accept_new_options=True, placeholder="Type a folder or a hub id", format_func=lambda name: _label(name, known),
                          help="A masked language model (MLM): from the list, a path or a hub id.")
    return (chosen or "").strip()


def _teacher(begun: FineTuneConfig | None) -> tuple[str | None, Any]:
    """Draw the choice of a fine-tuned teacher; return it, or None, and where to show its error."""
    known = {entry.name: entry for entry in state.models() if entry.task in ("classification", "question_answering") and entry.present
             and entry.header is not None}  # small networks of specialists read no subwords of an encoder
    linked = begun.teacher.model if begun and begun.teacher else None
    options = [NO_TEACHER, *([linked] if linked and linked not in known else []), *known]
    chosen = st.selectbox("Teacher", options, index=options.index(linked) if linked else 0, key="tune.teacher", accept_new_options=True,
                          format_func=lambda name: _label(name, known), help=(
        "A model that was fine-tuned on the same labels, with the same tokenizer. The loss is then half hard labels and half "
        "the teacher's soft targets at T = 2 (1910.01108)."))
    return None if chosen in (NO_TEACHER, None) else chosen.strip(), st.container()


def _label(name: str, known: dict[str, ModelEntry]) -> str:
    entry = known.get(name)
    return f"{name}, {entry.layers} blocks, {units.count(entry.parameters)} parameters" if entry else name


def _task(begun: FineTuneConfig | None) -> dict[str, Any]:
    source = begun.task.source if begun else "house"
    kinds = list(SOURCES)
    kind = st.radio("Dataset", kinds, index=kinds.index(source if source in HOUSE_SOURCES else OTHER), horizontal=True,
                    format_func=SOURCES.get, key="tune.kind", help=describe("task.source"))
    if kind != OTHER:
        return {"source": kind}
    typed = st.text_input("File or hub dataset", value="" if source in HOUSE_SOURCES or is_upload(source) else source, key="tune.source",
                          placeholder="a path, or an id as owner/name", help=describe("task.source")).strip()
    file = st.file_uploader("Upload", type=list(DATA_TYPES), key="tune.file", help=(
        "Rows with a text (or a pair) and a label, or with context, question and answers. A tenth is held out by hash of the text."))
    if file is not None:
        source = str(save_upload(file.name, file.getvalue()))
        show_upload(source)
    elif typed or not is_upload(source):
        source = typed
    return {"source": source}


def _details(begun: FineTuneConfig | None, source: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Draw how much is read and the batch settings; return fields of the task and of the training."""
    base, train = _task_base(begun, source), (begun or read_recipe(RECIPE)).train
    of = "house" if source in HOUSE_SOURCES else OTHER  # each keeps what was typed for it
    task: dict[str, Any] = {}
    with st.expander("Length, limits, batch, seed" if of == "house" else "Columns, split, length, limits, batch, seed"):
        if of == "house":
            measured = base.validation or HELD_OUT[0]
            task["validation"] = st.selectbox("Evaluation split", HELD_OUT, index=HELD_OUT.index(measured) if measured in HELD_OUT else 0,
                                              key="tune.validation.house", help=describe("task.validation"))
        else:
            task |= _typed_details(base)
        length, batch, seed = st.columns(3)
        task["max_length"] = int(length.number_input("Max length (tokens)", 8, 1_000_000, base.max_length, key=f"tune.max_length.{of}",
                                                     help=describe("task.max_length")))
        steps = {"per_device_train_batch_size": int(batch.number_input(
            "Batch size", 1, 100_000, train.per_device_train_batch_size, key="tune.batch",
            help=describe("train.per_device_train_batch_size").replace("blocks", "items")))}
        steps["seed"] = int(seed.number_input("Seed", 0, 2**32 - 1, train.seed, key="tune.seed", help=describe("train.seed")))
        for column, (field, label, least) in zip(st.columns(2), (("max_train_items", "Max training items", 2),
                                                                 ("max_items", "Max evaluation items", 1)), strict=True):
            limit = column.number_input(label, least, 10**9, getattr(base, field), placeholder="all items", key=f"tune.{field}.{of}",
                                        help=describe(f"task.{field}"))
            task[field] = None if limit is None else int(limit)
    return task, steps


def _typed_details(base: TaskSpec) -> dict[str, Any]:
    """Of a file or a hub dataset: what its parts and its columns are called."""
    parts, measured = st.columns(2)
    subset = parts.text_input("Subset of a hub dataset", value=base.subset or "", key="tune.subset", placeholder="as sst2",
                              help=describe("task.subset"))
    split = parts.text_input("Split of a hub dataset", value=base.split, key="tune.split", help=describe("task.split"))
    validation = measured.text_input("Evaluation split", value=base.validation or "", key="tune.validation", placeholder="held out",
                                     help=describe("task.validation"))
    found = {"subset": subset.strip() or None, "split": split.strip() or "train", "validation": validation.strip() or None}
    for field, label in COLUMNS.items():
        given = st.text_input(label, value=getattr(base, field) or "", key=f"tune.{field}", placeholder="detected by name")
        found[field] = given.strip() or None
    return found


def _budget(begun: FineTuneConfig | None) -> dict[str, Any]:
    base = begun or read_recipe(RECIPE)
    epochs, rate = st.columns(2)
    passes = epochs.number_input("Epochs", 0.1, 50.0, float(base.train.num_train_epochs), step=1.0, format="%g", key="tune.epochs",
                                 help="passes over the training items")
    learning_rate = rate.number_input("Learning rate", 1e-7, 1e-1, base.train.learning_rate, format="%.1e", key="tune.rate", help=(
        "peak learning rate; 5e-5 for a model of BERT's size, higher for a small one"))
    return {"num_train_epochs": float(passes), "learning_rate": float(learning_rate)}


def _plan(config: ExperimentConfig, source: str) -> tuple[Plan, dict[str, str]]:
    """Return the plan without measurements, and its failed checks by name, in the words of the form."""
    resolved = references.resolved(config, state.store())
    planned = _static(json.dumps(resolved.model_copy(update={"name": None}).to_dict()))
    return planned, {check.name: wording.in_form(check, source, LABELS) for check in planned.checks if not check.ok}


@st.cache_resource(ttl=20, max_entries=50, show_spinner=False)
def _static(config_json: str) -> Plan:
    from core.planning.plan import static_plan

    return static_plan(parse_recipe(json.loads(config_json)))


def _preview(config: ExperimentConfig) -> None:
    """Draw an expander that reads the items when it is opened: how often each label occurs, and the first of them."""
    assert isinstance(config, FineTuneConfig), "the form makes no other"
    with st.expander("Preview the data", icon=":material/visibility:", key="task preview", on_change="rerun") as expander:
        if not expander.open:
            return
        try:
            found = background.answer(background.preview_task, config.task.model_dump_json(), _stamp(config.task),
                                      meanwhile="Reading the items and counting their labels …")
        except StillhouseError as error:
            st.error(views.no_images(wording.in_form(error, config.task.source, LABELS)), icon=":material/error:")
            return
        if found is not None:
            _found(found)


def _found(found: Mapping[str, Any]) -> None:
    st.caption(f"{found['train_items']:,} items to train on, {found['items']:,} held out.")
    for warning in found["warnings"]:
        st.caption(f":material/warning: {views.plain(warning)}")
    if found["labels"]:
        shown = sorted(found["labels"], key=lambda each: -each["train"])
        rows = [[each["label"], *(f"{each[part]:,} ({each[part] / max(total, 1):.1%})" for part, total in (
            ("train", found["train_items"]), ("held_out", found["items"])))] for each in shown[:MOST_LABELS]]
        views.text_table(["Label", "Training items", "Held out"], rows, numbers=True, label="How often each label occurs")
        if len(shown) > MOST_LABELS:
            st.caption(f"The {MOST_LABELS} most frequent of {len(shown)} labels.")
    views.text_table(["First items", "Label" if found["labels"] else "Answer"], [[each["text"], each["label"]] for each in found["rows"]],
                     label="The first training items")


def _stamp(task: TaskSpec) -> str:
    """Return what changes with the files of a dataset; empty for one that is no file here."""
    files = [Path(os.path.expanduser(each)) for each in (task.source, task.validation) if each]
    return " ".join(f"{path.stat().st_mtime_ns} {path.stat().st_size}" for path in files if path.is_file())


def _out(config: ExperimentConfig, *, disabled: bool) -> None:
    if st.button("Start", type="primary", icon=":material/play_arrow:", key="tune.start", disabled=disabled):
        views.start_run(config)
    with st.expander("Command line", icon=":material/terminal:"):
        file = f"{config.name}.yaml"
        st.code(f"python -m workbench distill {file}", language="bash")
        st.code(config.to_yaml(), language="yaml", height=260)
        st.download_button("Download YAML", config.to_yaml(), file_name=file, mime="application/yaml", icon=":material/download:",
                           key="tune.yaml", on_click="ignore")
