"""The form of a reading run."""

from __future__ import annotations

from core.config import ReadingConfig
from core.recipes import parse_recipe, read_recipe
from core.system.paths import PROJECT
from tests.pages.conftest import Open, button, fault_free, texts, written
from workbench.store import Store


def test_the_recipe_is_there_unchanged(open_page: Open) -> None:
    page = open_page("new", recipe="reading")
    assert parse_recipe(written(page)) == read_recipe(PROJECT / "assets/recipes/reading.yaml")
    assert "writes its own text from templates" in texts(page)
    assert "Prompt for entities" not in [each.label for each in page.text_area]


def test_a_teacher_that_is_a_model_reads_a_text_and_a_student_continues_from_a_model(open_page: Open, store: Store, teacher: str) -> None:
    page = open_page("new", recipe="reading", set=[f"reading.model={teacher}", "data.block_length=64"])
    page = fault_free(page.selectbox(key="field.reading.student").set_value("house-chat").run())
    page = fault_free(page.number_input(key="field.reading.paragraphs").set_value(12).run())
    page = fault_free(page.selectbox(key="field.reading.notes").set_value("shuffled").run())
    page = fault_free(page.number_input(key="field.reading.questions").set_value(0.0).run())
    page = fault_free(page.text_area(key="field.reading.entity_prompt").set_value("no place for it").run())
    assert "shows the teacher the sentence" in texts(page) and button(page, "Start").disabled
    page = fault_free(page.text_area(key="field.reading.entity_prompt").set_value("{sentence} Who?").run())
    fault_free(button(page, "Start").click().run())
    run, = store.runs()
    assert isinstance(run.config, ReadingConfig) and run.config.student.from_scratch is None
    spec = run.config.reading
    assert (run.config.student.model, spec.model, spec.paragraphs, spec.notes, spec.questions) == ("house-chat", teacher, 12, "shuffled", 0)
    assert spec.entity_prompt == "{sentence} Who?"
    # A run's recipe comes back whole.
    assert parse_recipe(written(open_page("new", **{"from": run.id}))).reading == spec


def test_the_advanced_form_has_the_same_section(open_page: Open) -> None:
    page = open_page("new", recipe="reading", form="Advanced")
    assert page.selectbox(key="field.reading.model").value == "oracle"


def test_a_retention_card_is_offered_without_a_teacher_that_is_distilled(open_page: Open) -> None:
    page = open_page("new", recipe="reading", form="Advanced")
    page.session_state["advanced tab"] = "Evaluation"
    page = fault_free(page.run())
    toggle = next(each for each in page.toggle if each.label == "Retention card")
    page = fault_free(toggle.set_value(True).run())
    config = parse_recipe(written(page))
    assert config.teacher is None and config.evaluation.retention is not None and config.evaluation.retention.tasks == ("imdb", "rt")
