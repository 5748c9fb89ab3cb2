"""The page of one run in every state, and what can be done there."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from core.events import JobState, Processes
from core.recipes import parse_recipe
from core.reports.class_scores import ClassReport, class_scores, mistakes
from core.reports.deployment import store as deployments
from core.reports.deployment.record import DeploymentRequest
from tests.core.evaluation.cards import card
from tests.core.reports.deployment.examples import deployment
from tests.pages import examples
from tests.pages.conftest import Open, button, fault_free, texts
from workbench.launch.launcher import SlurmSpec
from workbench.processes import Process
from workbench.screens import runs_view
from workbench.screens.new_experiment import starting_points
from workbench.screens.run import run_view
from workbench.screens.shared import class_scores_view, portable, results, state
from workbench.store import Store
from workbench.store.records import Progress, Run


def labels(page) -> list[str]:
    return [each.label for each in page.button]


def mounted(page) -> list[dict[str, Any]]:
    """What the page's own components were given."""
    return [json.loads(each.proto.json) for each in page.get("bidi_component")]


def figures(page) -> list[dict[str, Any]]:
    return [each for each in mounted(page) if "figure" in each]


def tab(page, run: Run, name: str):
    """The page with another tab open."""
    page.session_state[f"tab.{run.id}"] = name
    return fault_free(page.run())


def test_no_run_named(open_page: Open):
    assert "No run selected" in texts(open_page("run"))


def test_an_address_with_the_next_page_s_parameters_shows_the_run_of_before(open_page: Open, store: Store):
    run = examples.finished(store)
    page = open_page("run", run=run.id)
    del page.query_params["run"]
    page.query_params["models"] = "house-chat"
    assert fault_free(page.run()).title[0].value == run.name


def test_an_unknown_run_is_named_in_the_message(open_page: Open, store: Store):
    examples.queued(store, "known")
    page = open_page("run", run="knowm")
    assert "There is no run 'knowm'" in page.error[0].value
    assert [each.proto.label for each in page.get("page_link")] == ["All runs"], "no dead end"


@pytest.mark.parametrize(("make", "status", "offered"), [
    (examples.queued, "queued", "Stop"), (examples.running, "running", "Stop"), (examples.failed, "failed", "Resume"),
    (examples.finished, "finished", "Compare in chat")])
def test_every_state_offers_what_it_can(open_page: Open, store: Store, make: Callable[[Store], Run], status: str, offered: str):
    run = make(store)
    page = open_page("run", run=run.name)
    assert page.title[0].value == run.name
    assert status in texts(page)
    assert offered in labels(page)


def test_a_running_run_shows_progress_curves_and_numbers(open_page: Open, store: Store):
    run = examples.running(store)
    page = open_page("run", run=run.id)
    progress, = page.get("progress")
    assert "Training the student: step 200 of 400" in progress.proto.text
    assert progress.proto.value == 25  # the control is to come
    assert {metric.label for metric in page.metric} >= {"Held-out perplexity", "Agreement", "Speed (tokens/s)"}
    assert len(figures(page)) == 7  # loss, three held-out metrics, three of the machine


def test_a_run_of_several_processes_shows_each(open_page: Open, store: Store):
    run = examples.running(store)
    assert not open_page("run", run=run.id).dataframe
    payload = Processes("student", 12, [410.0, 395.5], [1.25, 1.5]).to_dict()
    store.log_events(run.id, [("processes", payload, time.time())])
    page = open_page("run", run=run.id)
    assert "2 processes" in [each.label for each in page.expander]
    assert page.dataframe[0].value.to_numpy().tolist() == [[0, "410", "1.25"], [1, "396", "1.50"]]


def test_a_run_as_a_job_says_how_the_job_is_and_was(open_page: Open, store: Store):
    run = store.create_run(examples.config("far"), launch=SlurmSpec().model_dump(mode="json"))
    store.claim(run.id, "cpu")
    store.mark_running(run.id, Process.current())
    assert "SLURM" not in detail_table(open_page("run", run=run.id, tab="Recipe"))
    for number, text in enumerate(("PENDING (Priority)", "RUNNING (n1)")):
        store.log_events(run.id, [("job", JobState(f"SLURM job 7: {text}").to_dict(), time.time() + number)])
    assert open_page("run", run=run.id).get("progress")[0].proto.text.startswith("SLURM job 7: RUNNING (n1)")
    store.log_events(run.id, [("job", JobState("SLURM job 7: COMPLETED (n1)").to_dict(), time.time() + 2)])
    store.finish(run.id, "finished")
    assert "SLURM job 7: COMPLETED (n1)" in detail_table(open_page("run", run=run.id, tab="Recipe"))


def detail_table(page) -> str:
    return "".join(each.proto.body for each in page.get("html"))


def test_the_progress_of_a_control_counts_both_variants(open_page: Open, store: Store):
    run = examples.running(store)
    now = time.time()
    store.log_events(run.id, [("phase", {"name": "steps", "arm": "control"}, now - 100)])
    store.record(run.id, Process.current(), [], [], Progress("steps", "control", 100, 400))
    progress, = open_page("run", run=run.id).get("progress")
    assert progress.proto.value == 62
    assert "Student 400/400, then the control: step 100 of 400, about 5 min left with its evaluations" in progress.proto.text
    assert "student 400/400, control 100/400" in texts(open_page("home"))


def test_the_first_evaluation_says_whom_it_measures(open_page: Open, store: Store):
    run = store.create_run(examples.config("early"))
    store.claim(run.id, "cpu")
    store.mark_running(run.id, Process.current())
    store.log_events(run.id, [("phase", {"name": "evaluate", "who": "teacher"}, time.time())])
    store.record(run.id, Process.current(), [], [], Progress("evaluate", None, 0, None))
    assert "Evaluating the teacher on held-out text" in open_page("run", run=run.id).get("progress")[0].proto.text


def test_a_waiting_run_says_for_which_and_its_place(open_page: Open, store: Store):
    examples.running(store, "busy")
    examples.queued(store, "first")
    run = examples.queued(store, "second")
    said = open_page("run", run=run.id).get("progress")[0].proto.text
    assert "Waiting for busy to finish. Position 2 of 2" in said


def test_a_stopped_run_shows_the_steps_of_both_variants(open_page: Open, store: Store):
    run = examples.running(store)
    store.record(run.id, Process.current(), [], [], Progress("steps", "control", 52, 400))
    store.finish(run.id, "stopped", "Stopped at step 52 of 400.", "Resume continues.")
    assert "student 400/400, control 52/400" in open_page("run", run=run.id).info[0].value


def test_a_failed_run_says_why_and_shows_its_log(open_page: Open, store: Store):
    page = open_page("run", run=examples.failed(store).id)
    assert "NaN at step 3" in page.error[0].value
    assert "Lower train.learning_rate" in page.error[0].value
    assert "FloatingPointError" in page.code[0].value


def test_a_finished_run_compares_all_that_was_measured(open_page: Open, store: Store):
    run = examples.finished(store)
    page = open_page("run", run=run.id)
    table = page.get("html")[0].proto.body
    assert all(word in table for word in ("Teacher", "Student before", "Student after", "Control", "8,160 tokens", "400 reviews"))
    assert "better" in texts(page)
    assert str(run.output_dir) in [code.value for code in page.code]


def test_the_results_can_be_downloaded(store: Store):
    run = examples.finished(store)
    lines = results.final_csv(results.measurements(store, run)).splitlines()
    assert lines[0] == "model,metric,value"
    assert "control,kl_to_teacher,0.6" in lines
    curves = results.curves_csv(state.curves(run.id)).splitlines()
    assert curves[0] == "arm,step,metric,value"
    assert sum(line.startswith("control,") and ",loss," in line for line in curves) == examples.STEPS


def test_the_address_names_the_tab(open_page: Open, store: Store):
    run = examples.finished(store)
    page = open_page("run", run=run.id, tab="Recipe")
    assert "In a terminal" in texts(page)
    assert "In a terminal" not in texts(open_page("run", run=run.id))


def test_samples_are_shown_as_plain_text(open_page: Open, store: Store):
    run = examples.finished(store)
    table = tab(open_page("run", run=run.id), run, "Samples").get("html")[0].proto.body
    assert "&lt;b&gt;surprising" in table
    assert "<b>" not in table
    assert table.index(">400<") < table.index(">0<")  # newest first


def test_the_recipe_tab_repeats_the_run(open_page: Open, store: Store):
    run = examples.finished(store)
    shown = [code.value for code in tab(open_page("run", run=run.id), run, "Recipe").code]
    assert shown[0] == portable.command(run)
    assert "steps=400" in shown[1]  # the link
    assert "max_steps: 400" in shown[2]


def test_stop_asks_the_run_to_stop(open_page: Open, store: Store):
    run = examples.running(store)
    page = fault_free(button(open_page("run", run=run.id), "Stop").click().run())
    assert store.run(run.id).status == "stopping"
    assert "Stop now" in labels(page)


def test_stopping_a_waiting_run_cancels_it(open_page: Open, store: Store):
    run = examples.queued(store)
    page = fault_free(button(open_page("run", run=run.id), "Stop").click().run())
    assert store.run(run.id).status == "stopped"
    assert "Resume" in labels(page)


def test_resume_queues_it_again(open_page: Open, store: Store):
    run = examples.failed(store)
    fault_free(button(open_page("run", run=run.id), "Resume").click().run())
    assert store.run(run.id).status == "queued"


def test_renaming(open_page: Open, store: Store):
    run = examples.finished(store)
    page = open_page("run", run=run.id)
    page.text_input(key=f"name.{run.id}").set_value("better-name").run()
    fault_free(button(page, "Rename").click().run())
    assert store.run(run.id).name == "better-name"


def test_an_impossible_name_is_refused_with_the_reason(open_page: Open, store: Store):
    run = examples.finished(store)
    page = open_page("run", run=run.id)
    page.text_input(key=f"name.{run.id}").set_value("../away").run()
    fault_free(button(page, "Rename").click().run())
    assert "is not a run name" in page.error[0].value
    assert store.run(run.id).name == run.name


def test_a_renamed_teacher_is_compared_and_another_run_of_its_old_name_is_not(open_page: Open, store: Store):
    parent = examples.finished(store, "parent")
    run = store.create_run(examples.config("child", teacher={"model": "parent"}), parents={"parent": f"{parent.id}:student"})
    store.claim(run.id, "cpu")
    store.finish(run.id, "finished")
    store.rename(parent.id, "better")
    examples.finished(store, "parent")
    page = open_page("run", run=run.id)
    assert "teacher better:student" in texts(page).replace("\\", "")
    assert run_view._compared_models(store.run(run.id)) == ["better:student", "child", "child:control"]
    assert runs_view.summary([store.run(run.id)])["teacher"].tolist() == ["better:student"]
    assert starting_points.from_run(run.id, store).config.teacher.model == "better:student"


def test_deleting_can_be_undone(open_page: Open, store: Store):
    run = examples.finished(store)
    page = fault_free(button(open_page("run", run=run.id), "Delete").click().run())
    assert page.title[0].value == "Runs"
    assert store.run(run.id).deleted is not None
    page = fault_free(page.switch_page(state.RUNS).run())  # AppTest itself stays on the page where it was
    fault_free(button(page, "Undo").click().run())
    assert store.run(run.id).deleted is None


def test_a_duplicate_begins_with_the_same_settings(open_page: Open, store: Store):
    run = examples.finished(store)
    page = fault_free(button(open_page("run", run=run.id), "Duplicate as new").click().run())
    assert page.title[0].value == "New experiment"
    assert page.number_input(key="field.train.max_steps").value == examples.STEPS


def test_a_retention_card_stands_in_a_tab_of_its_own(open_page: Open, store: Store):
    run = examples.with_card(store, card=card())
    page = tab(open_page("run", run=run.name), run, "Retention")
    shown = {each.label: (each.value, each.delta) for each in page.metric}
    assert shown["Smaller"] == ("45.0%", "DistilBERT: 40%") and shown["Faster"] == ("60.0%", "DistilBERT: 60%")
    assert shown["Retained"] == ("97.7%", "DistilBERT: 97%")
    help_text = next(each.help for each in page.metric if each.label == "Faster")
    assert "predict 67%" in help_text and "within 15%" in help_text
    assert "1,250 items" in texts(page) and "arXiv 1910" in texts(page)
    assert any(each.label == "Retention card (CSV)" for each in page.get("link_button"))


def test_a_card_without_a_teacher_says_first_what_stands_for_it(open_page: Open, store: Store):
    known = card()
    run = examples.with_card(store, card=replace(known, rows=(replace(known.teacher, kind="student_before"), *known.rows[1:])))
    page = tab(open_page("run", run=run.name), run, "Retention")
    assert texts(page).count("the student before training stands for the teacher") == 1
    assert next(each.help for each in page.metric if each.label == "Retained").startswith(
        "Its mean score over the tasks, over the student before training's.")


def test_a_card_that_is_not_there_yet_is_announced(open_page: Open, store: Store):
    run = examples.with_card(store)
    assert "The card is measured once" in texts(tab(open_page("run", run=run.name), run, "Retention"))
    other = examples.finished(store, "plain")
    assert not any(each.label == "Retention" for each in open_page("run", run=other.name).get("tab"))


def test_a_masked_run_shows_its_three_terms_and_speaks_of_blanks(open_page: Open, store: Store):
    run = examples.masked(store)
    page = open_page("run", run=run.id, tab="Curves")
    said = texts(page)
    assert "At the last step: 3 soft targets + 4.4 masked tokens + 0.05 hidden states = 7.45." in said
    assert "Held-out masked tokens" in said
    shown = {each.label: each.value for each in page.metric}
    assert (shown["Masked accuracy"], shown["Masked perplexity"], shown["Agreement"]) == ("40.0%", "7.39", "70.0%")
    assert len(figures(page)) == 1 + 4 + 3  # the terms, what is held out, the machine


def test_a_masked_run_tells_what_was_filled_and_measured(open_page: Open, store: Store):
    run = examples.masked(store)
    tables = " ".join(each.proto.body for each in open_page("run", run=run.id, tab="Samples").get("html"))
    assert "good 31%, bad 12%, great 9%" in tables
    tables = " ".join(each.proto.body for each in open_page("run", run=run.id, tab="Results").get("html"))
    assert "masked accuracy" in tables and "900 masked tokens" in tables and "held-out perplexity" not in tables


def test_models_that_fill_blanks_are_compared_by_filling_them(open_page: Open, store: Store, encoder: str):
    run = examples.masked(store)
    shutil.copytree(encoder, run.output_dir)
    page = open_page("run", run=run.id)
    assert "Compare in chat" not in [each.label for each in page.button]
    fault_free(button(page, "Compare masked-token predictions").click().run())
    assert page.query_params["pane"] == "blanks"


def test_a_classifier_shows_classes_calibration_and_mistakes_beside_its_int8_file(open_page: Open, store: Store):
    run = store.create_run(parse_recipe({"name": "judge", "student": {"model": "house-encoder"}, "task": {"source": "rt"},
                                         "teacher": {"model": "house-encoder"}}))
    store.claim(run.id, "cpu")
    generator = np.random.default_rng(0)
    right, reviews = np.arange(400) % 2, [f"review {number}" for number in range(400)]
    said = {who: generator.normal(size=(400, 2)) + sharp * np.eye(2)[right] for who, sharp in (("teacher", 3), ("student_after", 2))}
    said = {who: logits - np.logaddexp.reduce(logits, axis=1, keepdims=True) for who, logits in said.items()}
    scores = {who: class_scores(values, right, ("no", "yes"), reviews) for who, values in said.items()}
    report = ClassReport(scores, mistakes(said, "student_after", right, ("no", "yes"), reviews))
    events = [("evaluation", {"who": who, "metrics": {"accuracy": each.accuracy.value, "stderr": 0.01, "items": 400}}, 1.0)
              for who, each in scores.items()]
    store.log_events(run.id, [*events, (report.kind, report.to_dict(), 2.0)])
    store.finish(run.id, "finished")
    page = open_page("run", run=run.id)
    table, by_class, wrong = (each.proto.body for each in page.get("html")[:3])
    assert "Macro F1" in table and "Calibration error (points)" in table and "int8" not in table
    assert by_class.index("All, macro") < by_class.index(">no<") < by_class.index(">yes<")
    assert by_class.count(">Teacher<") == 3 and f"{scores['student_after'].classes[1].f1:.1%}" in by_class
    assert "% sure" in wrong and wrong.count("review ") == 5 < len(report.worst)
    assert f"{len(report.worst) - 5} more" in [each.label for each in page.expander]
    assert "by chance up to" in texts(page) and len(figures(page)) == 2, "confusions and reliability"
    assert any("Measure the int8 file" in each.proto.label for each in page.get("page_link"))
    folder = deployments.save_request(DeploymentRequest(str(run.output_dir), None, ("judge", None)))
    deployments.save_result(folder, deployment(classes={"int8": scores["teacher"]}))
    page = open_page("run", run=run.id)
    table = page.get("html")[0].proto.body
    assert "Student, int8" in table and "6 MB" in table and "3 ms" in table and "84.0%" in table
    assert page.get("html")[1].proto.body.count("Student, int8") == 3


def test_a_served_teacher_is_followed(open_page: Open, store: Store):
    run = examples.running(store)
    page = tab(open_page("run", run=run.id), run, "Curves")
    assert "The teacher's server" not in [each.value for each in page.subheader]
    store.log_metrics(run.id, [("student", 5, f"teacher/{name}", value)
                               for name, value in (("latency", 0.25), ("tokens", 4096.0), ("retries", 2.0))])
    page = tab(open_page("run", run=run.id), run, "Curves")
    assert "The teacher's server" in [each.value for each in page.subheader]
    shown = {each.label: each.value for each in page.metric}
    assert {"Teacher's latency (s)": "0.25", "Tokens sent to the teacher": "4,096", "Teacher's failures": "2"}.items() <= shown.items()


def test_of_many_classes_those_with_the_lowest_f1_are_shown():
    labels = tuple(f"topic {number}" for number in range(30))
    right = np.arange(300) % 30
    logits = 4 * np.eye(30)[np.where(right < 3, (right + 1) % 3, right)]
    scores = class_scores(logits - np.logaddexp.reduce(logits, axis=1, keepdims=True), right, labels, [str(each) for each in range(300)])
    _, rows = class_scores_view.class_table({"Student": scores}, "Student")
    assert len(rows) == 21 and [row[0] for row in rows[1:4]] == ["topic 0", "topic 1", "topic 2"] and rows[1][5] == "0.0%"
    assert class_scores_view.confusions(scores)[0] == ["topic 0", "topic 1", "10", "100%"]
    assert "overconfident" not in class_scores_view.calibration_words(scores)
