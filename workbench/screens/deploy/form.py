"""Choose a student, its teacher and the data; start the comparison, follow and stop it; pick one that was made before."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from core.config import BridgeConfig
from core.errors import CompatibilityError, ConfigError, StillhouseError
from core.reports.deployment import store as deployments
from core.reports.deployment.record import DeploymentRequest
from core.reports.measure import BLOCKS
from core.system import reach
from workbench.screens.shared import fragments, state, views
from workbench.store import references
from workbench.studies import background
from workbench.studies.jobs import DeploymentJob, JobState

if TYPE_CHECKING:
    from core.models.entries import ModelEntry

TASKS = ("classification", "masked", "causal")  # of heads whose models are exported
NO_TEACHER = "No teacher: the student itself is the baseline"
POLL_SECONDS = 1.0


def show() -> None:
    """Draw the form; after a start, the page shows the new comparison."""
    known = {entry.name: entry for entry in state.models() if entry.present and entry.task in TASKS and entry.heads}
    linked = st.query_params.get("student")
    options = list(dict.fromkeys([*([linked] if linked else []), *_own_first(known)]))
    busy = background.running_job()
    with st.container(border=True, key="deploy form"):
        left, right = st.columns(2, gap="medium")
        student = left.selectbox("Student", options, index=0 if options else None, key="deploy.student", accept_new_options=True,
                                 placeholder="Select a model, or enter a folder", help="A classifier, a masked or a causal language model.")
        if not student:
            views.empty_state("No student yet. Distil or fine-tune one, or enter a folder above.", "school")
            st.page_link(state.NEW, label="New experiment", icon=":material/add:")
            return
        own = teacher_of(student)
        teachers = list(dict.fromkeys([*([own] if own else []), NO_TEACHER, *known]))
        teacher = right.selectbox("Teacher", teachers, key=f"deploy.teacher.{student}", accept_new_options=True,
                                  help="What the student is compared with: the model that it was distilled from.")
        data, items = _data(student, known)
        if st.button("Measure", type="primary", icon=":material/speed:", key="deploy.start", disabled=busy is not None,
                     help=f"{busy}, one at a time." if busy else "Exports to int8, scores every form on the same items, and times them."):
            with views.errors_shown():
                _start(student, None if teacher in (NO_TEACHER, None) else teacher, data, items)


def _data(student: str, known: dict[str, ModelEntry]) -> tuple[str, int | None]:
    """Draw the choice of the data and of how much of it; return both, the data empty for the student's own."""
    entry = known.get(student) or state.entry_of(student)
    labelled = entry is not None and entry.task == "classification"
    left, right = st.columns(2, gap="medium")
    data = left.text_input(
        "Labelled data" if labelled else "Text", key=f"deploy.data.{labelled}", placeholder="as the student was trained on",
        help="A file, a dataset of the hub, or house; measured on its held-out part." if labelled else
        "A text file, a dataset of the hub, or house; measured on its held-out part.")
    usual = None if labelled else BLOCKS
    items = right.number_input("Items at most" if labelled else "Blocks of text", min_value=2, value=usual, step=50 if labelled else 16,
                               placeholder="all", key=f"deploy.items.{labelled}",
                               help="More items make the intervals narrower, and take longer.")
    return data.strip(), None if items is None else int(items)


def _start(student: str, teacher: str | None, data: str, items: int | None) -> None:
    """Start the comparison in the background. Raises StillhouseError for what cannot be compared."""
    entry, above = state.describe(student), state.describe(teacher) if teacher else None
    for each in filter(None, (entry, above)):
        if each.path is None:
            raise CompatibilityError(f"'{each.name}' is not on this machine.", "A model that has been downloaded was expected.",
                                     "Download it on the page Models.", field="student")
    if entry.task not in TASKS:
        raise CompatibilityError(f"'{student}' answers questions.", "A classifier or a language model was expected.",
                                 "Choose another student.", field="student")
    if data and (outside := reach.refusal(data)):
        raise ConfigError(*outside, field="data")
    labelled = entry.task == "classification"
    request = DeploymentRequest(str(entry.path), str(above.path) if above else None, (student, teacher),
                                data or None if labelled else None, None if labelled else data or None, items)
    job = background.start_deployment(request)
    st.query_params["result"] = job.folder.name
    st.session_state["deploy.shown"] = job.folder.name
    st.rerun()


def teacher_of(student: str) -> str | None:
    """Return the teacher that a run's student was distilled from; None where it had none or is no run's."""
    with suppress(StillhouseError):
        config = references.duplicate(state.store().run(student.partition(":")[0]), state.store())
        if not isinstance(config, BridgeConfig) and config.teacher is not None and config.teacher.address is None:
            return config.teacher.model
    return None


def results() -> Path | None:
    """Draw the choice among comparisons, and the state of the chosen one; return its folder once there is a result."""
    folders = {folder.name: folder for folder in deployments.folders()}
    if not folders:
        views.empty_state("Nothing compared yet. The comparison runs in the background, and the page may be closed meanwhile.", "speed")
        return None
    linked = st.query_params.get("result")
    names = list(folders)
    if linked in folders and "deploy.shown" not in st.session_state:
        st.session_state["deploy.shown"] = linked
    if st.session_state.get("deploy.shown") not in folders:
        st.session_state["deploy.shown"] = names[0]
    chosen = st.selectbox("Comparison", names, key="deploy.shown", format_func=lambda name: _label(folders[name]))
    st.query_params["result"] = chosen
    folder = folders[chosen]
    _state(DeploymentJob(folder))
    return folder if deployments.result_of(folder) is not None else None


def _label(folder: Path) -> str:
    request, found = deployments.load_request(folder), deployments.result_of(folder)
    if request is None:
        return folder.name
    against = f" and its teacher {references.short(request.names[1])}" if request.names[1] else ""
    return f"{references.short(request.names[0])}{against}" + (f", {found.date}" if found else "")


def _state(job: DeploymentJob) -> None:
    latest = job.load_state()
    if latest is None or latest.state == "finished":
        return
    if latest.state == "running":
        with st.container(horizontal=True, vertical_alignment="center"):
            fragments.fragment(_progress, run_every=POLL_SECONDS)(job, latest.state)
            if st.button("Stop", icon=":material/stop:", key="deploy.stop", disabled=job.stop_file.exists(),
                         help="Stops between two passes of a model. A finished export is kept."):
                job.stop_file.touch()
                st.rerun()
        return
    views.study_ended(job, latest)


def _progress(job: DeploymentJob, _before: str) -> None:
    latest: JobState | None = job.load_state()
    if latest is None or latest.state != "running":
        st.rerun()
        return
    stopping = "stopping · " if job.stop_file.exists() else ""
    st.progress(latest.done / (latest.total or 1),
                text=f"{stopping}{latest.done} % · {views.plain(latest.text)}")


def _own_first(known: dict[str, ModelEntry]) -> list[str]:
    """Return the names of models, those that were trained here first."""
    return sorted(known, key=lambda name: known[name].kind != "run")
