"""The ablation page: nothing begun, running, finished, stopped, failed; and what its button starts."""

from __future__ import annotations

import io
import json
import time
from concurrent.futures import Future
from pathlib import Path

import pandas as pd
import pytest

from core.config import ExperimentConfig
from core.errors import ConfigError
from core.recipes import parse_recipe
from core.studies.ablation import results
from core.studies.ablation.results import RESULT
from core.system.files import write_json
from core.system.units import duration
from tests.core.ablations import result
from tests.pages.conftest import Open, answered, button, fault_free, texts
from tests.pages.examples import GONE
from workbench.errors import StudyError
from workbench.processes import Process
from workbench.screens import ablation_view
from workbench.screens.shared import background as questions
from workbench.studies import background
from workbench.studies.jobs import AblationJob, JobState

COMMAND = "python -m workbench ablate assets/recipes/distilbert.yaml --seeds 3"


def begun(seeds: int = 3, *, found: bool = False) -> Path:
    folder = results.save_request(parse_recipe(result().config), seeds, COMMAND)
    if found:
        write_json(folder / RESULT, result().to_dict())
    return folder


def write_status(folder: Path, state: str, process: Process = GONE, **details: object) -> None:
    AblationJob(folder).save_state(JobState(state, process, time.time(), **details))


def test_empty(open_page: Open) -> None:
    page = open_page("ablation")
    said = texts(page)
    assert "No ablation yet" in said and "python -m workbench ablate assets/recipes/" in said
    assert "variants × 5 seeds" in said and "the whole recipe, without soft targets" in said


def test_the_form_says_what_it_would_train(open_page: Open) -> None:
    page = open_page("ablation", recipe="quickstart")
    assert page.selectbox(key="recipe").value == "quickstart" and "4 variants × 5 seeds = 20 trainings" in texts(page)
    page.number_input(key="seeds").set_value(2)
    page.number_input(key="steps.quickstart").set_value(7)
    said = texts(fault_free(page.run()))
    assert "= 8 trainings" in said
    assert "python -m workbench ablate assets/recipes/quickstart.yaml --set train.max_steps=7 --seeds 2" in said


def test_the_time_of_all_trainings_is_known_before_the_start(open_page: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    requested: list[dict] = []

    def measured(config: str) -> Future:
        requested.append(json.loads(config))
        return answered({"seconds": 60.0, "measured_steps": 5, "checks": []})

    monkeypatch.setattr(questions, "measured_plan", measured)
    page = open_page("ablation", recipe="quickstart")
    assert not requested, "measured on request"
    fault_free(page.button(key="measure").click().run())
    assert f"About **{duration(20 * 60.0)}** on this machine: 20 trainings" in texts(page)
    assert requested[0]["control"] is False and requested[0]["train"]["max_steps"] == 150
    page.number_input(key="steps.quickstart").set_value(7)
    fault_free(page.run())
    assert "on this machine" not in texts(page) and page.button(key="measure"), "of other steps nothing is known"


@pytest.mark.parametrize("key", ["seeds", "steps.quickstart"])
def test_a_number_below_one_is_refused(open_page: Open, key: str) -> None:
    page = open_page("ablation", recipe="quickstart")
    assert not page.number_input(key=key).proto.has_min
    page = fault_free(page.number_input(key=key).set_value(0).run())
    assert "must be 1 or more" in page.error[0].value
    assert not [each for each in page.button if each.label == "Start"]


def test_start_hands_over_the_recipe_that_the_form_shows(open_page: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[tuple[ExperimentConfig, int, str]] = []
    monkeypatch.setattr(background, "start_ablation", lambda *given: started.append(given))
    page = open_page("ablation", recipe="quickstart")
    page.number_input(key="steps.quickstart").set_value(7)
    fault_free(button(fault_free(page.run()), "Start").click().run())
    config, seeds, command = started[0]
    assert (config.train.max_steps, config.name, seeds) == (7, "quickstart", 5) and command.endswith("max_steps=7 --seeds 5")


def test_obstacles_are_shown(open_page: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_given: object) -> None:
        raise StudyError("The check of C1 runs.", "One runs at a time.", "Wait for it.")

    monkeypatch.setattr(background, "start_ablation", refuse)
    page = fault_free(button(open_page("ablation", recipe="quickstart"), "Start").click().run())
    assert "The check of C1 runs." in page.error[0].value


def test_running(open_page: Open) -> None:
    folder = begun()
    write_status(folder, "running", Process.current(), done=4, total=15, text="without soft targets, seed 42: step 3 of 5")
    page = open_page("ablation")
    assert page.get("progress")[0].proto.text.replace("\\", "") == "4 of 15 trainings done · without soft targets, seed 42: step 3 of 5"
    assert button(page, "Start").disabled
    fault_free(page.button(key=f"stop.{folder.name}").click().run())
    assert AblationJob(folder).stop_file.exists() and page.button(key=f"stop.{folder.name}").disabled
    assert page.get("progress")[0].proto.text.startswith("stopping")


def test_finished(open_page: Open) -> None:
    folder = begun(found=True)
    write_status(folder, "finished", done=15, total=15, text="")
    page = open_page("ablation")
    said = texts(page)
    assert "finished" in said and "Without soft targets\\: held-out cross-entropy is worse" in said
    assert COMMAND in said and "95% CI, Student's t over 3 seeds" in said
    assert "to the right is worse" in said and "1910.01108" in said
    assert not any(each.label == "Resume" for each in page.button)
    page.segmented_control(key=f"metric.{folder.name}").set_value("agreement")
    assert "to the left is worse" in texts(fault_free(page.run()))


@pytest.mark.parametrize(("state", "kind"), [("stopped", "info"), ("failed", "error"), ("lost", "warning")])
def test_an_early_end_says_why_and_can_be_resumed(open_page: Open, monkeypatch: pytest.MonkeyPatch, state: str, kind: str) -> None:
    started: list[tuple] = []
    monkeypatch.setattr(background, "start_ablation", lambda *given: started.append(given))
    folder = begun(seeds=5, found=True)
    write_status(folder, state, message="It ended.", hint="Do this.")
    page = open_page("ablation")
    assert "It ended." in page.get(kind)[0].value and "3 of 5 seeds so far" in texts(page)
    fault_free(button(page, "Resume").click().run())
    assert started == [(parse_recipe(result().config), 5)]


def test_what_another_release_began_is_left_out(open_page: Open, home: Path) -> None:
    write_json(home / "ablations" / "old" / results.RECIPE, {"config": {"what": 1}, "seeds": 3, "noted": 1})
    assert "finished" not in texts(open_page("ablation"))


def test_the_file_holds_every_seed_and_its_difference() -> None:
    table = pd.read_csv(io.StringIO(ablation_view.differences_csv(result()))).set_index(["variant", "metric", "seed"])
    row = table.loc[("minus_kd", "cross_entropy", 43)]
    assert row["value"] == pytest.approx(3.3) and row["difference"] == pytest.approx(0.2) and row["published GLUE points"] == -2.96


def test_every_recipe_of_the_form_has_parts_to_leave_out() -> None:
    known = ablation_view.recipes()
    assert "quickstart" in known and "house-base" not in known and next(iter(known)) == "distilbert"


def test_nothing_begins_that_has_no_parts() -> None:
    with pytest.raises(ConfigError):
        background.start_ablation(parse_recipe({"losses": {"w_hard": 0}, "student": {"init": "random"}}), 3)
    assert results.folders() == []
