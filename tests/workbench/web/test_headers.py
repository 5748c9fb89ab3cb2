from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from core.system.paths import PROJECT
from workbench import settings
from workbench.web.headers import SecurityHeaders, internal_error

EXPECTED = [("x-content-type-options", "nosniff"), ("referrer-policy", "same-origin")]


def lacks(headers: list[tuple[str, str]]) -> bool:
    """Whether a response lacks one of the headers, or has one twice."""
    policies = [value for name, value in headers if name == "content-security-policy" and "frame-ancestors" in value]
    return policies != ["frame-ancestors 'self'"] or any([pair for pair in headers if pair[0] == name] != [(name, value)]
                                                         for name, value in EXPECTED)


# What the chat pane uses of Gradio, beside its start page; `workbench.chat.mount` closes the other routes.
OPEN_IN_THE_CHAT = {"assets", "cancel", "config", "favicon.ico", "heartbeat", "join", "predict", "data", "manifest.json", "reset",
                    "startup-events", "static", "svelte", "theme.css", "robots.txt", ""}


@pytest.mark.parametrize("password", ["", "copper kettle"], ids=["open", "password"])
def test_every_route_has_the_headers(home: Path, password: str) -> None:
    done = subprocess.run([sys.executable, Path(__file__).with_name("every_route.py")], cwd=PROJECT, capture_output=True, text=True,
                          check=False, env={**os.environ, settings.PASSWORD.variable: password, "PYTHONPATH": str(PROJECT)})
    assert done.returncode == 0, done.stderr[-3000:]
    answers = json.loads(done.stdout)
    assert len(answers) > 80
    statuses = {status for status, _ in answers.values()}
    assert statuses >= ({303, 403} if password else {200, 403, 404, 405})
    if not password:  # with one nothing is reached
        closed = [status for address, (status, _) in answers.items()
                  if "/gradio_api/" in address and not set(address.split("/")) & OPEN_IN_THE_CHAT]
        assert len(closed) > 30 and set(closed) == {404}
        assert answers["GET /chat/"][0] == answers["GET /chat/config"][0] == 200
    assert [address for address, (_, headers) in answers.items() if lacks([(name, value) for name, value in headers])] == []


def test_errors_inside_have_them_too_and_a_policy_of_the_page_stays() -> None:
    def fails(_request: Request) -> Response:
        raise RuntimeError("broken")

    def own(_request: Request) -> Response:
        return PlainTextResponse("", headers={"content-security-policy": "sandbox", "x-content-type-options": "nosniff"})

    app = Starlette(routes=[Route("/fails", fails), Route("/own", own)], middleware=[Middleware(SecurityHeaders)],
                    exception_handlers={Exception: internal_error})
    visitor = TestClient(app, raise_server_exceptions=False)
    assert not lacks(visitor.get("/fails").headers.multi_items())
    policies = visitor.get("/own").headers.get_list("content-security-policy")
    assert policies == ["sandbox", "frame-ancestors 'self'"]
