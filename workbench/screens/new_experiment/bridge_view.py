"""The part of the form that a bridge has in place of a teacher: who writes, to what prompts, how much, and who learns from it."""

from __future__ import annotations

from typing import Any

import streamlit as st

from core.config.fields import describe
from core.data.movie_reviews import HOUSE
from core.system import units
from workbench.screens.new_experiment.chosen_model import described
from workbench.screens.new_experiment.controls import bound, draft, section_errors
from workbench.screens.shared import state
from workbench.screens.shared.uploads import is_upload, upload_button


def bridge(errors: dict[str, str]) -> None:
    """Draw the section of both forms."""
    st.subheader("Bridge from another vocabulary", anchor=False)
    st.caption("Sequence-level distillation: a teacher of any vocabulary and architecture generates texts, and the proxy is trained on "
               "them. The proxy can then be the largest anchor of a chain in its own vocabulary.")
    left, right = st.columns(2, gap="large")
    with left:
        _model("Writing teacher", "bridge.model", draft()["bridge"]["model"], _set_writer, errors)
        _model("Proxy, trained on the texts", "student.model", draft()["student.model"], _set_proxy, errors)
    with right:
        _prompts(errors)
        for key, label, low, step in (("texts", "Texts", 1, 100), ("max_new_tokens", "Max new tokens", 1, 8)):
            st.number_input(label, low, None, step=step, help=describe(f"bridge.{key}"), **_bound(key))
    with st.expander("Sampling", icon=":material/edit_note:"):
        columns = st.columns(4)
        for column, (key, label, bounds, increment) in zip(columns, (
                ("sampling_temperature", "Sampling temperature", (0.0, None), 0.1), ("top_k", "Top k", (1, None), 10),
                ("top_p", "Top p", (0.01, 1.0), 0.05), ("batch_size", "Batch size", (1, None), 8)), strict=True):
            column.number_input(label, *bounds, step=increment, help=describe(f"bridge.{key}"), **_bound(key))
    section_errors(errors, "bridge", "student", "losses")
    st.caption("Generated texts are cached and reused. Empty, repetitive and duplicate texts are dropped, and "
               "counted.")


def _model(label: str, path: str, chosen: str | None, keep: Any, errors: dict[str, str]) -> None:
    known = {entry.name: entry for entry in state.models() if entry.task == "causal"}
    st.selectbox(label, list(known) if chosen in known or not chosen else [chosen, *known], accept_new_options=True, help=describe(path),
                 index=None, format_func=lambda name: _label(name, known), **bound(f"bridge.{path}", chosen or None, keep))
    section_errors(errors, path)
    if chosen and path not in errors:
        described(chosen)


def _label(name: str, known: dict[str, Any]) -> str:
    entry = known.get(name)
    if entry is None:
        return name.rstrip("/").rpartition("/")[2]
    tokens = f", {entry.vocabulary:,} tokens" if entry.vocabulary else ""
    return f"{name}, {units.count(entry.parameters)} parameters{tokens}"


def _prompts(errors: dict[str, str]) -> None:
    source = draft()["bridge"]["prompts"]
    st.segmented_control("Prompts", ("house", "other"), required=True, help=describe("bridge.prompts"),
                         format_func={"house": "Requests about films (house)", "other": "My own"}.__getitem__,
                         **bound("bridge.prompts kind", "house" if source == HOUSE else "other", _set_prompts_kind))
    if source != HOUSE:
        st.text_input("File with prompts", placeholder="a path to .txt, .jsonl, .json, .csv, .tsv or .parquet",
                      **bound("bridge.prompts", "" if is_upload(source) else source, _set_prompts))
        upload_button("Upload prompts", "prompts file", source, _set_prompts)
    section_errors(errors, "bridge.prompts")


def _bound(key: str) -> dict[str, Any]:
    return bound(f"bridge.{key}", draft()["bridge"][key], _keep, key)


def _keep(value: Any, key: str) -> None:
    draft()["bridge"] = {**draft()["bridge"], key: value}


def _set_writer(name: str | None) -> None:
    _keep(name or "", "model")


def _set_proxy(name: str | None) -> None:
    draft()["student.model"] = name or None


def _set_prompts_kind(kind: str) -> None:
    _keep(HOUSE if kind == "house" else "", "prompts")


def _set_prompts(text: str) -> None:
    _keep(text.strip(), "prompts")
