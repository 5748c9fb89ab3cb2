"""Small pieces that several pages draw: errors, statuses, empty states, tables of text, numbers as people read them."""

from __future__ import annotations

import html
import math
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Literal

import streamlit as st

from core import metrics
from core.config import ExperimentConfig
from core.errors import StillhouseError
from core.system.units import duration
from workbench.runs import jobs
from workbench.screens.shared import state
from workbench.screens.shared.theme import TEAL, BadgeColour
from workbench.store.records import Run, Status
from workbench.studies.jobs import Job, JobState

STATUS_LOOKS: dict[Status, tuple[BadgeColour, str]] = {  # colour, icon
    "queued": ("gray", "schedule"), "starting": ("blue", "hourglass_top"), "running": ("primary", "play_circle"),
    "stopping": ("orange", "pause_circle"), "stopped": ("gray", "stop_circle"), "finished": ("green", "check_circle"),
    "failed": ("red", "error"), "lost": ("orange", "link_off"),
}

# by the direction that is an improvement: in which colours `st.metric` shows a change upwards and downwards
DELTA_COLOURS: dict[str, Literal["inverse", "normal", "off"]] = {"lower": "inverse", "higher": "normal", "none": "off"}

# Shown as percentages.
SHARES = ("eval/agreement", "eval/sentiment_accuracy", "eval/masked_accuracy", "eval/accuracy", "eval/majority_share", "eval/f1",
          "eval/exact_match", "eval/answer_f1")


@contextmanager
def errors_shown() -> Iterator[None]:
    """Show what a user can act on in place of a traceback; anything else is a fault and goes through."""
    try:
        yield
    except StillhouseError as error:
        problem(error)


def problem(error: StillhouseError) -> None:
    """One message: what was given, what was expected, what to do."""
    st.error(no_images(" ".join(part for part in (f"**{error.given}**", error.expected, error.advice) if part)), icon=":material/error:")


def start_run(config: ExperimentConfig) -> None:
    """Queue a run and open its page, or show why it cannot be started."""
    try:
        run = jobs.submit(config, state.store())
    except StillhouseError as error:
        problem(error)
    else:
        st.switch_page(state.RUN, query_params={"run": run.id})


def study_ended(job: Job, ending: JobState) -> None:
    """Say how a claim's test or an ablation ended that did not finish, with the end of its log unless it was stopped."""
    box = {"failed": st.error, "lost": st.warning, "stopped": st.info}[ending.state]
    box(no_images(f"**{plain(ending.message)}** {plain(ending.hint)}"))
    log = job.log_tail() if ending.state != "stopped" else ""
    if log:
        with st.expander("Log", key=f"log.{job.folder.name}"):
            st.code(log, language=None, height=240)


def queue_warning() -> None:
    """Warn while the queue cannot be processed: runs then neither start nor are seen to end."""
    error = jobs.queue_problem()
    if error is not None:
        said = str(error) if isinstance(error, StillhouseError) else f"{type(error).__name__}: {error}"
        st.warning(f"**Waiting runs cannot be started at the moment.** {plain(said)} It is tried again every second.",
                   icon=":material/warning:")


def plain(text: str) -> str:
    """Markdown that shows `text` as it is: for words that come from elsewhere, such as a model's card."""
    return re.sub(r"([\\`*_{}\[\]<>$~:|#!&@])", r"\\\1", text)


def no_images(markdown: str) -> str:
    """Return the same Markdown without images: text of others must not make the page query another host."""
    return markdown.replace("![", r"!\[")


def first_line(text: str) -> str:
    """Return the beginning of a longer text, for a heading; plain Markdown."""
    return plain(next(iter(text.strip().splitlines()), "(nothing)"))


def status_badge(run: Run) -> None:
    """Draw the run's status as a coloured word with its sign."""
    word_badge(run.status)


def word_badge(status: Status) -> None:
    """Draw a status as a coloured word with its sign."""
    colour, icon = STATUS_LOOKS[status]
    st.badge(status, color=colour, icon=f":material/{icon}:")


def empty_state(text: str, icon: str = "inbox") -> None:
    """Draw a frame that says what would stand here and what to do next; put the button below it."""
    with st.container(border=True, horizontal_alignment="center"):
        st.space("small")
        st.markdown(f":gray[:material/{icon}:]", width="content")
        st.markdown(text, text_alignment="center")
        st.space("small")


def sparkline(values: Sequence[float], label: str) -> None:
    """Draw a small curve with no axes, in the page's own markup; `label` is its accessible name."""
    finite = [value for value in values if math.isfinite(value)]
    if len(finite) < 2:
        st.caption("no curve yet")
        return
    low, high = min(finite), max(finite)
    scale = (high - low) or 1.0
    points = " ".join(f"{100 * index / (len(finite) - 1):.1f},{22 - 20 * (value - low) / scale:.1f}" for index, value in enumerate(finite))
    st.markdown(f'<svg viewBox="0 0 100 24" preserveAspectRatio="none" role="img" aria-label="{html.escape(label)}" '
                f'style="width:100%;max-width:170px;height:28px;display:block"><polyline points="{points}" fill="none" stroke="{TEAL}" '
                'stroke-width="1.6" stroke-linejoin="round" vector-effect="non-scaling-stroke"/></svg>', unsafe_allow_html=True)


def text_table(head: Sequence[str], rows: Iterable[Sequence[str]], *, label: str, numbers: bool = False, first_width: str = "auto") -> None:
    """Draw a table whose cells are plain text that wraps; nothing in a cell is read as markup.

    Args:
        label: what the table holds, for screen readers.
        numbers: right-align every column but the first.
        first_width: of the first column, in CSS.
    """
    side = "right" if numbers else "left"
    cell = "padding:0.45rem 0.8rem 0.45rem 0;vertical-align:top;white-space:pre-line;border-bottom:1px solid rgba(128,138,140,0.3)"

    def line(tag: str, cells: Sequence[str], style: str) -> str:
        aligned = ["left", *[side] * (len(cells) - 1)]
        return "".join(f'<{tag} style="{cell};{style};text-align:{align}">{html.escape(text)}</{tag}>'
                       for text, align in zip(cells, aligned, strict=True))

    body = "".join(f"<tr>{line('td', row, 'font-variant-numeric:tabular-nums')}</tr>" for row in rows)
    st.html(scrollable(f'<table aria-label="{html.escape(label)}" style="width:100%;border-collapse:collapse">'
                       f'<colgroup><col style="width:{first_width}"></colgroup>'
                       f'<thead><tr>{line("th", head, "font-weight:600;opacity:0.75")}</tr></thead><tbody>{body}</tbody></table>'))


def scrollable(markup: str) -> str:
    """Return the markup inside a box that scrolls sideways where the page is narrower than it.

    That it scrolls stands in the markup itself: the browser may get `pages.css`, which fades its end out, after the page is drawn,
    and until then the whole page would be as wide as the box.
    """
    return f'<div class="wide" style="overflow-x:auto">{markup}</div>'


def number(value: float | None, name: str, digits: int = 4) -> str:
    """Return a metric as text: shares as percentages, the rest to `digits` figures; a dash when it was not measured."""
    if value is None or not math.isfinite(value):
        return "–"
    if name in SHARES:
        return f"{value:.1%}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.{digits}g}"


def metric(name: str, value: float | None, *, delta: float | None = None, masked: bool = False) -> None:
    """One number with its label and meaning; `delta` is the change since training began, `masked` as in `core.metrics.metric`."""
    about = metrics.metric(name, masked=masked)
    change = None
    if delta is not None and math.isfinite(delta):
        size = f"{100 * abs(delta):.1f} points" if name in SHARES else number(abs(delta), name, 3)
        change = f"{'+' if delta >= 0 else '-'}{size}"
    st.metric(label(name, masked=masked), number(value, name, 3), delta=change, delta_color=DELTA_COLOURS[about.better], help=about.help)


def label(name: str, *, masked: bool = False) -> str:
    """Return a metric's name for a heading, with its unit."""
    about = metrics.metric(name, masked=masked)
    text = about.label[0].upper() + about.label[1:]
    return f"{text} ({about.unit})" if about.unit else text


def ago(when: float) -> str:
    """How long ago a moment (seconds since 1970) was."""
    passed = time.time() - when
    if abs(passed) >= 86_400:  # also ahead: the clock was wrong then, or is now
        return time.strftime("%d %b %Y", time.localtime(when))
    return "just now" if passed < 10 else f"{duration(passed)} ago"
