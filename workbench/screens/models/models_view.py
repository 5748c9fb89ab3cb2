"""The catalogue and the students of runs: what each is, where it lies, and what can be done with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from core.models.checkpoints import Task
from core.recorder import STUDENT
from core.system import units
from workbench.screens.models import desktop, quality
from workbench.screens.models.quality import Quality
from workbench.screens.new_experiment import kinds
from workbench.screens.shared import panes, state, take_home, views
from workbench.screens.shared.fetch_button import fetch_button
from workbench.screens.shared.theme import BadgeColour

if TYPE_CHECKING:
    from core.models.entries import ModelEntry

PROGRESS_WIDTH = 240  # pixels
NEWEST, BEST, SMALLEST, NAME = ORDERS = ("Newest", "Quality", "Size", "Name")
OWN = ("run", "folder")  # kinds of entries: students and anchors of runs, and what was created from chains
UNSORTED = 3  # so few models need neither a search nor an order
PAGE = 12  # cards at a time: each has half a dozen widgets
MORE = "models.more"  # in the session state: cards beyond the first page
HOUSE = "house"  # in the address: opens the models that ship or can be fetched
KINDS: dict[Task, tuple[str, BadgeColour, str]] = {  # by the task of its head: words, colour, icon
    "causal": ("causal LM", "gray", "forum"), "masked": ("masked LM", "blue", "text_select_start"),
    "classification": ("classifier", "violet", "label"), "question_answering": ("question answering", "violet", "find_in_page"),
    "image_classification": ("image classifier", "violet", "image")}


def catalogue() -> None:
    """Draw everything that was trained or created here, then the models that ship or can be fetched."""
    entries = state.models()
    own = [entry for entry in entries if entry.kind in OWN]
    others = [entry for entry in entries if entry.kind not in OWN]
    found = qualities(entries)
    if own:
        _own(own, found)
    else:
        views.empty_state("No student yet. Each finished run saves one here, as a Transformers model folder.", "school")
        st.page_link(state.NEW, label="New experiment", icon=":material/add:")
    absent = sum(not entry.present for entry in others)
    fetched = f", {absent} of them to fetch" if absent else ""
    with st.expander(f"{len(others)} models that ship or can be fetched{fetched}", icon=":material/inventory_2:", key="house models",
                     expanded=not own or HOUSE in st.query_params):
        for entry in others:
            _card(entry, found.get(entry.name))


def _own(entries: Sequence[ModelEntry], found: Mapping[str, Quality]) -> None:
    kinds_there = list(dict.fromkeys(entry.task for entry in entries))
    chosen, order, text = None, NEWEST, ""
    st.subheader("Trained here", anchor=False)
    if len(entries) > UNSORTED:
        with st.container(horizontal=True, vertical_alignment="bottom", key="models sorting"):
            text = st.text_input("Search", key="models.search", placeholder="name", width=180)
            order = st.selectbox("Sort by", ORDERS, key="models.order", width=150, bind="query-params")
            if len(kinds_there) > 1:
                chosen = st.selectbox("Kind", kinds_there, index=None, placeholder="all kinds", key="models.kind", width=190,
                                      format_func=lambda task: KINDS[task][0])
    shown = [entry for entry in entries if text.lower().strip() in entry.name.lower() and chosen in (None, entry.task)]
    if order == BEST:
        st.caption("Best first, metric by metric; what was not measured comes last. Perplexities and losses compare only within one "
                   "tokenizer and one text.")
    if not shown:
        views.empty_state("No model matches. Change the search or the kind.", "search_off")
    more = st.session_state.get(MORE, 0)
    for entry in ordered(shown, order, found)[:PAGE + more]:
        _card(entry, found.get(entry.name))
    if (rest := len(shown) - PAGE - more) > 0 and st.button(f"Show {min(rest, PAGE)} more of {rest}", key="more models",
                                                            icon=":material/expand_more:"):
        st.session_state[MORE] = more + PAGE
        st.rerun()


def ordered(entries: Sequence[ModelEntry], order: str, found: Mapping[str, Quality]) -> list[ModelEntry]:
    """Return models in one of `ORDERS`; as they come is the newest first."""
    if order == BEST:
        return sorted(entries, key=lambda entry: found[entry.name].rank if entry.name in found else ("~", 0.0))
    if order == SMALLEST:
        return sorted(entries, key=lambda entry: entry.parameters)
    return sorted(entries, key=lambda entry: entry.name.lower()) if order == NAME else list(entries)


def qualities(entries: Sequence[ModelEntry]) -> dict[str, Quality]:
    """Return what was measured of these models, by their names; those of which nothing was are left out."""
    store = state.store()
    found = quality.of_chains(store)
    runs = {run.name: run for run in store.runs()}
    for entry in entries:
        name, _, part = entry.name.partition(":")
        if entry.kind == "run" and entry.name not in found and name in runs:
            known = quality.of_run(store, runs[name], part or STUDENT, entry.task)
            found |= {entry.name: known} if known else {}
    return found


def any_reference() -> None:
    """Draw what is known of a model that is not in the list."""
    st.subheader("Any other model", anchor=False)
    reference = st.text_input("Folder, GGUF file or hub id", placeholder="a path, or an id as owner/name", key="any", bind="query-params")
    if reference:
        with views.errors_shown():
            _card(state.describe(reference.strip()))


def _card(entry: ModelEntry, measured: Quality | None = None) -> None:
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
            with st.container(horizontal=True, vertical_alignment="center", width="content"):
                st.markdown(f"#### {views.plain(entry.name)}", width="content", anchors=False)
                words, colour, icon = KINDS[entry.task]
                st.badge(words, color=colour, icon=f":material/{icon}:")
                if not entry.present:
                    st.badge("not on this machine", color="orange", icon=":material/cloud_download:")
            with st.container(horizontal=True, width="content"):  # they stay together where the line is too short
                _actions(entry)
        if measured is not None:
            st.markdown(f"**{views.plain(f'{measured.words[0].upper()}{measured.words[1:]}')}**")
        if entry.description:
            st.text(entry.description)
        st.caption(views.plain("  ·  ".join(facts(entry))))
        if entry.path is not None and st.toggle("Download and path", key=f"more.{entry.name}"):
            take_home.downloads(entry)
            _place(entry.path)


def facts(entry: ModelEntry) -> list[str]:
    """Return what is known, the most wanted first."""
    of_text = (f"{entry.layers} blocks", f"width {entry.hidden}", f"{entry.heads} heads",
               f"vocabulary {entry.vocabulary:,}", f"context {entry.context:,}")
    depth = f"{entry.layers or 'no'} hidden layer{'' if entry.layers == 1 else 's'}"
    of_averages = (depth, f"word vectors of {entry.hidden}", "", f"vocabulary {entry.vocabulary:,}",
                   f"context {entry.context:,}")
    of_images = (depth, f"up to {entry.hidden} units")
    sizes = of_images if entry.task == "image_classification" else of_text if entry.heads else of_averages
    known = [
        entry.architecture, *sizes[:3], f"{units.count(entry.parameters)} parameters", *sizes[3:],
        f"licence {entry.licence}" if entry.licence else "",
        f"{units.format_bytes(entry.size_bytes)} {'on disk' if entry.present else 'to fetch'}", entry.source]
    return [fact for fact in known if fact]


def _place(path: Path) -> None:
    """Draw the path to copy; where the visitor sits at the machine that has it, also a button that opens it."""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.code(str(path), language=None)
        offered = state.visitor_is_here() and desktop.file_manager() is not None
        if offered and st.button("Open folder", key=f"open.{path}", icon=":material/folder_open:"):
            with views.errors_shown():
                desktop.open_folder(path if path.is_dir() else path.parent)


def _actions(entry: ModelEntry) -> None:
    if entry.present:
        pane = panes.of_task(entry.task)
        if pane is not None and st.button(pane.action, key=f"{pane.key}.{entry.name}", icon=f":material/{pane.icon}:"):
            panes.open_with([entry.name], pane)
        if entry.task == "masked" and st.button("Fine-tune", key=f"tune.{entry.name}", icon=":material/tune:",
                                                help="Train it on a labelled task."):
            st.switch_page(state.TUNE, query_params={"model": entry.name})
        if entry.task == "image_classification" and st.button("Temperature", key=f"temperature.{entry.name}", icon=":material/thermostat:",
                                                              help="Look at its answers to digits, softened by a temperature."):
            st.switch_page(state.TEMPERATURE, query_params={"example": "digit", "teacher": entry.name})
        if kinds.of_model(entry) and st.button("Distil", key=f"distil.{entry.name}", icon=":material/science:",
                                               help="Use it as the teacher of an experiment."):
            st.switch_page(state.NEW, query_params=kinds.link_to_distil(entry))
    else:
        fetch_button(entry.name, width=PROGRESS_WIDTH)
    if entry.kind == "run":
        run = state.store().run(entry.name.partition(":")[0])
        if st.button("Run", key=f"run.{entry.name}", icon=":material/show_chart:"):
            st.switch_page(state.RUN, query_params={"run": run.id})
        if st.button("Delete", key=f"delete.{entry.name}", icon=":material/delete:", disabled=run.active,
                     help="Moves the run and its models to the bin."):
            state.put_into_bin(run)
            st.rerun()
