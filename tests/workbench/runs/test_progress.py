"""Progress as text: lines for a log, one that is written again for a terminal."""

from __future__ import annotations

import io
import json
import re

import pytest

from core.events import AblationPart, ClaimPart, Phase, RunWarning, ScoringTask
from core.system import units
from workbench.runs import progress
from workbench.runs.progress import ProgressLog


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def run_through(log: ProgressLog) -> None:
    log.event(Phase("train", "student", total_steps=3))
    for step in (1, 2, 3):
        log.log("student", step, {"loss": 1 / step, "tokens_per_second": 1234.5})
    log.log("student", 3, {"eval/perplexity": 12.3456, "eval/kl_to_teacher": 0.5})
    log.event(RunWarning("little data"))
    log.event(Phase("evaluate", subject="student_after"))
    log.event(ScoringTask(subject="control", task="rt", seed=7, done=3, total=9))
    log.close()


def test_a_log_has_first_and_last_step_in_lines():
    stream = io.StringIO()
    run_through(ProgressLog(stream))
    assert stream.getvalue().splitlines() == [
        "Train", "  student step 1 of 3  loss 1.0000  1,234 tokens/s",
        "  student step 3 of 3  loss 0.3333  1,234 tokens/s  about 0 s left",
        "  student at step 3: perplexity 12.35, kl to teacher 0.5", "Warning: little data",
        "Evaluate: student after", "Retention 4 of 9: control on rt, seed 7"]


def test_a_terminal_rewrites_one_line():
    stream = Terminal()
    run_through(ProgressLog(stream))
    assert "\r\x1b[K  student step 3 of 3" in stream.getvalue()
    assert stream.getvalue().endswith("rt, seed 7\n")
    assert json.dumps(stream.getvalue().splitlines()[-4]).startswith('"  student at step 3')


def test_parts_of_studies_are_lines() -> None:
    stream = io.StringIO()
    log = ProgressLog(stream)
    log.event(ClaimPart("C1", 42, 1, 5))
    log.event(ClaimPart("C1", None, 0, 1))
    log.event(AblationPart("without_kd", 43, 2, 6))
    assert [line.split(":")[0] for line in stream.getvalue().splitlines()] == ["C1, seed 42", "C1, all seeds", "without kd, seed 43"]
    assert "2 of 6" in stream.getvalue() and not log.should_stop()


def test_steps_between_two_reports_are_not_printed_and_the_time_left_follows_the_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    stream = io.StringIO()
    log = ProgressLog(stream)
    log.event(Phase("train", "student", total_steps=101))
    for step in range(1, 12):
        log.log("student", step, {"loss": 1.0})
        now[0] += progress.LOG_SECONDS / 5
    lines = [line for line in stream.getvalue().splitlines() if "step" in line]
    assert [line.split()[2] for line in lines] == ["1", "6", "11"]
    assert lines[-1].endswith(f"about {units.duration(90 * progress.LOG_SECONDS / 5)} left")


def test_a_log_that_is_read_later_has_times() -> None:
    stream = io.StringIO()
    run_through(ProgressLog(stream, times=True))
    lines = stream.getvalue().splitlines()
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d  \S.*|\d{4}-\d\d-\d\d \d\d:\d\d:\d\d    student.*", line) for line in lines)
    assert lines[0].endswith("  Train")
