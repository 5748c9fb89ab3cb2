"""Who is let in: this machine alone, or whoever knows the password; and the key that signs cookies."""

from __future__ import annotations

import asyncio
import hmac
import os
import stat
import threading
import time
from pathlib import Path

import pytest
from itsdangerous import TimestampSigner
from starlette.websockets import WebSocketDisconnect

from tests.workbench.auth_app import PASSWORD, PROTECTED, STREAM, application, client
from workbench import auth, settings
from workbench.errors import ServeError
from workbench.web import attempts, sessions
from workbench.web.origins import REFUSED_BY_POLICY

# ------------------------------------------------------------------------------------------------ this machine only


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost", "LOCALHOST", "::ffff:127.0.0.1"])
def test_loopback_names(host: str) -> None:
    assert auth.is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.org", "localhost.example.org", "127.0.0.1.example.org", ""])
def test_other_names(host: str) -> None:
    assert not auth.is_loopback(host)


@pytest.mark.parametrize("address", ["http://127.0.0.1:8501", "http://localhost:8501", "http://localhost", "http://[::1]:8501"])
def test_this_machine_needs_no_password(home: Path, address: str) -> None:
    visitor = client(application(home), address)
    assert visitor.get("/chat/").status_code == 200
    with visitor.websocket_connect(STREAM) as socket:
        assert socket.receive_text() == "hello"


@pytest.mark.parametrize("host", ["rebound.example.org:8501", "localhost.example.org", "[::1", "", "127.0.0.1@example.org"])
def test_another_name_for_this_machine_is_refused(home: Path, host: str) -> None:
    visitor = client(application(home), host=host)
    assert visitor.get("/").status_code == 403
    with pytest.raises(WebSocketDisconnect), visitor.websocket_connect(STREAM):
        pass


@pytest.mark.parametrize("origin", ["https://example.org", "http://127.0.0.1.example.org:8501", "null", ""])
def test_a_page_from_elsewhere_is_refused(home: Path, origin: str) -> None:
    visitor = client(application(home), origin=origin)
    assert visitor.post("/chat/", content=b"{}").status_code == 403
    with pytest.raises(WebSocketDisconnect), visitor.websocket_connect(STREAM):
        pass
    assert client(application(home), origin="http://localhost:8501").get("/").status_code == 200


def test_another_address_of_this_machine_is_refused(home: Path) -> None:
    answer = client(application(home), "http://192.168.1.5:8501", host="127.0.0.1:8501").get("/")
    assert answer.status_code == 403
    assert settings.PASSWORD.variable in answer.text


# ------------------------------------------------------------------------------------------------ password


@pytest.mark.usefixtures("with_password")
@pytest.mark.parametrize("path", PROTECTED)
def test_without_the_cookie_nothing_is_shown(home: Path, path: str) -> None:
    visitor = client(application(home))
    response = visitor.get(path)
    assert response.status_code == 303
    assert response.headers["location"].startswith("/login?next=")
    assert visitor.get(path, headers={"accept": "application/json"}).status_code == 401
    assert visitor.post(path, headers={"accept": "*/*"}).status_code == 401


@pytest.mark.usefixtures("with_password")
def test_the_websocket_closes_before_it_opens(home: Path) -> None:
    with pytest.raises(WebSocketDisconnect) as refused, client(application(home)).websocket_connect(STREAM):
        pass
    assert refused.value.code == REFUSED_BY_POLICY


@pytest.mark.usefixtures("with_password")
def test_health_stays_open(home: Path) -> None:
    assert client(application(home)).get("/_stcore/health").status_code == 200


@pytest.mark.usefixtures("with_password")
def test_the_password_opens_everything(home: Path) -> None:
    visitor = client(application(home))
    done = visitor.post("/login", params={"next": "/run?run=abc"}, data={"password": PASSWORD})
    assert (done.status_code, done.headers["location"]) == (303, "/run?run=abc")
    cookie = done.headers["set-cookie"].lower()
    assert {"httponly", "samesite=lax"} <= set(cookie.split("; "))
    assert [visitor.get(path).status_code for path in PROTECTED] == [200] * len(PROTECTED)
    with visitor.websocket_connect(STREAM) as socket:
        assert socket.receive_text() == "hello"


@pytest.mark.usefixtures("with_password")
def test_the_requested_page_is_kept_through_the_login(home: Path) -> None:
    visitor = client(application(home))
    login = visitor.get("/run?run=a&x=1").headers["location"]
    assert visitor.get(login).status_code == 200
    assert visitor.post(login, data={"password": PASSWORD}).headers["location"] == "/run?run=a&x=1"


@pytest.mark.usefixtures("with_password")
@pytest.mark.parametrize("given", ["", "Copper kettle", "copper kettle ", "é"])
def test_a_wrong_password_opens_nothing(home: Path, given: str) -> None:
    visitor = client(application(home))
    assert visitor.post("/login", data={"password": given}).status_code == 403
    assert visitor.get("/").status_code == 303


@pytest.mark.usefixtures("with_password")
def test_guessing_is_slowed_down(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    visitor = client(application(home))
    now = 1000.0
    monkeypatch.setattr(auth.time, "monotonic", lambda: now)
    codes = [visitor.post("/login", data={"password": "guess"}).status_code for _ in range(attempts.ALLOWED + 1)]
    assert codes == [403] * attempts.ALLOWED + [429]
    assert visitor.post("/login", data={"password": PASSWORD}).status_code == 429
    now += attempts.WINDOW
    assert visitor.post("/login", data={"password": PASSWORD}).status_code == 303


@pytest.mark.usefixtures("with_password")
def test_requests_side_by_side_get_no_more_guesses(home: Path) -> None:
    """Twenty requests begin at once and their bodies come later; between them others never send one."""
    app = application(home)
    codes: list[int] = []
    sending = asyncio.Event()

    async def visit(body: bytes | None) -> None:
        async def receive() -> dict[str, object]:
            if body is None:
                await asyncio.Event().wait()
            await sending.wait()
            return {"type": "http.request", "body": body}

        async def send(message: dict[str, object]) -> None:
            if message["type"] == "http.response.start":
                codes.append(message["status"])

        await app({"type": "http", "method": "POST", "path": "/login", "query_string": b"", "headers": [], "scheme": "http",
                   "server": ("127.0.0.1", 8501), "client": ("10.0.0.9", 4242)}, receive, send)

    async def attack() -> None:
        silent = [asyncio.create_task(visit(None)) for _ in range(3)]
        guesses = [asyncio.create_task(visit(b"password=guess")) for _ in range(20)]
        await asyncio.sleep(0)
        sending.set()
        await asyncio.gather(*guesses)
        for _ in range(3):  # a request without a body must not take the count away
            silent.append(asyncio.create_task(visit(None)))
            await asyncio.sleep(0)
            await visit(b"password=guess")
        for task in silent:
            task.cancel()

    asyncio.run(attack())
    assert sorted(codes) == [403] * attempts.ALLOWED + [429] * 13


@pytest.mark.usefixtures("with_password")
def test_a_form_without_end_is_not_read(home: Path) -> None:
    visitor = client(application(home))
    assert visitor.post("/login", data={"password": "x" * auth.LARGEST_FORM}).status_code == 413
    assert visitor.post("/login", data={"password": PASSWORD, "more": "x" * 1000}).status_code == 303


@pytest.mark.usefixtures("with_password")
@pytest.mark.parametrize("forged", ["", "x", "in", "9999999999", "9999999999.", "9999999999." + "0" * 64, "é.ü", "-1.x"])
def test_a_forged_cookie_opens_nothing(home: Path, forged: str) -> None:
    answer = client(application(home)).get("/", headers={"cookie": f"{auth.COOKIE}={forged}".encode("latin-1")})
    assert answer.status_code == 303


@pytest.mark.usefixtures("with_password")
def test_a_cookie_with_a_signature_of_something_else_opens_nothing(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    visitor = client(application(home))
    visitor.post("/login", data={"password": PASSWORD})  # makes the key, and a session
    session = visitor.cookies[auth.COOKIE].split(".")[0]
    visitor.cookies.clear()
    key = hmac.digest((home / "gate.key").read_bytes(), PASSWORD.encode(), "sha256")

    def signed(key: bytes, salt: bytes = b"stillhouse login", value: str = session) -> str:
        return TimestampSigner(key, salt=salt, key_derivation="hmac", digest_method="sha256").sign(value).decode()

    def status(cookie: str) -> int:
        return visitor.get("/", headers={"cookie": f"{auth.COOKIE}={cookie}"}).status_code

    genuine, tomorrow = signed(key), time.time() + 86400
    with monkeypatch.context() as patch:
        patch.setattr(time, "time", lambda: tomorrow)
        of_tomorrow = signed(key)
    value, moment, signature = genuine.split(".")
    forged = {"another key": signed(b"x" * 32), "the password alone": signed(PASSWORD.encode()), "another salt": signed(key, b"x"),
              "another value": f"admin.{moment}.{signature}", "another time": f"{value}.{of_tomorrow.split('.')[1]}.{signature}",
              "no session": signed(key, value="login"), "the other cookie's salt": signed(key, b"stillhouse browser"),
              "a time to come": of_tomorrow, "no time": f"{value}.{signature}"}
    assert {name: status(cookie) for name, cookie in forged.items()} == dict.fromkeys(forged, 303)
    assert status(genuine) == 200


@pytest.mark.usefixtures("with_password")
def test_a_cookie_of_an_earlier_release_asks_for_the_password_again(home: Path) -> None:
    """It was the second at which it expired, with a hexadecimal HMAC."""
    visitor = client(application(home))
    visitor.get("/login")  # makes the key
    key = hmac.digest((home / "gate.key").read_bytes(), PASSWORD.encode(), "sha256")
    expires = str(int(time.time()) + sessions.SECONDS)
    cookie = f"{expires}.{hmac.new(key, expires.encode(), 'sha256').hexdigest()}"
    answer = visitor.get("/", headers={"cookie": f"{auth.COOKIE}={cookie}"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/login?next=%2F")


@pytest.mark.usefixtures("with_password")
def test_a_login_ends_after_half_a_day_and_with_the_password(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    visitor = client(application(home))
    visitor.post("/login", data={"password": PASSWORD})
    cookie = {"cookie": f"{auth.COOKIE}={visitor.cookies[auth.COOKIE]}"}
    restarted = client(application(home))
    assert restarted.get("/", headers=cookie).status_code == 200
    monkeypatch.setenv(settings.PASSWORD.variable, "another")
    assert client(application(home)).get("/", headers=cookie).status_code == 303
    monkeypatch.setenv(settings.PASSWORD.variable, PASSWORD)
    later = auth.time.time() + sessions.SECONDS
    monkeypatch.setattr(auth.time, "time", lambda: later)
    assert client(application(home)).get("/", headers=cookie).status_code == 303


@pytest.mark.usefixtures("with_password")
def test_nobody_is_logged_out_by_a_clock_that_is_set_back(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    visitor = client(application(home))
    visitor.post("/login", data={"password": PASSWORD})
    earlier = auth.time.time() - 3600
    monkeypatch.setattr(auth.time, "time", lambda: earlier)
    assert visitor.get("/").status_code == 200


@pytest.mark.parametrize("wanted", ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:x", "", "/\t/evil.example"])
def test_a_login_never_leads_elsewhere(wanted: str) -> None:
    assert auth.local_path(wanted, "/home") == "/home"


@pytest.mark.usefixtures("with_password")
def test_the_form_shows_what_it_was_given_as_text(home: Path) -> None:
    answer = client(application(home)).get("/login", params={"next": '/"><script>alert(1)</script>'})
    assert "<script>" not in answer.text


@pytest.mark.usefixtures("with_password")
def test_a_prefix_of_all_addresses(home: Path) -> None:
    visitor = client(application(home, base_path="/lab"))
    assert visitor.get("/lab/new").headers["location"] == "/lab/login?next=%2Flab%2Fnew"
    assert visitor.get("/lab/_stcore/health").status_code == 200
    done = visitor.post("/lab/login", data={"password": PASSWORD})
    assert done.headers["location"] == "/lab/"
    assert visitor.get("/lab/new").status_code == 200


# ------------------------------------------------------------------------------------------------ key


def test_the_key_is_private_and_lasts(home: Path) -> None:
    path = home / "gate.key"
    key = auth.read_or_make_key(path)
    assert len(key) == 32
    assert auth.read_or_make_key(path) == key
    if os.name == "posix":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_key_that_cannot_be_made_is_a_readable_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ServeError, match="STILLHOUSE_HOME"):
        auth.read_or_make_key(tmp_path / "file" / "gate.key")


def test_nobody_reads_half_a_key(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process looks while the key is being written."""
    path, seen = home / "gate.key", []
    random = auth.secrets.token_bytes

    def slow(count: int) -> bytes:
        if not seen:
            seen.append(None)
            other = threading.Thread(target=lambda: seen.append(auth.read_or_make_key(path)))
            other.start()
            other.join()
        return random(count)

    monkeypatch.setattr(auth.secrets, "token_bytes", slow)
    key = auth.read_or_make_key(path)
    assert seen == [None, key] and len(key) == auth.KEY_BYTES
    assert [each.name for each in home.iterdir()] == ["gate.key"]


def test_a_disk_that_is_full_leaves_no_key(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(auth.os, "fsync", full)
        with pytest.raises(ServeError, match="no space left"):
            auth.read_or_make_key(home / "gate.key")
    assert list(home.iterdir()) == []
    assert len(auth.read_or_make_key(home / "gate.key")) == auth.KEY_BYTES


def test_a_key_anybody_could_guess_is_refused(home: Path) -> None:
    home.mkdir()
    (home / "gate.key").write_bytes(b"")
    with pytest.raises(ServeError, match="0 bytes long"):
        auth.read_or_make_key(home / "gate.key")


def test_without_links_the_key_is_renamed(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auth.os, "link", lambda *_: (_ for _ in ()).throw(PermissionError(1, "Operation not permitted")))
    assert auth.read_or_make_key(home / "gate.key") == auth.read_or_make_key(home / "gate.key")
    assert [each.name for each in home.iterdir()] == ["gate.key"]
