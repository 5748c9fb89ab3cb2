"""Show a retention card: three figures beside the published ones, the retained score of each task, and the full table."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from core.evaluation.statistics import Estimate
from core.reports import retention_text
from core.reports.retention_card import TOLERANCE, Card, Row
from workbench.screens.shared import charts, views
from workbench.screens.shared.downloads import download
from workbench.screens.shared.live_plotly import live_plotly
from workbench.screens.shared.theme import BLUE, BROWN, OLIVE, ROLE_COLOURS, ROSE, VIOLET

MACRO = "All tasks"
EXPORTS = (BLUE, ROSE, OLIVE, BROWN)  # rows that are neither student nor control


def show(card: Card, *, name: str) -> None:
    """Draw it.

    Args:
        name: of what it belongs to, for the file that is downloaded.
    """
    student = card.row("student")
    if card.stands_for_teacher:
        st.info(views.plain(card.stands_for_teacher), icon=":material/info:")
    if student is not None:
        _headlines(card, student)
    points = retained_points(card)
    if len(points):
        st.subheader("What is retained", anchor=False)
        live_plotly(charts.intervals(points, x_title=f"share of {_whose(card)} score", colours=series_colours(card), reference=1.0,
                                     hollow={card.published.name}, tick_format=".1~%"),
                    key=f"retained.{name}", label=f"Share of {_whose(card)} score on each task")
        kinds = {words for row in card.rows for task in card.tasks if (kept := card.retained(row, task)) and (words := kept.interval_words)}
        st.caption(f"Lines: {' or '.join(sorted(kinds))}, paired." if kinds else "One seed: no intervals.")
    head, body = retention_text.table(card)
    views.text_table(head, body, numbers=True, label="Retention card", first_width="13rem")
    for note in retention_text.notes(card):
        if note != card.stands_for_teacher:  # which stands above
            st.caption(views.plain(note))
    with st.container(horizontal=True):
        download("Retention card (CSV)", lambda: card_csv(card), file_name=f"{name}-retention.csv", mime="text/csv", key="retention csv")


def _whose(card: Card) -> str:
    return f"{card.compared_with}'s"


def _headlines(card: Card, student: Row) -> None:
    paper, whose, of_first = card.published, _whose(card), card.compared_with[len("the "):].capitalize()
    with st.container(horizontal=True, key="retention headlines"):
        _headline("Smaller", card.smaller(student), paper.smaller, paper.name, f"Share of {whose} parameters that it does without.")
        _headline("Faster", card.faster(student), paper.faster, paper.name,
                  f"{of_first}'s latency over the student's, less one; one sequence on one thread.{_prediction(card, student)}")
        if card.tasks:
            _headline("Retained", card.macro(student), paper.retained, paper.name, f"Its mean score over the tasks, over {whose}.")


def _prediction(card: Card, student: Row) -> str:
    """Whether the time agrees with the operations, in a sentence."""
    predicted, off = card.predicted_faster(student), card.off_prediction(student)
    if predicted is None or off is None:
        return ""
    agrees = f"within {TOLERANCE:.0%} of that" if abs(off) <= TOLERANCE else f"{abs(off):.0%} {'above' if off > 0 else 'below'} that"
    return f" The operations of one pass predict {predicted:.0%}; the measured ratio of times is {agrees}."


def _headline(label: str, share: Estimate | float | None, published: float, name: str, meaning: str) -> None:
    value = share.value if isinstance(share, Estimate) else share
    between = (f" Between {share.low:.1%} and {share.high:.1%} ({share.interval_words})."
               if isinstance(share, Estimate) and share.low is not None else "")
    st.metric(label, retention_text.DASH if value is None else f"{value:.1%}", delta=f"{name}: {published:.0%}", delta_color="off",
              delta_arrow="off", help=f"{meaning}{between}")


def retained_points(card: Card) -> pd.DataFrame:
    """Return what `charts.intervals` draws: the share of the first row's score that each row keeps of each task and of all together."""
    found: list[tuple[str, str, Estimate | None]] = []
    for task in card.tasks:
        found += [(retention_text.task_name(task), row.title, card.retained(row, task)) for row in card.rows[1:]]
        if scores := card.published.tasks.get(task):
            found.append((retention_text.task_name(task), card.published.name, Estimate(scores[0] / scores[1])))
    found += [(MACRO, row.title, card.macro(row)) for row in card.rows[1:]] if card.tasks else []
    if found:
        found.append((MACRO, card.published.name, Estimate(card.published.macro[0] / card.published.macro[1])))
    rows = [(label, series, each.value, each.low, each.high) for label, series, each in found if each is not None]
    return pd.DataFrame(rows, columns=["label", "series", "value", "low", "high"]).astype({"value": float, "low": float, "high": float})


def series_colours(card: Card) -> dict[str, str]:
    """Each row's colour by its title, and the published one's."""
    exports = iter(EXPORTS * len(card.rows))
    own = {row.title: ROLE_COLOURS.get(row.kind) or next(exports) for row in card.rows[1:]}
    return own | {card.published.name: VIOLET}


def card_csv(card: Card) -> str:
    """Everything on the card, unrounded: one line a model and quantity."""
    lines: list[tuple[str, str, str, float | None, float | None, float | None, str]] = []

    def add(row: Row, quantity: str, value: Estimate | float | None) -> None:
        if value is not None:
            each = value if isinstance(value, Estimate) else Estimate(value)
            lines.append((row.kind, row.name, quantity, each.value, each.low, each.high, each.interval_words))

    for row in card.rows:
        for quantity in ("parameters", "without_embeddings", "size_bytes", "flops"):
            add(row, quantity, getattr(row, quantity))
        if row.speed is not None:
            add(row, "latency_seconds", row.speed.latency)
            add(row, "sequences_per_second", row.speed.throughput)
            add(row, "throughput_ratio", row.speed.throughput_gain)
        add(row, "smaller", card.smaller(row))
        add(row, "faster", card.faster(row))
        add(row, "faster_predicted", card.predicted_faster(row))
        for scores in row.scores:
            for seed, value in zip(card.seeds, scores.values, strict=True):
                add(row, f"{scores.task} {scores.metric}, seed {seed}", value)
            add(row, f"{scores.task} items", scores.items)
            add(row, f"{scores.task} retained", card.retained(row, scores.task))
        add(row, "macro retained", card.macro(row))
    paper = card.published
    for quantity, value in (("smaller", paper.smaller), ("faster", paper.faster), ("macro retained", paper.retained)):
        lines.append(("published", paper.name, quantity, value, None, None, ""))
    return pd.DataFrame(lines, columns=["kind", "name", "quantity", "value", "low", "high", "interval"]).to_csv(index=False)
