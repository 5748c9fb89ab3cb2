"""Headers of every response: who may frame it, that its type is not guessed, whom the address of a page is given to."""

from __future__ import annotations

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# The pages frame the two panes of this server, so the same origin may; a policy of the application's own stays, both then hold.
FRAME_ANCESTORS = ("Content-Security-Policy", "frame-ancestors 'self'")
# `same-origin`, not `no-referrer`: with that browsers send `Origin: null` with forms, which the origin check refuses.
OTHERS = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin"}
STARTS = ("http.response.start", "websocket.http.response.start")


class SecurityHeaders:
    """Adds the headers to whatever answers inside: pages, panes, files, errors and redirects."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the application inside and add the headers to its responses."""

        async def with_headers(message: Message) -> None:
            if message["type"] in STARTS:
                message["headers"] = list(message.get("headers", ()))
                add_to(MutableHeaders(raw=message["headers"]))
            await send(message)

        await self._app(scope, receive, send if scope["type"] == "lifespan" else with_headers)


def add_to(headers: MutableHeaders) -> None:
    """Add the headers to those of a response, in place; its own policy for content is kept beside ours."""
    if FRAME_ANCESTORS[1] not in headers.getlist(FRAME_ANCESTORS[0]):
        headers.append(*FRAME_ANCESTORS)
    for name, value in OTHERS.items():
        headers[name] = value


async def internal_error(_request: Request, _error: Exception) -> Response:
    """Return the response to a request that failed: it is made outside all middleware."""
    response = PlainTextResponse("Internal Server Error", 500)
    add_to(response.headers)
    return response
