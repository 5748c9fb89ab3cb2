"""The notes of an annotation: entities marked in their sentence, answers located in it, what was dropped and why; a reader's review."""

from __future__ import annotations

import html
from itertools import islice, pairwise
from pathlib import Path

import streamlit as st

from core.errors import StillhouseError
from core.reading import requests as readings
from core.reading.annotation import Annotation, caches, kept_notes
from core.reading.answer_cache import Answer, AnswerCache, Review, digest
from core.reading.notes import BEHAVIOURS, Behaviour, SentenceNotes
from core.reading.requests import ReadingRequest
from core.reading.text import Paragraph
from core.reading.texts import text_paragraphs
from core.reading.validation import Validated, validate
from workbench.screens.shared import views

PAGE = 20  # sentences on a page
TYPE_COLOURS = ("#0a7f5a33", "#7c3aed33", "#d9770633", "#2563eb33", "#db277733", "#65a30d33")
NAMES = {"entities": "Entities", "questions": "Question"}


def show(folder: Path) -> None:
    """Draw what is kept of an annotation, a page of sentences at a time."""
    request = readings.load_request(folder)
    assert request is not None, "others are not listed"
    found = notes_of(request)
    _statistics(found)
    sentences = [each for paragraph in found.paragraphs for each in paragraph.sentences]
    answered = [each for each in sentences if any(each.sentence in found.answers.get(behaviour, {}) for behaviour in BEHAVIOURS)]
    if not answered:
        st.caption("No sentence is answered yet.")
        return
    pages = -(-len(answered) // PAGE)
    page = st.number_input("Page", 1, pages, key=f"reading.page.{folder.name}") if pages > 1 else 1
    work = caches(request.config.reading, request.identity)
    for number, each in enumerate(answered[(page - 1) * PAGE:page * PAGE]):
        _sentence(number, each, found, work)


@st.cache_data(ttl=600, max_entries=20, show_spinner="Reading the text …")
def _paragraphs(data_json: str, count: int) -> list[tuple[str, ...]]:
    from core.config import DataSpec

    return [each.sentences for each in islice(text_paragraphs(DataSpec.model_validate_json(data_json), "train"), count)]


def notes_of(request: ReadingRequest) -> Annotation:
    """Return the notes that are kept so far."""
    config = request.config
    paragraphs = [Paragraph(sentences) for sentences in _paragraphs(config.data.model_dump_json(), config.reading.paragraphs)]
    return kept_notes(config.reading, paragraphs, request.identity)


def _statistics(found: Annotation) -> None:
    """Draw the share of valid answers, and why parts of the others were dropped."""
    statistics = found.statistics
    row = st.container(horizontal=True)
    row.metric("Sentences", f"{found.usable:,}", help="Of a usable length; shorter and longer ones are read without notes.")
    answers = sum(statistics.answers.values())
    row.metric("Answers", f"{answers:,}", help="Two a sentence: its entities, and a question.")
    failing = 1 - statistics.share
    row.metric("Failing validation", f"{failing:.0%}" if answers else "none yet", help=(
        "An entity must occur in its sentence, an answer be found in it."))
    dropped = {behaviour: ", ".join(f"{count:,} × {reason}" for reason, count in reasons.most_common())
               for behaviour in BEHAVIOURS if (reasons := statistics.dropped.get(behaviour))}
    if dropped:
        st.caption(f"Dropped. {' '.join(f'{NAMES[behaviour]}: {reasons}.' for behaviour, reasons in dropped.items())}")


def _sentence(number: int, notes: SentenceNotes, found: Annotation, work: dict[Behaviour, AnswerCache]) -> None:
    with st.container(border=True, key=f"reading.sentence.{number}"):
        text, button = st.columns([0.86, 0.14], vertical_alignment="center")
        text.html(sentence_html(notes))
        lines = []
        for behaviour in BEHAVIOURS:
            pair = found.answers.get(behaviour, {}).get(notes.sentence)
            if pair is None:
                continue
            review = found.reviews.get(behaviour, {}).get(digest(notes.sentence))
            lines.append(_line(behaviour, notes, pair, review))
        text.markdown("  \n".join(lines))
        with button.popover("Review", icon=":material/rate_review:"):
            for behaviour in BEHAVIOURS:
                pair = found.answers.get(behaviour, {}).get(notes.sentence)
                if pair is not None:
                    _review(number, behaviour, notes.sentence, pair[0], found.reviews.get(behaviour, {}).get(digest(notes.sentence)),
                            work[behaviour])


def _line(behaviour: Behaviour, notes: SentenceNotes, pair: tuple[Answer, Validated], review: Review | None) -> str:
    """Return the notes of a behaviour as Markdown: what is kept, or what the teacher said and why it was dropped."""
    kept, marks = notes.of(behaviour), {"accepted": ":material/check:", "edited": ":material/edit:", "rejected": ":material/close:"}
    mark = f"{marks[review.action]} " if review is not None else ""
    if kept is not None:
        dropped = f" :gray[(also dropped: {', '.join(pair[1].dropped)})]" if pair[1].dropped else ""
        return f"{mark}{views.plain(kept)}{dropped}"
    said = " ".join(pair[0].text.split()) or "nothing"
    return f"{mark}:orange[{NAMES[behaviour]}: {', '.join(pair[1].dropped)}] :gray[{views.plain(said[:160])}]"


def _review(number: int, behaviour: Behaviour, sentence: str, answer: Answer, review: Review | None, cache: AnswerCache) -> None:
    """Draw accept, edit, reject and undo for an answer."""
    st.markdown(f"**{NAMES[behaviour]}**")
    key = f"reading.{behaviour}.{digest(sentence)}.{number}"
    text = st.text_area("The teacher's answer", review.text if review is not None and review.action == "edited" else answer.text,
                        key=f"{key}.text", height=90, label_visibility="collapsed")
    row = st.container(horizontal=True)
    if row.button("Accept", key=f"{key}.accept", help="It was read and is right."):
        _keep(cache, sentence, Review("accepted"))
    if row.button("Save", key=f"{key}.edit", help="Takes the text above in place of the teacher's answer."):
        with views.errors_shown():
            checked = validate(behaviour, sentence, text)
            if checked.notes is None:
                raise StillhouseError(f"This is no note of the sentence: {', '.join(checked.dropped)}.",
                                      "Entities as 'name (type): note; ...', or a question? Answer: words of the sentence.")
            _keep(cache, sentence, Review("edited", text))
    if row.button("Reject", key=f"{key}.reject", help="The student does not read it."):
        _keep(cache, sentence, Review("rejected"))
    if row.button("Undo", key=f"{key}.undo", disabled=review is None, help="As the teacher wrote it."):
        cache.withdraw(sentence)
        st.rerun()


def _keep(cache: AnswerCache, sentence: str, review: Review) -> None:
    cache.review(sentence, review)
    st.rerun()


def sentence_html(notes: SentenceNotes) -> str:
    """Return the sentence as HTML: entities marked by type, answers underlined; everything else as it is."""
    marks = [(entity.start, entity.start + len(entity.text),
              f'<mark style="background:{_colour(entity.type)};color:inherit;border-radius:3px;padding:0 2px" '
              f'title="{html.escape(entity.type)}">', "</mark>") for entity in notes.entities or ()]
    marks += [(question.start, question.start + len(question.answer),
               f'<u style="text-decoration-thickness:2px;text-underline-offset:3px" title="{html.escape(question.question)}">', "</u>")
              for question in notes.questions or ()]
    cuts = sorted({0, len(notes.sentence), *(place for start, end, _, _ in marks for place in (start, end))})
    parts = []
    for start, end in pairwise(cuts):
        around = [(before, behind) for first, last, before, behind in marks if first <= start and end <= last]
        parts.append("".join(before for before, _ in around) + html.escape(notes.sentence[start:end])
                     + "".join(behind for _, behind in reversed(around)))
    return f'<div style="font-size:1.05rem">{"".join(parts)}</div>'


def _colour(kind: str) -> str:
    return TYPE_COLOURS[sum(map(ord, kind)) % len(TYPE_COLOURS)]
