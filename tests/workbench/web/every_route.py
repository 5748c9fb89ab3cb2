"""Visits every route of the app without a server: ``python every_route.py`` prints ``method path -> status and headers`` as JSON."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import Iterator
from typing import Any

from starlette.routing import BaseRoute, Mount


def addresses(routes: list[BaseRoute], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield every (method, path), parameters filled in; of a mount also one that it does not know."""
    for route in routes:
        if hasattr(route, "original_router"):  # FastAPI's, of a router that an application includes
            yield from addresses(list(route.original_router.routes), prefix)
            continue
        path = prefix + re.sub(r"\{[^}]*\}", "x", getattr(route, "path", ""))
        if isinstance(route, Mount):
            yield from addresses(list(route.routes), path)
            yield "GET", f"{path}/nothing-of-that-name"
        else:
            for method in sorted(getattr(route, "methods", None) or ()):
                yield method, path


async def visit(app: Any, method: str, path: str, headers: tuple[tuple[bytes, bytes], ...] = ()) -> tuple[int, list[list[str]]]:
    """Status and headers of a response, whose body is not waited for: some have no end."""
    began: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()

    bodies = iter([b"{}"])

    async def receive() -> dict[str, Any]:
        if next(bodies, None) is None:
            await asyncio.Event().wait()
        return {"type": "http.request", "body": b"{}", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start" and not began.done():
            began.set_result(message)

    scope = {"type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}, "http_version": "1.1", "method": method, "scheme": "http",
             "path": path, "raw_path": path.encode(), "query_string": b"", "root_path": "", "client": ("127.0.0.1", 5000),
             "server": ("127.0.0.1", 8501), "headers": [(b"host", b"127.0.0.1:8501"), (b"accept", b"text/html"), *headers]}
    task = asyncio.ensure_future(app(scope, receive, send))
    await asyncio.wait([task, began], return_when=asyncio.FIRST_COMPLETED)
    await asyncio.sleep(0)
    if not began.done():
        raise AssertionError(f"no response to {method} {path}: {task.exception()!r}")
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return began.result()["status"], [[name.decode().lower(), value.decode()] for name, value in began.result()["headers"]]


async def main() -> None:
    """Visit every route, and what is answered in front of them, and print what came back."""
    from workbench.app import app, chat
    from workbench.chat.mount import build_pane

    pane = build_pane()
    chat._pane = asyncio.get_running_loop().create_future()  # without its lifespan, which needs a server
    chat._pane.set_result(pane)
    routes = app._build_starlette_app().routes
    found = {*addresses(routes), *addresses(list(pane.routes), "/chat"), ("GET", "/chat/"), ("GET", "/login"), ("POST", "/login"),
             ("GET", "/sessions"), ("POST", "/sessions"), ("GET", "/"), ("GET", "/new")}
    answers = {f"{method} {path}": await visit(app, method, path) for method, path in sorted(found)}
    elsewhere = ((b"origin", b"https://example.org"),)
    answers["POST / from elsewhere"] = await visit(app, "POST", "/", elsewhere)
    json.dump(answers, sys.stdout)


if __name__ == "__main__":
    asyncio.run(main())
