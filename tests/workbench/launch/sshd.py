"""An OpenSSH server of its own on the loopback, as this user, with keys of its own; `ssh` on the path knows it by a name."""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.waiting import wait_until
from tests.workbench.launch.installed import program, require_installed

PROGRAMS = ("sshd", "ssh", "ssh-keygen", "rsync")
SERVER = """
Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host_key
PidFile {folder}/sshd.pid
AuthorizedKeysFile {folder}/client_key.pub
PasswordAuthentication no
KbdInteractiveAuthentication no
StrictModes no
UsePAM no
"""
CLIENT = """
Host {name}
    HostName 127.0.0.1
    Port {port}
    User {user}
    IdentityFile {folder}/client_key
    IdentitiesOnly yes
    UserKnownHostsFile {folder}/known_hosts
"""


@contextlib.contextmanager
def loopback_host(name: str, variables: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Start a server, wait until it answers, and end it afterwards; give its folder, whose ``client_key`` is the key.

    Args:
        name: by which ssh knows it.
        variables: of the environment that its sessions have.
    """
    require_installed(PROGRAMS, "openssh-server openssh-client rsync")
    folder = Path(tempfile.mkdtemp(prefix="sshd-"))
    for key in ("host_key", "client_key"):
        subprocess.run([str(program("ssh-keygen")), "-q", "-t", "ed25519", "-N", "", "-f", str(folder / key)], check=True)
    port = _free_port()
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {(folder / 'host_key.pub').read_text()}")
    set_env = f"SetEnv {' '.join(f'{variable}={value}' for variable, value in variables.items())}\n" if variables else ""
    (folder / "sshd_config").write_text(SERVER.format(port=port, folder=folder) + set_env)
    (folder / "ssh_config").write_text(CLIENT.format(name=name, port=port, folder=folder, user=getpass.getuser()))
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # which the server of root insists on
    (folder / "bin").mkdir()
    (folder / "bin" / "ssh").write_text(f"#!/bin/sh\nexec {program('ssh')} -F {folder}/ssh_config \"$@\"\n")
    (folder / "bin" / "ssh").chmod(0o755)
    with (folder / "sshd.log").open("wb") as log:
        server = subprocess.Popen([str(program("sshd")), "-D", "-e", "-f", str(folder / "sshd_config")], stderr=log)
    monkeypatch.setenv("PATH", f"{folder}/bin{os.pathsep}{os.environ['PATH']}")
    try:
        wait_until(lambda: subprocess.run(["ssh", "-o", "BatchMode=yes", name, "true"], capture_output=True).returncode == 0,
                   lambda: (folder / "sshd.log").read_text())
        yield folder
    finally:
        server.terminate()
        server.wait(30)
        shutil.rmtree(folder, ignore_errors=True)


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port
