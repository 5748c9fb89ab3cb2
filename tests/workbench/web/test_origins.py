from __future__ import annotations

from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket, WebSocketDisconnect

from workbench import auth, settings
from workbench.errors import ServeError
from workbench.web.origins import REFUSED_BY_POLICY
from workbench.web.proxies import named_proxies

PASSWORD = "copper kettle"
PROXY = "10.0.0.7"


def application(home: Path) -> Starlette:
    async def page(request: Request) -> Response:
        return JSONResponse({"client": request.client.host, "url": str(request.url)})

    async def stream(socket: WebSocket) -> None:
        await socket.accept()
        await socket.send_text("hello")
        await socket.close()

    return Starlette(routes=[WebSocketRoute("/stream", stream), Route("/{rest:path}", page, methods=["GET", "POST", "PUT", "DELETE"])],
                     middleware=auth.auth_middleware(home / "gate.key", ""))


def visitor(home: Path, address: str, *, client: str = "127.0.0.1") -> TestClient:
    """A browser that has logged in where that is needed."""
    made = TestClient(application(home), base_url=address, client=(client, 4000), follow_redirects=False)
    if settings.PASSWORD.read():
        assert made.post("/login", data={"password": PASSWORD}, headers={"host": "h", "origin": "http://h"}).status_code == 303
        made.headers["cookie"] = f"{auth.COOKIE}={made.cookies[auth.COOKIE]}"
    return made


def may(visitor: TestClient, origin: str, **headers: str) -> bool:
    """Whether pages of an origin may send; posts, other methods and websockets get the same answer."""
    sent = {"origin": origin, **headers}
    codes = {REFUSED_BY_POLICY: 403}
    answers = {visitor.request(method, "/x", headers=sent).status_code for method in ("POST", "PUT", "DELETE", "GET")}
    try:
        with visitor.websocket_connect(f"ws{str(visitor.base_url).removeprefix('http')}/stream", headers=sent) as socket:
            assert socket.receive_text() == "hello"
        answers.add(200)
    except WebSocketDisconnect as refused:
        answers.add(codes[refused.code])
    assert len(answers) == 1
    return answers == {200}


@pytest.fixture(params=["", PASSWORD], ids=["open", "password"])
def password(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv(settings.PASSWORD.variable, request.param)
    return request.param


@pytest.mark.usefixtures("password")
@pytest.mark.parametrize(("origin", "allowed"), [
    ("http://127.0.0.1:8501", True), ("http://localhost:8501", True), ("http://[::1]:8501", True), ("HTTP://LOCALHOST:8501", True),
    ("http://127.0.0.1:3000", False), ("http://localhost:3000", False), ("http://localhost", False), ("http://127.0.0.1", False),
    ("https://127.0.0.1:8501", False), ("http://192.168.1.5:8501", False), ("http://127.0.0.1.example.org:8501", False),
    ("http://example.org:8501", False), ("null", False), ("http://[::1", False), ("http://127.0.0.1:99999", False), ("", False)])
def test_only_this_port_of_this_machine(home: Path, origin: str, allowed: bool) -> None:
    assert may(visitor(home, "http://127.0.0.1:8501"), origin) is allowed


@pytest.mark.usefixtures("password")
def test_programs_name_no_origin(home: Path) -> None:
    assert visitor(home, "http://127.0.0.1:8501").post("/x").status_code == 200


@pytest.mark.usefixtures("password")
def test_a_tunnel_from_another_port(home: Path) -> None:
    there = visitor(home, "http://127.0.0.1:8501")
    there.headers["host"] = "localhost:9000"
    assert may(there, "http://localhost:9000")
    assert not may(there, "http://localhost:8501")


def test_the_refusal_says_what_to_do_and_quotes_little(home: Path) -> None:
    text = visitor(home, "http://127.0.0.1:8501").post("/x", headers={"origin": f"http://{'a' * 5000}"}).text
    assert settings.PROXIES.variable in text
    assert len(text) < 500


# ------------------------------------------------------------------------------------------------ proxies


@pytest.mark.parametrize(("origin", "allowed"), [
    ("https://lab.example.org", True), ("https://lab.example.org:443", True), ("http://lab.example.org", False),
    ("https://lab.example.org:3000", False), ("https://example.org", False), ("http://127.0.0.1:8501", False)])
@pytest.mark.parametrize("named", [PROXY, "10.0.0.0/8, 192.0.2.1"])
def test_behind_a_named_proxy(home: Path, monkeypatch: pytest.MonkeyPatch, origin: str, allowed: bool, named: str) -> None:
    monkeypatch.setenv(settings.PASSWORD.variable, PASSWORD)
    monkeypatch.setenv(settings.PROXIES.variable, named)
    behind = visitor(home, "http://127.0.0.1:8501", client=PROXY)
    assert may(behind, origin, **{"host": "lab.example.org", "x-forwarded-proto": "https"}) is allowed
    assert may(behind, origin, **{"x-forwarded-host": "lab.example.org", "x-forwarded-proto": "https"}) is allowed


def test_the_visitor_is_whom_a_named_proxy_says(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(settings.PASSWORD.variable, PASSWORD)
    monkeypatch.setenv(settings.PROXIES.variable, PROXY)
    forwarded = {"x-forwarded-for": "198.51.100.1, 203.0.113.9", "x-forwarded-proto": "https", "x-forwarded-host": "lab.example.org"}
    through = visitor(home, "http://127.0.0.1:8501", client=PROXY).get("/x", headers=forwarded).json()
    assert through == {"client": "203.0.113.9", "url": "https://lab.example.org/x"}  # what stands before it, the visitor may have invented
    around = visitor(home, "http://127.0.0.1:8501", client="10.0.0.8").get("/x", headers=forwarded).json()
    assert around == {"client": "10.0.0.8", "url": "http://127.0.0.1:8501/x"}


@pytest.mark.usefixtures("password")
def test_without_a_named_proxy_nobody_is_believed(home: Path) -> None:
    said = visitor(home, "http://127.0.0.1:8501").get("/x", headers={"x-forwarded-for": "203.0.113.9", "x-forwarded-proto": "https",
                                                                     "x-forwarded-host": "localhost"}).json()
    assert said == {"client": "127.0.0.1", "url": "http://127.0.0.1:8501/x"}


@pytest.mark.parametrize("named", ["*", "lab.example.org", "10.0.0.1/99", "10.0.0.1 10.0.0.2"])
def test_what_names_no_proxy(home: Path, monkeypatch: pytest.MonkeyPatch, named: str) -> None:
    monkeypatch.setenv(settings.PROXIES.variable, named)
    with pytest.raises(ServeError, match=r"STILLHOUSE_PROXIES.*Addresses or networks"):
        auth.auth_middleware(home / "gate.key", "")


def test_proxies_are_addresses_and_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    assert named_proxies() == []
    monkeypatch.setenv(settings.PROXIES.variable, " 127.0.0.1, 10.0.0.0/8 ,2001:db8::/32,")
    assert named_proxies() == ["127.0.0.1", "10.0.0.0/8", "2001:db8::/32"]
