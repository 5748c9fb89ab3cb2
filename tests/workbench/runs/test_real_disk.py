"""A disk that is really full, and one that is really read-only: small file systems of the test's own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from core.system.paths import PROJECT
from tests.workbench.fake_engine import config

# A mount that nobody else sees, made without being root where the system allows that.
PRIVATE = ("unshare", "--map-root-user", "--mount")


def _can_mount() -> bool:
    try:
        return subprocess.run([*PRIVATE, "mount", "-t", "tmpfs", "tmpfs", "/mnt"], capture_output=True).returncode == 0
    except OSError:
        return False


pytestmark = pytest.mark.skipif(not _can_mount(), reason="this account may not mount a file system of its own")

FILLING = """
import time
from pathlib import Path
from workbench import paths
from workbench.runs import worker
from workbench.store import Store
from workbench.terminal import cli

def engine(config, recorder, directory, **_options):
    for step in range(1, 100_000):
        recorder.log("student", step, {f"metric {number}": 0.5 for number in range(20)})
        if step == 50:
            with open(paths.home() / "ballast", "wb", buffering=0) as ballast:
                try:
                    while True:
                        ballast.write(bytes(4096))
                except OSError:
                    time.sleep(1.5)  # the recorder has to get along with it too

worker.run_experiment = engine
code = cli.main(["distill", "walk.yaml"])
run = Store().run("walk")
print(code, run.status, run.message, len(Store().metrics(run.id)), sep="|")
"""


def _on_a_disk_of_its_own(home: Path, script: str, recipe_folder: Path) -> subprocess.CompletedProcess[str]:
    (recipe_folder / "walk.yaml").write_text(config(5, name="walk").to_yaml())
    home.mkdir()
    return subprocess.run([*PRIVATE, "sh", "-c", f"mount -t tmpfs -o size=3m tmpfs {home} && {script}"], cwd=recipe_folder,
                          env={**os.environ, "PYTHONPATH": str(PROJECT)}, capture_output=True, text=True)


def test_a_disk_that_fills_up_fails_the_run_and_keeps_the_store(home: Path, tmp_path: Path):
    (tmp_path / "filling.py").write_text(FILLING)
    done = _on_a_disk_of_its_own(home, f"{sys.executable} filling.py", tmp_path)
    code, status, message, logged = done.stdout.splitlines()[-1].split("|")
    assert (code, status) == ("1", "failed"), done.stderr
    assert message == f"The disk that holds {home}/runs/{message.split('/runs/')[1].split()[0]} is full."
    assert int(logged) >= 1000, "everything up to the full disk"
    assert "Traceback" not in done.stderr


def test_a_read_only_disk_is_refused_with_a_message(home: Path, tmp_path: Path):
    command = f"{sys.executable} -m workbench"
    script = f"{command} runs && mount -o remount,ro {home}; for verb in runs 'submit walk.yaml'; do {command} $verb; echo $?; done"
    done = _on_a_disk_of_its_own(home, script, tmp_path)
    assert done.stdout.splitlines()[-2:] == ["2", "2"]
    errors = done.stderr.splitlines()
    assert len(errors) == 2
    for line in errors:
        assert line.startswith(f"error: The store {home}/store.sqlite cannot be used: ")
        assert "Set STILLHOUSE_HOME" in line
