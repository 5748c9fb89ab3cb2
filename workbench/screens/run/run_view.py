"""The page of one run: its state, curves, results, samples, log and recipe, and its actions."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable, Sequence
from typing import Literal
from urllib.parse import urlencode

import streamlit as st

from core.config import BridgeConfig, ChainConfig, EnsembleConfig, FineTuneConfig, ReadingConfig, SpecialistsConfig
from core.errors import ConfigError
from workbench.errors import StoreUnavailableError
from workbench.mounts import live_path
from workbench.runs import jobs
from workbench.screens.run import outcome, repetitions
from workbench.screens.run.moment import (
    EVALUATIONS,
    LOG,
    MACHINE,
    NUMBERS,
    OF_BLANKS,
    RAW,
    SERVED,
    STATE,
    TASK_EVALUATIONS,
    TERMS,
    WEIGHTED,
    Moment,
    look,
    loss_figure,
)
from workbench.screens.run.processes_view import job_details, job_text, processes
from workbench.screens.shared import charts, fragments, panes, portable, results, share, state, views
from workbench.screens.shared.downloads import download
from workbench.screens.shared.live import Live, live_text, rerun_when_changed
from workbench.screens.shared.live_plotly import live_plotly
from workbench.screens.shared.tracker_buttons import tracker_buttons
from workbench.screens.shared.uploads import shown_name
from workbench.store import references
from workbench.store.records import ACTIVE, Run

# Of many who open the page at once, two are served at a time: side by side all of them would wait for the last.
DRAWING = threading.Semaphore(2)
MESSAGE_BOX = {"failed": st.error, "lost": st.warning, "stopped": st.info}


def show(run: Run) -> None:
    """Draw the whole page.

    While the run is active its parts follow the feed, see `feed`: figures get their new points without a rerun of this script, and what
    is said in words is drawn again when it changed.
    """
    fragments.fragment(_body)(run.id, state.lives(run))


def _body(run_id: str, was_live: bool) -> None:
    with views.errors_shown(), DRAWING:
        moment = _followed(run_id, STATE)
        if was_live != state.lives(moment.run):
            st.rerun()  # whether a page follows the feed is decided when it is drawn
        _header(moment.run)
        fragments.fragment(_now_and_numbers)(run_id)
        _tabs(moment)


def _now_and_numbers(run_id: str) -> None:
    with views.errors_shown():
        moment = _followed(run_id, NUMBERS)
        _progress(moment.run)
        _numbers(moment)


def _followed(run_id: str, name: str) -> Moment:
    """Look at the run, and have the fragment in which this is called drawn again when that version is another one, while it is active."""
    try:
        moment = look(state.store(), run_id)
    except StoreUnavailableError:
        rerun_when_changed("", key=f"rerun.{name}", live=_address(run_id, name))  # tried again as soon as the feed can read the store
        raise
    if state.lives(moment.run):
        rerun_when_changed(moment.version(name), key=f"rerun.{name}", live=_address(run_id, name))
    return moment


def _address(run_id: str, name: str) -> Live:
    return Live(f"{live_path()}?{urlencode({'run': run_id})}", name)


def _live(run: Run, name: str) -> Live | None:
    return _address(run.id, name) if state.lives(run) else None


# ------------------------------------------------------------------------------------------------ head


def _header(run: Run) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.title(run.name, width="content", anchor=False)
        views.status_badge(run)
        st.space("stretch")
        with st.container(horizontal=True, width="content"):  # the buttons wrap together
            _actions(run)
    st.caption(views.plain(_summary(run)))
    repetitions.link(run)
    if run.deleted is not None:
        st.info("This run is in the bin. Restore it from the Runs page to keep it.", icon=":material/delete:")
    if run.message and run.status in MESSAGE_BOX:
        steps = f" Steps: {results.steps_text(run)}." if results.has_control(run) and results.steps_text(run) else ""
        MESSAGE_BOX[run.status](views.no_images(f"**{run.message}**{steps} {run.hint or ''}"))


def _summary(run: Run) -> str:
    when = f"ended {views.ago(run.finished)}" if run.finished else f"started {views.ago(run.started)}" if run.started else "waiting"
    try:
        config = references.duplicate(run, state.store())
    except ConfigError:
        return when
    if isinstance(config, FineTuneConfig):
        data = ":".join(filter(None, (shown_name(config.task.source), config.task.subset)))
        teacher = f"teacher {config.teacher.model}  ·  T = {config.losses.temperature:g}" if config.teacher else "no teacher"
        return f"{config.student.model} fine-tuned on {data}  ·  {teacher}  ·  {when}"
    if isinstance(config, BridgeConfig):
        return "  ·  ".join((f"texts by {config.bridge.model}", f"proxy {config.student.model}", when))
    if isinstance(config, ReadingConfig):
        notes = {"own": "notes by", "shuffled": "shuffled notes by", "none": "no notes, text of"}[config.reading.notes]
        return "  ·  ".join((f"{notes} {config.reading.model}", f"student {config.student.model or 'from scratch'}", when))
    if isinstance(config, SpecialistsConfig):
        distilled = f"T = {config.losses.temperature:g}" if config.specialists.distil else ""
        return "  ·  ".join(filter(None, (f"specialists of {shown_name(config.specialists.source)}", distilled, when)))
    if isinstance(config, EnsembleConfig):
        return "  ·  ".join((f"{config.ensemble.mean} mean of {config.ensemble.size} classifiers on {shown_name(config.images.source)}",
                             f"T = {config.losses.temperature:g}", when))
    depth = None if isinstance(config, ChainConfig) else results.student_depth(config)
    trained = (f"chain of {1 + len(config.chain.anchors)} anchors" if isinstance(config, ChainConfig) else
               f"{'shape of ' if config.student.init == 'random' else ''}{config.student.model.rstrip('/').rpartition('/')[2]} trained on"
               if config.student.model else f"student of {depth} blocks" if depth else "student of half the depth")
    parts = [f"teacher {config.teacher.model}" if config.teacher else "no teacher", trained,
             f"T = {config.losses.temperature:g}" if config.teacher else "", "with control" if config.control else "", when]
    return "  ·  ".join(filter(None, parts))


def _actions(run: Run) -> None:
    store = state.store()
    if run.status in ("queued", "starting", "running") and st.button("Stop", icon=":material/stop:", key="stop"):
        store.request_stop(run.id)
        st.rerun()
    if run.status == "stopping" and st.button("Stop now", icon=":material/stop:", key="force", help=(
            "The run is finishing its step and saving a checkpoint. This terminates it now; the last saved checkpoint is kept.")):
        jobs.force_stop(run.id, store)
        st.rerun()
    if run.resumable and st.button("Resume", type="primary", icon=":material/play_arrow:", key="resume"):
        jobs.resume(run.id, store)
        st.rerun()
    if run.status == "finished" and isinstance(run.config, SpecialistsConfig) and st.button(
            "Open specialists", type="primary", icon=":material/diversity_3:", key="specialists"):
        st.switch_page(state.SPECIALISTS, query_params={"run": run.id})
    if run.status == "finished" and isinstance(run.config, ReadingConfig) and st.button(
            "Read together", type="primary", icon=":material/menu_book:", key="reading",
            help="Teacher's and student's notes side by side."):
        st.switch_page(state.READING, query_params={"run": run.id})
    if run.status == "finished" and run.builds_chain and st.button("Open chain", type="primary", icon=":material/link:", key="chain"):
        st.switch_page(state.CHAIN, query_params={"chain": run.name})
    if run.status == "finished" and run.crosses_bridge and st.button(
            "Build a chain from it", icon=":material/add_link:", key="chain below",
            help="Opens the chain builder with this model as the teacher."):
        st.switch_page(state.CHAIN, query_params={"teacher": run.name})
    looks: Literal["primary", "secondary"] = "secondary" if run.builds_chain else "primary"
    compared = _compared_models(run)
    pane = panes.of_models([run.name, *compared]) if run.status == "finished" else None
    if pane is not None and st.button(pane.comparison, type=looks, icon=f":material/{pane.icon}:", key="compare"):
        panes.open_with(compared, pane)
    with st.popover("More", icon=":material/more_horiz:", key="more"):
        _rename(run)
        untrained = f"{run.name}:{references.BEFORE}"
        if (run.directory / references.BEFORE).is_dir() and st.button(
                "Compare before and after", icon=":material/compare_arrows:", key="before", width="stretch",
                disabled=run.status != "finished", help="The untrained student next to the trained one."):
            panes.open_with([untrained, run.name], pane or panes.CHAT)
        if st.button("Duplicate as new", icon=":material/content_copy:", key="duplicate", width="stretch"):
            form = state.CHAIN if run.builds_chain else _form_of(run)
            st.switch_page(form, query_params={"from": run.id})
        repetitions.show(run)
        tracker_buttons([run], run.id)
        if st.button("Delete", icon=":material/delete:", key="delete", width="stretch", disabled=run.active or run.deleted is not None,
                     help="Stop it first." if run.active else "Moves it to the bin."):
            state.put_into_bin(run)
            st.switch_page(state.RUNS)


def _form_of(run: Run) -> str:
    """Return the page whose form holds a run's recipe; a chain has one of its own."""
    if isinstance(run.config, EnsembleConfig):
        return state.ENSEMBLE
    if isinstance(run.config, SpecialistsConfig):
        return state.SPECIALISTS
    return state.TUNE if isinstance(run.config, FineTuneConfig) else state.NEW


def _rename(run: Run) -> None:
    name = st.text_input("Name", value=run.name, key=f"name.{run.id}")
    if st.button("Rename", icon=":material/edit:", key="rename", width="stretch", disabled=not name or name == run.name):
        with views.errors_shown():
            state.store().rename(run.id, name)
            state.forget_models()
            st.rerun()


def _compared_models(run: Run) -> list[str]:
    if isinstance(run.config, ChainConfig):
        return [f"{run.name}:{number}" for number in range(1 + len(run.config.chain.anchors))][:3]
    config = references.duplicate(run, state.store())
    teacher = [config.teacher.model] if config.teacher and config.teacher.address is None else []  # a server only says what it thinks
    return [*teacher, run.name, *([f"{run.name}:control"] if config.control else [])][:3]


# ------------------------------------------------------------------------------------------------ now


def _progress(run: Run) -> None:
    if not state.lives(run):
        return
    phases = state.store().events(run.id, kind="phase") if run.status != "queued" else ()
    st.progress(results.share_done(run, phases), text=_now(run))


def _now(run: Run) -> str:
    """Return what the run does, or waits for."""
    store = state.store()
    if run.status != "queued":
        here = results.progress_text(run, store.events(run.id, kind="phase"))
        return f"{job}. {here}" if run.active and (job := job_text(run)) else here
    return queue_text(run, store.queue(), store.runs(status=ACTIVE))


def queue_text(run: Run, queue: Sequence[Run], active: Sequence[Run]) -> str:
    """Return which runs a queued one waits for, and its position in the queue."""
    place = next((number for number, each in enumerate(queue, start=1) if each.id == run.id), 1)
    parents = {parent.partition(":")[0] for parent in run.parents.values()}
    if coming := [views.plain(each.name) for each in (*active, *queue) if each.id in parents]:
        return f"Waiting for {' and '.join(coming)}, whose model it takes. Position {place} of {len(queue)} in the queue."
    if asks := next((each for each in (*active, *queue) if each.id == run.after), None):
        return (f"Waiting for {views.plain(asks.name)}, which keeps the teacher's answers for it. Position {place} of {len(queue)} in the "
                "queue.")
    ends = f"Waiting for {' and '.join(views.plain(each.name) for each in active)} to finish." if active else "Queued."
    return f"{ends} Position {place} of {len(queue)} in the queue: one run at a time on each device."


def _numbers(moment: Moment) -> None:
    if moment.table.empty:
        return
    shown = (*(OF_BLANKS if moment.masked else EVALUATIONS), *TASK_EVALUATIONS)
    with st.container(horizontal=True, key="numbers"):
        _latest(moment, (*shown, "tokens_per_second", "memory_gib"), changes=shown)
    if measured := [ends for name in shown if (ends := moment.ends(name)) is not None]:
        first, last = min(ends.first_step for ends in measured), max(ends.last_step for ends in measured)
        since = f", with the change since step {first:,}" if first < last else ""
        st.caption(f"The student's held-out metrics at step {last:,}{since}.")
    if any(name in moment.revisions for name in SERVED):
        with st.container(horizontal=True, key="served"):
            _latest(moment, SERVED)
    processes(moment.run)


def _latest(moment: Moment, names: Iterable[str], changes: Collection[str] = ()) -> None:
    """Draw the student's last value of each metric that it has, for some with the change since the first."""
    for name in names:
        if (ends := moment.ends(name)) is not None:
            change = ends.last - ends.first if name in changes and ends.last_step > ends.first_step else None
            views.metric(name, ends.last, delta=change, masked=moment.masked)


# ------------------------------------------------------------------------------------------------ tabs


def _tabs(moment: Moment) -> None:
    run = moment.run
    card = {"Retention": lambda: outcome.retention_tab(run, _now(run))} if results.asks_for_card(run) else {}
    draw = {"Curves": lambda: _curves(moment), "Results": lambda: outcome.results_tab(run, moment.table), **card,
            "Samples": lambda: outcome.samples_tab(run), "Log": lambda: fragments.fragment(_log)(run.id), "Recipe": lambda: _recipe(run)}
    first = {"finished": "Results", "failed": "Log", "lost": "Log"}.get(run.status, "Curves")
    # Only the open tab is drawn: figures in a hidden one would be sized wrongly, and cost time at every refresh.
    key, linked = f"tab.{run.id}", st.query_params.get("tab")
    tabs = st.tabs(list(draw), default=linked if linked in draw else first, key=key,
                   on_change=lambda: st.query_params.update(tab=st.session_state[key]))
    for tab, name in zip(tabs, draw, strict=True):
        if tab.open:
            with tab:
                draw[name]()


def _curves(moment: Moment) -> None:
    run = moment.run
    if moment.table.empty:
        doing = f"{views.plain(_now(run))} " if run.active else ""
        views.empty_state(f"{doing}No step has been logged yet. The curves appear here during training.", "show_chart")
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        st.subheader("Loss", anchor=False, width="content")
        terms = st.segmented_control("Terms", (WEIGHTED, RAW), default=WEIGHTED, required=True, key="terms", label_visibility="collapsed")
        logarithmic = st.toggle("Logarithmic", key="logarithmic")
    alone = " The control learns from hard labels alone, at weight 1: raw terms compare." if results.has_control(run) else ""
    st.caption(f"Weighted terms, which add up to the total loss.{alone}" if terms == WEIGHTED else "Unweighted terms, without T squared.")
    _figure(moment, loss_figure(terms, logarithmic=logarithmic), key="loss", label="Loss terms over the steps")
    _terms(moment)
    st.subheader("Held-out items" if moment.task else "Held-out masked tokens" if moment.masked else "Held-out text", anchor=False)
    shown = moment.task or (OF_BLANKS if moment.masked else EVALUATIONS)
    for column, name in zip(st.columns(max(len(shown), 3)), shown, strict=False):
        with column:
            _figure(moment, name, label=f"{charts.axis_label(name, masked=moment.masked)} over the steps")
    st.subheader("System", anchor=False)
    _machine(moment, MACHINE)
    if any(name in moment.revisions for name in SERVED):
        st.subheader("The teacher's server", anchor=False)
        _machine(moment, SERVED)


def _machine(moment: Moment, names: tuple[str, ...]) -> None:
    for column, name in zip(st.columns(3), names, strict=True):
        with column:
            _figure(moment, name, label=f"{charts.axis_label(name)} over the steps")


def _figure(moment: Moment, name: str, *, label: str, key: str = "") -> None:
    live_plotly(moment.figure(name), key=f"{key or name}.{moment.run.id}", label=label, live=_live(moment.run, name))


def _terms(moment: Moment) -> None:
    if not moment.terms:
        return
    if (live := _live(moment.run, TERMS)) is not None:
        live_text(moment.terms, key="terms now", live=live)
    else:
        st.caption(moment.terms)


def _log(run_id: str) -> None:
    with views.errors_shown():
        text = jobs.log_tail(_followed(run_id, LOG).run)
        if text:
            with st.container(height=420, autoscroll=True, border=False, key="log"):  # opened at its end, where the news is
                st.code(text, language=None, wrap_lines=True)
            run = state.store().run(run_id)
            download("Download log", run.log_path.read_bytes, file_name=f"{run.name}-log.txt", mime="text/plain", key="log file",
                     help="The whole log; shown is its end.")
        else:
            views.empty_state("No output yet.", "terminal")


def _recipe(run: Run) -> None:
    share.share(run.config, portable.command(run), "run")
    views.text_table(["", ""], [[name, str(value)] for name, value in (results.details(run) | job_details(run)).items()], label="Details")
