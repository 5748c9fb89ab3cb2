"""The gate of a class: how one joins, and every forbidden act of a participant refused by direct requests."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket, WebSocketDisconnect

from workbench import auth, settings
from workbench.classroom import gate as gate_module
from workbench.classroom import store as class_store
from workbench.classroom.gate import ClassGate
from workbench.classroom.store import ClassStore
from workbench.store.database import Database

PASSWORD = "copper kettle"
ADDRESS, WEBSOCKET = "http://127.0.0.1:8501", "ws://127.0.0.1:8501"
ALLOWED = ["/", "/lesson", "/board", "/vote", "/ask", "/mine", "/static/js/index.js", "/component/x/y.js", "/media/abc.png",
           "/assets/plotly.min.js", "/_stcore/health", "/_stcore/host-config", "/lesson/_stcore/host-config",
           "/handout/mine.html"]
FORBIDDEN = [
    ("GET", "/runs"), ("GET", "/run?run=x"), ("GET", "/new"), ("GET", "/models"), ("GET", "/classroom"), ("GET", "/learn"),
    ("GET", "/chat/"), ("GET", "/chat/config"), ("POST", "/chat/gradio_api/queue/join"), ("POST", "/chat/gradio_api/run/predict"),
    ("GET", "/on-device/"), ("GET", "/download/model.zip?model=house-chat&form=folder"),
    ("GET", "/handout/class.html"), ("GET", "/handout/class.csv"), ("POST", "/handout/mine.html"),
    ("PUT", "/_stcore/upload_file/a/b"), ("POST", "/_stcore/upload_file/a/b"), ("DELETE", "/_stcore/upload_file/a/b"),
    ("POST", "/_stcore/agent/interact"), ("GET", "/_stcore/metrics"), ("POST", "/"), ("DELETE", "/media/abc.png"), ("PUT", "/static/x"),
    ("GET", "/sessions"), ("POST", "/sessions"), ("POST", "/logout"), ("GET", "//runs"), ("GET", "/lesson/../runs"), ("GET", "/LESSON"),
]


@pytest.fixture
def room(home: Path) -> ClassStore:
    return class_store.create("Tuesday <b>")


@pytest.fixture
def app(room: ClassStore, home: Path, monkeypatch: pytest.MonkeyPatch) -> Starlette:
    monkeypatch.setenv(settings.PASSWORD.variable, PASSWORD)

    def page(request):
        return PlainTextResponse(f"{request.url.path} for {request.headers.get(auth.PARTICIPANT_HEADER, 'the instructor')}")

    async def stream(socket: WebSocket) -> None:
        await socket.accept()
        await socket.send_text(socket.headers.get(auth.PARTICIPANT_HEADER, "the instructor"))
        with contextlib.suppress(WebSocketDisconnect):
            await socket.receive_text()

    methods = ["GET", "POST", "PUT", "DELETE"]
    return Starlette(routes=[WebSocketRoute("/{rest:path}", stream), Route("/{rest:path}", page, methods=methods)],
                     middleware=auth.auth_middleware(home / "gate.key", "", [Middleware(ClassGate, class_id=room.id)]))


def visitor(app: Starlette) -> TestClient:
    return TestClient(app, base_url=ADDRESS, headers={"accept": "text/html"}, follow_redirects=False)


def joined(app: Starlette, room: ClassStore, nickname: str = "Ada") -> TestClient:
    client = visitor(app)
    answer = client.post("/join", data={"nickname": nickname, "code": room.code})
    assert answer.status_code == 303 and answer.headers["location"] == "/"
    return client


def instructor(app: Starlette) -> TestClient:
    client = visitor(app)
    assert client.post("/login", data={"password": PASSWORD}).status_code == 303
    return client


def test_who_is_nobody_comes_to_the_form_and_reaches_nothing(app: Starlette):
    client = visitor(app)
    assert client.get("/").headers["location"] == "/join"
    assert client.get("/runs").headers["location"].startswith("/login")
    assert client.get("/_stcore/stream", headers={"accept": "*/*"}).status_code == 401
    form = client.get("/join?code=ABC%22%3E").text
    assert "Tuesday &lt;b&gt;" in form and 'value="ABC&quot;&gt;"' in form and "I am the instructor" in form


@pytest.mark.parametrize(("fields", "words"), [({"nickname": "Ada", "code": "WRONG1"}, "not the code"),
                                               ({"nickname": "", "code": ""}, "code"), ({}, "code")])
def test_a_wrong_code_is_refused(app: Starlette, fields: dict[str, str], words: str):
    answer = visitor(app).post("/join", data=fields)
    assert answer.status_code == 403 and words in answer.text and "set-cookie" not in answer.headers


def test_guessing_the_code_comes_to_an_end(app: Starlette, room: ClassStore):
    client = visitor(app)
    for _ in range(10):
        assert client.post("/join", data={"nickname": "Eve", "code": "WRONG1"}).status_code == 403
    assert client.post("/join", data={"nickname": "Eve", "code": room.code}).status_code == 429


def test_a_participant_reaches_their_pages_under_their_own_name(app: Starlette, room: ClassStore):
    client = joined(app, room)
    ada, = room.participants()
    for path in ALLOWED:
        answer = client.get(path)
        assert answer.status_code == 200, path
        assert path == "/_stcore/health" or answer.text.endswith(f"for {ada.id}")
    for path in ("/_stcore/stream", "/lesson/_stcore/stream"):
        with client.websocket_connect(WEBSOCKET + path) as socket:
            assert socket.receive_text() == ada.id


@pytest.mark.parametrize(("method", "path"), FORBIDDEN)
def test_a_forbidden_act_is_refused_by_the_server(app: Starlette, room: ClassStore, method: str, path: str):
    answer = joined(app, room).request(method, ADDRESS + path)
    assert answer.status_code in (303, 403), answer.text
    assert answer.status_code == 403 or answer.headers["location"].startswith(("/login", "/join"))
    assert "for " not in answer.text


@pytest.mark.parametrize("path", ["/live?run=x", "/chat/gradio_api/queue/data", "/runs/_stcore/stream", "/anything"])
def test_other_websockets_are_refused(app: Starlette, room: ClassStore, path: str):
    client = joined(app, room)
    with pytest.raises(WebSocketDisconnect), client.websocket_connect(WEBSOCKET + path):
        pass


def test_nobody_names_themselves_somebody_else(app: Starlette, room: ClassStore):
    client = joined(app, room)
    ada, = room.participants()
    bea = room.join("Bea", room.code)
    header = {auth.PARTICIPANT_HEADER: bea.id}
    assert client.get("/lesson", headers=header).text.endswith(f"for {ada.id}")
    assert instructor(app).get("/runs", headers=header).text.endswith("for the instructor")
    forged = visitor(app)
    forged.cookies.set(gate_module.COOKIE, f"{bea.id}.AAAA.BBBB")
    assert forged.get("/lesson").status_code == 303


def test_the_instructor_keeps_all_rights_in_a_browser_that_joined_too(app: Starlette, room: ClassStore):
    client = instructor(app)
    client.post("/join", data={"nickname": "Test", "code": room.code})
    assert client.get("/runs").text.endswith("for the instructor")
    assert client.get("/classroom").status_code == 200


def test_who_was_taken_out_or_whose_class_is_over_is_out_at_once(app: Starlette, room: ClassStore):
    ada, bea = joined(app, room), joined(app, room, "Bea")
    room.remove(room.participants()[0].id)
    assert ada.get("/lesson").status_code == 303 and bea.get("/lesson").status_code == 200
    class_store.remove_files(room.id)
    assert bea.get("/lesson").headers["location"].startswith("/login")


def test_nobody_loses_their_seat_by_a_clock_that_is_set(app: Starlette, room: ClassStore, monkeypatch: pytest.MonkeyPatch):
    client, now = joined(app, room), time.time()
    for shift in (-3600, 3600):
        monkeypatch.setattr(time, "time", lambda shift=shift: now + shift)
        assert client.get("/lesson").status_code == 200


def test_requests_do_not_open_the_class(app: Starlette, room: ClassStore, monkeypatch: pytest.MonkeyPatch):
    client, opened = joined(app, room), []
    monkeypatch.setattr(gate_module, "READ_AGAIN", 1e9)
    connect = Database._connect
    monkeypatch.setattr(Database, "_connect", lambda self: opened.append(self.path) or connect(self))
    for _ in range(20):
        assert client.get("/lesson").status_code == 200
    assert len(opened) <= 4, "once, which is a look at its version, at the class and at who is in it"
    bea = joined(app, room, "Bea")
    assert bea.get("/lesson").status_code == 200 and client.get("/lesson").status_code == 200


def test_an_open_websocket_ends_with_the_participants_stay(app: Starlette, room: ClassStore, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(auth, "CHECK_SECONDS", 0.01)
    client = joined(app, room)
    with client.websocket_connect(WEBSOCKET + "/_stcore/stream") as socket:
        socket.receive_text()
        room.remove(room.participants()[0].id)
        with pytest.raises(WebSocketDisconnect):
            socket.receive_text()


def test_leaving_takes_a_post(app: Starlette, room: ClassStore):
    client = joined(app, room)
    assert client.get("/leave").status_code == 303 and client.get("/lesson").status_code == 200
    client.post("/leave")
    assert client.get("/lesson").status_code == 303


def test_a_form_that_is_too_long_is_refused(app: Starlette):
    assert visitor(app).post("/join", data={"nickname": "x" * 10_000}).status_code == 413
