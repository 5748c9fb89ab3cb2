"""Guesses of a password: counted by address, and nobody else is locked out."""

from __future__ import annotations

from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from tests.workbench.auth_app import PASSWORD, application, client
from workbench import auth, settings
from workbench.web import attempts


def guess(app: Starlette, address: str, password: str = "guess", **headers: str) -> int:
    """The status of one attempt from an address."""
    visitor = TestClient(app, base_url="http://127.0.0.1:8501", client=(address, 4000), follow_redirects=False)
    return visitor.post("/login", data={"password": password}, headers=headers).status_code


@pytest.mark.usefixtures("with_password")
def test_guesses_of_others_lock_nobody_out(home: Path) -> None:
    """One address, then a network, then two hundred addresses guess; the right password from elsewhere is let in all the while."""
    app = application(home)
    assert [guess(app, "203.0.113.9") for _ in range(12)] == [403] * attempts.ALLOWED + [429] * 2
    assert guess(app, "203.0.113.9", PASSWORD) == 429
    assert guess(app, "198.51.100.4", PASSWORD) == 303
    assert {guess(app, f"2001:db8::{number:x}") for number in range(attempts.ALLOWED)} == {403}
    assert guess(app, "2001:db8::ffff") == 429
    assert guess(app, "2001:db8:0:1::1", PASSWORD) == 303
    assert {guess(app, f"10.0.{number}.1") for number in range(200)} == {403}
    assert guess(app, "10.0.7.1") == 429  # one guess each, since together they guess so much
    assert guess(app, "198.51.100.5", PASSWORD) == 303


@pytest.mark.usefixtures("with_password")
@pytest.mark.parametrize("header", ["x-forwarded-for", "forwarded", "x-real-ip"])
def test_an_invented_address_gives_no_more_guesses(home: Path, header: str) -> None:
    app = application(home)
    codes = [guess(app, "203.0.113.9", **{header: f"198.51.100.{number}"}) for number in range(attempts.ALLOWED + 2)]
    assert codes == [403] * attempts.ALLOWED + [429] * 2


@pytest.mark.usefixtures("with_password")
def test_behind_a_named_proxy_visitors_have_their_own_addresses(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(settings.PROXIES.variable, "10.0.0.7")
    app = application(home)
    for _ in range(attempts.ALLOWED):
        assert guess(app, "10.0.0.7", **{"x-forwarded-for": "203.0.113.9"}) == 403
    assert guess(app, "10.0.0.7", **{"x-forwarded-for": "198.51.100.1, 203.0.113.9"}) == 429
    assert guess(app, "10.0.0.7", PASSWORD, **{"x-forwarded-for": "203.0.113.9, 198.51.100.4"}) == 303


@pytest.mark.usefixtures("with_password")
def test_a_browser_that_knew_the_password_is_not_locked_out_by_its_own_address(home: Path) -> None:
    """As where everybody comes through one proxy."""
    app = application(home)
    visitor = client(app)
    visitor.post("/login", data={"password": PASSWORD})
    mark = visitor.cookies[auth.BROWSER_COOKIE]
    visitor.post("/logout")
    assert [client(app).post("/login", data={"password": "guess"}).status_code for _ in range(11)][-1] == 429
    assert visitor.post("/login", data={"password": PASSWORD}).status_code == 303
    assert client(app).post("/login", data={"password": PASSWORD}).status_code == 429
    forged = {"cookie": f"{auth.BROWSER_COOKIE}=x{mark[1:]}"}
    assert client(app).post("/login", data={"password": PASSWORD}, headers=forged).status_code == 429
    marked = {"cookie": f"{auth.BROWSER_COOKIE}={mark}"}
    codes = [client(app).post("/login", data={"password": "guess"}, headers=marked).status_code for _ in range(attempts.ALLOWED + 1)]
    assert codes == [403] * attempts.ALLOWED + [429]  # it is limited too
    assert client(app).get("/", headers=marked).status_code == 303  # and opens nothing
