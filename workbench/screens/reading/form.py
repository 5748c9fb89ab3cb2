"""Choose a text and a reading teacher; start, follow and stop an annotation; pick one that was begun before."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import streamlit as st

from core.config import ReadingConfig, is_address
from core.config.reading import ENTITY_PROMPT, QUESTION_PROMPT
from core.errors import ConfigError, shorten
from core.planning import preflight
from core.reading import requests as readings
from core.reading.requests import ReadingRequest
from core.reading.teachers import identity_of
from core.recipes import parse_recipe
from core.system import reach, units
from workbench.screens.shared import fragments, state, views
from workbench.store import references
from workbench.studies import background
from workbench.studies.jobs import JobState, ReadingJob

PASTE, REVIEWS, FILE = "Paste", "Film reviews", "File or dataset"
LOCAL = "smollm2-135m-instruct"  # small enough for two cores, and carried by a package
STUDENT = "house-chat"
POLL_SECONDS = 1.0
WORDS = 40  # characters of a pasted text by which it is known
SHOWN = "reading.shown"


def show() -> None:
    """Draw the form, folded away where there are notes to look at; after a start, the page shows the new annotation."""
    busy = background.running_job()
    with st.expander("Text and teacher", expanded=not readings.folders(), icon=":material/edit_note:", key="reading form"):
        left, right = st.columns(2, gap="medium")
        kind = left.segmented_control("Text", (PASTE, REVIEWS, FILE), default=PASTE, key="reading.text", required=True)
        pasted = source = ""
        if kind == PASTE:
            pasted = left.text_area("Your text", key="reading.pasted", height=160, placeholder="Several sentences; blank lines separate "
                                                                                              "paragraphs.")
        elif kind == FILE:
            source = left.text_input("File or dataset", key="reading.source", placeholder="review.txt, or owner/name")
        causal = [entry.name for entry in state.models() if entry.task == "causal"]
        teacher = right.selectbox("Reading teacher", list(dict.fromkeys([LOCAL, *causal])), key="reading.teacher", accept_new_options=True,
                                  help="A model, a folder, a GGUF file, or the address of a chat server, as "
                                       "http://127.0.0.1:11434#llama3.2. A server's key is read from STILLHOUSE_TEACHER_KEY.")
        here = state.entry_of(teacher) if teacher and not is_address(teacher) else None
        if here is not None and not here.present:
            right.caption(f":material/cloud_download: Not on this machine yet: {units.format_bytes(here.size_bytes)} to fetch.")
            right.page_link(state.MODELS, label="Fetch it on the Models page", icon=":material/arrow_forward:", query_params={"house": "1"})
        count = right.number_input("Paragraphs", min_value=2, value=5, step=5, key="reading.paragraphs", help=(
            "From the text's beginning. A twentieth of the text, one paragraph at least, is held out: no notes are taken of it, and the "
            "student is measured on it."))
        with st.expander("Prompts", icon=":material/tune:"):
            about, ask = st.columns(2, gap="medium")
            entity = about.text_area("Prompt for entities", ENTITY_PROMPT, key="reading.entity_prompt", height=260,
                                     help="{sentence} stands for the sentence. Another prompt has answers of its own.")
            question = ask.text_area("Prompt for questions", QUESTION_PROMPT, key="reading.question_prompt", height=260)
        if st.button("Take notes", type="primary", icon=":material/edit_note:", key="reading.start", disabled=busy is not None,
                     help=f"{busy}, one at a time." if busy else "Answers are kept: no sentence is shown to the same teacher twice."):
            with views.errors_shown():
                _start(str(teacher or ""), kind or PASTE, pasted, source.strip(), int(count), entity, question)


def _start(teacher: str, kind: str, pasted: str, source: str, paragraphs: int, entity: str, question: str) -> None:
    """Start the annotation in the background. Raises StillhouseError for what cannot be annotated."""
    if kind == PASTE:
        source = str(readings.save_text(pasted))
    elif kind == REVIEWS:
        source = "house"
    elif not source:
        raise ConfigError("No text was named.", "A file or a dataset of the hub was expected.", "Name one.", field="data.source")
    elif outside := reach.refusal(source):
        raise ConfigError(*outside, field="data.source")
    config = parse_recipe({
        "kind": "reading", "teacher": None, "student": {"model": STUDENT}, "data": {"source": source},
        "reading": {"model": teacher, "paragraphs": paragraphs, "entity_prompt": entity, "question_prompt": question}})
    assert isinstance(config, ReadingConfig), "its kind is given"
    if not is_address(teacher):
        entry = state.describe(teacher)
        if not entry.present:
            raise ConfigError(f"'{teacher}' is not on this machine.", "A model that has been downloaded was expected.",
                              "Download it on the page Models, or choose another teacher.", field="reading.model")
    preflight.require_reading_teacher(config)
    resolved = references.resolved(config, state.store())
    assert isinstance(resolved, ReadingConfig), "its kind stays"
    with st.spinner("Looking at the teacher ..."):
        request = ReadingRequest(resolved, identity_of(resolved.reading))
    job = background.start_reading(request)
    st.query_params["notes"] = job.folder.name
    st.session_state[SHOWN] = job.folder.name
    st.rerun()


def chosen_annotation() -> Path | None:
    """Draw the choice among annotations, and the state of the chosen one; return its folder."""
    folders = {folder.name: folder for folder in readings.folders() if readings.load_request(folder) is not None}
    if not folders:
        views.empty_state("No notes yet. They appear here sentence by sentence while the teacher reads; the page may be closed meanwhile.",
                          "menu_book")
        return None
    linked = st.query_params.get("notes")
    if linked in folders and SHOWN not in st.session_state:
        st.session_state[SHOWN] = linked
    if st.session_state.get(SHOWN) not in folders:
        st.session_state[SHOWN] = next(iter(folders))
    labels = {name: label(folder) for name, folder in folders.items()}
    twice = {text for text, count in Counter(labels.values()).items() if count > 1}  # a choice is known by its label
    chosen = st.selectbox("Notes", list(folders), key=SHOWN, format_func=lambda name: (
        f"{labels[name]} ({name})" if labels[name] in twice else labels[name]))
    st.query_params["notes"] = chosen
    _state(ReadingJob(folders[chosen]))
    return folders[chosen]


def label(folder: Path) -> str:
    """Return an annotation in a few words."""
    request = readings.load_request(folder)
    if request is None:
        return folder.name
    source = request.config.data.source
    pasted = Path(source).parent == folder.parent / "texts"
    text = _beginning(source) if pasted else "film reviews" if source == "house" else Path(source).name
    return f"{references.short(request.config.reading.model)} on {text}, {request.config.reading.paragraphs} paragraphs"


def _beginning(source: str) -> str:
    """Return the first words of a pasted text."""
    try:
        words = Path(source).read_text(encoding="utf-8").split()
    except OSError:  # it was taken away since
        return "a pasted text"
    return f"“{shorten(' '.join(words), WORDS)}”"


def _state(job: ReadingJob) -> None:
    latest = job.load_state()
    if latest is None or latest.state == "finished":
        return
    if latest.state == "running":
        with st.container(horizontal=True, vertical_alignment="center"):
            fragments.fragment(_progress, run_every=POLL_SECONDS)(job, latest.done)
            if st.button("Stop", icon=":material/stop:", key="reading.stop", disabled=job.stop_file.exists(),
                         help="Stops between two answers. All of them are kept."):
                job.stop_file.touch()
                st.rerun()
        return
    views.study_ended(job, latest)
    request = readings.load_request(job.folder)
    if request is not None and st.button("Resume", icon=":material/play_arrow:", key="reading.resume",
                                         disabled=background.running_job() is not None):
        with views.errors_shown():
            background.start_reading(request)
            st.rerun()


def _progress(job: ReadingJob, before: int) -> None:
    latest: JobState | None = job.load_state()
    if latest is None or latest.state != "running" or latest.done != before:
        st.rerun()  # more notes to show, or an end
        return
    stopping = "stopping · " if job.stop_file.exists() else ""
    done = f"{latest.done:,} of {latest.total:,} sentences · " if latest.total else ""
    st.progress(latest.done / (latest.total or 1), text=f"{stopping}{done}{views.plain(latest.text)}")
