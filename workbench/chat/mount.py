"""The chat pane inside this server. Importing Gradio takes seconds, so it happens beside the first page, not before it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse

from workbench.web.origins import refuse

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

WARM_UP_AFTER = 4.0  # seconds; leaves the processor to the first page
IDLE_SLEEP = 0.05  # seconds between two looks at the queue of questions; Gradio's own millisecond costs 4% of a core for as long as it runs
PROGRESS_SLEEP = 0.2  # seconds between two looks at progress bars of questions; the panes have none

# What the pane in the browser asks for. Gradio has sixty routes more: uploads, files, a proxy, recordings, an editor of its own source.
USED = {
    "GET": re.compile(r"/|/config|/theme\.css|/favicon\.ico|/manifest\.json|/robots\.txt|/(assets|static|svelte)/.*"
                      r"|/gradio_api/(startup-events|heartbeat/\w+|queue/data)"),
    "POST": re.compile(r"/gradio_api/(queue/join|run/predict|cancel|reset)"),
}


class ChatMount:
    """An ASGI application that becomes the chat pane at its first request, or a few seconds after the start."""

    def __init__(self) -> None:
        self._pane: asyncio.Future[FastAPI] | None = None
        self._owner: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request once the pane runs."""
        pane = await asyncio.shield(self.begin())
        await pane(scope, receive, send)

    def begin(self) -> asyncio.Future[FastAPI]:
        """Start the pane, unless that was done before; the result is there once it runs."""
        if self._pane is None:
            self._pane = asyncio.get_running_loop().create_future()
            self._owner = asyncio.create_task(self._own(self._pane))
        return self._pane

    async def _own(self, pane: asyncio.Future[FastAPI]) -> None:
        # A mounted application gets no lifespan events: one task runs its lifespan from beginning to end.
        building = asyncio.create_task(asyncio.to_thread(build_pane))
        await asyncio.wait([building])
        if error := building.exception():
            logging.getLogger(__name__).error("The chat pane could not be started.", exc_info=error)
            pane.set_exception(error)
            pane.exception()  # it was reported; asyncio need not report it again
            return
        async with building.result().router.lifespan_context(building.result()):
            pane.set_result(building.result())
            await self._closing.wait()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Start the pane after a while, and end it with the server."""
        warm_up = asyncio.get_running_loop().call_later(WARM_UP_AFTER, self.begin)
        try:
            yield
        finally:
            warm_up.cancel()
            self._closing.set()
            if self._owner is not None:
                await self._owner


class OnlyUsed:
    """Answers 404 to whatever the pane does not use."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the pane's own requests, and nothing else."""
        if scope["type"] == "lifespan" or (scope["type"] == "http" and self._is_used(scope)):
            await self._app(scope, receive, send)
        else:
            await refuse(scope, receive, send, PlainTextResponse("Not Found", 404))

    @staticmethod
    def _is_used(scope: Scope) -> bool:
        known = USED.get("GET" if scope["method"] == "HEAD" else scope["method"])
        return known is not None and known.fullmatch(scope["path"].removeprefix(scope.get("root_path", ""))) is not None


class QuietStart:
    """Puts a line of text in the place of Gradio's logo and progress while the pane is built in the browser."""

    STYLE = (b"<style>body:not(:has(#panes)) gradio-app { visibility: hidden }"
             b"body:not(:has(#panes))::before { content: 'The chat opens \\2026'; position: fixed; inset: 0; display: grid; "
             b"place-items: center; color: #7b858c; font: 0.95rem system-ui, sans-serif }"
             b"body:not(:has(#panes)) { background: transparent !important }</style>")

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, with the style sheet added to the head of an HTML page."""
        start: Message | None = None
        body = b""

        async def styled(message: Message) -> None:
            nonlocal start, body
            if message["type"] == "http.response.start":
                headers = Headers(raw=message["headers"])
                if headers.get("content-type", "").startswith("text/html") and "content-encoding" not in headers:
                    start = message
                    return
            elif start is not None:
                body += message.get("body", b"")
                if message.get("more_body"):
                    return
                body = body.replace(b"</head>", self.STYLE + b"</head>", 1)
                MutableHeaders(raw=start["headers"])["content-length"] = str(len(body))
                await send(start)
                message = {"type": "http.response.body", "body": body}
            await send(message)

        await self._app(scope, receive, styled)


def build_pane() -> FastAPI:
    """Return the Gradio pane as an application of its own, without documentation pages and without calls to other hosts."""
    import gradio
    from fastapi import FastAPI

    from workbench.chat.pane import build_chat
    from workbench.chat.theme import CSS, THEME

    application = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    blocks = build_chat().queue(default_concurrency_limit=8, max_size=64, api_open=False)
    blocks._queue.sleep_when_free, blocks._queue.progress_update_sleep_when_free = IDLE_SLEEP, PROGRESS_SLEEP
    application.add_middleware(QuietStart)
    application.add_middleware(OnlyUsed)
    gradio.mount_gradio_app(application, blocks, path="/", css=CSS, theme=THEME, footer_links=[], run_history=False, ssr_mode=False)
    return application
