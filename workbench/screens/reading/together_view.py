"""Read together: one paragraph, the teacher's notes and the student's beside them, before and after its training."""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from typing import Any

import streamlit as st

from core.reading.annotation import load_paragraphs
from core.reading.notes import BEHAVIOURS, Behaviour, SentenceNotes
from core.reading.text import sentences as split_sentences
from core.reading.together import read_together
from core.reading.validation import validate
from workbench.inference import client
from workbench.screens.reading.live_reading import LiveReading, Notes
from workbench.screens.reading.notes_view import sentence_html
from workbench.screens.shared import fragments, state, views
from workbench.store.records import Run
from workbench.store.references import BEFORE

RECORDED, OWN = "Sentences that were kept when the run ended", "A paragraph of my own"
OFFERED = 30  # paragraphs of a run's text that can be picked
MOST = 12  # sentences that are read at once
LIVE = "reading.live"  # in the session state: what is read now, or was read last, and of which run
POLL_SECONDS = 0.7
READERS = {"teacher": "Teacher", "before": "Student before", "after": "Student after"}


def show() -> None:
    """Draw the choice of a run and a paragraph, and how the readers note it beside each other."""
    runs = {run.id: run for run in state.store().runs() if is_reading(run) and read_together(run.directory)}
    if not runs:
        return
    st.subheader("Read together", anchor=False)
    left, right = st.columns([0.35, 0.65], gap="medium")
    linked = st.query_params.get("run")
    run = left.selectbox("Run", list(runs), index=list(runs).index(linked) if linked in runs else 0, key="reading.run",
                         format_func=lambda name: runs[name].name)
    paragraphs = [[each.sentence for each in paragraph.sentences] for paragraph in _paragraphs(str(runs[run].directory))[:OFFERED]]
    texts = {" ".join(each): each for each in paragraphs}
    chosen = right.selectbox("Paragraph", [RECORDED, *texts, OWN], key=f"reading.paragraph.{run}")
    if chosen == RECORDED:
        kept = read_together(runs[run].directory)
        _readers([each["sentence"] for each in kept], {
            (who, number, behaviour): each[behaviour][who] for number, each in enumerate(kept) for behaviour in BEHAVIOURS
            for who in READERS if each[behaviour][who]})
    else:
        own = st.text_area("Your paragraph", key="reading.own", height=100) if chosen == OWN else ""
        _live(runs[run], texts.get(chosen) or split_sentences(own))
    st.page_link(state.RUN, label="Open the run", icon=":material/play_circle:", query_params={"run": run})


def _live(run: Run, sentences: Sequence[str]) -> None:
    """Draw what the student notes of a paragraph now, as it was before its training and as it is after."""
    st.caption("The student reads the paragraph twice: as it was before its training, and as it is now.")
    current, reading = st.session_state.get(LIVE, ("", None))
    running = reading is not None and reading.running
    with st.container(horizontal=True, vertical_alignment="bottom"):
        if st.button("Read", type="primary", icon=":material/menu_book:", key="reading.read", disabled=running or not sentences,
                     help="Both write their notes sentence by sentence."):
            reading = LiveReading(client.engine(), {"before": _before(run), "after": run.id}, sentences[:MOST],
                                  json.loads(run.config_json)["reading"]["separator"])
            st.session_state[LIVE] = current, _ = run.id, reading
            st.rerun()
        if running and st.button("Stop", icon=":material/stop:", key="reading.live.stop", help="Stops within a word. Notes so far stay."):
            reading.stop()
            st.rerun()
    if len(sentences) > MOST:
        st.caption(f"The first {MOST} of its {len(sentences)} sentences are read.")
    if reading is None or current != run.id or reading.sentences != tuple(sentences[:MOST]):
        return
    known = _teacher_notes(run, reading.sentences)
    if running:
        fragments.fragment(_progress, run_every=POLL_SECONDS)(reading, known)
    else:
        _drawn(reading, known)


def _before(run: Run) -> str:
    """Return the reference of the student before its training: the model that it began as, or the new one that the run kept."""
    began = json.loads(run.config_json)["student"].get("model")
    return f"{run.id}:{BEFORE}" if (run.directory / BEFORE).is_dir() or not began else began


def _progress(reading: LiveReading, known: Notes) -> None:
    if not reading.running:
        st.rerun()
    _drawn(reading, known)


def _drawn(reading: LiveReading, known: Notes) -> None:
    done = len(reading.notes)
    if reading.running:
        word = "Stopping" if reading.stopped else f"{done:,} of {reading.total:,} notes" if done else "Loading both models"
        st.progress(done / reading.total, text=word)
    elif reading.error is not None:
        views.problem(reading.error)
    elif done < reading.total:
        st.caption(f":material/stop: Stopped after {done:,} of {reading.total:,} notes.")
    _readers(reading.sentences, known | dict(reading.notes))


def _teacher_notes(run: Run, sentences: Sequence[str]) -> Notes:
    """Return what the teacher noted of those sentences that the run's text holds."""
    known = {each.sentence: each for paragraph in _paragraphs(str(run.directory)) for each in paragraph.sentences}
    return {("teacher", number, behaviour): said for number, sentence in enumerate(sentences) for behaviour in BEHAVIOURS
            if sentence in known and (said := known[sentence].of(behaviour))}


@st.cache_data(ttl=600, max_entries=20, show_spinner=False)
def _paragraphs(directory: str) -> list[Any]:
    from pathlib import Path

    return load_paragraphs(Path(directory) / "notes")


def _readers(sentences: Sequence[str], notes: Notes) -> None:
    """Draw a box a sentence, in it each reader's view of it; above them how many notes of each hold."""
    summary = []
    for who, title in READERS.items():
        said = {key: text for key, text in notes.items() if key[0] == who}
        valid = sum(validate(behaviour, sentences[number], text).notes is not None for (_, number, behaviour), text in said.items())
        summary.append(f"**{title}**: {f'{valid} of {len(said)} notes hold' if said else 'no notes'}")
    st.markdown(" · ".join(summary), help="An entity must occur in its sentence, and an answer be found in it; 'none' holds too.")
    for number, sentence in enumerate(sentences):
        cells = [_cell(title, sentence, {behaviour: notes.get((who, number, behaviour)) for behaviour in BEHAVIOURS})
                 for who, title in READERS.items()]
        with st.container(border=True, key=f"reading.together.{number}"):
            st.html('<div style="display:grid;grid-template-columns:repeat(auto-fit,minmax(min(17rem,100%),1fr));gap:1rem">'
                    f'{"".join(cells)}</div>')


def _cell(title: str, sentence: str, said: dict[Behaviour, str | None]) -> str:
    """Return a reader's view of a sentence as HTML: what holds is marked in it, what does not is said with the reason."""
    notes, lines = SentenceNotes(sentence), []
    for behaviour, text in said.items():
        if not text:
            continue
        found = validate(behaviour, sentence, text)
        if found.notes is None:
            lines.append(f'<div style="opacity:.75">{html.escape(text[:200])} <em>({html.escape(", ".join(found.dropped))})</em></div>')
            continue
        notes = SentenceNotes(sentence, found.notes if behaviour == "entities" else notes.entities,  # type: ignore[arg-type]  # by behaviour
                              found.notes if behaviour == "questions" else notes.questions)  # type: ignore[arg-type]
        lines.append(f"<div>{html.escape(notes.of(behaviour) or '')}</div>")
    head = f'<div style="font-size:.85rem;font-weight:600">{title}</div>'
    return (f'<div style="min-width:0;overflow-wrap:anywhere">{head}{sentence_html(notes)}'
            f'{"".join(lines) or "<div style=opacity:.75>no notes</div>"}</div>')


def is_reading(run: Run) -> bool:
    """Return whether a run trained on notes; readable even where its configuration is another release's."""
    return json.loads(run.config_json).get("kind") == "reading"
