from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable

import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.responses import HTMLResponse, PlainTextResponse
from starlette.routing import Mount
from starlette.testclient import TestClient

from workbench.chat import mount
from workbench.chat.mount import ChatMount


class Pane:
    """A stand-in for the Gradio pane that keeps count of what happens to it."""

    def __init__(self) -> None:
        self.events: list[str] = []

    def build(self) -> FastAPI:
        time.sleep(0.05)  # long enough for a second request to arrive
        self.events.append("built")

        @contextlib.asynccontextmanager
        async def lifespan(_app: FastAPI):
            self.events.append("started")
            yield
            self.events.append("ended")

        application = FastAPI(lifespan=lifespan)
        application.get("/")(lambda: "pane")
        return application


@pytest.fixture
def pane(monkeypatch: pytest.MonkeyPatch) -> Pane:
    made = Pane()
    monkeypatch.setattr(mount, "build_pane", made.build)
    return made


def in_server(use: Callable[[ChatMount], object]) -> None:
    """Run a coroutine function while a mount is running."""

    async def serve() -> None:
        mount = ChatMount()
        async with mount.running():
            await use(mount)

    asyncio.run(serve())


def test_requests_reach_the_pane_and_it_ends_with_the_server(pane: Pane) -> None:
    mount = ChatMount()

    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette):
        async with mount.running():
            yield

    with TestClient(Starlette(routes=[Mount("/chat", app=mount)], lifespan=lifespan)) as client:
        assert [client.get("/chat/").json() for _ in range(2)] == ["pane", "pane"]
        assert pane.events == ["built", "started"]
    assert pane.events == ["built", "started", "ended"]


def test_it_is_built_once_however_many_ask(pane: Pane) -> None:
    async def ask(mount: ChatMount) -> None:
        first, second = await asyncio.gather(mount.begin(), mount.begin())
        assert first is second

    in_server(ask)
    assert pane.events == ["built", "started", "ended"]


def test_it_is_not_built_before_its_time(pane: Pane) -> None:
    in_server(lambda _mount: asyncio.sleep(0.1))
    assert pane.events == []


def test_it_warms_up_by_itself(pane: Pane, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mount, "WARM_UP_AFTER", 0.01)

    async def wait(_mount: ChatMount) -> None:
        while "started" not in pane.events:
            await asyncio.sleep(0.01)

    in_server(wait)
    assert pane.events == ["built", "started", "ended"]


def test_a_visitor_who_leaves_does_not_take_the_pane_along(pane: Pane) -> None:
    async def leave(mount: ChatMount) -> None:
        visitor = asyncio.create_task(mount({}, None, None))
        await asyncio.sleep(0.01)
        visitor.cancel()
        assert await mount.begin() is not None

    in_server(leave)
    assert pane.events == ["built", "started", "ended"]


def test_a_failed_build_is_an_error_for_every_visitor_and_logged_once(
        monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> FastAPI:
        raise RuntimeError("no pane today")

    monkeypatch.setattr(mount, "build_pane", broken)

    async def ask(mount: ChatMount) -> None:
        for _ in range(2):
            with pytest.raises(RuntimeError, match="no pane today"):
                await mount({}, None, None)

    in_server(ask)
    assert [record.message for record in caplog.records] == ["The chat pane could not be started."]


def test_gradios_own_beginning_is_hidden_in_pages_and_nowhere_else() -> None:
    def client(response) -> TestClient:
        return TestClient(mount.QuietStart(response))

    page = client(HTMLResponse("<html><head></head><body>…</body></html>")).get("/")
    assert "The chat opens" in page.text.partition("</head>")[0]
    assert page.headers["content-length"] == str(len(page.content))
    assert client(PlainTextResponse("</head>")).get("/").text == "</head>"


@pytest.mark.parametrize(("method", "path"), [
    ("POST", "/gradio_api/upload"), ("GET", "/gradio_api/upload_progress"), ("GET", "/gradio_api/file=/etc/hostname"),
    ("HEAD", "/gradio_api/file=/etc/hostname"), ("GET", "/gradio_api/file/etc/hostname"), ("GET", "/gradio_api/proxy=http://127.0.0.1:1/"),
    ("POST", "/gradio_api/component_server"), ("POST", "/gradio_api/process_recording"), ("GET", "/gradio_api/vibe-code"),
    ("POST", "/gradio_api/vibe-code"), ("POST", "/gradio_api/stream/a"), ("POST", "/gradio_api/call/ask"), ("GET", "/gradio_api/info"),
    ("GET", "/gradio_api/openapi.json"), ("GET", "/openapi.json"), ("GET", "/gradio_api/dev/reload"), ("GET", "/monitoring/summary"),
    ("GET", "/gradio_api/custom_component/a/client/component/b"), ("POST", "/login"), ("GET", "/gradio_api/runs"), ("PUT", "/config"),
    ("GET", "/gradio_api/heartbeat/a/../../file=/etc/hostname"), ("GET", "/config\n")])
def test_what_the_pane_does_not_use_is_closed(method: str, path: str) -> None:
    """Gradio itself would answer most of these."""
    reached: list[str] = []

    async def gradio(scope, receive, send) -> None:
        reached.append(scope["path"])

    async def ask() -> list[dict]:
        sent: list[dict] = []

        async def send(message: dict) -> None:
            sent.append(message)

        await mount.OnlyUsed(gradio)({"type": "http", "method": method, "path": f"/chat{path}", "root_path": "/chat", "headers": []}, None,
                                     send)
        return sent

    assert asyncio.run(ask())[0]["status"] == 404
    assert reached == []
