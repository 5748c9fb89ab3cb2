from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.system.paths import PROJECT
from tests.app_process import AppProcess, running_app
from tests.waiting import PATIENCE
from workbench import serve, settings
from workbench.errors import ServeError

posix = pytest.mark.skipif(os.name != "posix", reason="signals as POSIX has them")


# ------------------------------------------------------------------------------------------------ address


@pytest.mark.parametrize("given", ["8601", 8601, "0", 65535])
def test_ports(given: str | int) -> None:
    assert serve.parse_port(given) == int(given)


@pytest.mark.parametrize("given", ["", "http", "-1", "80.5", 65536, " 8501"])
def test_what_is_no_port(given: str | int) -> None:
    with pytest.raises(ServeError, match="0 to 65535"):
        serve.parse_port(given)


def test_a_port_in_use_names_another() -> None:
    with serve.listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ServeError, match=rf"Port {port} is in use.*make run PORT=\d+") as refused:
            serve.listen("127.0.0.1", port)
    assert refused.value.exit_code == 2


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])
def test_an_open_address_needs_a_password(host: str) -> None:
    with pytest.raises(ServeError, match=settings.PASSWORD.variable):
        serve.listen(host, 0)


def test_an_open_address_with_a_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(settings.PASSWORD.variable, "copper kettle")
    with serve.listen("0.0.0.0", 0) as listener:
        assert listener.getsockname()[0] == "0.0.0.0"


def test_an_address_that_is_not_this_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(settings.PASSWORD.variable, "copper kettle")
    with pytest.raises(ServeError, match=r"'192\.0\.2\.1' cannot be used"):
        serve.listen("192.0.2.1", 0)


def test_the_listener_is_not_inherited_by_workers() -> None:
    with serve.listen("127.0.0.1", 0) as listener:
        assert not listener.get_inheritable()


# ------------------------------------------------------------------------------------------------ the process


@pytest.fixture
def app(home: Path, tmp_path: Path) -> Iterator[AppProcess]:
    with running_app(tmp_path, home=home) as running:
        yield running


@posix
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "Ctrl-C"])
def test_it_prints_its_address_and_ends_on_a_signal(app: AppProcess, number: signal.Signals) -> None:
    with urllib.request.urlopen(f"{app.url}/_stcore/health", timeout=PATIENCE) as answer:
        assert answer.read() == b"ok"
    # A tab that stays open must not hold the server back, nor the endless stream of its chat pane.
    host, port = app.url.removeprefix("http://").split(":")
    with contextlib.ExitStack() as stack:
        if number == signal.SIGTERM:
            stream = stack.enter_context(urllib.request.urlopen(f"{app.url}/chat/gradio_api/heartbeat/a", timeout=PATIENCE))
            assert stream.readline()
        tab = stack.enter_context(socket.create_connection((host, int(port)), timeout=PATIENCE))
        tab.sendall(f"GET /_stcore/stream HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode())
        assert tab.recv(100).startswith(b"HTTP/1.1 101")
        app.process.send_signal(number)
        assert app.process.wait(PATIENCE) == 0
    assert app.log.read_text().splitlines() == [f"Stillhouse answers at {app.url}  (Ctrl-C ends it, runs continue)"]


@posix
def test_a_mistake_is_one_readable_message(home: Path) -> None:
    done = subprocess.run([sys.executable, "-m", "workbench"], cwd=PROJECT, capture_output=True, text=True, check=False,
                          env={**os.environ, "STILLHOUSE_HOST": "0.0.0.0", "STILLHOUSE_HOME": str(home)})
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert settings.PASSWORD.variable in done.stderr
    assert not home.exists()
