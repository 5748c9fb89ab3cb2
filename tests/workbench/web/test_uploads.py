from __future__ import annotations

from collections.abc import Iterator

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from workbench import settings
from workbench.errors import ServeError
from workbench.web import uploads
from workbench.web.origins import visitor_of
from workbench.web.uploads import MEGABYTE, UploadLimits, megabytes

UPLOAD = "/_stcore/upload_file/session/file"


class Pages:
    """An application that reads bodies, and counts what reaches it."""

    def __init__(self, base_path: str = "") -> None:
        self.read, self.held = 0, 0
        self.app = Starlette(routes=[Route("/{rest:path}", self.page, methods=["GET", "PUT", "POST"])],
                             middleware=[Middleware(UploadLimits, base_path=base_path, held=lambda: self.held)])

    async def page(self, request: Request) -> Response:
        async for piece in request.stream():
            self.read += len(piece)
        return PlainTextResponse("ok")

    def visitor(self, address: str = "203.0.113.9") -> TestClient:
        return TestClient(self.app, client=(address, 4000))


@pytest.fixture
def pages(monkeypatch: pytest.MonkeyPatch) -> Pages:
    """Files up to 2 MB, up to 5 MB a day."""
    monkeypatch.setenv(settings.UPLOAD.variable, "2")
    monkeypatch.setenv(settings.VISITOR_UPLOADS.variable, "5")
    monkeypatch.setattr(uploads, "FRAMING", 1000)
    return Pages()


def chunks(size: int) -> Iterator[bytes]:
    """A body whose length is not announced."""
    while size > 0:
        yield b"x" * min(size, 2**16)
        size -= 2**16


def test_a_file_up_to_the_limit(pages: Pages) -> None:
    assert pages.visitor().put(UPLOAD, content=b"x" * 2 * MEGABYTE).text == "ok"
    assert pages.read == 2 * MEGABYTE


def test_a_larger_one_is_refused_before_it_is_read(pages: Pages) -> None:
    refused = pages.visitor().put(UPLOAD, content=b"x" * 3 * MEGABYTE)
    assert (refused.status_code, pages.read) == (413, 0)
    assert "2 MB" in refused.text and settings.UPLOAD.variable in refused.text


def test_one_that_does_not_say_its_length_is_refused_while_it_is_read(pages: Pages) -> None:
    refused = pages.visitor().put(UPLOAD, content=chunks(4 * MEGABYTE))
    assert refused.status_code == 413
    assert pages.read <= 2 * MEGABYTE + 1000


@pytest.mark.parametrize("path", ["/chat/gradio_api/queue/join", "/login", "/", "/x/_stcore/upload_file/a"])
def test_other_requests_are_shorter(pages: Pages, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    monkeypatch.setattr(uploads, "OTHER_BODY", 1000)
    assert pages.visitor().post(path, content=b"x" * 1000).text == "ok"
    assert pages.visitor().post(path, content=b"x" * 1001).status_code == 413
    assert pages.visitor().post(path, content=chunks(1001)).status_code == 413


def test_a_visitor_has_a_total_and_others_have_their_own(pages: Pages, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(uploads.time, "monotonic", lambda: now)
    file = b"x" * 2 * MEGABYTE
    one, other = pages.visitor(), pages.visitor("198.51.100.4")
    assert [one.put(UPLOAD, content=file).status_code for _ in range(3)] == [200, 200, 413]
    assert one.put(UPLOAD, content=chunks(2 * MEGABYTE)).status_code == 413
    assert settings.VISITOR_UPLOADS.variable in one.put(UPLOAD, content=file).text
    assert other.put(UPLOAD, content=file).status_code == 200
    now += uploads.DAY
    assert one.put(UPLOAD, content=file).status_code == 200


def test_what_is_in_memory_has_a_limit(pages: Pages) -> None:
    pages.held = uploads.HELD_AT_ONCE * 2 * MEGABYTE
    assert "in memory" in pages.visitor().put(UPLOAD, content=b"x").text
    pages.held = 0
    assert pages.visitor().put(UPLOAD, content=b"x").text == "ok"


def test_below_a_prefix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "OTHER_BODY", 10)
    pages = Pages("/lab")
    assert pages.visitor().put(f"/lab{UPLOAD}", content=b"x" * 100).text == "ok"
    assert pages.visitor().put(UPLOAD, content=b"x" * 100).status_code == 413


def test_no_more_than_so_many_visitors_are_remembered(pages: Pages, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "MOST_VISITORS", 3)
    limits = UploadLimits(pages.app, "", lambda: 0)
    for number in range(10):
        limits._count(f"10.0.0.{number}", 1)
    assert list(limits._sent) == ["10.0.0.7", "10.0.0.8", "10.0.0.9"]


@pytest.mark.parametrize(("address", "visitor"), [
    ("203.0.113.9", "203.0.113.9"), ("::ffff:203.0.113.9", "203.0.113.9"), ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
    ("2001:db8:1:2::", "2001:db8:1:2::/64"), ("unix", "unix")])
def test_one_visitor(address: str, visitor: str) -> None:
    assert visitor_of({"client": (address, 1)}) == visitor
    assert visitor_of({"client": None}) == ""


@pytest.mark.parametrize("given", ["0", "-1", "1.5", "many", "1e3", "9" * 5000, "٣"])
def test_what_is_no_size(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.setenv(settings.UPLOAD.variable, given)
    with pytest.raises(ServeError, match="whole number of MB"):
        megabytes(settings.UPLOAD)


def test_the_defaults() -> None:
    assert (megabytes(settings.UPLOAD), megabytes(settings.VISITOR_UPLOADS)) == (100, 1000)
