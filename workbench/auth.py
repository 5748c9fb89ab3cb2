"""Authentication: without a password only this machine is served, with one whoever knows it.

Either middleware stands in front of everything that the server serves: pages, their websocket, the chat pane, uploads, assets.
A password box inside a page would leave all but the page open.
"""

from __future__ import annotations

import hashlib
import hmac
import html
import os
import secrets
import time
import uuid
from pathlib import Path
from urllib.parse import parse_qs, quote, urlencode

from itsdangerous import TimestampSigner
from starlette.middleware import Middleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from workbench import settings
from workbench.errors import ServeError
from workbench.web.headers import SecurityHeaders
from workbench.web.origins import SameOrigin, host_of, is_loopback, refuse
from workbench.web.proxies import NamedProxies, named_proxies

COOKIE = "stillhouse"
LOGIN_PATH, HEALTH_PATH = "/login", "/_stcore/health"
COOKIE_SECONDS = 12 * 3600
FAILURES_ALLOWED, FAILURE_WINDOW = 10, 60.0  # wrong passwords from one address, within seconds
LARGEST_FORM = 1 << 14  # bytes
KEY_BYTES = 32


def auth_middleware(key_file: Path, base_path: str) -> list[Middleware]:
    """Return the Starlette middleware that the environment calls for, from the outside in.

    At its end stands `PasswordAuth` where a password is set, else `LoopbackOnly`.

    Raises:
        ServeError: a setting that says something impossible, or a key that cannot be used.
    """
    proxies, password = named_proxies(), settings.PASSWORD.read()
    if password:
        visitors = Middleware(PasswordAuth, password=password, key=read_or_make_key(key_file), base_path=base_path)
    else:
        visitors = Middleware(LoopbackOnly)
    behind = [Middleware(NamedProxies, proxies=proxies)] if proxies else []
    return [Middleware(SecurityHeaders), *behind, Middleware(SameOrigin), visitors]


def read_or_make_key(path: Path) -> bytes:
    """Return the key that signs cookies, readable by its owner only; it is kept, so that a restart logs nobody out.

    Raises:
        ServeError: the file can be neither read nor made.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            _make_key(path)
        key = path.read_bytes()
    except OSError as error:
        raise ServeError(f"The key for logging in, {path}, cannot be used: {(error.strerror or str(error)).lower()}.",
                         "A file that this account may read and write was expected.",
                         f"Set {settings.HOME.variable} to a folder of your own.") from error
    if len(key) < KEY_BYTES:  # with an empty one anybody could sign
        raise ServeError(f"The key for logging in, {path}, is {len(key)} bytes long.", f"At least {KEY_BYTES} were expected.",
                         "Remove it and start again: a new one is made.")
    return key


def _make_key(path: Path) -> None:
    """Write a key aside and give it its name whole, unless another process was first: nobody ever reads half a key."""
    aside = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with open(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(secrets.token_bytes(KEY_BYTES))
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(aside, path)
        except FileExistsError:
            pass
        except OSError:  # a file system without links
            os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)


class LoopbackOnly:
    """Without a password: only connections made on this machine, to this machine by name.

    The name matters because a page elsewhere can have its own name point to 127.0.0.1 (DNS rebinding) and would then use the app through
    the visitor's browser. What pages send to 127.0.0.1 under their own name, `SameOrigin` refuses.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on requests that are local, and refuse all others."""
        if scope["type"] == "lifespan" or self._is_local(scope):
            await self.app(scope, receive, send)
        else:
            text = f"Without a password Stillhouse answers this machine only. Set {settings.PASSWORD.variable} and start it again."
            await refuse(scope, receive, send, PlainTextResponse(text, 403))

    @staticmethod
    def _is_local(scope: Scope) -> bool:
        bound_to, _port = scope.get("server") or ("", None)
        return is_loopback(bound_to) and is_loopback(host_of(f"//{HTTPConnection(scope).headers.get('host', '')}"))


class PasswordAuth:
    """One password for everybody, remembered in a signed cookie for half a day.

    Args:
        app: the application to protect.
        password: the password.
        key: secret that signs cookies; the password is mixed in, so a new password logs everybody out.
        base_path: prefix of the server's addresses, empty or starting with a slash.
    """

    def __init__(self, app: ASGIApp, password: str, key: bytes, base_path: str = "") -> None:
        self.app, self.base_path = app, base_path
        self._password = password.encode()
        self._signer = TimestampSigner(hmac.digest(key, self._password, "sha256"), salt=b"stillhouse login", key_derivation="hmac",
                                       digest_method=hashlib.sha256)
        self._failures: dict[str, list[float]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the login page, pass on requests with a valid cookie, and send all others to log in."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        path = scope["path"].removeprefix(self.base_path)
        if path == LOGIN_PATH and scope["type"] == "http":
            response = await self._login(Request(scope, receive))
            await response(scope, receive, send)
        elif path == HEALTH_PATH or self._is_logged_in(HTTPConnection(scope).cookies.get(COOKIE, "")):
            await self.app(scope, receive, send)
        else:
            await refuse(scope, receive, send, self._ask(HTTPConnection(scope)))

    def _ask(self, connection: HTTPConnection) -> Response:
        if "text/html" not in connection.headers.get("accept", ""):
            return PlainTextResponse("Log in first.", 401)
        wanted = connection.url.path + (f"?{connection.url.query}" if connection.url.query else "")
        return RedirectResponse(f"{self.base_path}{LOGIN_PATH}?{urlencode({'next': wanted})}", 303)

    def _is_logged_in(self, cookie: str) -> bool:
        return self._signer.validate(cookie, max_age=COOKIE_SECONDS - 1)  # an age of max_age seconds is still valid

    async def _login(self, request: Request) -> Response:
        wanted = local_path(request.query_params.get("next", ""), f"{self.base_path}/")
        if request.method != "POST":
            return self._form(wanted)
        given = await _password_of(request)
        if given is None:
            return self._form(wanted, "That is too long for a password.", 413)
        # Nothing below awaits, so that requests side by side cannot pass the count together.
        address = request.client.host if request.client else ""
        now = time.monotonic()
        self._failures = {who: recent for who, times in self._failures.items()
                          if (recent := [then for then in times if now - then < FAILURE_WINDOW])}
        if len(self._failures.get(address, ())) >= FAILURES_ALLOWED:
            return self._form(wanted, "Too many attempts. Wait a minute, then try again.", 429)
        if not hmac.compare_digest(given.encode(), self._password):
            self._failures.setdefault(address, []).append(now)
            return self._form(wanted, "That is not the password.", 403)
        response = RedirectResponse(wanted, 303)
        response.set_cookie(COOKIE, self._signer.sign("login").decode(), max_age=COOKIE_SECONDS, httponly=True,
                            samesite="lax", secure=request.url.scheme == "https", path=self.base_path or "/")
        return response

    def _form(self, wanted: str, message: str = "", status: int = 200) -> Response:
        action = html.escape(f"{self.base_path}{LOGIN_PATH}?next={quote(wanted)}")
        return HTMLResponse(LOGIN_PAGE.format(action=action, message=html.escape(message)), status)


async def _password_of(request: Request) -> str | None:
    """Return the password that was typed into the form; None where the body is larger than this page's form can be."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > LARGEST_FORM:
            return None
    return parse_qs(body.decode(errors="replace")).get("password", [""])[0]


def local_path(wanted: str, fallback: str) -> str:
    """`wanted` when it is a path on this server, else `fallback`: a login must not send anybody elsewhere."""
    is_local = wanted.startswith("/") and not wanted.startswith("//") and "\\" not in wanted and wanted.isprintable()
    return wanted if is_local else fallback


LOGIN_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Stillhouse</title>
<style>
  :root {{ color-scheme: light dark; --accent: light-dark(#0b7a75, #0f857a); }}
  body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 20rem; margin: 18vh auto; padding: 0 1rem;
         background: light-dark(#fff, #101517); color: light-dark(#1d2527, #e4e9e9); }}
  h1 {{ font-size: 1.5rem; font-weight: 650; }}
  input, button {{ font: inherit; width: 100%; box-sizing: border-box; padding: .5rem .7rem; border-radius: .4rem; }}
  input {{ margin: .3rem 0 .8rem; border: 1px solid light-dark(#8a9699, #7b888c); background: transparent; color: inherit; }}
  button {{ border: 0; background: var(--accent); color: #fff; cursor: pointer; }}
  :focus-visible {{ outline: 2px solid var(--accent); outline-offset: 2px; }}
</style>
<h1>Stillhouse</h1>
<form method="post" action="{action}">
  <label for="password">Password</label>
  <input id="password" name="password" type="password" autocomplete="current-password" required autofocus>
  <button>Log in</button>
</form>
<p role="alert">{message}</p>
</html>
"""
