"""Encoders picked, exported, measured, and run in the visitor's browser; ``?models=a,b`` names them."""

from __future__ import annotations

import shlex
from urllib.parse import urlencode

import streamlit as st

from core.export import browser_runtime
from core.models.checkpoints import Task
from core.system.units import format_bytes
from workbench.mounts import on_device_path
from workbench.screens.device import exports
from workbench.screens.device.exports import Offer
from workbench.screens.shared import background, state, take_home, views
from workbench.screens.shared.fetch_button import fetch_button

MAX_MODELS = 3
PICKED, REQUESTED = "device.models", "device.requested"  # in the session state
TITLES: dict[Task, str] = {"masked": "Fill-mask", "classification": "Classify"}  # a frame for each kind of model
PANE_HEIGHT = 560  # pixels, until the pane says how high it is
# The pane sets the frame's height; Streamlit's own boxes around it must not.
LAYOUT = """<style>
div:has(> iframe:is([title="Fill-mask"], [title="Classify"])),
div:has(> div > iframe:is([title="Fill-mask"], [title="Classify"])) { height: auto !important; flex: 0 0 auto; }
</style>"""


def pick() -> list[Offer]:
    """Draw the picker, in step with ``?models=``, and return its models; those that cannot run here are reported, one message each."""
    known = [entry.name for entry in state.models() if entry.present and entry.task in exports.TASKS and entry.heads]
    linked = list(dict.fromkeys(name.strip() for name in st.query_params.get("models", "").split(",") if name.strip()))[:MAX_MODELS]
    if PICKED not in st.session_state:
        st.session_state[PICKED] = linked or known[:1]
    picked = st.multiselect(
        "Models", list(dict.fromkeys([*known, *st.session_state[PICKED]])), key=PICKED, max_selections=MAX_MODELS, accept_new_options=True,
        placeholder="Select one to three, or enter a folder or a hub id", select_all=False,
        help="Masked language models and classifiers: house models, and students of runs. Select a teacher and its student to compare "
             "their size and speed.")
    st.query_params["models"] = ",".join(picked)
    if not known and not picked:
        views.empty_state("No masked language model and no classifier yet. Distil one, or enter a folder above.", "school")
        st.page_link(state.NEW, label="New experiment", icon=":material/add:")
    found = []
    for name in picked:
        with views.errors_shown():
            entry = state.describe(name)
            offered = exports.offer(entry)
            if offered is not None:
                found.append(offered)
            else:
                st.markdown(f"{views.plain(name)} is not on this machine: {format_bytes(entry.size_bytes)} to download, once.")
                fetch_button(name)
    return found


def export_missing(offers: list[Offer]) -> list[Offer]:
    """Draw the button that exports what is not exported, with its progress, and return the models that are ready."""
    requested: set[str] = st.session_state.setdefault(REQUESTED, set())
    missing = [offer for offer in offers if offer.made is None]
    if not missing:
        return offers
    waiting = [offer for offer in missing if offer.entry.name not in requested]
    if waiting:
        names = ", ".join(views.plain(offer.entry.name) for offer in waiting)
        st.markdown(f"Not exported yet: {names}. Exports to ONNX, quantises to int8, and compares both with PyTorch on "
                    "held-out film reviews: some seconds for a house model, a minute for BERT's size.")
        if st.button("Export", type="primary", icon=":material/ios_share:"):
            requested.update(offer.entry.name for offer in waiting)
            st.rerun()
    for offer in missing:
        if offer.entry.name in requested:
            _follow(offer, requested)
    return [offer for offer in offers if offer.made is not None]


def _follow(offer: Offer, requested: set[str]) -> None:
    with views.errors_shown():
        name = offer.entry.name
        question = (name, exports.FORM, str(offer.folder))
        try:
            answer = background.answer(background.exported, *question, meanwhile=f"Exporting {views.plain(name)} …")
        except Exception:
            requested.discard(name)  # the next click requests it again
            raise
        if answer is not None:
            requested.discard(name)
            background.exported.clear(*question)  # the folder answers from now on, for as long as it is there
            st.rerun()


def figures(ready: list[Offer]) -> None:
    """Sizes, times and agreement of all forms, the downloads, and the line that repeats the export."""
    made = [offer.made for offer in ready if offer.made is not None]
    for task in TITLES:
        if of_task := [each for each in made if each.task == task]:
            st.markdown(views.plain(exports.headline(of_task)))
    views.text_table(exports.HEAD, exports.rows(made), label="Sizes, times and agreement", numbers=True)
    st.caption("Latency of one text of at most 32 tokens on one thread of the server. Differences are the largest difference in "
               "probability from PyTorch float32 at each masked position, or of each text: maximum and mean over them.")
    for offer in ready:
        with st.expander(f"Take {views.plain(offer.entry.name)} along", icon=":material/download:", key=f"take.{offer.entry.name}"):
            take_home.downloads(offer.entry)
    with st.expander("Files and command line", icon=":material/terminal:"):
        for offer in ready:
            st.code(str(offer.folder), language=None)
            st.code(shlex.join(["python", "-m", "workbench", "export", offer.entry.name, "--format", exports.FORM, "--out", "FOLDER"]),
                    language="bash")


def pane(ready: list[Offer]) -> None:
    """Draw the frame in which the models run, once what runs them is on this machine."""
    if not all(package.present for package in browser_runtime.PACKAGES):
        _runtime()
        return
    st.html(LAYOUT)
    for task, title in TITLES.items():
        names = [offer.folder.name for offer in ready if offer.entry.task == task]
        if names:
            address = urlencode({"models": ",".join(names), "task": task}, safe=",")
            with st.container(key=f"pane {address}"):  # another frame for other models: see chat_pane
                st.iframe(f"{on_device_path()}/pane.html?{address}", height=PANE_HEIGHT, alt=title)


def _runtime() -> None:
    """Say that the browser's runtime is missing, and draw the button that fetches it."""
    missing = [package for package in browser_runtime.PACKAGES if not package.present]
    names = " and ".join(f"{package.name} {package.version}" for package in missing)
    amount = format_bytes(sum(package.size_bytes for package in missing))
    views.empty_state(f"To run in a browser, an exported model needs {views.plain(names)}: {amount} from the npm registry, once, checked "
                      "by its hash and kept on this machine.", "download")
    fetch_button(browser_runtime.RUNTIME, "Download")
