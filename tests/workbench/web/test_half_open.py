"""Raw sockets against a server of this process, with short limits; what a test waits for is always an end that must come."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from tests.waiting import PATIENCE, wait_until
from workbench.web import half_open
from workbench.web.half_open import LimitedProtocol

HEAD = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n"


class Served:
    """A server on a free port, and what came to its one page."""

    def __init__(self) -> None:
        self.bodies: list[int] = []
        self.left = 0
        self.may_read = threading.Event()
        self.may_read.set()
        self.listener = socket.create_server(("127.0.0.1", 0))
        app = Starlette(routes=[Route("/", self.page, methods=["GET", "POST"]), WebSocketRoute("/stream", self.stream)])
        self.server = uvicorn.Server(uvicorn.Config(app, log_level="critical", http=LimitedProtocol, ws="websockets-sansio",
                                                    timeout_graceful_shutdown=1, lifespan="off"))
        self.thread = threading.Thread(target=self.server.run, args=([self.listener],))

    async def page(self, request: Request) -> Response:
        import anyio

        await anyio.to_thread.run_sync(self.may_read.wait)
        try:
            self.bodies.append(len(await request.body()))
        except ClientDisconnect:
            self.left += 1
            raise
        return PlainTextResponse("ok")

    async def stream(self, websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text(await websocket.receive_text())

    def connect(self, data: bytes = b"") -> socket.socket:
        opened = socket.create_connection(self.listener.getsockname(), timeout=PATIENCE)
        opened.sendall(data)
        return opened


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    monkeypatch.setattr(LimitedProtocol, "headers_within", 1.0)
    monkeypatch.setattr(LimitedProtocol, "body_window", 1.0)
    made = Served()
    made.thread.start()
    wait_until(lambda: made.server.started)
    try:
        yield made
    finally:
        made.server.should_exit = True
        made.thread.join(PATIENCE)
        assert not any(LimitedProtocol._unfinished.values())


def rest(opened: socket.socket) -> bytes:
    """Everything until the server closes the connection; a reset counts as closed."""
    received = b""
    with contextlib.suppress(ConnectionResetError):
        while piece := opened.recv(4096):
            received += piece
    return received


def answered(opened: socket.socket) -> bool:
    """Read one whole response of the page."""
    received = b""
    while not received.endswith(b"\r\n\r\nok"):
        piece = opened.recv(4096)
        assert piece, received
        received += piece
    return received.startswith(b"HTTP/1.1 200")


def drip(opened: socket.socket, byte: bytes) -> None:
    """Send a byte again and again until the server has had enough."""
    stop = threading.Event()

    def send() -> None:
        with contextlib.suppress(OSError):
            while not stop.wait(0.05):
                opened.sendall(byte)

    sender = threading.Thread(target=send)
    sender.start()
    try:
        answer = rest(opened)
    finally:
        stop.set()
        sender.join()
    assert answer.startswith(b"HTTP/1.1 408 ") or answer == b""  # what it still sends may reset the connection before the answer is read


def headers_that_never_end(served: Served) -> None:
    with served.connect(b"GET / HTTP/1.1\r\nHost: a\r\n") as opened:
        answer = rest(opened)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"nosniff" in answer and b"frame-ancestors" in answer


def a_connection_that_says_nothing(served: Served) -> None:
    with served.connect() as opened:
        assert rest(opened) == b""


def headers_a_byte_at_a_time(served: Served) -> None:
    with served.connect(b"GET / HTTP/1.1\r\nX: ") as opened:
        drip(opened, b"x")


def a_second_request_a_byte_at_a_time(served: Served) -> None:
    """Between two requests uvicorn's own limit ends with the first byte."""
    with served.connect(HEAD) as opened:
        assert answered(opened)
        opened.sendall(b"GET / HTTP/1.1\r\nX: ")
        drip(opened, b"x")


def half_a_body(served: Served) -> None:
    with served.connect(POST % 1000 + b"x" * 500) as opened:
        assert rest(opened).startswith(b"HTTP/1.1 408 ")


def a_body_a_byte_at_a_time(served: Served) -> None:
    with served.connect(POST % 10**6) as opened:
        drip(opened, b"x")


def test_what_never_becomes_whole_is_ended(served: Served) -> None:
    """All of them at once, since each takes the whole time that it is given."""
    never_whole = (headers_that_never_end, a_connection_that_says_nothing, headers_a_byte_at_a_time, a_second_request_a_byte_at_a_time,
                   half_a_body, a_body_a_byte_at_a_time)
    with ThreadPoolExecutor(len(never_whole)) as threads:
        for ended in [threads.submit(each, served) for each in never_whole]:
            ended.result()
    wait_until(lambda: served.left == 2)  # the halves of bodies that the page began to read
    assert served.bodies == [0]  # the one request that was whole; of no other the page saw all


def test_a_body_that_comes_steadily_may_take_its_time(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fifteen pieces with a pause between them, three windows long altogether."""
    monkeypatch.setattr(LimitedProtocol, "body_least", 1)
    pieces, pause = 15, threading.Event()
    with served.connect(POST % pieces) as opened:
        for _ in range(pieces):
            opened.sendall(b"x")
            pause.wait(0.2)
        assert answered(opened)
    assert served.bodies == [pieces]


def test_a_body_that_this_side_does_not_read_is_not_late(served: Served) -> None:
    served.may_read.clear()
    size = 10**6
    with served.connect(POST % size) as opened:
        sender = threading.Thread(target=opened.sendall, args=(b"x" * size,))
        sender.start()
        threading.Event().wait(2.5)  # more than two windows
        served.may_read.set()
        sender.join()
        assert answered(opened)
    assert served.bodies == [size]


def test_whole_requests_keep_their_connection(served: Served) -> None:
    with served.connect() as opened:
        for _ in range(3):
            opened.sendall(HEAD)
            assert answered(opened)
            opened.sendall(POST % 3 + b"abc")
            assert answered(opened)


def test_a_websocket_stays_open(served: Served) -> None:
    with served.connect(b"GET /stream HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n") as opened:
        assert opened.recv(4096).startswith(b"HTTP/1.1 101")
        threading.Event().wait(1.5)  # longer than headers may take
        opened.sendall(bytes([0x81, 0x82, 0, 0, 0, 0]) + b"hi")
        assert opened.recv(4096) == b"\x81\x02hi"


def test_nonsense_is_refused_with_the_headers(served: Served) -> None:
    with served.connect(b"\x00\x01\r\n\r\n") as opened:
        answer = rest(opened)
    assert answer.startswith(b"HTTP/1.1 400 ") and b"nosniff" in answer


def test_no_more_than_so_many_wait(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """The longest waiting is closed; whoever sends a whole request is answered all the while."""
    monkeypatch.setattr(LimitedProtocol, "headers_within", PATIENCE)
    monkeypatch.setattr(LimitedProtocol, "most", 4)
    with contextlib.ExitStack() as stack:
        silent = [stack.enter_context(served.connect(b"GET / HTTP/1.1\r\n")) for _ in range(8)]
        answers = [rest(each) for each in silent[:4]]
        with served.connect(HEAD) as opened:
            assert answered(opened)
        wait_until(lambda: len(LimitedProtocol._unfinished["headers"]) <= 4)
    assert all(answer.startswith(b"HTTP/1.1 408 ") or answer == b"" for answer in answers)  # closed before its first bytes were read


def test_the_limits_are_those_of_real_visitors() -> None:
    assert half_open.LimitedProtocol.headers_within >= 10 and half_open.LimitedProtocol.most >= 100
