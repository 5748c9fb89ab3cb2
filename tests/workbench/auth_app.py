"""An app behind authentication, and visitors of it."""

from __future__ import annotations

from pathlib import Path

from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket

from workbench import auth

PASSWORD = "copper kettle"
STREAM = "ws://127.0.0.1:8501/_stcore/stream"
PROTECTED = ["/", "/new", "/chat/", "/chat/config", "/assets/plotly.min.js", "/_stcore/upload_file/x", "/media/x.png"]


def application(home: Path, base_path: str = "") -> Starlette:
    def page(request):
        return PlainTextResponse(f"page {request.url.path}")

    async def echo(socket: WebSocket) -> None:
        await socket.accept()
        await socket.send_text("hello")
        await socket.close()

    chat = Starlette(routes=[Route("/{rest:path}", page)])
    routes = [WebSocketRoute("/_stcore/stream", echo), Mount("/chat", chat), Route("/{rest:path}", page)]
    return Starlette(routes=routes, middleware=auth.auth_middleware(home / "gate.key", base_path))


def client(app: Starlette, address: str = "http://127.0.0.1:8501", **headers: str) -> TestClient:
    return TestClient(app, base_url=address, headers={"accept": "text/html", **headers}, follow_redirects=False)
