"""Who a request of a class comes from, and what participants may reach. Stands in front of the password.

A participant has a signed cookie that names them, from /join. They reach the pages that `workbench/ui.py` has for participants, with the
websocket and the files that these need, by GET; everything else (chat pane, exports, downloads, uploads, the feed of runs, sessions)
answers 403. What a page does for them is decided again on the server, by `workbench.classroom`.
"""

from __future__ import annotations

import hashlib
import html
import re
import time
from http.cookies import SimpleCookie
from urllib.parse import parse_qs, urlencode

from itsdangerous import TimestampSigner
from starlette.requests import HTTPConnection, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from core.errors import StillhouseError
from workbench import auth
from workbench.classroom import store as class_store
from workbench.classroom.store import ClassStore
from workbench.web.attempts import Attempts
from workbench.web.cookies import signed_within
from workbench.web.login_pages import STYLE
from workbench.web.origins import visitor_of

COOKIE, HOURS = "stillhouse_seat", 12
READ_AGAIN = 2.0  # seconds: two changes within one tick of the clock of the file system may look like one
JOIN_PATH, LEAVE_PATH = "/join", "/leave"
LARGEST_FORM = 1 << 12  # bytes
PAGES = ("", "lesson", "board", "vote", "ask", "mine")  # addresses of the pages for participants; see `workbench/ui.py`
READABLE = re.compile(rf"/({'|'.join(PAGES)})/?|(/({'|'.join(PAGES)}))?/_stcore/(health|host-config)"
                      r"|/(static|component|media|assets)/.*|/handout/mine\.html|/favicon\.(ico|png)|/robots\.txt")
STREAM = "/_stcore/stream"
PAGE = """<h1>{title}</h1>
<form method="post" action="{action}">
  <label for="nickname">Nickname</label>
  <input id="nickname" name="nickname" required maxlength="24" autocomplete="off" autofocus>
  <label for="code">Code of the class</label>
  <input id="code" name="code" required value="{code}" autocomplete="off" autocapitalize="characters">
  <button>Join</button>
</form>
<p role="alert">{message}</p>
<p>Nothing but the nickname is kept, and that only until the class is deleted. <a href="{login}">I am the instructor</a></p>
</html>
"""


class ClassGate:
    """Lets participants of a class in beside those who know the password.

    Args:
        app: what answers those who are no participants: `workbench.auth.PasswordAuth`.
        class_id: the class.
        base_path: prefix of the server's addresses, empty or starting with a slash.
    """

    def __init__(self, app: ASGIApp, class_id: str, base_path: str = "") -> None:
        self._app, self._class_id, self._base = app, class_id, base_path
        self._attempts, self._roll = Attempts(), _Roll(class_id)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Mark a participant's request as theirs where they may make it, and refuse it elsewhere; answer /join and /leave."""
        if scope["type"] == "lifespan" or not class_store.exists(self._class_id):
            await self._app(scope, receive, send)
            return
        path = scope["path"].removeprefix(self._base)
        connection = HTTPConnection(scope)
        if scope["type"] == "http" and path in (JOIN_PATH, LEAVE_PATH):
            response = await (self._join if path == JOIN_PATH else self._leave)(Request(scope, receive))
            await response(scope, receive, send)
            return
        participant = self._participant_of(connection)
        if participant is None:
            if scope["type"] == "http" and path in ("/", "") and not self._has_session(connection):
                await RedirectResponse(f"{self._base}{JOIN_PATH}", 303)(scope, receive, send)
                return
            await self._app(scope, receive, send)
            return
        if self._may(scope, path):
            scope[auth.GUEST] = auth.Guest(participant, lambda: self._participant_of(connection) is not None)
        else:
            scope[auth.GUEST] = auth.Guest(None, lambda: False)  # an instructor who joined too is let through by their password
        await self._app(scope, receive, send)

    @staticmethod
    def _may(scope: Scope, path: str) -> bool:
        if scope["type"] == "websocket":
            return path in (STREAM, *(f"/{page}{STREAM}" for page in PAGES if page))
        return scope["method"] in ("GET", "HEAD") and READABLE.fullmatch(path) is not None

    @staticmethod
    def _has_session(connection: HTTPConnection) -> bool:
        return auth.COOKIE in connection.cookies  # whether it is valid is decided behind this

    def _participant_of(self, connection: HTTPConnection) -> str | None:
        """Return the id of the participant whose cookie a request has; None where it has none, or they are no longer in the class."""
        cookie = SimpleCookie(connection.headers.get("cookie", "")).get(COOKIE)
        if cookie is None:
            return None
        try:
            secret, present = self._roll.read()
        except StillhouseError:
            return None
        found = signed_within(_signer(secret), cookie.value, HOURS * 3600)
        return found if found in present else None

    async def _join(self, request: Request) -> Response:
        room = ClassStore(self._class_id)
        if request.method != "POST":
            return self._form(room, request.query_params.get("code", ""))
        form = await _form_of(request)
        if form is None:
            return self._form(room, "", "That is too long.", 413)
        visitor = visitor_of(request.scope)
        if not self._attempts.allowed(visitor, known=False):
            return self._form(room, form.get("code", ""), "Too many attempts. Wait a minute, then try again.", 429)
        try:
            participant = room.join(form.get("nickname", ""), form.get("code", ""))
        except StillhouseError as error:
            if "code" in str(error):
                self._attempts.failed(visitor, known=False)
            return self._form(room, form.get("code", ""), str(error), 403)
        response = RedirectResponse(f"{self._base}/", 303)
        response.set_cookie(COOKIE, _signer(room.secret).sign(participant.id).decode(), max_age=HOURS * 3600, path=self._base or "/",
                            httponly=True, samesite="lax", secure=request.url.scheme == "https")
        return response

    async def _leave(self, request: Request) -> Response:
        response = RedirectResponse(f"{self._base}{JOIN_PATH}", 303)
        if request.method == "POST":
            response.delete_cookie(COOKIE, path=self._base or "/")
        return response

    def _form(self, room: ClassStore, code: str, message: str = "", status: int = 200) -> Response:
        login = f"{self._base}{auth.LOGIN_PATH}?{urlencode({'next': f'{self._base}/classroom'})}"
        page = PAGE.format(title=html.escape(room.name), action=f"{self._base}{JOIN_PATH}", code=html.escape(code[:12], quote=True),
                           message=html.escape(message), login=html.escape(login, quote=True))
        return HTMLResponse(STYLE + page, status)


class _Roll:
    """Who is in a class, read again when its file has changed: a page is some thirty requests, and each opening of SQLite milliseconds."""

    def __init__(self, class_id: str) -> None:
        self._class_id = class_id
        self._found: tuple[object, float, tuple[bytes, frozenset[str]]] | None = None

    def read(self) -> tuple[bytes, frozenset[str]]:
        """Return the secret that signs seats, and the ids of the participants. Raises ClassError where the class is over."""
        state, now = class_store.state(self._class_id), time.monotonic()
        if self._found is None or self._found[0] != state or now - self._found[1] > READ_AGAIN:
            room = ClassStore(self._class_id)
            self._found = state, now, (room.secret, frozenset(each.id for each in room.participants()))
        return self._found[2]


def _signer(secret: bytes) -> TimestampSigner:
    return TimestampSigner(secret, salt=b"stillhouse seat", key_derivation="hmac", digest_method=hashlib.sha256)


async def _form_of(request: Request) -> dict[str, str] | None:
    """Return the fields of a form; None where the body is larger than the form can be."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > LARGEST_FORM:
            return None
    return {name: values[0] for name, values in parse_qs(body.decode(errors="replace")).items()}
