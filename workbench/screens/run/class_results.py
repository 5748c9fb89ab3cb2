"""Results of a run that trained a classifier: teacher, student and int8 file in one table, then class by class."""

from __future__ import annotations

import streamlit as st

from core.events import STUDENT_AFTER, TEACHER
from core.reports.class_scores import ClassReport
from core.reports.deployment import store as deployments
from core.reports.deployment.record import INT8, Deployment
from core.system import units
from workbench.screens.shared import class_scores_view, results, state
from workbench.screens.shared.class_scores_view import share
from workbench.screens.shared.results import Measurements
from workbench.store import Store
from workbench.store.records import Run

NAMES = {TEACHER: "Teacher", STUDENT_AFTER: "Student"}
NOT_MEASURED = "–"


def report_of(store: Store, run: Run) -> ClassReport | None:
    """Return what a run recorded of its classifiers; None for other runs, and for those of earlier releases."""
    events = store.events(run.id, kind=ClassReport.kind)
    return ClassReport.from_dict(events[-1].payload) if events else None


def deployment_of(run: Run, measured: Measurements) -> Deployment | None:
    """Return the latest comparison of a run's student with its int8 file on as many items; None where there is none."""
    items = measured.get(STUDENT_AFTER, {}).get("items")
    for folder in deployments.folders():
        request = deployments.load_request(folder)
        if request is not None and request.student == str(run.output_dir) and (found := deployments.result_of(folder)) is not None \
                and found.items == items:
            return found
    return None


def table(measured: Measurements, report: ClassReport, deployed: Deployment | None) -> tuple[list[str], list[list[str]]]:
    """Return head and rows: what `results.result_table` has, macro F1 and calibration, and the int8 file where it was measured."""
    head, rows = results.result_table(measured)
    columns = [each for each in results.COLUMNS if each in measured]
    found = report.scores
    rows = [*rows,
            ["Macro F1", *(share(found[each].macro_f1) if each in found else NOT_MEASURED for each in columns),
             "bootstrap over items"],
            ["Calibration error (points)", *(f"{100 * found[each].ece:.1f}" if each in found else NOT_MEASURED for each in columns),
             f"by chance up to {100 * found[STUDENT_AFTER].ece_by_chance:.1f}"]]
    if deployed is None:
        return head, rows
    added = {"Accuracy": share(deployed.forms[INT8].quality)}
    if (exported := deployed.classes.get(INT8)) is not None:
        added |= {"Macro F1": share(exported.macro_f1), "Calibration error (points)": f"{100 * exported.ece:.1f}"}
    rows = [[*row[:-1], added.get(row[0].capitalize() if row[0] == "accuracy" else row[0], NOT_MEASURED), row[-1]] for row in rows]
    forms = {"teacher": deployed.forms.get("teacher"), "student_after": deployed.forms["student"]}
    for label, text in (("Size", lambda form: units.format_bytes(form.bytes)), ("Latency, p95", lambda form: f"{form.p95.value:.3g} ms")):
        cells = [NOT_MEASURED if forms.get(each) is None else text(forms[each]) for each in columns]
        rows.append([label, *cells, text(deployed.forms[INT8]), "one text, one thread" if label != "Size" else "weights on disk"])
    return [*head[:-1], "Student, int8", head[-1]], rows


def details(run: Run, report: ClassReport, deployed: Deployment | None) -> None:
    """Draw scores by class, calibration and mistakes, and the way to the int8 file."""
    scores = {NAMES[subject]: each for subject, each in report.scores.items()}
    if deployed is not None and INT8 in deployed.classes and len(deployed.classes[INT8].classes) == len(scores["Student"].classes):
        scores |= {"Student, int8": deployed.classes[INT8]}
    class_scores_view.show(scores, "Student", key=run.id)
    class_scores_view.mistakes(report.worst, NAMES)
    if run.status == "finished" and deployed is None:
        st.page_link(state.DEPLOY, label="Measure the int8 file too: quality, size and latency", icon=":material/rocket_launch:",
                     query_params={"student": run.name})
