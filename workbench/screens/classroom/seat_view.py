"""The pages of a participant: the lesson of the class, asking a model, voting, and their own results."""

from __future__ import annotations

from collections.abc import Iterator

import streamlit as st

from core.errors import StillhouseError
from workbench import lessons
from workbench.classroom import handout
from workbench.classroom.ballots import LONGEST_PROMPT, MOST_TOKENS
from workbench.classroom.board import shared_board
from workbench.classroom.records import LONGEST_TEXT, Participant
from workbench.classroom.store import ClassStore
from workbench.inference import client
from workbench.inference.wire import Answer, Piece
from workbench.mounts import base_path, handout_path
from workbench.screens.classroom import seats
from workbench.screens.learn import lesson_view
from workbench.screens.shared import fragments, state, views

POLL_SECONDS = 3.0


def lesson() -> None:
    """Draw the lesson that the instructor has chosen; the page changes when they choose another."""
    room, participant = seats.seat()
    chosen = room.settings().lesson
    fragments.fragment(_follow, run_every=POLL_SECONDS)(chosen)
    st.caption(f"{views.plain(room.name)} · you are **{views.plain(participant.nickname)}**")
    st.checkbox("Train mine even if somebody has the same result already", key="class.fresh")
    lesson_view.lesson_page(lessons.lesson(chosen), seats.Seat(room, participant))


def _follow(shown: str) -> None:
    with views.errors_shown():
        if seats.seat()[0].settings().lesson != shown:
            st.rerun()


def ask() -> None:
    """Draw a prompt to a model, its answer, and the way to hand it in. What is not handed in stays in this browser's session."""
    room, participant = seats.seat()
    st.title("Ask a model", anchor=False)
    options = models(room, participant)
    with st.form("ask", border=False):
        model = st.selectbox("Model", list(options), format_func=options.__getitem__, key="ask.model")
        prompt = st.text_area("Prompt", "Write a positive one-line review.", max_chars=LONGEST_PROMPT, key="ask.prompt")
        sent = st.form_submit_button("Ask", icon=":material/send:", type="primary")
    if sent and prompt.strip() and model in options:
        with views.errors_shown():
            text = str(st.write_stream(_stream(model, prompt.strip())))
            st.session_state["ask.last"] = (options[model], prompt.strip(), text)
    last = st.session_state.get("ask.last")
    if last is None:
        return
    if not sent:
        st.markdown(f"**{views.plain(last[0])}** answered “{views.first_line(last[1])}”:")
        st.text(last[2])
    st.caption("Nobody else sees this unless you hand it in.")
    note = st.text_input("Note", key="ask.note", max_chars=300, placeholder="What do you notice?")
    if st.button("Hand in", icon=":material/inbox:", key="hand in"):
        with views.errors_shown():
            room.hand_in(participant.id, f"{last[0]}\n> {last[1]}\n{last[2]}\n\n{note}"[:LONGEST_TEXT])
            st.success("Handed in: the instructor can show it.", icon=":material/check:")


def models(room: ClassStore, participant: Participant) -> dict[str, str]:
    """Return what a participant may send prompts to: reference -> words; what the instructor allows, and the students of their own runs."""
    found = {name: name for name in room.settings().models}
    for item in room.items(participant.id, "placed"):
        try:
            run = state.store().run(item.run_id or "")
        except StillhouseError:
            continue
        if run.status == "finished" and run.deleted is None:
            found[run.id] = f"my student: {item.label or run.name}"
    return found


def _stream(model: str, prompt: str) -> Iterator[str]:
    for message in client.engine().generate(state.resolved(model), [{"role": "user", "content": prompt}], max_new_tokens=MOST_TOKENS,
                                            sampling_temperature=0.7, seed=0):
        if isinstance(message, Piece):
            yield message.text
        elif isinstance(message, Answer) and not message.tokens:
            yield "(nothing)"


def vote() -> None:
    """Draw the vote that is open, or the last one with its result."""
    st.title("Blind vote", anchor=False)
    fragments.fragment(_vote, run_every=POLL_SECONDS)()


def _vote() -> None:
    with views.errors_shown():
        room, participant = seats.seat()
        ballots = room.ballots()
        if not ballots:
            views.empty_state("No vote yet. It appears here when the instructor opens one.", "how_to_vote")
            return
        ballot = ballots[0]
        st.markdown(f"**{views.first_line(ballot.prompt)}**")
        mine = room.votes(ballot.id).get(participant.id)
        for index, (column, text) in enumerate(zip(st.columns(len(ballot.answers)), ballot.answers, strict=True)):
            with column, st.container(border=True, height="stretch"):
                st.markdown(f"**{chr(65 + index)}{f' · {views.plain(ballot.models[index])}' if ballot.revealed else ''}**")
                st.text(text.strip() or "(nothing)")
                if ballot.open and st.button(f"{'My vote' if mine == index else 'Vote for'} {chr(65 + index)}", key=f"vote.{index}",
                                             type="primary" if mine == index else "secondary"):
                    room.vote(ballot.id, participant.id, index)
                    st.rerun()
        if ballot.revealed:
            tally = handout.votes_of(shared_board(room, state.store()), ballot)
            st.markdown("Votes: " + ", ".join(f"{chr(65 + index)} {count}" for index, count in enumerate(tally)))
        elif not ballot.open:
            st.caption("The vote is closed. The instructor will say who gave which answer.")


def mine() -> None:
    """Draw a participant's own results: the page to take along, what waits, and the way out."""
    room, participant = seats.seat()
    st.title("My results", anchor=False)
    board = shared_board(room, state.store())
    waiting = room.items(participant.id, "waiting")
    if waiting and st.button(f"Withdraw what waits ({len(waiting)})", icon=":material/undo:", key="withdraw"):
        room.withdraw(participant.id)
        st.rerun()
    points = board.points()
    own = points[points["nickname"] == participant.nickname]
    if own.empty:
        views.empty_state("No finished run yet.", "inbox")
    else:
        shown = own.drop(columns=["nickname", "run id"]).dropna(axis="columns", how="all")
        views.text_table([str(name) for name in shown.columns], [[_cell(value) for value in row] for row in shown.itertuples(index=False)],
                         label="My runs")
    for item in board.items:
        if item.participant == participant.id and item.state == "failed":
            st.warning(views.plain(item.message))
    st.link_button("Take my results along (HTML)", handout_path("mine.html"), icon=":material/download:")
    st.html(f'<form method="post" action="{base_path()}/leave"><button>Leave the class on this browser</button></form>')


def _cell(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
