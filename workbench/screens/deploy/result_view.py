"""One comparison: the limits and the verdict, the forms side by side, where the small one loses, and what to take home."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import streamlit as st

from core.evaluation.statistics import Estimate
from core.metrics import METRICS
from core.reports.deployment import acceptance
from core.reports.deployment import store as deployments
from core.reports.deployment.acceptance import Limits, Verdict
from core.reports.deployment.record import EXPORT, FORM_NAMES, INT8, ITEMS, Deployment, FormFigures
from core.system import units
from workbench.screens.shared import charts, class_scores_view, views
from workbench.screens.shared.downloads import download
from workbench.screens.shared.live_plotly import live_plotly
from workbench.screens.shared.theme import ROLE_COLOURS, VIOLET, BadgeColour

LOOKS: dict[Verdict, tuple[BadgeColour, str]] = {
    "pass": ("green", "check_circle"), "fail": ("red", "cancel"), "inconclusive": ("orange", "help")}
COLOURS = {FORM_NAMES["teacher"]: ROLE_COLOURS["teacher"], FORM_NAMES["student"]: ROLE_COLOURS["student"], FORM_NAMES[INT8]: VIOLET}
LIMITS = (("loss", "loss"), ("mb", "megabytes"), ("ms", "milliseconds"))  # name in the address -> of `Limits`
HELP_INTERVAL = ("The interval holds the true value in 95 of 100 such measurements. Accuracy: Wilson over distinct texts; its loss: "
                 "adjusted Wald over the same items; perplexity, KL and latency: bootstrap over blocks of text and rounds.")


def show(folder: Path) -> None:
    """Draw everything of a finished comparison."""
    found = deployments.result_of(folder)
    assert found is not None, "only finished comparisons are shown"
    for warning in found.warnings:
        st.warning(views.plain(warning), icon=":material/warning:")
    limits = _limits(found)
    _verdict(found, limits)
    _forms(found, limits)
    _losses(found)
    _take_home(folder, found)


# ---------------------------------------------------------------------------------------------------- limits and verdict


def _limits(found: Deployment) -> Limits:
    """Draw the limits, in step with the address, and return them."""
    st.subheader("Acceptance", anchor=False)
    labels = (f"Loss, at most ({acceptance.loss_unit(found)})", "Size, at most (MB)", "Latency, at most (ms)")
    helps = ("Against the teacher, or the student where there is none.", "Of the weights' file; 1 MB is 10^6 bytes.",
             f"Of one text of {found.length} tokens on one thread of {found.processor}, in 95 of 100 cases.")
    given = {}
    for column, label, text, (key, field) in zip(st.columns(3), labels, helps, LIMITS, strict=True):
        usual = _number(st.query_params.get(key), getattr(Limits(), field))
        value = column.number_input(label, value=usual, min_value=0.0, step=1.0, format="%g", placeholder="no limit", help=text,
                                    key=f"deploy.{key}")
        given[field] = None if value is None else float(value)
        st.query_params[key] = "none" if value is None else f"{value:g}"
    return Limits(**given)


def _number(given: str | None, usual: float | None) -> float | None:
    if given == "none":
        return None
    try:
        return usual if given is None else max(0.0, float(given))
    except ValueError:
        return usual


def _verdict(found: Deployment, limits: Limits) -> None:
    forms = [form for form in found.forms if form != found.baseline]
    form = st.segmented_control("Form", forms, default=INT8, required=True, format_func=lambda name: FORM_NAMES[name], key="deploy.form")
    assert form is not None, "one is required"
    results = acceptance.criteria(found, form, limits)
    verdict = acceptance.verdict_of(results)
    colour, icon = LOOKS[verdict]
    with st.container(horizontal=True, vertical_alignment="center"):
        st.badge(verdict, color=colour, icon=f":material/{icon}:")
        st.markdown(sentence(found, form, verdict, results))
    rows = [(each.name, each.found, each.allowed, each.verdict, each.why) for each in results]
    views.text_table(("Limit", "Found", "Allowed", "Verdict", "Interval"), rows, label=f"Limits and verdicts of {FORM_NAMES[form]}")


def sentence(found: Deployment, form: str, verdict: Verdict, results: Sequence[acceptance.Criterion]) -> str:
    """Return the verdict in words, with what to do about one that is not passed."""
    name = f"**{FORM_NAMES[form]}** of {views.plain(found.student)}"
    if not results:
        return f"{name} has no limit to keep."
    if verdict == "pass":
        return f"{name} keeps every limit, with its whole interval."
    named = ", ".join(each.name.lower() for each in results if each.verdict == verdict)
    if verdict == "fail":
        return f"{name} breaks a limit: {named}."
    more = "blocks of text" if found.metric == "perplexity" else "distinct held-out items"
    return f"{name} may keep or break a limit, as its interval straddles it: {named}. Measure on more {more}, or on a quieter machine."


# ---------------------------------------------------------------------------------------------------- forms


def _forms(found: Deployment, limits: Limits) -> None:
    baseline = FORM_NAMES[found.baseline].lower()
    st.subheader("From teacher to int8" if found.teacher else "From student to int8", anchor=False)
    head, rows = form_table(found, limits)
    views.text_table(head, rows, numbers=True, label="The forms side by side", first_width="11rem")
    st.caption(f"Measured on {found.items:,} {found.unit} of {views.plain(found.data)}, {found.date}. Loss against the {baseline}. "
               f"Latency: one text of {found.length} tokens, one thread. In brackets: 95% intervals.", help=HELP_INTERVAL)
    label = METRICS[f"eval/{found.metric}"].label
    points = pd.DataFrame([(FORM_NAMES[form], FORM_NAMES[form], each.quality.value, each.quality.low, each.quality.high)
                           for form, each in found.forms.items()], columns=["label", "series", "value", "low", "high"])
    live_plotly(charts.intervals(points.astype({"value": float, "low": float, "high": float}), x_title=label, colours=COLOURS,
                                 tick_format=".0%" if found.metric == "accuracy" else "~g"),
                key=f"deploy.quality.{found.metric}", label=f"{label} of every form with its 95% interval, as in the table above")


def form_table(found: Deployment, limits: Limits) -> tuple[list[str], list[list[str]]]:
    """Return head and rows of the forms, each with its verdict."""
    verdicts = acceptance.verdicts_of_forms(found, limits)
    direction = "higher is better" if found.metric == "accuracy" else "lower is better"
    further = list(dict.fromkeys(name for form in found.forms.values() for name in form.further))
    head = ["Form", f"{found.metric.capitalize()} ({direction})", "Loss", *(views.label(f"eval/{name}") for name in further),
            "Parameters", "Size", "p50", "p95", "Verdict"]
    rows = []
    for form, each in found.forms.items():
        rows.append([f"{FORM_NAMES[form]}\n{each.model}", estimate(each.quality, found.metric), loss(found, each),
                     *(estimate(each.further[name], name) if name in each.further else "–" for name in further),
                     units.count(each.parameters), units.format_bytes(each.bytes), milliseconds(each.p50), milliseconds(each.p95),
                     "baseline" if form == found.baseline else verdicts[form]])
    return head, rows


def estimate(found: Estimate, name: str) -> str:
    """Return a metric with its interval."""
    text = views.number(found.value, f"eval/{name}")
    if found.low is None or found.high is None:
        return text
    return f"{text}\n({views.number(found.low, f'eval/{name}')} to {views.number(found.high, f'eval/{name}')})"


def loss(found: Deployment, figures: FormFigures) -> str:
    """Return what a form loses, in points of accuracy or in percent of perplexity."""
    if figures.loss is None:
        return "–"
    unit = "points" if found.metric == "accuracy" else "%"
    lost = figures.loss.map(lambda share: 100 * share)
    interval = "" if lost.low is None or lost.high is None else f"\n({lost.low:+.2f} to {lost.high:+.2f})"
    return f"{lost.value:+.2f} {unit}{interval}"


def milliseconds(found: Estimate) -> str:
    """Return a latency with its interval."""
    interval = "" if found.low is None or found.high is None else f"\n({found.low:.3g} to {found.high:.3g})"
    return f"{found.value:.3g} ms{interval}"


# ---------------------------------------------------------------------------------------------------- where it loses


def _losses(found: Deployment) -> None:
    st.subheader("Where it loses", anchor=False)
    for by in dict.fromkeys(group.by for group in found.groups):
        head, rows = group_table(found, by)
        st.markdown(f"**By {by}**")
        views.text_table(head, rows, numbers=True, label=f"{found.metric} by {by}", first_width="12rem")
    if found.classes:
        class_scores_view.show({FORM_NAMES[form]: each for form, each in found.classes.items()}, FORM_NAMES[INT8], key="deploy")
    st.markdown("**Worst items**")
    if not found.worst:
        st.caption("None: the int8 form gives every right answer at least the probability that the baseline gives it.")
        return
    head, rows = worst_table(found)
    st.caption("Where the probability of the right answer falls most from the baseline to int8.")
    views.text_table(head, rows, label="Items on which int8 loses most", first_width="45%")


def group_table(found: Deployment, by: str) -> tuple[list[str], list[list[str]]]:
    """Return head and rows of the quality of each form on the parts of the items."""
    unit = "Positions" if found.metric == "perplexity" else "Items"
    return ([by.capitalize(), unit, *(FORM_NAMES[form] for form in found.forms)],
            [[group.name, f"{group.items:,}", *(estimate(group.quality[form], found.metric) for form in found.forms)]
             for group in found.groups if group.by == by])


def worst_table(found: Deployment) -> tuple[list[str], list[list[str]]]:
    """Return head and rows of the items that are lost, with what each form gives and its probability of the right answer."""
    what = "Text" if found.metric == "accuracy" else "Text before the token"
    return ([what, "Right", *(FORM_NAMES[form] for form in found.forms)],
            [[each.text, each.right, *(f"{each.given[form]}\n{each.probability[form]:.1%} right" for form in found.forms)]
             for each in found.worst])


# ---------------------------------------------------------------------------------------------------- downloads


def _take_home(folder: Path, found: Deployment) -> None:
    st.subheader("Take it home", anchor=False)
    with st.container(horizontal=True):
        download("int8 model (zip)", lambda: zipped(folder / EXPORT), file_name=f"{folder.name}-int8.zip", mime="application/zip",
                 type="primary", key="deploy.zip")
        download("Every item (CSV)", lambda: (folder / ITEMS).read_bytes(), file_name=f"{folder.name}-items.csv", mime="text/csv",
                 key="deploy.items")
        download("Report (JSON)", lambda: json.dumps(found.to_dict(), indent=1), file_name=f"{folder.name}.json", mime="application/json",
                 key="deploy.report")
    st.code(snippet(found), language="python")


def snippet(found: Deployment) -> str:
    """Return lines of Python that run the exported file from its unpacked folder."""
    return ("import onnxruntime, transformers\n"
            "tokenizer = transformers.AutoTokenizer.from_pretrained(\".\")  # in the unpacked folder\n"
            f"session = onnxruntime.InferenceSession(\"{found.file}\")\n"
            "given = {each.name for each in session.get_inputs()}\n"
            "inputs = {k: v for k, v in tokenizer(\"A fine film.\", return_tensors=\"np\").items() if k in given}\n"
            "logits = session.run([\"logits\"], inputs)[0]")


def zipped(folder: Path) -> bytes:
    """Return a folder's files as a zip archive."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, strict_timestamps=False) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.write(path, path.relative_to(folder).as_posix())
    return target.getvalue()
