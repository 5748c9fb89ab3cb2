"""What is compared: the pane and its models, kept in the page's address and, for each pane, in the session."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import streamlit as st

from core.config.ensembles import MixtureMean
from core.errors import CompatibilityError, ModelNotFoundError
from core.models.compatibility import require_task
from core.models.ensembles import split_references
from workbench.errors import RunNotFoundError
from workbench.screens.shared import fragments, links, panes, state, views
from workbench.screens.shared.panes import CHAT, PANES, Pane
from workbench.store import references

MAX_MODELS = 3
MEANS: tuple[MixtureMean, ...] = ("arithmetic", "geometric")
PANE = "compare.pane"  # in the session state
OF_PANE = ("models", "text", "pair", "c")  # of the address, given up when another pane is chosen
WAIT_SECONDS = 4.0  # between two looks whether a model is there


def pane() -> Pane:
    """Where they are chosen, set by ``?pane=`` and written back to it; without one, by the kind of the models that are named."""
    if "pane" in st.query_params:
        links.follow(PANE, "pane", CHAT.key, lambda text: text if text in PANES else None)
    else:
        links.follow(PANE, "models", CHAT.key, lambda text: (panes.of_models(_names(text)) or CHAT).key if text else None)
    shown = st.segmented_control("Pane", list(PANES), key=PANE, required=True, on_change=_switched, label_visibility="collapsed",
                                  format_func=lambda key: PANES[key].title)
    chosen = shown or CHAT.key
    links.keep(PANE, "pane", chosen)
    return PANES[chosen]


def _switched() -> None:
    for name in OF_PANE:
        st.query_params.pop(name, None)
    st.query_params["pane"] = st.session_state[PANE]


def pick(chosen: Pane) -> list[str]:
    """Draw the picker, in step with ``?models=a,b``; without that, it holds what this session compared last.

    Returns:
        The models that were picked and belong to the pane, as far as that is known; the others are reported.
    """
    known = [entry for entry in state.models(tuple(references.PARTS)) if entry.present and entry.task == chosen.task]
    names = [entry.name for entry in known]
    # A shipped model and the newest student; where either is missing the first two, but of chat models the shipped one alone.
    shipped = [entry.name for entry in known if entry.kind == "house"]
    students = [entry.name for entry in known if entry.kind == "run" and ":" not in entry.name]
    default = list(dict.fromkeys([*shipped[:1], *students[:1], *(names if chosen is not CHAT else names[:1])]))[:2]
    key = _models_key(chosen)
    links.follow(key, "models", default, _names)
    with st.container(horizontal=True, vertical_alignment="bottom", key="compared-models"):
        picked = st.multiselect(
            "Models", list(dict.fromkeys([*names, *st.session_state[key]])), key=key, max_selections=MAX_MODELS,
            accept_new_options=True, placeholder="Select two or three, or enter a folder, a GGUF file or a hub id", select_all=False,
            help="The first one is the teacher: differences of the students are marked. `run` is the student of a run, "
                 "`run:control` its control, `run:before` the student before training, `arithmetic(a, b)` the mean of two models.")
        if len(names) > 1:
            _ensembles(chosen, names, key)
    links.keep(key, "models", picked, ",".join(picked))
    return [name for name in picked if _fits(name, chosen)]


def _ensembles(chosen: Pane, names: Sequence[str], key: str) -> None:
    """Offer the mean of several models as one that is compared."""
    with st.popover("Average models", icon=":material/merge:", key=f"average.{chosen.key}",
                    help="Their mean answers as one model (1503.02531, section 2)."):
        members = st.multiselect("Members", names, key=f"average.members.{chosen.key}", select_all=False,
                                 placeholder="Two or more of one vocabulary")
        mean = st.segmented_control("Mean", MEANS, default=MEANS[0], required=True, key=f"average.mean.{chosen.key}", help=(
            "Arithmetic: of probabilities. Geometric: of log-probabilities, renormalised."))
        full = len(st.session_state[key]) >= MAX_MODELS
        st.button("Add", key=f"average.add.{chosen.key}", icon=":material/add:", disabled=len(members) < 2 or full, on_click=_add,
                  args=(key, f"{mean}({', '.join(members)})"),
                  help=f"{MAX_MODELS} models are compared at most: remove one first." if full else None)


def _add(key: str, reference: str) -> None:
    st.session_state[key] = list(dict.fromkeys([*st.session_state[key], reference]))


def awaited(models: Sequence[str]) -> list[str]:
    """Return the models of runs that are yet to be trained; the page names them, and is drawn again when one is there."""
    missing = _missing(models)
    if missing:
        fragments.fragment(_until_there, run_every=WAIT_SECONDS)(tuple(missing))
    return missing


def open_link(chosen: Pane, models: Sequence[str]) -> None:
    """Go to a pane with these models, as a link would; for a button of this page."""
    for name in OF_PANE:
        st.query_params.pop(name, None)
    for key in (PANE, _models_key(chosen)):
        st.session_state.pop(key, None)
    st.query_params.update(pane=chosen.key, models=",".join(models))


def _fits(name: str, chosen: Pane) -> bool:
    """Whether a model belongs to a pane, as far as that is known; of one that does not the page says so, and leads to its own."""
    entry = state.entry_of(name)
    if entry is None:
        return True
    try:
        require_task(entry, chosen.task)
    except CompatibilityError as error:
        views.problem(error)
        if own := panes.of_task(entry.task):
            st.button(f"{own.title} with {views.plain(references.short(name))}", icon=f":material/{own.icon}:", key=f"misfit.{name}",
                      on_click=open_link, args=(own, [name]))
        return False
    return True


def _until_there(missing: tuple[str, ...]) -> None:
    now = tuple(_missing(missing))
    if now != missing:
        st.rerun()
    names = ", ".join(views.plain(name) for name in missing)
    st.caption(f":material/hourglass_top: Not trained yet: {names}. Loaded as soon as its run has trained it.")


def _missing(models: Sequence[str]) -> list[str]:
    """Those that belong to a living run and do not exist yet."""
    missing = []
    for name in models:
        try:
            references.resolve(name, state.store())
        except ModelNotFoundError:
            with suppress(RunNotFoundError):
                if state.lives(state.store().run(name.rpartition(":")[0] or name)):
                    missing.append(name)
    return missing


def _models_key(chosen: Pane) -> str:
    return f"compare.models.{chosen.key}"


def _names(text: str) -> list[str]:
    return split_references(text)[:MAX_MODELS]
