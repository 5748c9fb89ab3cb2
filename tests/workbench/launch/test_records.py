from __future__ import annotations

import math
import re
from pathlib import Path

import pytest

from core.events import Evaluation, Event, Headway, Phase, Processes, RunWarning, Sample, ScoringTask
from core.recorder import ListRecorder
from core.reports.run_report import RunReport, StudentSummary
from core.system.paths import PROJECT
from workbench.launch import records
from workbench.launch.records import RecordsReader, RecordsWriter


class _Timed(ListRecorder):
    def event(self, event: Event, at: float | None = None) -> None:
        assert at is not None
        super().event(event)


def test_every_kind_of_event_that_a_run_records_can_be_read() -> None:
    source = "\n".join(path.read_text(encoding="utf-8") for path in (PROJECT / "core").rglob("*.py"))
    kinds = set(re.findall(r'kind: ClassVar\[str\] = "(\w+)"', source)) - {"claim", "ablation", "part"}  # of studies, and of watchers
    assert kinds - {"job"} == set(records.READERS)


def test_what_one_process_records_another_reads_while_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "LOOK_SECONDS", 0.0)
    writer, reader, seen = RecordsWriter(tmp_path), RecordsReader(tmp_path), _Timed()
    events: list[Event] = [Phase("train", "student"), Headway(0.5, 3.0), Evaluation.of("teacher", {"perplexity": 2.0}),
                           Sample("student", 3, "a", "b"), RunWarning("Careful."), Processes("student", 2, [1.0, 2.0], [0.5, 0.25]),
                           ScoringTask(subject="student", task="rt", seed=1, done=0, total=2)]
    for event in events:
        writer.event(event)
    writer.log("student", 1, {"loss": 1.5, "grad_norm": math.nan})
    writer.log("student", 2, {"loss": 1.25})
    assert reader.pass_on(seen) and not reader.pass_on(seen)
    assert seen.events == events
    assert seen.rows[0] == ("student", 1, "loss", 1.5) and math.isnan(seen.rows[1][3]) and seen.rows[2:] == [("student", 2, "loss", 1.25)]
    with open(tmp_path / records.FILE, "a") as file:
        file.write('["metrics", [["student", 3, "lo')
    assert not reader.pass_on(seen), "a line that is not written to its end yet"
    with open(tmp_path / records.FILE, "a") as file:
        file.write('ss", 1.0]]]\n')
    assert reader.pass_on(seen) and seen.series("student", "loss")[3] == 1.0 and reader.report is None
    report = RunReport("out", None, StudentSummary("student"), {}, None, 1.0, 2, 3.0, False, "command")
    writer.end(report)
    assert reader.pass_on(seen) and reader.report == report
    assert not writer.should_stop()
    (tmp_path / "stop").touch()
    assert writer.should_stop()
