"""What a run came to: its results, its retention card, and its samples."""

from __future__ import annotations

from itertools import groupby

import pandas as pd
import streamlit as st

from core.events import CONTROL, STUDENT, BridgeCorpus, Sample
from workbench.screens.run import class_results, ensemble_results
from workbench.screens.shared import results, retention_view, state, take_home, views
from workbench.screens.shared.downloads import download
from workbench.store.records import Run


def results_tab(run: Run, table: pd.DataFrame) -> None:
    """Draw what was measured, and what to take along."""
    for texts in [BridgeCorpus.from_dict(event.payload) for event in state.store().events(run.id, kind=BridgeCorpus.kind)][-1:]:
        left_out = results.left_out_text(texts.left_out)
        st.markdown(f"Trained on **{texts.kept:,} texts**; filtered: {left_out or 'none'}.")
    measured, evaluations = results.measurements(state.store(), run), results.evaluations(state.store(), run)
    if not evaluations:
        views.empty_state("No evaluation yet. The teacher is evaluated first, then the student before and after training.",
                          "table_chart")
        return
    if (ensemble := ensemble_results.summary_of(state.store(), run)) is not None:
        ensemble_results.show(run, ensemble)
        if ensemble.measure == "errors":
            return
    by_class = class_results.report_of(state.store(), run)
    deployed = class_results.deployment_of(run, measured) if by_class is not None else None
    head, rows = (results.chain_table(evaluations) if run.builds_chain else results.result_table(measured) if by_class is None else
                  class_results.table(measured, by_class, deployed))
    views.text_table(head, rows, numbers=True, label="Results")
    if run.builds_chain:
        st.caption("Each anchor against its teacher, before and after training, on held-out text.")
    elif summary := results.verdict(measured):
        st.markdown(summary)
    if lead := results.teacher_lead(measured):
        st.caption(lead)
    if by_class is not None:
        class_results.details(run, by_class, deployed)
    with st.container(horizontal=True):
        download("Final metrics (CSV)", lambda: results.final_csv(measured), file_name=f"{run.name}-results.csv", mime="text/csv",
                 key="results csv")
        download("Curves (CSV)", lambda: results.curves_csv(table), file_name=f"{run.name}-curves.csv", mime="text/csv", key="curves csv",
                 disabled=table.empty)
    if run.status == "finished":
        st.caption("Chain folder; each anchor in it is a Transformers model folder:" if run.builds_chain else
                   "Model folder, loadable with Transformers:")
        st.code(str(run.directory if run.builds_chain else run.output_dir), language=None)
        for entry in (entry for entry in state.models() if entry.kind == "run" and entry.name.partition(":")[0] == run.name):
            with st.expander(f"Take {entry.name} along", icon=":material/download:", key=f"take.{entry.name}"):
                take_home.downloads(entry)


def retention_tab(run: Run, doing: str) -> None:
    """Draw the retention card.

    Args:
        doing: what the run does now.
    """
    card = results.retention_card(state.store(), run)
    if card is None:
        now = f"{views.plain(doing)} " if run.active else ""
        views.empty_state(f"{now}The card is measured once teacher, student and control are trained: size, latency, then the "
                          "scores on each task.", "fact_check")
    else:
        retention_view.show(card, name=run.name)


def samples_tab(run: Run) -> None:
    """Draw how the answers to the prompts changed over the steps."""
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
