"""One test item: what the generalist says, what the specialists say that are heard, and the combined answer."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from core.reports.specialist_items import ShownItems, heard
from core.reports.specialists_report import SpecialistsSummary
from workbench.screens.shared import background, views
from workbench.screens.shared.live_plotly import live_plotly
from workbench.screens.shared.theme import COPPER, TEAL, VIOLET
from workbench.screens.specialists import figures
from workbench.store.records import Run

NAMED = 6  # likeliest outcomes that are drawn
OTHERS = "all others"
DIFFERENT = "Only items whose answer the specialists change"
PANEL = "panel"  # folder of a run


def draw(run: Run, summary: SpecialistsSummary) -> None:
    """Draw the choice of an item, and the opinions about it."""
    st.subheader("Opinions about one item", anchor=False)
    items = ShownItems.load(run.directory)
    own = st.text_input("Own text", key="specialists.text", placeholder="a few words, in place of a test item") if items.texts else ""
    if own:
        answer = background.answer(background.opinions, str(run.directory / PANEL), own, meanwhile="Generalist and specialists answer …")
        if answer is not None:
            _draw(summary, ShownItems.from_dict(answer), 0)
        return
    only = st.toggle(DIFFERENT, key="specialists.different")
    numbers = [number for number in range(len(items.targets)) if not only or _likeliest(items.generalist[number]) != _likeliest(
        items.combined[number])]
    if not numbers:
        views.empty_state(f"The specialists change the answer to none of the {len(items.targets)} items that are kept.", "balance")
        return
    linked = st.query_params.get("item", "")
    index = numbers.index(int(linked)) if linked.isdecimal() and int(linked) in numbers else 0
    item = st.selectbox("Item", numbers, index=index, format_func=lambda each: _words(items, summary, each), key=f"specialists.item.{only}")
    st.query_params["item"] = str(item)
    _draw(summary, items, item)


def _draw(summary: SpecialistsSummary, items: ShownItems, item: int) -> None:
    right = summary.labels[items.targets[item]] if items.targets[item] >= 0 else ""
    if items.pixels:
        live_plotly(figures.picture(items.pixels[item]), key="specialists.picture", label=f"An image of {right}")
    voices = [("Generalist", list(summary.labels), items.generalist[item], COPPER)]
    for number, opinion in heard(items.opinions, item).items():
        names = [*(summary.labels[each] for each in opinion.classes), OTHERS]
        voices.append((f"Specialist {number}", names, opinion.probabilities[item], VIOLET))
    voices.append(("Combined", list(summary.labels), items.combined[item], TEAL))
    for column, (who, names, probabilities, colour) in zip(st.columns(len(voices), gap="medium"), voices, strict=True):
        with column:
            st.markdown(f"**{who}**")
            shown = _sorted(names, probabilities)[:NAMED]
            live_plotly(figures.opinion([name for name, _ in shown], [value for _, value in shown], right, colour=colour),
                        key=f"opinion.{who}", label=f"Probabilities of {who}")
    if len(voices) == 2:
        st.caption("No specialist is heard: the generalist's answer stands.")
    head = ("Class", *(who for who, *_ in voices))
    classes = [name for name, _ in _sorted(list(summary.labels), items.combined[item])[:NAMED]]
    views.text_table(head, [(f"{name} (right)" if name == right else name, *(_probability(name, voice) for voice in voices))
                            for name in [*classes, OTHERS]], label="Opinions about the item", numbers=True)


def _likeliest(probabilities: Sequence[float]) -> int:
    return max(range(len(probabilities)), key=probabilities.__getitem__)


def _words(items: ShownItems, summary: SpecialistsSummary, number: int) -> str:
    what = items.texts[number] if items.texts else f"image {number + 1}"
    return f"{summary.labels[items.targets[number]]}: {what}"


def _sorted(names: Sequence[str], probabilities: Sequence[float]) -> list[tuple[str, float]]:
    return sorted(zip(names, probabilities, strict=True), key=lambda each: -each[1])


def _probability(name: str, voice: tuple[str, list[str], Sequence[float], str]) -> str:
    """Return a cell of the table; empty where a member has no output for a class."""
    _, names, probabilities, _ = voice
    return f"{probabilities[names.index(name)]:.1%}" if name in names else ""
