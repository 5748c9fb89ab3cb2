"""The report of each method: the keys that its docstring promises, and the record that is stored and read back."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import pytest

from core.methods.chain import build_chain
from core.methods.distillation import distill
from core.methods.fine_tuning import tune
from core.reports.run_report import (
    AnchorSummary,
    ChainReport,
    CorpusSummary,
    ModelSummary,
    Report,
    RunReport,
    StudentSummary,
    TaskSummary,
    parse_report,
)

TEACHER = ModelSummary("big", 9, 4)
STUDENT = StudentSummary("small", None, 5, 5, 2, (0, 3))
NUMBERS = {"teacher": {"perplexity": 2.0}, "student_before": None, "student_after": {"perplexity": 3.0}}
DISTILLED = RunReport("/run/student", TEACHER, STUDENT, NUMBERS | {"control": None}, CorpusSummary("ab", 3, 4, 0.25),
                      1.5, 12, 8.0, False, "line")
TUNED = RunReport("/run/student", None, StudentSummary("small", "base", 5, 5, 2), NUMBERS,
                  TaskSummary("ab", "films", "classification", ("bad", "good"), 8, 4), 1.5, 12, 8.0, False, "line")
BUILT = ChainReport("/run", TEACHER, (AnchorSummary(0, 9, 4, 8, 2, 16, 1.0, 0, 0.0),), 2, 12, 1.5, 8.0, False, "line")
STOPPED_BRIDGE = RunReport("/run/student", None, StudentSummary("small"), {}, None, 0.0, 0, 0.0, True, "line")


@pytest.mark.parametrize(("method", "report"), [(distill, DISTILLED), (tune, TUNED), (build_chain, BUILT)])
def test_a_docstring_promises_the_keys_that_a_report_has(method: Callable[..., Report], report: Report) -> None:
    promised = re.search(r"Returns:\n(.*?)\n\n", method.__doc__ or "", re.DOTALL)
    assert promised is not None
    assert sorted(re.findall(r"``(\w+)``", promised.group(1))) == sorted(report.to_dict())


@pytest.mark.parametrize("report", [DISTILLED, TUNED, BUILT, STOPPED_BRIDGE], ids=["distilled", "tuned", "built", "stopped bridge"])
def test_a_record_is_read_back(report: Report) -> None:
    assert parse_report(json.loads(json.dumps(report.to_dict()))) == report


def test_a_bridge_stopped_while_writing_has_neither_data_nor_card() -> None:
    assert not {"data", "retention"} & STOPPED_BRIDGE.to_dict().keys()
    assert STOPPED_BRIDGE.to_dict()["student"] == {"name": "small"}
