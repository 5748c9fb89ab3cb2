"""The feed of a live page: what it sends to whom, how often it looks, and whom it lets in."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient, WebSocketTestSession
from starlette.websockets import WebSocketDisconnect

from tests.pages import examples
from tests.waiting import wait_until
from workbench import auth, settings
from workbench.processes import Process
from workbench.screens.run import feed
from workbench.screens.run.feed import Channel, Feed, Value, Watcher
from workbench.screens.run.moment import FIGURES, NUMBERS, STATE, TERMS, WEIGHTED, look, loss_figure
from workbench.screens.shared import charts
from workbench.store import Store
from workbench.store.database import Database
from workbench.store.records import Progress, Run

LOSS = loss_figure(WEIGHTED, logarithmic=False)
ADDRESS = "http://127.0.0.1:8501"


@pytest.fixture
def store(home) -> Store:
    return Store()


@pytest.fixture
def run(store: Store) -> Run:
    return examples.running(store)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "LOOK_SECONDS", 0.02)
    monkeypatch.setattr(feed, "QUIET_LOOK_SECONDS", 0.02)
    monkeypatch.setattr(feed, "RERUN_SECONDS", 0.0)
    monkeypatch.setattr(feed, "RERUNS_PER_SECOND", 1e6)


@pytest.fixture
def client(home, store: Store) -> Iterator[TestClient]:
    """A server with the feed, behind the middleware that the app has."""
    app = Starlette(routes=[Feed(store).route()], middleware=auth.auth_middleware(home / "gate.key", ""))
    with TestClient(app, base_url=ADDRESS, headers={"origin": ADDRESS}) as test:
        yield test


def connect(client: TestClient, run: str, **headers: str) -> WebSocketTestSession:
    return client.websocket_connect(f"ws://127.0.0.1:8501/live?run={run}", headers=headers)


def step(store: Store, run: Run, number: int, *, terms: float = 1.0, **metrics: float) -> None:
    """Log one more step of the student."""
    rows = [("student", number, name, value) for name, value in
            ({"loss": 2 * terms, "loss/kd": terms, "loss/hard": terms} | metrics).items()]
    store.record(run.id, Process.current(), rows, [], Progress("steps", "student", number, examples.STEPS))


def test_a_page_that_shows_something_old_hears_what_is_new(client: TestClient, store: Store, run: Run):
    shown = look(store, run.id)
    with connect(client, run.id) as socket:
        socket.send_json({LOSS: "nothing yet"})
        assert "figure" in socket.receive_json()[LOSS]  # the feed knows the earlier figure, however long its first look takes
        socket.send_json({LOSS: shown.figure(LOSS).version, TERMS: shown.terms, "learning_rate": shown.figure("learning_rate").version})
        step(store, run, 201, terms=3.0)
        news: dict[str, Any] = {}
        while not {LOSS, TERMS} <= news.keys():
            news |= socket.receive_json()
    assert news[TERMS]["text"] == "At the last step: 3 soft targets + 3 hard labels = 6."
    assert news[LOSS]["since"] == shown.figure(LOSS).version
    assert news[LOSS]["version"] == look(store, run.id).figure(LOSS).version
    assert "learning_rate" not in news, "nothing of it was logged"


def test_only_the_new_points_are_sent_and_they_give_the_whole_figure(store: Store, run: Run):
    before = look(store, run.id).figure(LOSS)
    step(store, run, 201, terms=3.0)
    step(store, run, 202, terms=2.5)
    after = look(store, run.id).figure(LOSS)
    value = Value(after.version, after, [before])
    news = value.news(before.version)
    # The last one is the place of the control, which has no point yet.
    assert [len(x) for _, x, _ in news["tails"]] == [2] * (len(before.curves) - 1) + [0]
    for old, new, (stay, x, y) in zip(before.curves, after.curves, news["tails"], strict=True):
        assert np.array_equal([*old[0][:stay], *x], new[0], equal_nan=True)
        assert np.array_equal([*old[1][:stay], *y], new[1], equal_nan=True)
    assert value.news("another") == {"version": after.version, "figure": after.json}


def test_a_figure_that_changed_in_its_middle_is_sent_whole(store: Store, run: Run):
    before = look(store, run.id).figure(LOSS)
    store.log_metrics(run.id, [("control", 1, "loss/hard", 1.0)])  # another curve
    after = look(store, run.id).figure(LOSS)
    assert Value(after.version, after, [before]).news(before.version) == {"version": after.version, "figure": after.json}


def test_smoothed_curves_keep_their_earlier_points_while_new_ones_arrive(store: Store, run: Run):
    assert len(charts.select(look(store, run.id).table, "student", "loss")) >= charts.SMOOTHING_FROM
    stays = []
    for number in range(201, 241):
        before = look(store, run.id).figure(LOSS)
        step(store, run, number, terms=number / 100)
        tails = look(store, run.id).figure(LOSS).since(before)
        stays.append(tails is not None and all(stay >= number - 2 for stay, _, _ in tails[:-1]))
    assert sum(stays) >= 38, "the span of the moving average grows in steps"


def test_a_fragment_is_called_once_until_it_says_what_it_shows(run: Run):
    watcher, values = Watcher(), {NUMBERS: Value("b")}
    watcher.reported(json.dumps({NUMBERS: "a"}))
    assert watcher.news(values, pace=1.5, now=100.0) == {NUMBERS: {"version": "b"}}
    values = {NUMBERS: Value("c")}
    assert not watcher.news(values, pace=1.5, now=102.0), "it has not come back yet"
    assert watcher.news(values, pace=1.5, now=100.0 + feed.SAY_AGAIN) == {NUMBERS: {"version": "c"}}, "the call may have been lost"
    watcher.reported(json.dumps({NUMBERS: "b"}))
    now = 100.0 + feed.SAY_AGAIN
    assert not watcher.news(values, pace=1.5, now=now + 1.0), "not more often than the pace"
    assert watcher.news(values, pace=1.5, now=now + 1.5) == {NUMBERS: {"version": "c"}}
    watcher.reported(json.dumps({NUMBERS: "c"}))
    assert not watcher.news(values, pace=1.5, now=now + 60.0)


def test_many_watchers_wait_longer_for_their_reruns(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(feed, "RERUN_SECONDS", 1.4)
    monkeypatch.setattr(feed, "RERUNS_PER_SECOND", 25)
    channel = Channel(lambda: pytest.fail("nobody looks"))
    paces = []
    for count in (1, 30, 100):
        channel.watchers = {Watcher() for _ in range(count)}
        paces.append(channel.pace)
    assert paces == [1.4, 1.4, 4.0]


def test_what_the_run_is_and_what_it_counts_have_versions_of_their_own(store: Store, run: Run):
    def versions() -> tuple[str, str]:
        moment = look(store, run.id)
        return moment.version(STATE), moment.version(NUMBERS)

    state, numbers = versions()
    assert versions() == (state, numbers)
    step(store, run, 201)
    assert versions()[0] == state
    assert versions()[1] != numbers
    for change in (lambda: store.log_events(run.id, [("evaluation", {"who": "student", "metrics": {}}, 1.0)]),
                   lambda: store.rename(run.id, "renamed"), lambda: store.request_stop(run.id),
                   lambda: store.log_metrics(run.id, [("student", 1, "eval/accuracy", 0.5)]), lambda: store.finish(run.id, "stopped")):
        before = versions()
        change()
        assert versions()[0] != before[0]
        assert versions()[1] != before[1]


def test_a_waiting_run_hears_of_the_queue(store: Store):
    ahead, run = examples.queued(store, "first"), examples.queued(store, "second")
    before = look(store, run.id).version(NUMBERS)
    store.request_stop(ahead.id)
    assert look(store, run.id).version(NUMBERS) != before


def test_what_thirty_watch_is_looked_at_once(client: TestClient, store: Store, run: Run, monkeypatch: pytest.MonkeyPatch):
    """Queries and figures are those of the run, not of its watchers."""
    queries: list[str] = []
    connection = Database._connect

    def traced(database: Database) -> sqlite3.Connection:
        made = connection(database)
        made.set_trace_callback(queries.append)
        return made

    drawn: list[str] = []
    draw = charts.term_losses
    monkeypatch.setattr(charts, "term_losses", lambda *args, **options: drawn.append("loss") or draw(*args, **options))

    def cost_of_a_change(watchers: int, number: int) -> tuple[int, int]:
        """Reads of numbers, and figures drawn, from a new step until all have it."""
        shown = look(store, run.id).figure(LOSS).version
        with contextlib.ExitStack() as open_sockets:
            sockets = [open_sockets.enter_context(connect(client, run.id)) for _ in range(watchers)]
            for socket in sockets:
                socket.send_json({LOSS: shown, STATE: "old"})
            for socket in sockets:
                assert STATE in socket.receive_json(), "it is served"
            queries.clear()
            drawn.clear()
            with monkeypatch.context() as patch:
                patch.setattr(Database, "_connect", traced)
                step(store, run, number)
                for socket in sockets:
                    while LOSS not in socket.receive_json():
                        pass
        return sum("FROM metrics" in query for query in queries), len(drawn)

    assert cost_of_a_change(1, 201) == cost_of_a_change(30, 202) == (1, 1)


def test_nothing_is_sent_or_drawn_while_nothing_changes(store: Store, run: Run, monkeypatch: pytest.MonkeyPatch):
    channel = Channel(lambda: look(store, run.id))
    names = {LOSS, TERMS, NUMBERS, STATE, *FIGURES}
    channel.values = first = channel._look(names)
    monkeypatch.setattr(charts, "plain", lambda *args, **options: pytest.fail("a figure is drawn"))
    monkeypatch.setattr(store, "metrics", lambda *args, **options: pytest.fail("numbers are read"))
    second = channel._look(names)
    assert all(second[name] is first[name] for name in names)


def test_a_run_that_is_gone_has_its_page_drawn_again(client: TestClient, store: Store):
    run = examples.finished(store)
    with connect(client, run.id) as socket:
        socket.send_json({STATE: look(store, run.id).version(STATE)})
        store.delete(run.id)
        assert STATE in socket.receive_json()
        socket.send_json({STATE: look(store, run.id).version(STATE)})
        store.purge(run.id)
        assert socket.receive_json() == {STATE: {"version": "gone"}}


def test_the_last_to_leave_ends_the_looking(store: Store, run: Run):
    served = Feed(store)
    with TestClient(Starlette(routes=[served.route()]), base_url=ADDRESS) as test:
        with connect(test, run.id), connect(test, run.id):
            wait_until(lambda: [len(channel.watchers) for channel, _ in served._channels.values()] == [2], lambda: "both are counted")
        wait_until(lambda: not served._channels, lambda: "nobody is left")


@pytest.mark.parametrize("message", ["nonsense", "[1]", '{"loss": 3}', "x" * (feed.LONGEST_MESSAGE + 1)])
def test_what_is_no_report_ends_the_connection(client: TestClient, run: Run, message: str):
    with connect(client, run.id) as socket:
        socket.send_text(message)
        with pytest.raises(WebSocketDisconnect):
            socket.receive_json()


def test_names_that_no_page_has_are_nothing(run: Run):
    watcher = Watcher()
    watcher.reported(json.dumps({"eval/nothing": "", "../store.sqlite": "", LOSS: "a"}))
    assert watcher.shown == {LOSS: "a"}


@pytest.mark.parametrize("address", ["nothing", ""])
def test_an_unknown_run_is_refused(client: TestClient, run: Run, address: str):
    with pytest.raises(WebSocketDisconnect), connect(client, address):
        pass


@pytest.mark.parametrize("origin", ["https://example.org", "http://127.0.0.1:9000", "null"])
def test_pages_of_other_origins_are_refused(client: TestClient, run: Run, origin: str):
    with pytest.raises(WebSocketDisconnect), connect(client, run.id, origin=origin):
        pass


def test_with_a_password_it_is_for_those_who_logged_in(home, store: Store, run: Run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(settings.PASSWORD.variable, "copper kettle")
    served = Feed(store)
    app = Starlette(routes=[served.route()], middleware=auth.auth_middleware(home / "gate.key", ""))
    with TestClient(app, base_url=ADDRESS, headers={"origin": ADDRESS}) as test:
        with pytest.raises(WebSocketDisconnect), connect(test, run.id):
            pass
        test.post("/login", data={"password": "copper kettle"}, follow_redirects=False)
        with connect(test, run.id) as socket:
            socket.send_json({STATE: "old"})
            assert STATE in socket.receive_json()
            socket.close()
            wait_until(lambda: not served._channels, lambda: "the server's side of it ends")
