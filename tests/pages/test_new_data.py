"""The form of a new experiment: the data, its preview and the measured plan."""

from __future__ import annotations

import json
from concurrent.futures import Future
from pathlib import Path
from unittest.mock import Mock

import pytest
from streamlit.testing.v1 import AppTest

from core.errors import DataError
from core.evaluation.statistics import Estimate
from core.evaluation.teacher_help import TeacherHelp
from tests.pages.conftest import answered, button, fault_free, texts, written
from workbench.inference.engine_process import EngineLostError
from workbench.screens.shared import background
from workbench.store import Store


def test_a_missing_file_is_shown_beside_the_corpus(form: AppTest, tmp_path: Path):
    form.button_group(key="corpus kind").set_value("other").run()
    page = fault_free(form.text_input(key="field.data.source").set_value(str(tmp_path / "nothing.txt")).run())
    assert "nothing.txt" in page.error[0].value


def own_data(form: AppTest, path: Path, content: str) -> AppTest:
    """The form with a file of the user's as its corpus."""
    path.write_text(content)
    form.button_group(key="corpus kind").set_value("other").run()
    return fault_free(form.text_input(key="field.data.source").set_value(str(path)).run())


def test_own_data_asks_for_a_file_first(form: AppTest):
    page = fault_free(form.button_group(key="corpus kind").set_value("other").run())
    assert not page.error
    assert "Upload a file, or name one" in texts(page)
    assert "Fix before starting: Corpus" in texts(page)
    assert button(page, "Start").disabled


def test_a_file_is_read_to_its_end_before_the_start(form: AppTest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    reading: Future = Future()
    monkeypatch.setattr(background, "scan_dataset", Mock(return_value=reading))
    page = own_data(form, tmp_path / "mine.txt", "One film.\n\nAnother film.\n")
    assert button(page, "Start").disabled
    assert "to its end before the start" in texts(page)
    reading.set_result({"rows": 95, "held_out": 5, "blocks": 30})
    page = fault_free(page.run())
    assert not button(page, "Start").disabled
    assert "About 30 blocks of 256 tokens: 150 steps read them 40 times" in texts(page)


def test_a_file_with_a_broken_line_cannot_be_started(form: AppTest, monkeypatch: pytest.MonkeyPatch):
    broken: Future = Future()

    def scan(data_json: str, *_: object) -> Future:
        broken.set_exception(DataError(f"'{json.loads(data_json)['source']}', line 3 is not JSON: oh.", "One object.", "Fix it."))
        return broken

    monkeypatch.setattr(background, "scan_dataset", Mock(side_effect=scan))
    form.button_group(key="corpus kind").set_value("other").run()
    content = b'{"text": "A film."}\n{"text": "B"}\n{'
    page = fault_free(form.file_uploader(key="data file").set_value(("mine.jsonl", content, "application/json")).run())
    assert [each.value for each in page.error] == ["'mine.jsonl', line 3 is not JSON: oh. One object. Fix it."]
    assert texts(page).count("line 3 is not JSON") == 1
    assert button(page, "Start").disabled


def test_a_table_without_a_known_column_asks_for_one(form: AppTest, tmp_path: Path):
    page = own_data(form, tmp_path / "mine.csv", "title,review\nA,Good film\nB,Bad film\n")
    assert "under 'Column'" in page.error[0].value
    assert "--set" not in texts(page).replace(page.code[0].value if page.code else "", "")
    page = fault_free(page.selectbox(key="simple.column").set_value("review").run())
    assert written(page)["data"]["column"] == "review"
    assert not page.error
    assert not button(page, "Start").disabled


def test_an_upload_becomes_the_corpus(form: AppTest, store: Store):
    form.button_group(key="corpus kind").set_value("other").run()
    page = fault_free(form.file_uploader(key="data file").set_value(("reviews.jsonl", b'{"text": "A film."}\n', "application/json")).run())
    assert written(page)["data"]["source"] == "reviews.jsonl", "elsewhere the file lies beside the recipe"
    fault_free(button(page, "Start").click().run())
    run, = store.runs()
    assert Path(run.config.data.source).read_bytes() == b'{"text": "A film."}\n'


def test_the_measured_plan_tells_time_and_checks(form: AppTest, monkeypatch: pytest.MonkeyPatch):
    checks = [{"name": "memory", "ok": True, "message": "About 1 GiB of the 8 GiB that are free.", "fix": "", "caution": False}]
    measured = {"total_steps": 150, "memory": {"student": 5 * 10**8}, "seconds": 240.0, "measured_steps": 3, "tokens_per_second": 1234.0,
                "counted_share": 0.25, "checks": checks}
    requests = []
    monkeypatch.setattr(background, "measured_plan", lambda question: requests.append(question) or answered(measured))
    page = fault_free(button(form, "Measure on this machine").click().run())
    shown = {each.label: each.value for each in page.metric}
    assert (shown["Time"], shown["Training speed"], shown["Memory"]) == ("4 min", "1,234 tokens/s", "477 MiB")
    assert shown["Tokens that count"] == "25%"
    assert "8 GiB that are free" in texts(page)
    page = fault_free(page.text_input(key="start.name").set_value("another-name").run())
    assert len(set(requests)) == 1  # the same plan under another name
    page = fault_free(page.slider(key="simple.depth").set_value(1).run())
    assert "Time" not in {each.label for each in page.metric}


def test_a_teacher_that_knows_no_more_can_be_fine_tuned_first(form: AppTest, store: Store, teacher: str, monkeypatch: pytest.MonkeyPatch):
    level = Estimate(3.0, 2.9, 3.1, 0.95, 5, "student_t", "groups of blocks")
    known = TeacherHelp(level, level, Estimate(0.0, -0.1, 0.1, 0.95, 5, "student_t", "groups of blocks"))
    measured = {"total_steps": 150, "seconds": 1.0, "measured_steps": 3, "checks": [], "teacher_help": known.to_dict()}
    monkeypatch.setattr(background, "measured_plan", lambda question: answered(measured))
    page = fault_free(button(form, "Measure on this machine").click().run())
    assert "no better than the student" in texts(page)
    page = fault_free(button(page, "Fine-tune the teacher first").click().run())
    second, first = store.runs()
    assert first.config.student.model == teacher and first.config.teacher is None
    assert second.config.teacher.model == first.name
    assert page.title[0].value == first.name


def test_a_plan_that_cannot_be_measured_says_why_and_can_be_retried(form: AppTest, monkeypatch: pytest.MonkeyPatch):
    lost: Future = Future()
    lost.set_exception(EngineLostError("The process that runs the models ended."))
    question = Mock(return_value=lost)
    monkeypatch.setattr(background, "measured_plan", question)
    page = fault_free(button(form, "Measure on this machine").click().run())
    assert "process that runs the models ended" in page.error[0].value
    question.clear.assert_called_once()
    assert "Measure on this machine" in [each.label for each in fault_free(page.run()).button]


def test_the_preview_shows_rows_and_marks_what_counts(form: AppTest, monkeypatch: pytest.MonkeyPatch):
    tokens = [{"id": 0, "text": "<s>", "weight": 1.0, "counted": False}, {"id": 7, "text": "film", "weight": 1.0, "counted": True}]
    found = {"format": "text", "column": "text", "total_rows": 12, "size": 3000, "note": "",
             "rows": [{"row": {"text": "A film."}, "tokens": 3, "counted": 2}],
             "counted_share": 0.5, "block": {"tokens": tokens, "counted": 1, "padding": 0, "length": 2}}
    monkeypatch.setattr(background, "preview", lambda data, model: answered(found))
    form.session_state["data preview"] = True
    page = fault_free(form.run())
    rows, block = (each.proto.body for each in page.get("html") if "<style>" not in each.proto.body)
    assert "A film." in rows
    assert "50% of the tokens of the first rows count in the loss" in texts(page)
    assert block.count("<mark") == 1
