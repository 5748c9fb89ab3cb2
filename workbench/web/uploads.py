"""Limits of what visitors send: the size of a file and of any other request, and what one visitor may upload in a day.

Streamlit writes an upload to a temporary file while it arrives, and keeps the whole of it in memory as long as its widget shows it. So what
is held at once has a limit too.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from workbench import settings
from workbench.errors import ServeError
from workbench.settings import Setting
from workbench.web.origins import visitor_of

MEGABYTE = 2**20
UPLOADS = "/_stcore/upload_file/"
FRAMING = MEGABYTE  # of the form that a file is sent in
OTHER_BODY = 8 * MEGABYTE  # requests that are no uploads: the longest are a chat's turns
HELD_AT_ONCE = 10  # uploads of the largest size in memory, over all visitors
DAY = 24 * 3600.0  # seconds
MOST_VISITORS = 10_000  # remembered


def megabytes(setting: Setting, least: int = 1) -> int:
    """Return a setting in MB.

    Raises:
        ServeError: it is no whole number from `least`.
    """
    given = setting.read()
    if given.isascii() and given.isdecimal() and len(given) < 9 and int(given) >= least:
        return int(given)
    raise ServeError(f"{setting.variable} is '{given}'.", f"A whole number of MB, from {least}, was expected.",
                     f"For example: {setting.variable}={setting.default}")


class _RefusedError(Exception):
    """A request is larger than it may be; its text is the response."""


class UploadLimits:
    """Answers 413 to what is too large, before or while it arrives.

    Args:
        app: the application inside.
        base_path: prefix of the server's addresses, empty or starting with a slash.
        held: returns the bytes of uploads that are in memory now.
    """

    def __init__(self, app: ASGIApp, base_path: str, held: Callable[[], int]) -> None:
        self._app, self._uploads, self._held = app, f"{base_path}{UPLOADS}", held
        self._largest, self._a_day = (megabytes(setting) * MEGABYTE for setting in (settings.UPLOAD, settings.VISITOR_UPLOADS))
        self._sent: dict[str, tuple[float, int]] = {}  # visitor -> when their day began, bytes since then

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the application inside with a body of limited size."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        visitor = visitor_of(scope) if scope["path"].startswith(self._uploads) else None
        received, started = 0, False

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            size = len(message.get("body", b""))
            received += size
            if visitor is not None:
                self._count(visitor, size)
            self._check(visitor, received)
            return message

        async def tracked(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        declared = Headers(scope=scope).get("content-length", "0")
        try:
            self._check(visitor, int(declared) if declared.isdecimal() else 0, begins=True)
            await self._app(scope, counted, tracked)
        except _RefusedError as refused:
            if not started:
                await PlainTextResponse(str(refused), 413, headers={"connection": "close"})(scope, receive, send)

    def _check(self, visitor: str | None, size: int, *, begins: bool = False) -> None:
        """Raise _RefusedError where a body of `size` bytes, so far or as announced, is too large."""
        if visitor is None:
            if size > OTHER_BODY:
                raise _RefusedError(f"The request is larger than {OTHER_BODY // MEGABYTE} MB.")
            return
        if size > self._largest + FRAMING:
            raise _RefusedError(f"The file is larger than {self._largest // MEGABYTE} MB. The owner of this app can allow more: "
                                f"{settings.UPLOAD.variable}.")
        if begins and self._held() + size > HELD_AT_ONCE * self._largest:
            raise _RefusedError("Too many uploads are in memory. Try again when other visitors are done with theirs.")
        if self._today(visitor) + (size if begins else 0) > self._a_day:
            raise _RefusedError(f"More than {self._a_day // MEGABYTE} MB were uploaded from here within a day. The owner of this app can "
                                f"allow more: {settings.VISITOR_UPLOADS.variable}.")

    def _today(self, visitor: str) -> int:
        began, size = self._sent.get(visitor, (0.0, 0))
        return size if time.monotonic() - began < DAY else 0

    def _count(self, visitor: str, size: int) -> None:
        today = self._today(visitor)
        began = self._sent[visitor][0] if today else time.monotonic()
        self._sent[visitor] = (began, today + size)
        while len(self._sent) > MOST_VISITORS:
            del self._sent[next(iter(self._sent))]
