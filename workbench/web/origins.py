"""Where a request comes from: this machine or another one, a page of this server or of anything else."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from workbench import settings

REFUSED_BY_POLICY = 1008  # websocket close code
PORTS = {"http": 80, "https": 443}
SCHEMES = {"ws": "http", "wss": "https"}
LONGEST_QUOTE = 200  # characters of a header in a message


def is_loopback(host: str) -> bool:
    """Return whether a host name or address means this machine only."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host.lower() == "localhost"
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


def host_of(url: str) -> str:
    """Return the host of an absolute URL, which may lack its scheme; empty when there is none to be read."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:  # an unfinished IPv6 address
        return ""


def visitor_of(scope: Scope) -> str:
    """Return what stands for one visitor: the address, of IPv6 the network that one customer gets (64 bits)."""
    host, _port = scope.get("client") or ("", 0)
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return str(host)
    if isinstance(address, ipaddress.IPv6Address):
        return str(address.ipv4_mapped or ipaddress.ip_network((int(address) >> 64 << 64, 64)))
    return str(address)


async def refuse(scope: Scope, receive: Receive, send: Send, response: Response) -> None:
    """Answer a request with `response`; close a websocket before it opens."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": REFUSED_BY_POLICY})
    else:
        await response(scope, receive, send)


class SameOrigin:
    """Refuses what pages of other origins send, other ports of this machine included.

    Browsers name a page's origin (scheme, host, port) with all that it sends by other methods than GET, with websockets, and with what it
    wants to read from elsewhere. Cookies say nothing here: they are shared by all ports of a host. Requests without an origin pass:
    programs send none, and neither does following a link.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the application inside, or refuse."""
        if scope["type"] == "lifespan" or is_same_origin(scope):
            await self._app(scope, receive, send)
        else:
            headers = HTTPConnection(scope).headers
            text = (f"The request comes from a page at {headers.get('origin', '')[:LONGEST_QUOTE]}. "
                    f"A page at {_scheme(scope)}://{headers.get('host', '')[:LONGEST_QUOTE]} was expected. "
                    f"A proxy in front of the app is named in {settings.PROXIES.variable}, and passes on X-Forwarded-Proto and the host.")
            await refuse(scope, receive, send, PlainTextResponse(text, 403))


def is_same_origin(scope: Scope) -> bool:
    """Return whether every ``Origin`` that a request names is the one that it was sent to; loopback names of one port are the same."""
    headers = HTTPConnection(scope).headers
    named = headers.getlist("origin")
    if not named:
        return True
    own = _parts(f"{_scheme(scope)}://{headers.get('host', '')}")
    return own is not None and all(_is_same(_parts(origin), own) for origin in named)


def _scheme(scope: Scope) -> str:
    scheme: str = scope["scheme"]
    return SCHEMES.get(scheme, scheme)


def _parts(origin: str) -> tuple[str, str, int] | None:
    """Return scheme, host and port of an origin; None for what is none, as ``null``."""
    try:
        parts = urlsplit(origin)
        host, port = parts.hostname, parts.port or PORTS.get(parts.scheme)
    except ValueError:
        return None
    return (parts.scheme, host, port) if host and port else None


def _is_same(given: tuple[str, str, int] | None, own: tuple[str, str, int]) -> bool:
    if given is None or (given[0], given[2]) != (own[0], own[2]):
        return False
    return given[1] == own[1] or (is_loopback(given[1]) and is_loopback(own[1]))
