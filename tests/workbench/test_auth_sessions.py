"""Sessions behind a password: listed, ended, and what is open ends with them."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from tests.workbench.auth_app import PASSWORD, application, client
from workbench import auth, settings
from workbench.web import sessions


def logged_in(app: Starlette, browser: str = "a browser") -> TestClient:
    visitor = client(app, **{"user-agent": browser})
    assert visitor.post("/login", data={"password": PASSWORD}).status_code == 303
    return visitor


@pytest.mark.usefixtures("with_password")
def test_logging_out_ends_the_session_everywhere(home: Path) -> None:
    app = application(home)
    visitor = logged_in(app)
    cookie = {"cookie": f"{auth.COOKIE}={visitor.cookies[auth.COOKIE]}"}
    assert client(app).get("/", headers=cookie).status_code == 200
    assert visitor.get("/logout").headers["location"] == "/sessions"  # a link logs nobody out
    assert visitor.get("/").status_code == 200
    done = visitor.post("/logout")
    assert (done.status_code, done.headers["location"]) == (303, "/login")
    assert auth.COOKIE not in visitor.cookies
    assert client(app).get("/", headers=cookie).status_code == 303
    assert client(application(home)).get("/", headers=cookie).status_code == 303  # nor does a restart bring it back


@pytest.mark.usefixtures("with_password")
def test_sessions_are_listed_and_ended(home: Path) -> None:
    app = application(home)
    mine, theirs = logged_in(app, "Firefox"), logged_in(app, "<b>Chrome</b>")
    page = mine.get("/sessions").text
    assert "Firefox" in page and "&lt;b&gt;Chrome" in page and "<b>" not in page and "this one" in page
    names = re.findall(r'name="session" value="([0-9a-f]{64})"', page)
    assert len(names) == 1
    assert mine.post("/sessions", data={"session": names[0]}).headers["location"] == "/sessions"
    assert theirs.get("/").status_code == 303
    assert mine.get("/").status_code == 200
    assert "Chrome" not in mine.get("/sessions").text
    assert {path.name.partition(".")[2] for path in (home / "sessions").iterdir()} == {"json"}


@pytest.mark.usefixtures("with_password")
@pytest.mark.parametrize("path", ["/sessions", "/logout"])
def test_only_those_who_are_logged_in_see_and_end_sessions(home: Path, path: str) -> None:
    app = application(home)
    mine = logged_in(app)
    assert client(app).get(path).headers["location"] == f"/login?next=%2F{path[1:]}"
    assert client(app).post(path, data={"session": "x"}).status_code == 303
    assert mine.get("/").status_code == 200
    assert client(app, origin="http://127.0.0.1:3000", cookie=f"{auth.COOKIE}={mine.cookies[auth.COOKIE]}").post(path).status_code == 403
    assert mine.get("/").status_code == 200


@pytest.mark.usefixtures("with_password")
def test_sessions_of_another_password_are_not_listed(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    logged_in(application(home), "of before")
    monkeypatch.setenv(settings.PASSWORD.variable, "another")
    after = client(application(home))
    after.post("/login", data={"password": "another"})
    assert "of before" not in after.get("/sessions").text


@pytest.mark.usefixtures("with_password")
@pytest.mark.parametrize("kind", ["websocket", "http"])
def test_what_is_open_ends_with_its_session(home: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """A page that stays open, and a stream of an answer."""
    monkeypatch.setattr(auth, "CHECK_SECONDS", 0.01)
    ended, sent = [], []

    async def lasting(scope, receive, send) -> None:
        if scope["path"] != "/lasting":
            return
        while (message := await receive())["type"] in ("websocket.connect", "http.request"):
            opened.set()
        ended.append(message["type"])

    async def send(message: dict) -> None:
        sent.append(message["type"])

    app = auth.PasswordAuth(lasting, PASSWORD, b"k" * 32, home / "sessions")
    session = app.sessions.begin("127.0.0.1", "")
    cookie = f"{auth.COOKIE}={app._signer.sign(session).decode()}".encode()
    opened = asyncio.Event()

    async def visit() -> None:
        begins = iter([{"type": "websocket.connect"} if kind == "websocket" else {"type": "http.request"}])

        async def receive() -> dict:
            for message in begins:
                return message
            await asyncio.Event().wait()
            raise AssertionError

        task = asyncio.create_task(app({"type": kind, "path": "/lasting", "headers": [(b"cookie", cookie)]}, receive, send))
        await opened.wait()
        assert not task.done()
        app.sessions.end(sessions.name_of(session))
        await task

    asyncio.run(visit())
    assert ended == [f"{kind}.disconnect"]
    assert sent == (["websocket.close"] if kind == "websocket" else [])


@pytest.mark.usefixtures("with_password")
def test_a_disk_that_cannot_be_written_is_a_message(home: Path) -> None:
    app = application(home)
    client(app).get("/login")
    (home / "sessions").write_text("no folder")
    answer = client(app).post("/login", data={"password": PASSWORD})
    assert answer.status_code == 503
    assert "session cannot be kept" in answer.text
