"""Authentication: without a password only this machine is served, with one whoever knows it.

Either middleware stands in front of everything that the server serves: pages, their websocket, the chat pane, uploads, assets.
A password box inside a page would leave all but the page open.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import os
import secrets
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlencode

from itsdangerous import TimestampSigner
from starlette.middleware import Middleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from workbench import settings
from workbench.errors import ServeError
from workbench.web.attempts import Attempts
from workbench.web.cookies import signed_within
from workbench.web.headers import SecurityHeaders
from workbench.web.login_pages import login_page, sessions_page
from workbench.web.origins import REFUSED_BY_POLICY, SameOrigin, host_of, is_loopback, refuse, visitor_of
from workbench.web.proxies import NamedProxies, named_proxies
from workbench.web.sessions import SECONDS, Sessions, name_of

COOKIE, BROWSER_COOKIE = "stillhouse", "stillhouse_browser"
LOGIN_PATH, LOGOUT_PATH, SESSIONS_PATH, HEALTH_PATH = "/login", "/logout", "/sessions", "/_stcore/health"
BROWSER_SECONDS = 180 * 24 * 3600
CHECK_SECONDS = 2.0  # between two looks whether the session of an open websocket has ended
LARGEST_FORM = 1 << 14  # bytes
KEY_BYTES = 32


GUEST = "stillhouse.guest"  # in the scope of a request: who it comes from that knows no password, a `Guest`
PARTICIPANT_HEADER = "x-stillhouse-participant"  # added here for the pages, and taken out of what browsers send


@dataclass(frozen=True, slots=True)
class Guest:
    """Somebody who is let in without the password, by a middleware in front of it.

    Attributes:
        participant: their id; None for a request that they may not make.
        stays: whether they still are; polled while a request lasts.
    """

    participant: str | None
    stays: Callable[[], bool]


def auth_middleware(key_file: Path, base_path: str, guests: Sequence[Middleware] = ()) -> list[Middleware]:
    """Return the Starlette middleware that the environment calls for, from the outside in.

    At its end stands `PasswordAuth` where a password is set, else `LoopbackOnly`.

    Args:
        key_file: secret that signs cookies.
        base_path: prefix of the server's addresses.
        guests: let others in beside those who know the password (`GUEST`); they stand right in front of it.

    Raises:
        ServeError: a setting that says something impossible, or a key that cannot be used.
    """
    proxies, password = named_proxies(), settings.PASSWORD.read()
    if password:
        visitors = [*guests, Middleware(PasswordAuth, password=password, key=read_or_make_key(key_file),
                                        sessions=key_file.with_name("sessions"), base_path=base_path)]
    else:
        visitors = [Middleware(LoopbackOnly)]
    behind = [Middleware(NamedProxies, proxies=proxies)] if proxies else []
    return [Middleware(SecurityHeaders), *behind, Middleware(SameOrigin), *visitors]


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
    """One password for everybody; who knows it gets a session of half a day (`workbench.web.sessions`), whose id is in a signed cookie.

    A second cookie, without any right, marks a browser that knew the password: it has attempts of its own (`workbench.web.attempts`).

    Args:
        app: the application to protect.
        password: the password.
        key: secret that signs cookies; the password is mixed in, so a new password logs everybody out.
        sessions: folder of the sessions.
        base_path: prefix of the server's addresses, empty or starting with a slash.
    """

    def __init__(self, app: ASGIApp, password: str, key: bytes, sessions: Path, base_path: str = "") -> None:
        self.app, self.base_path = app, base_path
        secret = hmac.digest(key, password.encode(), "sha256")
        self._compared = secrets.token_bytes(KEY_BYTES)  # mixed into both sides of a comparison: their lengths show nothing
        self._password = hmac.digest(self._compared, password.encode(), "sha256")
        self._signer, self._browsers = (
            TimestampSigner(secret, salt=salt, key_derivation="hmac", digest_method=hashlib.sha256)
            for salt in (b"stillhouse login", b"stillhouse browser"))
        self.sessions = Sessions(sessions, hmac.digest(secret, b"stillhouse sessions", "sha256").hex()[:16])
        self._attempts = Attempts()
        self._pages = {LOGIN_PATH: self._login, LOGOUT_PATH: self._log_out, SESSIONS_PATH: self._list_sessions}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the login page, pass on requests with a valid cookie, and send all others to log in."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        path = scope["path"].removeprefix(self.base_path)
        session = self._session_of(HTTPConnection(scope))
        guest: Guest | None = scope.get(GUEST)
        if scope["type"] in ("http", "websocket"):
            scope["headers"] = [pair for pair in scope["headers"] if pair[0].lower() != PARTICIPANT_HEADER.encode()]
        if path == HEALTH_PATH:
            await self.app(scope, receive, send)
        elif scope["type"] == "http" and path in self._pages and (session or path == LOGIN_PATH):
            response = await self._pages[path](Request(scope, receive), session)
            await response(scope, receive, send)
        elif session:
            await self._serve(lambda: self.sessions.is_valid(session), scope, receive, send)
        elif guest is not None and guest.participant is None:
            await refuse(scope, receive, send, PlainTextResponse("Participants of the class may not do this.", 403))
        elif guest is not None and guest.participant is not None:
            scope["headers"] = [*scope["headers"], (PARTICIPANT_HEADER.encode(), guest.participant.encode())]
            await self._serve(guest.stays, scope, receive, send)
        else:
            await refuse(scope, receive, send, self._ask(HTTPConnection(scope)))

    async def _serve(self, is_valid: Callable[[], bool], scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on a request; one that lasts, as a websocket, is cut off soon after its session has ended."""
        pending: asyncio.Future[Message] | None = None
        checked, ended = time.monotonic(), False

        async def watched() -> Message:
            nonlocal pending, checked, ended
            pending = pending or asyncio.ensure_future(receive())
            while not ended:
                await asyncio.wait([pending], timeout=CHECK_SECONDS)
                if time.monotonic() - checked >= CHECK_SECONDS:
                    checked, ended = time.monotonic(), not is_valid()
                if pending.done() and not ended:
                    message, pending = pending.result(), None
                    return message
            closed: Message = {"type": "http.disconnect"}
            return {"type": "websocket.disconnect", "code": REFUSED_BY_POLICY} if scope["type"] == "websocket" else closed

        try:
            await self.app(scope, watched, send)
        finally:
            if pending is not None:
                pending.cancel()
        if ended and scope["type"] == "websocket":
            with contextlib.suppress(RuntimeError):  # the application has closed it already
                await send({"type": "websocket.close", "code": REFUSED_BY_POLICY})

    def _ask(self, connection: HTTPConnection) -> Response:
        if "text/html" not in connection.headers.get("accept", ""):
            return PlainTextResponse("Log in first.", 401)
        wanted = connection.url.path + (f"?{connection.url.query}" if connection.url.query else "")
        return RedirectResponse(f"{self.base_path}{LOGIN_PATH}?{urlencode({'next': wanted})}", 303)

    def _session_of(self, connection: HTTPConnection) -> str | None:
        """Return the id of a request's session; None where it has none, or one that has ended."""
        session = signed_within(self._signer, connection.cookies.get(COOKIE, ""), SECONDS)
        return session if session is not None and self.sessions.is_valid(session) else None

    def _browser_of(self, request: Request) -> str | None:
        """Return what marks a browser that knew the password before."""
        return signed_within(self._browsers, request.cookies.get(BROWSER_COOKIE, ""), BROWSER_SECONDS)

    async def _login(self, request: Request, _session: str | None) -> Response:
        wanted = local_path(request.query_params.get("next", ""), f"{self.base_path}/")
        if request.method != "POST":
            return self._form(wanted)
        given = await _field_of(request, "password")
        if given is None:
            return self._form(wanted, "That is too long for a password.", 413)
        # Nothing below awaits, so that requests side by side cannot pass the count together.
        browser = self._browser_of(request)
        visitor, known = browser or visitor_of(request.scope), browser is not None
        if not self._attempts.allowed(visitor, known=known):
            return self._form(wanted, "Too many attempts. Wait a minute, then try again.", 429)
        if not hmac.compare_digest(hmac.digest(self._compared, given.encode(), "sha256"), self._password):
            self._attempts.failed(visitor, known=known)
            return self._form(wanted, "That is not the password.", 403)
        try:
            session = self.sessions.begin(request.client.host if request.client else "", request.headers.get("user-agent", ""))
        except ServeError as error:
            return self._form(wanted, str(error), 503)
        response = RedirectResponse(wanted, 303)
        self._set_cookie(request, response, COOKIE, self._signer.sign(session).decode(), SECONDS)
        mark = self._browsers.sign(browser or secrets.token_urlsafe(16)).decode()
        self._set_cookie(request, response, BROWSER_COOKIE, mark, BROWSER_SECONDS)
        return response

    def _set_cookie(self, request: Request, response: Response, name: str, value: str, seconds: int) -> None:
        response.set_cookie(name, value, max_age=seconds, httponly=True, samesite="lax", secure=request.url.scheme == "https",
                            path=self.base_path or "/")

    async def _log_out(self, request: Request, session: str | None) -> Response:
        if request.method != "POST":  # a link from elsewhere logs nobody out
            return RedirectResponse(f"{self.base_path}{SESSIONS_PATH}", 303)
        self.sessions.end(name_of(session or ""))
        response = RedirectResponse(f"{self.base_path}{LOGIN_PATH}", 303)
        response.delete_cookie(COOKIE, path=self.base_path or "/")
        return response

    async def _list_sessions(self, request: Request, session: str | None) -> Response:
        own, path = name_of(session or ""), f"{self.base_path}{SESSIONS_PATH}"
        if request.method == "POST":
            self.sessions.end(await _field_of(request, "session") or "")
            return RedirectResponse(path, 303)
        return HTMLResponse(sessions_page(self.sessions.listed(), own, self.base_path, path, f"{self.base_path}{LOGOUT_PATH}"))

    def _form(self, wanted: str, message: str = "", status: int = 200) -> Response:
        return HTMLResponse(login_page(f"{self.base_path}{LOGIN_PATH}", wanted, message), status)


async def _field_of(request: Request, name: str) -> str | None:
    """Return a field of a form; None where the body is larger than the forms of these pages can be."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > LARGEST_FORM:
            return None
    return parse_qs(body.decode(errors="replace")).get(name, [""])[0]


def local_path(wanted: str, fallback: str) -> str:
    """`wanted` when it is a path on this server, else `fallback`: a login must not send anybody elsewhere."""
    is_local = wanted.startswith("/") and not wanted.startswith("//") and "\\" not in wanted and wanted.isprintable()
    return wanted if is_local else fallback
