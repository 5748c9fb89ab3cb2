"""The instructor's page: who is here, the queue, the lesson and its caps, votes, hand-outs, and the switch that deletes it all."""

from __future__ import annotations

import streamlit as st

from workbench import classroom, lessons
from workbench.classroom import ballots, handout, queue
from workbench.classroom.board import shared_board
from workbench.classroom.store import ClassStore
from workbench.errors import ClassError
from workbench.inference import client
from workbench.mounts import handout_path
from workbench.screens.classroom import seats
from workbench.screens.shared import fragments, share, state, views
from workbench.sharing import packed

POLL_SECONDS = 2.0
SEED = 7


def show() -> None:
    """Draw the page, or how to begin a class."""
    room = classroom.current()
    if seats.participant_id() is not None:  # the menu has no such page for participants; nor does a link
        raise ClassError("Only the instructor may open this page.")
    if room is None:
        st.title("Class", anchor=False)
        views.empty_state("This app holds no class. Start one on the machine that serves it:", "co_present")
        st.code('python -m workbench classroom --name "Distillation, Tuesday" --host 0.0.0.0', language="bash", wrap_lines=True)
        st.page_link(state.LEARN, label="Lessons, for one alone", icon=":material/school:")
        return
    st.title(room.name, anchor=False)
    with st.container(horizontal=True):
        st.page_link(state.BOARD, label="Board", icon=":material/bar_chart:")
        st.page_link(state.BOARD, label="Projector view", icon=":material/cast:", query_params={"projector": "1"})
    left, right = st.columns([2, 3], gap="large")
    with left:
        st.subheader("Join", anchor=False)
        st.markdown(f"Code **{room.code}**")
        share.link_and_code(f"/join?code={room.code}", "QR code of the address to join the class")
        _settings(room)
    with right:
        fragments.fragment(_live, run_every=POLL_SECONDS)()
        _vote(room)
        _handouts()
        _end(room)


def _settings(room: ClassStore) -> None:
    settings, found = room.settings(), {lesson.slug: lesson.title for lesson in lessons.listed()[0]}
    st.subheader("Lesson and limits", anchor=False)
    chosen = st.selectbox("Lesson", list(found), index=list(found).index(settings.lesson) if settings.lesson in found else 0,
                          format_func=found.__getitem__, key="class.lesson")
    steps = st.number_input("Steps of a run at most", 1, 10_000, settings.most_steps, key="class.steps")
    layers = st.number_input("Student blocks at most", 1, 200, settings.most_layers, key="class.layers")
    locked = st.multiselect("Shown, not movable", list(packed.MAIN), list(settings.locked), key="class.locked",
                            format_func=lambda name: f"{name} ({packed.MAIN[name]})", placeholder="nothing", help=(
                                "Sliders of a lesson that set one of these stay where the lesson has them, and a run that has another "
                                "value is refused."))
    seeds = st.toggle("A seed of their own for everybody", settings.own_seeds, key="class.seeds", help=(
        "Then the class's runs show how much a seed matters, and none is shared; otherwise equal recipes are computed once for all."))
    names = [entry.name for entry in state.models() if entry.present and entry.task == "causal"]
    allowed = st.multiselect("Models that participants may ask", sorted({*names, *settings.models}), list(settings.models),
                             key="class.models")
    changed = {"lesson": chosen, "most_steps": int(steps), "most_layers": int(layers), "own_seeds": seeds, "models": tuple(allowed),
               "locked": tuple(locked)}
    if any(getattr(settings, key) != value for key, value in changed.items()):
        room.change(**changed)


def _live() -> None:
    with views.errors_shown():
        room = classroom.current()
        if room is None:
            return
        settings, people = room.settings(), room.participants()
        waiting, runs = room.items(state="waiting"), queue.class_runs(room, state.store())
        active = [run for run in runs if run.active or run.status == "queued"]
        st.subheader(f"{len(people)} here, {len(active)} running, {len(waiting)} waiting", anchor=False)
        with st.container(horizontal=True):
            if st.button("Continue the queue" if settings.paused else "Pause the queue", key="class.pause",
                         icon=":material/play_arrow:" if settings.paused else ":material/pause:"):
                room.change(paused=not settings.paused)
                st.rerun()
            if st.button("Stop all", icon=":material/stop:", key="class.stop", disabled=not (active or waiting),
                         help="Stops what runs with a checkpoint, and withdraws what waits."):
                queue.stop_all(room, state.store())
                st.rerun()
            if st.button("Show names" if settings.names_hidden else "Hide names", key="class.names", icon=":material/visibility_off:",
                         help="On the board and in hand-outs of the class."):
                room.change(names_hidden=not settings.names_hidden)
                st.rerun()
        names = {each.id: each.nickname for each in people}
        for run in active:
            with st.container(horizontal=True, vertical_alignment="center"):
                views.status_badge(run)
                st.page_link(state.RUN, label=run.name, query_params={"run": run.id})
        for place, item in enumerate(queue.order(waiting, queue.served(room)), 1):
            with st.container(horizontal=True, vertical_alignment="center"):
                st.caption(f"{place}. {views.plain(names.get(item.participant, 'somebody'))}: {views.plain(item.label or item.recipe)}")
                if st.button("First", key=f"first.{item.id}", type="tertiary", disabled=place == 1):
                    room.put_first(item.id)
                    st.rerun()
        with st.expander("Who is here", key="people"):
            for each in people:
                with st.container(horizontal=True, vertical_alignment="center"):
                    st.text(each.nickname)
                    if st.button("Take out", key=f"remove.{each.id}", type="tertiary"):
                        room.remove(each.id)
                        st.rerun()
        texts = room.handed_in()
        with st.expander(f"Handed in ({len(texts)})", key="handed in"):
            for text in reversed(texts):
                st.caption(views.plain(names.get(text.participant, "somebody")))
                st.text(text.text)


def _vote(room: ClassStore) -> None:
    st.subheader("Blind vote", anchor=False)
    names = [entry.name for entry in state.models() if entry.present and entry.task == "causal"]
    with st.form("ballot", border=False):
        chosen = st.multiselect("Models", names, names[:2], max_selections=3, key="ballot.models")
        prompt = st.text_input("Prompt", "Write a positive one-line review.", max_chars=ballots.LONGEST_PROMPT, key="ballot.prompt")
        opened = st.form_submit_button("Let them answer, and open the vote", icon=":material/how_to_vote:")
    if opened:
        with views.errors_shown(), st.spinner("The models answer …"):
            ballots.hold(room, chosen, prompt, lambda model, text: ballots.answer(client.engine(), state.resolved(model), text, SEED))
    fragments.fragment(_tally, run_every=POLL_SECONDS)()


def _tally() -> None:
    with views.errors_shown():
        room = classroom.current()
        last = next(iter(room.ballots()), None) if room is not None else None
        if room is None or last is None:
            return
        votes = handout.votes_of(shared_board(room, state.store()), last)
        rows = [[chr(65 + index), last.models[index] if last.revealed else "?", answer, str(votes[index])]
                for index, answer in enumerate(last.answers)]
        views.text_table(["", "Model", "Answer", "Votes"], rows, label="Blind vote")
        if not last.revealed and st.button("Close the vote and reveal", icon=":material/visibility:", key="reveal"):
            room.reveal(last.id)
            st.rerun()


def _handouts() -> None:
    st.subheader("Hand-outs", anchor=False)
    with st.container(horizontal=True):
        st.link_button("Class (HTML)", handout_path("class.html"), icon=":material/download:")
        st.link_button("Class (CSV)", handout_path("class.csv"), icon=":material/download:")


def _end(room: ClassStore) -> None:
    with st.expander("End the class", icon=":material/delete_forever:", key="end"):
        st.markdown("Deletes nicknames, guesses, votes, texts and all runs of the class with their models. Everybody is out at once. "
                    "It cannot be undone: take the hand-outs first.")
        name = st.text_input("Type the name of the class to confirm", key="end.name")
        if st.button("Delete the class", type="primary", key="end.delete", disabled=name.strip() != room.name):
            with views.errors_shown(), st.spinner("Deleting …"):
                classroom.delete(room, state.store())
                state.forget_models()
                st.rerun()
