"""The page of one run: its state, curves, results, samples, log and recipe, and its actions."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Literal

import pandas as pd
import streamlit as st

from core.config import BridgeConfig, ChainConfig, FineTuneConfig
from core.errors import ConfigError
from core.events import CONTROL, STUDENT, BridgeCorpus, Sample
from workbench.runs import jobs
from workbench.screens.new_experiment.uploads import shown_name
from workbench.screens.shared import charts, panes, results, retention_view, state, views
from workbench.screens.shared.live_plotly import live_plotly
from workbench.store import references
from workbench.store.records import ACTIVE, Run

POLL_SECONDS = 1.5
EVALUATIONS = ("eval/perplexity", "eval/kl_to_teacher", "eval/agreement")
OF_BLANKS = ("eval/masked_accuracy", *EVALUATIONS)  # of masked language models
TASK_EVALUATIONS = ("eval/accuracy", "eval/exact_match", "eval/answer_f1", "eval/matthews", "eval/f1")  # those that the task has
MACHINE = ("learning_rate", "tokens_per_second", "memory_gib")
WEIGHTED, RAW = "weighted", "raw"
MESSAGE_BOX = {"failed": st.error, "lost": st.warning, "stopped": st.info}


def show(run: Run) -> None:
    """Draw the whole page, redrawn every second or so while the run is active."""
    live = state.lives(run)
    st.fragment(_body, run_every=POLL_SECONDS if live else None)(run.id, live)


def _body(run_id: str, was_live: bool) -> None:
    with views.errors_shown():
        run = state.store().run(run_id)
        if was_live != state.lives(run):
            st.rerun()  # the timer of a fragment is set when the page is drawn
        _header(run)
        table = state.curves(run.id)
        masked = results.is_masked(results.measurements(state.store(), run))
        _progress(run)
        _numbers(table, masked=masked)
        _tabs(run, table, masked=masked)


# ------------------------------------------------------------------------------------------------ head


def _header(run: Run) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.title(run.name, width="content", anchor=False)
        views.status_badge(run)
        st.space("stretch")
        with st.container(horizontal=True, width="content"):  # the buttons wrap together
            _actions(run)
    st.caption(views.plain(_summary(run)))
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
            form = state.CHAIN if run.builds_chain else state.TUNE if isinstance(run.config, FineTuneConfig) else state.NEW
            st.switch_page(form, query_params={"from": run.id})
        if st.button("Delete", icon=":material/delete:", key="delete", width="stretch", disabled=run.active or run.deleted is not None,
                     help="Stop it first." if run.active else "Moves it to the bin."):
            state.put_into_bin(run)
            st.switch_page(state.RUNS)


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
    teacher = [config.teacher.model] if config.teacher else []
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
        return results.progress_text(run, store.events(run.id, kind="phase"))
    return queue_text(run, store.queue(), store.runs(status=ACTIVE))


def queue_text(run: Run, queue: Sequence[Run], active: Sequence[Run]) -> str:
    """Return which runs a queued one waits for, and its position in the queue."""
    place = next((number for number, each in enumerate(queue, start=1) if each.id == run.id), 1)
    ends = f"Waiting for {' and '.join(views.plain(each.name) for each in active)} to finish." if active else "Queued."
    return f"{ends} Position {place} of {len(queue)} in the queue: one run at a time on each device."


def _numbers(table: pd.DataFrame, *, masked: bool) -> None:
    if table.empty:
        return
    with st.container(horizontal=True, key="numbers"):
        shown = (*(OF_BLANKS if masked else EVALUATIONS), *TASK_EVALUATIONS)
        for name in (*shown, "tokens_per_second", "memory_gib"):
            curve = charts.select(table, STUDENT, name)["value"]
            if len(curve):
                change = curve.iloc[-1] - curve.iloc[0] if name in shown and len(curve) > 1 else None
                views.metric(name, curve.iloc[-1], delta=change, masked=masked)


# ------------------------------------------------------------------------------------------------ tabs


def _tabs(run: Run, table: pd.DataFrame, *, masked: bool) -> None:
    card = {"Retention": lambda: _retention(run)} if results.asks_for_card(run) else {}
    draw = {"Curves": lambda: _curves(run, table, masked=masked), "Results": lambda: _results(run, table), **card,
            "Samples": lambda: _samples(run), "Log": lambda: _log(run), "Recipe": lambda: _recipe(run)}
    first = {"finished": "Results", "failed": "Log", "lost": "Log"}.get(run.status, "Curves")
    # Only the open tab is drawn: figures in a hidden one would be sized wrongly, and cost time at every refresh.
    key, linked = f"tab.{run.id}", st.query_params.get("tab")
    tabs = st.tabs(list(draw), default=linked if linked in draw else first, key=key,
                   on_change=lambda: st.query_params.update(tab=st.session_state[key]))
    for tab, name in zip(tabs, draw, strict=True):
        if tab.open:
            with tab:
                draw[name]()


def _curves(run: Run, table: pd.DataFrame, *, masked: bool) -> None:
    if table.empty:
        doing = f"{views.plain(_now(run))} " if run.active else ""
        views.empty_state(f"{doing}No step has been logged yet. The curves appear here during training.", "show_chart")
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        st.subheader("Loss", anchor=False, width="content")
        terms = st.segmented_control("Terms", (WEIGHTED, RAW), default=WEIGHTED, required=True, key="terms", label_visibility="collapsed")
        logarithmic = st.toggle("Logarithmic", key="logarithmic")
    st.caption("Weighted terms, which add up to the total loss." if terms == WEIGHTED else "Unweighted terms, without T squared.")
    task = [name for name in TASK_EVALUATIONS if len(charts.select(table, STUDENT, name))]
    live_plotly(charts.term_losses(table, weighted=terms == WEIGHTED, logarithmic=logarithmic, masked=masked,
                                   per="item" if task else "token"), key=f"loss.{run.id}", label="Loss terms over the steps")
    if now := results.terms_now(table, masked=masked):
        st.caption(f"At the last step: {now}.")
    st.subheader("Held-out items" if task else "Held-out masked tokens" if masked else "Held-out text", anchor=False)
    teacher = results.measurements(state.store(), run).get("teacher", {})
    shown = task or (OF_BLANKS if masked else EVALUATIONS)
    for column, name in zip(st.columns(max(len(shown), 3)), shown, strict=False):
        level = teacher.get(name.removeprefix("eval/")) if task or name in ("eval/perplexity", "eval/masked_accuracy") else None
        with column:
            live_plotly(charts.evaluation(table, name, teacher=level, masked=masked), key=f"{name}.{run.id}",
                        label=f"{charts.axis_label(name, masked=masked)} over the steps")
    st.subheader("System", anchor=False)
    for column, name in zip(st.columns(3), MACHINE, strict=True):
        with column:
            live_plotly(charts.single(table, name), key=f"{name}.{run.id}", label=f"{charts.axis_label(name)} over the steps")


def _results(run: Run, table: pd.DataFrame) -> None:
    for texts in [BridgeCorpus.from_dict(event.payload) for event in state.store().events(run.id, kind=BridgeCorpus.kind)][-1:]:
        left_out = results.left_out_text(texts.left_out)
        st.markdown(f"Trained on **{texts.kept:,} texts**; filtered: {left_out or 'none'}.")
    measured, evaluations = results.measurements(state.store(), run), results.evaluations(state.store(), run)
    if not evaluations:
        views.empty_state("No evaluation yet. The teacher is evaluated first, then the student before and after training.",
                          "table_chart")
        return
    head, rows = results.chain_table(evaluations) if run.builds_chain else results.result_table(measured)
    views.text_table(head, rows, numbers=True, label="Results")
    if run.builds_chain:
        st.caption("Each anchor against its teacher, before and after training, on held-out text.")
    elif summary := results.verdict(measured):
        st.markdown(summary)
    with st.container(horizontal=True):
        st.download_button("Final metrics (CSV)", lambda: results.final_csv(measured), file_name=f"{run.name}-results.csv", mime="text/csv",
                           icon=":material/download:", on_click="ignore", key="results csv")
        st.download_button("Curves (CSV)", lambda: results.curves_csv(table), file_name=f"{run.name}-curves.csv", mime="text/csv",
                           icon=":material/download:", on_click="ignore", key="curves csv", disabled=table.empty)
    if run.status == "finished":
        st.caption("Chain folder; each anchor in it is a Transformers model folder:" if run.builds_chain else
                   "Model folder, loadable with Transformers:")
        st.code(str(run.directory if run.builds_chain else run.output_dir), language=None)


def _retention(run: Run) -> None:
    card = results.retention_card(state.store(), run)
    if card is None:
        doing = f"{views.plain(_now(run))} " if run.active else ""
        views.empty_state(f"{doing}The card is measured once teacher, student and control are trained: size, latency, then the "
                          "scores on each task.", "fact_check")
    else:
        retention_view.show(card, name=run.name)


def _samples(run: Run) -> None:
    samples = [Sample.from_dict(event.payload) for event in state.store().events(run.id, kind=Sample.kind)]
    if not samples:
        views.empty_state("No samples yet. At every evaluation the prompts of the recipe are completed, or their masked tokens "
                          "predicted.", "chat")
        return
    variants = [variant for variant in (STUDENT, CONTROL) if any(sample.variant == variant for sample in samples)]
    for prompt in dict.fromkeys(sample.prompt for sample in samples):
        st.subheader(views.first_line(prompt), anchor=False)
        answers = sorted((sample for sample in samples if sample.prompt == prompt), key=lambda sample: -sample.step)
        rows = []
        for step, together in groupby(answers, key=lambda sample: sample.step):
            said = {sample.variant: sample.answer for sample in together}
            rows.append([f"{step:,}", *(said.get(variant, "") for variant in variants)])
        views.text_table(["Step", *(variant.capitalize() for variant in variants)], rows, label=f"Samples of: {prompt}", first_width="5rem")


def _log(run: Run) -> None:
    text = jobs.log_tail(run)
    if text:
        st.code(text, language=None, height=420, wrap_lines=True)
    else:
        views.empty_state("No output yet.", "terminal")


def _recipe(run: Run) -> None:
    st.caption("Reproduce this run")
    st.code(run.command, language="bash", wrap_lines=True)
    recipe = Path(run.directory, "recipe.yaml")
    text = recipe.read_text(encoding="utf-8") if recipe.is_file() else run.config.to_yaml()
    st.caption("Full configuration")
    st.code(text, language="yaml", height=360)
    st.download_button("Download YAML", text, file_name=f"{run.name}.yaml", mime="application/yaml", icon=":material/download:",
                       on_click="ignore")
    views.text_table(["", ""], [[name, str(value)] for name, value in results.details(run).items()], label="Details")
