"""Proxies in front of the server: only those that the owner named say for whom they ask, by which scheme and which name."""

from __future__ import annotations

import ipaddress

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Receive, Scope, Send

from workbench import settings
from workbench.errors import ServeError


def named_proxies() -> list[str]:
    """Return the addresses and networks of the proxies, as the setting names them.

    Raises:
        ServeError: something there is neither.
    """
    named = [each.strip() for each in settings.PROXIES.read().split(",") if each.strip()]
    for each in named:
        try:
            ipaddress.ip_network(each)
        except ValueError as error:
            raise ServeError(f"{settings.PROXIES.variable} names '{each}'.", "Addresses or networks, separated by commas, were expected.",
                             f"For example: {settings.PROXIES.variable}=127.0.0.1,10.0.0.0/8") from error
    return named


class NamedProxies:
    """Takes address, scheme and host of a visitor from the ``X-Forwarded-`` headers of proxies that are named; of others they are ignored.

    Args:
        app: the application inside.
        proxies: addresses and networks.
    """

    def __init__(self, app: ASGIApp, proxies: list[str]) -> None:
        from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

        self._app = app
        self._proxies = ProxyHeadersMiddleware(self._with_host, proxies)  # type: ignore[arg-type]  # the same protocol in other words
        self._trusted = self._proxies.trusted_hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the application inside with what a named proxy says of the visitor."""
        if scope["type"] == "lifespan" or not self._is_named(scope):
            await self._app(scope, receive, send)
        else:
            await self._proxies(scope, receive, send)  # type: ignore[arg-type]

    def _is_named(self, scope: Scope) -> bool:
        host, _port = scope.get("client") or ("", 0)
        return host in self._trusted

    async def _with_host(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = MutableHeaders(raw=list(scope["headers"]))
        if forwarded := headers.get("x-forwarded-host", "").rpartition(",")[2].strip():  # the last is of the nearest proxy
            headers["host"] = forwarded
            scope = {**scope, "headers": headers.raw}
        await self._app(scope, receive, send)
