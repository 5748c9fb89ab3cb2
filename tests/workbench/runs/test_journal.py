"""The journal of a worker: every line is there at once, and half a line is none."""

from __future__ import annotations

import math
import os
from pathlib import Path

import pytest

from workbench.runs.journal import Journal, read_journal


def test_a_partly_written_line_is_completed_or_raised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    journal = Journal(tmp_path / "journal.jsonl")
    write = os.write
    monkeypatch.setattr(os, "write", lambda file, data: write(file, data[:7]))
    journal.metrics([("student", 1, "loss", 0.5)])
    journal.close()
    assert read_journal(tmp_path / "journal.jsonl") == ([("student", 1, "loss", 0.5)], [])
    assert read_journal(tmp_path / "nothing") == ([], [])


def test_numbers_and_events_come_back_in_order_also_from_a_second_worker(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    events = [("phase", '{"phase": "train"}', 1.5), ("warning", '{"message": "naïve"}', 2.5)]
    for number in (1, 2):
        journal = Journal(path)
        journal.metrics([("student", number, "loss", 0.5), ("control", number, "loss", float("nan"))])
        journal.event(events[number - 1])
        journal.close()
    metrics, found = read_journal(path)
    assert found == events and [row[:3] for row in metrics] == [
        (variant, number, "loss") for number in (1, 2) for variant in ("student", "control")]
    assert metrics[0][3] == 0.5 and math.isnan(metrics[1][3])


def test_what_the_store_has_is_forgotten_and_writing_continues(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    journal.metrics([("student", 1, "loss", 0.5)])
    journal.clear()
    assert read_journal(tmp_path / "journal.jsonl") == ([], [])
    journal.metrics([("student", 2, "loss", 0.25)])
    journal.close()
    assert read_journal(tmp_path / "journal.jsonl") == ([("student", 2, "loss", 0.25)], [])


@pytest.mark.parametrize("broken", [b'["metrics", [["student", 2', b"\xff\xfe\n", b"\n", b"{"])
def test_a_line_that_was_cut_is_left_out(tmp_path: Path, broken: bytes) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    journal.metrics([("student", 1, "loss", 0.5)])
    journal.close()
    with (tmp_path / "journal.jsonl").open("ab") as file:
        file.write(broken)
    assert read_journal(tmp_path / "journal.jsonl") == ([("student", 1, "loss", 0.5)], [])
