"""The table of results and what is said about it."""

from __future__ import annotations

import pandas as pd
import pytest

from tests.pages import examples
from workbench.processes import Process
from workbench.screens.shared import charts, results
from workbench.store import Store
from workbench.store.records import Event, Progress


def test_the_table_says_what_was_measured_on_how_much():
    measured = {"teacher": examples.measured(0.0), "student_after": examples.measured(0.2)}
    head, rows = results.result_table(measured)
    assert head == ["", "Teacher", "Student after", "Measured on"]
    assert rows[0] == ["held-out perplexity", "20.09", "24.53", "8,160 tokens"]
    assert rows[-1] == ["sentiment accuracy", *map(results.on_two_lines, ("85.0% (81.2% to 88.2%)", "78.7% (74.4% to 82.4%)")),
                        "400 reviews (95% CI, Wilson)"]
    assert rows[-1][1].split("\n")[1] == "(81.2%\u00a0to\u00a088.2%)", "in one piece"


def test_an_interval_is_in_the_unit_of_its_metric():
    assert results.cell({"perplexity": 8.6, "perplexity_low": 8.2, "perplexity_high": 9.1}, "perplexity") == "8.6 (8.2 to 9.1)"
    assert results.cell({"agreement": 0.5, "agreement_low": 0.4, "agreement_high": 0.6}, "agreement") == "50.0% (40.0% to 60.0%)"


def test_a_student_that_lost_to_its_control_is_reported():
    said = results.verdict({"student_after": examples.measured(0.6), "control": examples.measured(0.2)})
    assert said.startswith("Compared with the control")
    assert "held-out perplexity: 36.6 against 24.53, worse" in said
    assert "better" not in said


def test_a_difference_within_chance_is_no_difference():
    said = results.verdict({"student_after": examples.measured(0.50), "control": examples.measured(0.55)})
    assert "sentiment accuracy: 71.2% against 70.2%, no difference beyond chance (95%, over the items)" in said


@pytest.mark.parametrize(("teacher", "said"), [(30.0, "knew this text better"), (59.0, "knew this text no better")])
def test_the_teachers_lead_before_training_is_judged_by_its_intervals(teacher: float, said: str):
    measured = {subject: {"perplexity": value, "perplexity_low": value - 3, "perplexity_high": value + 3, "blocks": 40}
                for subject, value in (("teacher", teacher), ("student_before", 60.0))}
    assert said in results.teacher_lead(measured)
    assert "student 60 (57 to 63)" in results.teacher_lead(measured)
    assert results.teacher_lead({"teacher": measured["teacher"]}) == ""


@pytest.mark.parametrize(("tokens", "said"), [(1207, "no difference beyond chance"), (120_700, "better")])
def test_shares_of_tokens_differ_by_chance_too(tokens: int, said: str):
    after, control = ({"masked_accuracy": share, "tokens": tokens} for share in (0.31, 0.30))
    assert f"31.0% against 30.0%, {said}" in results.verdict({"student_after": after, "control": control})


def test_without_a_control_nothing_is_claimed_for_the_teacher():
    said = results.verdict({"student_before": examples.measured(4.0), "student_after": examples.measured(0.2)})
    assert "before training" in said
    assert "the teacher's contribution is not isolated" in said
    assert results.verdict({"teacher": examples.measured(0.0)}) == ""


def steps_phase(when: float) -> Event:
    return Event(1, "phase", {"name": "steps", "arm": "student", "total_steps": 400}, when)


def test_what_is_left_counts_the_control_too():
    store = Store()
    run = examples.running(store, steps=100)
    began = steps_phase(run.heartbeat - 200)  # 2 seconds a step
    assert results.remaining_seconds(run, [began]) == pytest.approx((300 * 2.0, (300 + 400) * 2.0))
    assert results.remaining_seconds(run, []) is None
    assert results.remaining_seconds(run, [steps_phase(run.heartbeat + 3600)]) is None, "the clock was set back"
    assert results.remaining_seconds(run, [began, began]) is None  # resumed: how many steps it took since is not known


def test_progress_in_words():
    store = Store()
    run = examples.running(store, steps=100)
    assert results.progress_text(run, [steps_phase(run.heartbeat - 30)]) == (
        "Training the student: step 100 of 400, about 2 min left with its evaluations, 4 min with the control")
    assert results.progress_text(run).endswith("step 100 of 400")
    assert results.steps_text(run) == "student 100/400, control 0/400"


def test_scoring_says_whom_and_how_far():
    store = Store()
    run = examples.running(store)
    event = {"name": "retention", "who": "student", "task": "imdb", "seed": 42, "done": 3, "total": 18}
    store.record(run.id, Process.current(), [], [], Progress("retention", "student", 400, 400))
    assert results.progress_text(store.run(run.id), [Event(1, "phase", event, 0.0)]) == "Scoring the student on a labelled task, 4 of 18 …"


def test_a_task_is_reported_in_shares_of_its_items() -> None:
    before, after = ({"accuracy": value, "stderr": 0.02, "items": 500, "majority_share": 0.52, "recall_good": value}
                     for value in (0.5, 0.8))
    head, rows = results.result_table({"student_before": before, "student_after": after})
    assert head == ["", "Student before", "Student after", "Measured on"]
    assert rows == [["accuracy", *map(results.on_two_lines, ("50.0% (45.6% to 54.4%)", "80.0% (76.3% to 83.3%)")),
                     "500 items (95% CI, Wilson)"],
                    ["most frequent label", "52.0%", "52.0%", "500 items"]]
    said = results.verdict({"student_before": before, "student_after": after})
    assert "accuracy: 80.0% against 50.0%, better" in said and "teacher" not in said and "frequent" not in said
    said = results.verdict({"teacher": after, "student_before": before, "student_after": before | {"accuracy": 0.53}})
    assert "no difference beyond chance" in said and "the teacher's contribution is not isolated" in said


def test_what_is_measured_on_blanks_is_called_so():
    measured = {"teacher": {"perplexity": 5.0, "masked_accuracy": 0.5, "tokens": 303},
                "student_after": {"perplexity": 6.0, "masked_accuracy": 0.4}}
    assert results.is_masked(measured) and not results.is_masked({"teacher": examples.measured(0.0)})
    _, rows = results.result_table(measured)
    assert rows == [["masked perplexity", "5", "6", "303 masked tokens"], ["masked accuracy", "50.0%", "40.0%", "303 masked tokens"]]


def test_the_terms_of_the_last_step_add_up():
    terms = {"loss/kd": 3.0, "loss/hard": 4.4, "loss/hidden": 0.05, "loss": 7.45}
    curves = pd.DataFrame([("student", step, name, value * step) for step in (2, 1) for name, value in terms.items()],
                          columns=["arm", "step", "name", "value"])
    assert results.terms_now(charts.split(curves), masked=True) == "3 soft targets + 4.4 masked tokens + 0.05 hidden states = 7.45"
    assert results.terms_now(charts.split(curves[curves["name"].isin(("loss/hard", "loss"))]), masked=False) == ""
