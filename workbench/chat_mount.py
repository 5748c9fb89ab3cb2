"""The chat pane inside this server. Importing Gradio takes seconds, so it happens beside the first page, not before it."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.types import Receive, Scope, Send

WARM_UP_AFTER = 4.0  # seconds; leaves the processor to the first page


class ChatMount:
    """An ASGI application that becomes the chat pane at its first request, or a few seconds after the start.

    One task owns the pane from its start to its end: a mounted application gets no lifespan events of its own.
    """

    def __init__(self) -> None:
        self._owner: asyncio.Task[None] | None = None
        self._pane: asyncio.Future[FastAPI] | None = None
        self._closing = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        pane = await self.pane()
        await pane(scope, receive, send)

    async def pane(self) -> FastAPI:
        """The running pane, started when nobody has asked for it before."""
        if self._pane is None:
            self._pane = asyncio.get_running_loop().create_future()
            self._owner = asyncio.create_task(self._own(self._pane))
        return await asyncio.shield(self._pane)

    async def _own(self, pane: asyncio.Future[FastAPI]) -> None:
        try:
            application = await asyncio.to_thread(build_pane)
        except BaseException as error:
            pane.set_exception(error)  # every request then says why, in the log
            raise
        async with application.router.lifespan_context(application):
            pane.set_result(application)
            await self._closing.wait()

    @contextlib.asynccontextmanager
    async def running(self):
        """Start the pane after a while, and end it with the server."""
        warm_up = asyncio.create_task(self._warm_up())
        try:
            yield
        finally:
            warm_up.cancel()
            self._closing.set()
            if self._owner is not None:
                await asyncio.wait([self._owner])

    async def _warm_up(self) -> None:
        await asyncio.sleep(WARM_UP_AFTER)
        await self.pane()


def build_pane() -> FastAPI:
    """The Gradio pane as an application of its own, without documentation pages and without calls to other hosts."""
    import gradio
    from fastapi import FastAPI

    from workbench.chat import CSS, build_chat

    application = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    blocks = build_chat().queue(default_concurrency_limit=8, max_size=64, api_open=False)
    gradio.mount_gradio_app(application, blocks, path="/", css=CSS, footer_links=[], run_history=False, ssr_mode=False)
    return application
