"""Checks in processes of their own: what their file says at each end."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from core.claims import outcomes, registry
from tests.core.claims.fake_claims import fake, put_in_place
from workbench.checks import ablations, background
from workbench.checks.background import Check
from workbench.errors import CheckError
from workbench.processes import Process

NAMES = ("X1", "ENDLESS", "BROKEN", "KILLED")


@pytest.fixture(autouse=True)
def fakes(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(background, "WORKER", (sys.executable, "-m", "tests.workbench.checks.fake_worker"))
    put_in_place(monkeypatch, *map(fake, NAMES))
    yield
    for check in filter(None, map(background.latest, NAMES)):
        check.process.kill()


def wait_for(name: str, holds: Callable[[Check], bool], seconds: float = 60) -> Check:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        check = background.latest(name)
        if check is not None and holds(check):
            return check
        time.sleep(0.05)
    raise AssertionError(f"{check}\n{background.log_tail(name)}")


def test_a_check_ends_with_an_outcome() -> None:
    background.start("X1", seeds=4)
    check = wait_for("X1", lambda check: check.state != "running")
    assert (check.state, check.done, check.seeds, check.message) == ("finished", 4, 4, "")
    outcome, place = outcomes.latest(registry.find("X1"))
    assert (outcome.verdict, outcome.seeds, place) == ("pass", (42, 43, 44, 45), "here")
    assert "Walk" in background.log_tail("X1")


def test_a_check_tells_how_far_it_is_and_stops_when_asked() -> None:
    background.start("ENDLESS")
    check = wait_for("ENDLESS", lambda check: "step" in check.text)
    assert check.text.startswith("Walk: step ") and (check.done, check.seeds) == (0, 3)
    assert not check.stopping
    background.stop("ENDLESS")
    ended = wait_for("ENDLESS", lambda check: check.state != "running")
    assert ended.state == "stopped" and "Seeds that had ended are kept" in ended.hint
    assert not background.stop_file("ENDLESS").exists()


def test_the_signal_that_ends_processes_stops_it_too() -> None:
    background.start("ENDLESS")
    check = wait_for("ENDLESS", lambda check: "step" in check.text)
    os.kill(check.process.pid, signal.SIGTERM)
    assert wait_for("ENDLESS", lambda check: check.state != "running").state == "stopped"


def test_one_check_runs_at_a_time() -> None:
    background.start("ENDLESS")
    with pytest.raises(CheckError, match="ENDLESS is being checked"):
        background.start("X1")
    assert background.running().claim == "ENDLESS"
    assert background.latest("X1") is None


def test_a_check_waits_for_an_ablation(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(ablations, "running", lambda: tmp_path / "distilbert-1")
    with pytest.raises(CheckError, match="The ablation distilbert-1 runs"):
        background.start("X1")
    assert background.latest("X1") is None


def test_a_failure_is_told_and_its_log_kept() -> None:
    background.start("BROKEN")
    check = wait_for("BROKEN", lambda check: check.state != "running")
    assert check.state == "failed" and "stumbled" in check.message
    assert "FloatingPointError: stumbled" in background.log_tail("BROKEN")
    background.start("X1")  # and the next one may begin
    assert wait_for("X1", lambda check: check.state != "running").state == "finished"


def test_a_process_that_vanished_is_lost() -> None:
    background.start("KILLED")
    assert wait_for("KILLED", lambda check: check.state != "running").state == "lost"
    gone = Check("X1", "running", replace(Process.current(), started=-1.0), time.time())
    background.note(gone)
    assert background.latest("X1").state == "lost" and background.running() is None


def test_a_process_that_cannot_be_started_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "WORKER", ("/no/such/program",))
    with pytest.raises(CheckError, match="could not be started"):
        background.start("X1")
    assert background.latest("X1") is None
