"""The form that trains an ensemble of classifiers of images and distils it, as `core.methods.ensemble` carries it out."""

from __future__ import annotations

from typing import Any

import streamlit as st

from core.config import EnsembleConfig
from core.config.fields import describe
from core.errors import ConfigError, StillhouseError
from core.planning.ensembles import check_ensemble
from core.planning.preflight import PreflightReport
from core.recipes import parse_recipe, read_recipe
from core.system.paths import ASSETS
from workbench.screens.shared import state, views
from workbench.store import references

RECIPE = ASSETS / "recipes" / "ensemble-digits.yaml"  # the source of everything that is not in the form
WEIGHTS = {"equal": "Equal", "fitted": "Fitted on held-out images"}
MEANS = {"arithmetic": "Arithmetic", "geometric": "Geometric"}


def form() -> None:
    """Everything, from the images to the start."""
    begun = _begun()
    plain = begun.to_dict()
    left, right = st.columns(2, gap="large")
    with left:
        st.subheader("Members", anchor=False)
        plain["ensemble"]["members"] = _members(begun)
        _mixture(plain, begun)
    with right:
        st.subheader("Images and student", anchor=False)
        _images(plain, begun)
        _student(plain, begun)
        name = st.text_input("Name", placeholder="generated from the settings", key="ensemble.name").strip()
    plain |= {"name": name or "ensemble", "description": ""}
    try:
        config = parse_recipe(plain)
        assert isinstance(config, EnsembleConfig)
        found = PreflightReport()
        resolved = references.resolved(config, state.store())
        assert isinstance(resolved, EnsembleConfig)
        check_ensemble(resolved, found)
    except StillhouseError as error:
        views.problem(error)
        return
    for check in found.by_name.values():
        if not check.ok:
            st.caption(f":red[:material/error: {views.no_images(check.message)} {views.no_images(check.fix)}]")
        elif check.caution:
            st.caption(f":material/info: {views.no_images(check.message)}")
    if st.button("Start", type="primary", icon=":material/play_arrow:", key="ensemble.start", disabled=not found.hold):
        views.start_run(config)
    with st.expander("Command line", icon=":material/terminal:"):
        st.code(f"python -m workbench distill {config.name}.yaml", language="bash")
        st.code(config.to_yaml(), language="yaml", height=260)


def _begun() -> EnsembleConfig:
    """Return the configuration of the run that the address names, or the recipe of the project."""
    config: Any = None
    if "from" in st.query_params:
        config = references.duplicate(state.store().run(st.query_params["from"]), state.store())
    config = config if isinstance(config, EnsembleConfig) else read_recipe(RECIPE)
    assert isinstance(config, EnsembleConfig), "the recipe describes an ensemble"
    return config


def _units(label: str, key: str, value: tuple[int, ...], path: str) -> list[int]:
    """Draw a field of hidden units, as 64 or 64, 32. Raises ConfigError for anything else."""
    text = st.text_input(label, ", ".join(map(str, value)), key=key, help="Units of each hidden layer, as 64 or 64, 32.")
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not all(part.isdecimal() for part in parts):
        raise ConfigError(f"'{text}' are no hidden units.", "Whole numbers were expected, as 64 or 64, 32.", field=path)
    return [int(part) for part in parts]


def _members(begun: EnsembleConfig) -> list[dict[str, Any]]:
    trained = [member for member in begun.ensemble.members if member.model is None]
    named = [member.model for member in begun.ensemble.members if member.model is not None]
    there = [entry.name for entry in state.models() if entry.task == "image_classification" and entry.present]
    count, units = st.columns(2)
    with count:
        number = st.number_input("Networks to train", 0, 50, sum(member.count for member in trained), key="ensemble.count",
                                 help="The same network from so many seeds.")
    with units:
        hidden = _units("Their hidden units", "ensemble.hidden", trained[0].hidden if trained else (32,), "ensemble.members")
    dropout = st.slider("Their dropout", 0.0, 0.8, trained[0].dropout if trained else 0.0, 0.05, key="ensemble.dropout")
    options = [*there, *(name for name in named if name not in there)]
    chosen = st.multiselect("Networks that are there", options, named, key="ensemble.named",
                            help="Classifiers of the same images and labels, as students of other runs.")
    first = trained[0].model_dump(mode="json") if trained else {}
    own = [{**first, "hidden": hidden, "dropout": dropout, "count": int(number)}] if number else []
    return [*own, *({"model": name} for name in chosen)]


def _mixture(plain: dict[str, Any], begun: EnsembleConfig) -> None:
    mean, weights = st.columns(2)
    with mean:
        plain["ensemble"]["mean"] = st.selectbox("Mean", list(MEANS), list(MEANS).index(begun.ensemble.mean), key="ensemble.mean",
                                                 format_func=MEANS.__getitem__, help=describe("ensemble.mean"))
    given = begun.ensemble.weights if isinstance(begun.ensemble.weights, str) else "equal"
    with weights:
        plain["ensemble"]["weights"] = st.selectbox("Weights", list(WEIGHTS), list(WEIGHTS).index(given), key="ensemble.weights",
                                                    format_func=WEIGHTS.__getitem__, help=describe("ensemble.weights"))
    plain["losses"]["temperature"] = st.number_input("Temperature", 0.1, 100.0, begun.losses.temperature, key="ensemble.temperature",
                                                     help=describe("losses.temperature"))


def _images(plain: dict[str, Any], begun: EnsembleConfig) -> None:
    plain["images"]["source"] = st.text_input("Images", begun.images.source, key="ensemble.source", help=describe("images.source")).strip()
    limit, omitted = st.columns(2)
    with limit:
        count = st.number_input("Images to train on", 0, 10**6, begun.images.max_train_items or 0, key="ensemble.images",
                                help="0: all of them. Few images leave an ensemble something to gain.")
        plain["images"]["max_train_items"] = int(count) or None
    with omitted:
        text = st.text_input("Classes the student never sees", ", ".join(begun.images.omit_classes), key="ensemble.omitted",
                             help="Labels, separated by commas. Their biases are corrected afterwards.")
    plain["images"]["omit_classes"] = [label.strip() for label in text.split(",") if label.strip()]


def _student(plain: dict[str, Any], begun: EnsembleConfig) -> None:
    plain["ensemble"]["student"]["hidden"] = _units("Student's hidden units", "ensemble.student", begun.ensemble.student.hidden,
                                                    "ensemble.student.hidden")
    steps, seeds = st.columns(2)
    with steps:
        plain["train"]["max_steps"] = int(st.number_input("Steps", 1, 10**6, begun.train.max_steps or 400, key="ensemble.steps",
                                                          help=describe("train.max_steps")))
    with seeds:
        plain["ensemble"]["seeds"] = int(st.number_input("Seeds", 1, 50, begun.ensemble.seeds, key="ensemble.seeds",
                                                         help=describe("ensemble.seeds")))
