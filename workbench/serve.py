"""Start the app: check the address, take the port, answer, say where."""

from __future__ import annotations

import asyncio
import errno
import logging
import signal
import socket
from types import FrameType

from workbench import settings
from workbench.errors import ServeError
from workbench.web.origins import is_loopback

STOP_WITHIN = 1  # seconds that open connections get when the server ends


def main(port: int | None = None, host: str | None = None) -> None:
    """Serve the app until Ctrl-C or SIGTERM; training runs continue.

    Args:
        port: TCP port, 0 for any free one (default: the environment variable PORT, else 8501).
        host: address to listen on (default: STILLHOUSE_HOST, else 127.0.0.1). Others than loopback need a password.

    Raises:
        ServeError: no such port or address, a port in use, an open address without a password.
    """
    signal.signal(signal.SIGTERM, _end_quietly)
    host = host or settings.HOST.read()
    listener = listen(host, parse_port(settings.PORT.read() if port is None else port))
    try:
        _serve(listener, host)
    except KeyboardInterrupt:
        pass  # uvicorn has already shut down in order and passes the signal on
    finally:
        listener.close()


def parse_port(given: str | int) -> int:
    """Return a port number. Raises ServeError for anything else."""
    if str(given).isdecimal() and int(given) < 2**16:
        return int(given)
    raise ServeError(f"The port was given as '{given}'.", "A number from 0 to 65535 was expected.", "For example: make run PORT=8601")


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket. Raises ServeError as `main` says."""
    if not is_loopback(host) and not settings.PASSWORD.read():
        raise ServeError(f"The address {host} can be reached from other machines.", "A password was expected.",
                         f"Set {settings.PASSWORD.variable}, or listen on {settings.HOST.default}.")
    return open_socket(host, port)


def open_socket(host: str, port: int) -> socket.socket:
    """Return a listening socket at any address of this machine. Raises ServeError as `main` says."""
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family, backlog=2048)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise ServeError(f"Port {port} is in use.", "A free port was expected.",
                             f"Take another one: make run PORT={port + 100}, or end the program that has it.") from error
        if error.errno == errno.EACCES:
            raise ServeError(f"Port {port} may not be used by this account.", "A port from 1024 was expected.") from error
        raise ServeError(f"The address '{host}' cannot be used: {error.strerror}.", "An address of this machine was expected.",
                         f"For example: {settings.HOST.default}") from error


def _serve(listener: socket.socket, host: str) -> None:
    import uvicorn

    from workbench.app import app
    from workbench.web.half_open import LimitedProtocol

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            print(f"Stillhouse answers at {_address(listener, host)}  (Ctrl-C ends it, runs continue)", flush=True)

        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            logging.getLogger("uvicorn.error").addFilter(_is_news)
            await super().shutdown(sockets)

    # Proxies are believed by the app's own middleware, and only those that are named; uvicorn would believe any on this machine.
    Server(uvicorn.Config(app, log_level="warning", access_log=False, http=LimitedProtocol, ws="websockets-sansio",
                          ws_max_size=_message_limit(), proxy_headers=False, timeout_graceful_shutdown=STOP_WITHIN)).run([listener])


def _is_news(record: logging.LogRecord) -> bool:
    # Streams that are still open are cut short at the end, on purpose.
    cut_short = record.exc_info and isinstance(record.exc_info[1], asyncio.CancelledError)
    return not cut_short and not record.msg.startswith("Cancel ")


def _message_limit() -> int:
    """Bytes of the longest websocket message that Streamlit allows."""
    import streamlit as st

    return st.get_option("server.maxMessageSize") * 2**20


def _address(listener: socket.socket, host: str) -> str:
    from workbench.mounts import base_path

    shown = socket.gethostname() if host in ("0.0.0.0", "::") else host
    shown = f"[{shown}]" if ":" in shown else shown
    return f"http://{shown}:{listener.getsockname()[1]}{base_path()}"


def _end_quietly(_signal: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)
