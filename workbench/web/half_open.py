"""Requests that never become whole: a client that sends headers or a body slowly, or half of them, is cut off.

Uvicorn has a limit for idle connections only, between two requests. Without the others, whoever opens connections and sends a byte now
and then holds memory and file descriptors of the server for as long as they like.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any, ClassVar, Literal

import h11
from starlette.datastructures import MutableHeaders
from uvicorn.protocols.http.h11_impl import H11Protocol

from workbench.web import headers

Phase = Literal["headers", "body"]


class LimitedProtocol(H11Protocol):
    """HTTP/1.1 as uvicorn has it, with limits for requests that are not whole yet.

    Attributes:
        headers_within: seconds from the opening of a connection, or from the last response on it, to the end of the headers.
        body_window: seconds in each of which `body_least` bytes of a body must come, or its end.
        body_least: bytes.
        most: connections in each phase; of more, the one that waits longest for headers or sent the fewest bytes of a body is closed.
    """

    headers_within: ClassVar[float] = 20.0
    body_window: ClassVar[float] = 30.0
    body_least: ClassVar[int] = 30 * 1024
    most: ClassVar[int] = 256

    _unfinished: ClassVar[dict[Phase, dict[LimitedProtocol, None]]] = {"headers": {}, "body": {}}

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._phase: Phase | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._received = 0  # bytes, in this phase and window

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for the headers of a first request."""
        super().connection_made(transport)
        self._enter("headers")

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._enter(None)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take bytes, and follow the request to its next phase."""
        self._received += len(data)
        super().data_received(data)
        self._follow()

    def on_response_complete(self) -> None:
        """Wait for the headers of the next request."""
        super().on_response_complete()
        self._follow()

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """Hand the connection over to the websocket protocol."""
        self._enter(None)  # from here on the connection has another protocol, with pings of its own
        super().handle_websocket_upgrade(event)

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP, with the headers of every response."""
        self._refuse(400, msg)

    def _follow(self) -> None:
        """Enter the phase that the connection is in, after something happened to it."""
        if self.transport.is_closing() or self.transport.get_protocol() is not self:
            self._enter(None)
        else:
            self._enter({h11.IDLE: "headers", h11.SEND_BODY: "body"}.get(self.conn.their_state))  # type: ignore[arg-type]

    def _enter(self, phase: Phase | None) -> None:
        if phase == self._phase:
            return
        if self._phase is not None:
            self._unfinished[self._phase].pop(self, None)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._phase, self._received = phase, 0
        if phase is not None:
            unfinished = self._unfinished[phase]
            unfinished[self] = None
            self._timer = self.loop.call_later(self.headers_within if phase == "headers" else self.body_window, self._is_late)
            if len(unfinished) > self.most:
                oldest = next(iter(unfinished)) if phase == "headers" else min(unfinished, key=lambda each: each._received)
                oldest._end()

    def _is_late(self) -> None:
        # A body that this side does not read at the moment, because the application is busy with the beginning of it, is not late.
        if self._phase == "body" and (self.flow.read_paused or self._received >= self.body_least):
            self._received = 0
            self._timer = self.loop.call_later(self.body_window, self._is_late)
        else:
            self._end()

    def _end(self) -> None:
        """Close the connection; a client that had begun a request is answered why."""
        begun = self._phase == "body" or self._received
        self._enter(None)
        if begun and self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            self._refuse(408, "The request did not become whole in time.")
        elif not self.transport.is_closing():
            self.transport.close()

    def _refuse(self, status: int, text: str) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True  # the application need not answer any more
            self.cycle.message_event.set()
        fields = MutableHeaders({"content-type": "text/plain; charset=utf-8", "connection": "close"})
        headers.add_to(fields)
        response = h11.Response(status_code=status, headers=fields.raw, reason=HTTPStatus(status).phrase.encode())
        for event in (response, h11.Data(data=text.encode("ascii")), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event))
        self.transport.close()
