"""A host of ssh that is a folder of this machine: an `ssh` on the path that starts what it is given here, with programs of its own."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.workbench.launch.installed import require_installed

SSH = """#!/bin/sh
while true; do case "$1" in -o|-l|-p) shift 2;; -*) shift;; *) break;; esac; done
echo "$*" >> '{here}/calls'
if [ -f '{here}/refusal' ]; then cat '{here}/refusal' >&2; exit 255; fi
shift
export HOME='{here}/home' PATH='{here}/programs'
sh -c "$*"
code=$?
if [ -f '{here}/cut' ]; then rm '{here}/cut'; echo 'client_loop: send disconnect: Broken pipe' >&2; exit 255; fi
exit $code
"""
SBATCH = """#!/bin/sh
echo x >> '{here}/submitted'
pwd > '{here}/cwd'
echo "$(wc -l < '{here}/submitted');loopback"
"""
SCONTROL = """#!/bin/sh
echo "JobId=1 JobState=$(cat '{here}/state') Reason=None NodeList=n1 ExitCode=0:0"
"""
PYTHON = """#!/bin/sh
echo "stillhouse $(cat '{here}/release')"
"""
PROGRAMS = ("sh", "bash", "cat", "sed", "awk", "df", "mkdir", "mv", "rm", "touch", "wc", "rsync")


@dataclass(frozen=True)
class FakeHost:
    """What lies behind the name.

    Attributes:
        here: folder of the fake: ``calls`` of ssh, ``programs`` there; with ``refusal`` ssh says that instead, with ``cut`` it loses an
            answer.
        folder: for runs, there.
    """

    here: Path
    folder: Path

    def program(self, name: str, text: str) -> None:
        """Put a program on the host's path; without text remove it."""
        path = self.here / "programs" / name
        path.unlink(missing_ok=True)
        if text:
            path.write_text(text.format(here=self.here))
            path.chmod(0o755)

    def calls(self) -> list[str]:
        """Return the commands that ssh was given."""
        file = self.here / "calls"
        return file.read_text().splitlines() if file.exists() else []


def fake_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, release: str) -> FakeHost:
    """Make a host ``far``, whose profile prints a greeting. Skips on Windows, and where rsync is not installed."""
    if sys.platform == "win32":
        pytest.skip("its programs are scripts of sh")
    require_installed(["rsync"], "rsync")
    here = tmp_path / "fake"
    for name in ("bin", "programs", "home"):
        (here / name).mkdir(parents=True)
    fake = FakeHost(here, tmp_path / "it's \"far\" $HOME")
    for name in PROGRAMS:
        found = shutil.which(name)
        assert found is not None, name
        (here / "programs" / name).symlink_to(found)
    for name, text in (("sbatch", SBATCH), ("scontrol", SCONTROL), ("scancel", "#!/bin/sh\n"), ("python3", PYTHON)):
        fake.program(name, text)
    (here / "home" / ".bash_profile").write_text(f"export PATH='{here}/programs'\necho Welcome, $USER\n")
    (here / "state").write_text("RUNNING")
    (here / "release").write_text(release)
    ssh = here / "bin" / "ssh"
    ssh.write_text(SSH.format(here=here))
    ssh.chmod(0o755)
    monkeypatch.setenv("PATH", f"{here}/bin{os.pathsep}{os.environ['PATH']}")
    return fake
