"""The form of a new experiment, simple and advanced."""

from __future__ import annotations

import json
from pathlib import Path
from unittest.mock import Mock

import pytest
from streamlit.testing.v1 import AppTest

from core import __version__
from core.models import pypi
from core.planning.plan import static_plan
from core.recipes import parse_recipe, read_recipe
from core.system import machine, units
from tests.pages import examples
from tests.pages.conftest import QUICKSTART, Open, button, fault_free, keys_shown, texts, written
from tests.workbench.launch.fake_host import fake_host
from workbench.runs import slots
from workbench.screens.new_experiment import advanced_form, error_focus, forms, kinds
from workbench.screens.shared import background, state
from workbench.store import Store


def test_it_begins_with_the_recipe_unchanged(open_page: Open):
    assert parse_recipe(written(open_page("new", recipe="quickstart"))) == read_recipe(QUICKSTART)


def test_a_link_carries_changes(form: AppTest):
    assert written(form)["student"]["layers"] == 2
    assert "--set student.layers=2" in form.code[0].value
    assert "layers=2" in form.code[1].value


def test_the_depth_changes_map_and_sizes(form: AppTest):
    page = fault_free(form.slider(key="simple.depth").set_value(3).run())
    picture = next(each.value for each in page.markdown if "<svg" in each.value)
    assert "teacher block 3 becomes student block 2" in picture
    assert written(page)["student"]["layers"] == 3
    plan = static_plan(parse_recipe(written(page)))
    assert next(each.value for each in page.metric if each.label == "Student's parameters") == units.count(plan.student.parameters)


def test_the_mix_keeps_the_sum_of_the_weights(form: AppTest):
    page = fault_free(form.slider(key="simple.mix").set_value(50).run())
    assert written(page)["losses"]["w_kd"] == written(page)["losses"]["w_hard"] == pytest.approx(0.55)
    assert any(r"0.55\cdot 2^2" in each.value for each in page.latex)


def test_the_temperature_moves_equation_and_picture(form: AppTest):
    page = fault_free(form.slider(key="simple.temperature").set_value(4.0).run())
    assert any("4^2" in each.value for each in page.latex)
    assert "at T = 4" in texts(page)
    assert "temperature" in [each.key for each in page.get("bidi_component")]


def test_start_queues_the_run_and_opens_it(form: AppTest, store: Store, teacher: str):
    page = fault_free(button(form, "Start").click().run())
    run, = store.runs()
    assert run.config.student.layers == 2
    assert run.config.teacher.model == teacher
    assert run.command.startswith("python -m workbench distill assets/recipes/quickstart.yaml --set")
    assert page.title[0].value == run.name


def test_the_advanced_form_shows_every_key_that_counts(form: AppTest):
    shown = keys_shown(form)
    idle = [path for path in forms.LEAVES if path.startswith(("student.lora.", "student.from_scratch.", f"{forms.RETENTION}."))]
    idle += ["teacher.signals.samples", "teacher.signals.top_k", "teacher.signals.tail"]  # of forms other than the default
    idle += [path for path in forms.LEAVES if path.startswith("teacher.server.")]  # of a teacher at an address
    for path in forms.LEAVES:
        assert (f"`{path}`" in shown) == (path not in (*idle, *kinds.MASKED_ONLY, "losses.beta", "name")), path


def test_a_teacher_at_an_address_has_its_servers_fields_and_no_model_to_look_into(open_page: Open):
    page = fault_free(open_page("new", recipe="quickstart", set=["teacher.model=http://127.0.0.1:9", "student.model=house-chat",
                                                                 "student.layers=null"]))
    assert any("A server answers for the teacher" in caption.value for caption in page.caption) and not page.error
    shown = keys_shown(page)
    assert all(f"`{path}`" in shown for path in forms.LEAVES if path.startswith(("teacher.server.", "teacher.signals.top_k")))
    assert "`teacher.signals.samples`" not in shown


def test_trackers_are_picked_from_those_there_are(form: AppTest):
    form.button_group(key="form").set_value("Advanced").run()
    form.session_state["advanced tab"] = "Training"
    form.run()
    page = fault_free(form.multiselect(key="field.train.report_to").set_value(["wandb"]).run())
    assert written(page)["train"]["report_to"] == ["wandb"]


def test_what_one_form_changes_the_other_shows(form: AppTest):
    fault_free(form.slider(key="simple.temperature").set_value(4.0).run())
    form.button_group(key="form").set_value("Advanced").run()
    form.session_state["advanced tab"] = "Loss"
    page = fault_free(form.run())
    assert page.number_input(key="field.losses.temperature").value == 4.0


@pytest.mark.parametrize(("tab", "field", "value", "message"), [
    ("Loss", "losses.temperature", 0.0, "number above 0"), ("Training", "train.learning_rate", 0.0, "number above 0")])
def test_a_wrong_value_is_shown_beside_its_field(form: AppTest, tab: str, field: str, value: float, message: str):
    form.button_group(key="form").set_value("Advanced").run()
    form.session_state["advanced tab"] = tab
    form.run()
    page = fault_free(form.number_input(key=f"field.{field}").set_value(value).run())
    assert message in page.error[0].value
    assert button(page, "Start").disabled


def shown_field(page: AppTest) -> dict:
    """The request to the browser to scroll to a field's message."""
    component = next(each for each in page.get("bidi_component") if each.key == "error focus")
    return json.loads(component.proto.json)


def test_a_new_error_is_scrolled_to_once(form: AppTest):
    assert shown_field(form)["request"] == 0
    page = fault_free(form.number_input(key="field.train.max_steps").set_value(5).run())
    page = fault_free(page.text_input(key="start.name").set_value("../x").run())
    assert shown_field(page) == {"target": "error-name", "request": 1}
    page = fault_free(page.number_input(key="field.train.max_steps").set_value(6).run())
    assert shown_field(page) == {"target": "error-name", "request": 1}
    page.text_input(key="start.name").set_value("fine").run()
    assert shown_field(fault_free(page.text_input(key="start.name").set_value("../y").run()))["request"] == 2


@pytest.mark.parametrize(("tab", "field"), [("Training", "train.max_steps"), ("Training", "train.learning_rate"),
                                            ("Loss", "losses.w_kd.start")])
def test_a_number_out_of_bounds_is_refused_and_not_kept_back_by_the_browser(form: AppTest, tab: str, field: str):
    """A number field with bounds of its own never sends what lies outside them: the run would start with the value before."""
    form.button_group(key="form").set_value("Advanced").run()
    form.session_state["advanced tab"] = tab
    page = fault_free(form.run())
    assert not page.number_input(key=f"field.{field}").proto.has_min and not page.number_input(key=f"field.{field}").proto.has_max
    page = fault_free(page.number_input(key=f"field.{field}").set_value(-5).run())
    assert button(page, "Start").disabled


def test_the_field_of_an_error_in_another_tab_is_a_click_away(open_page: Open, teacher: str):
    page = open_page("new", recipe="quickstart", set=[f"teacher.model={teacher}", "student.layers=2", "student.hidden=4096"])
    assert "Set 'Student width' to" in texts(page)
    page = fault_free(button(page, "Show field").click().run())
    assert page.session_state["advanced tab"] == "Models"
    assert "Set 'Student width' to" in page.error[0].value
    assert shown_field(page) == {"target": "error-student-hidden", "request": 1}


def test_every_field_has_a_tab():
    assert {tab for path in forms.LEAVES if (tab := error_focus.tab_of(path))} == set(advanced_form.TABS)
    assert [path for path in forms.LEAVES if error_focus.tab_of(path) is None] == ["name"]


def test_a_name_that_leaves_the_folder_is_refused(form: AppTest, store: Store):
    page = fault_free(form.text_input(key="start.name").set_value("../../etc").run())
    assert "is not a run name" in page.error[0].value
    assert button(page, "Start").disabled
    assert store.runs() == []


def test_an_unknown_teacher_is_shown_beside_the_picker(open_page: Open):
    page = open_page("new", recipe="quickstart", set=["teacher.model=no-such-model"])
    assert "no-such-model" in page.error[0].value
    assert button(page, "Start").disabled


def test_too_deep_a_student_is_shown_beside_the_depth(open_page: Open, teacher: str):
    page = open_page("new", recipe="quickstart", set=[f"teacher.model={teacher}", "student.layers=9"])
    assert "1 to 4 were expected" in page.error[0].value


def test_an_unknown_recipe_or_key_in_a_link_leaves_a_usable_form(open_page: Open):
    page = open_page("new", recipe="slowstart")
    assert "There is no recipe 'slowstart'" in page.error[0].value
    assert not button(page, "Start").disabled
    assert "Did you mean 'student.layers'" in open_page("new", recipe="quickstart", set=["student.layer=3"]).error[0].value


@pytest.mark.parametrize("mode", ["Simple", "Advanced"])
def test_the_devices_of_this_machine_are_offered(open_page: Open, monkeypatch: pytest.MonkeyPatch, mode: str):
    monkeypatch.setattr(slots, "visible_gpus", lambda: ["0", "1"])
    page = open_page("new", recipe="quickstart", form=mode)
    if mode == "Advanced":
        page.session_state["advanced tab"] = "Training"
        fault_free(page.run())
    device = page.selectbox(key="field.train.device")
    assert device.options == ["auto: a free GPU, else the processor", "processor (cpu)", "GPU 0 (cuda:0)", "GPU 1 (cuda:1)"]
    assert written(fault_free(device.set_value("cuda:1").run()))["train"]["device"] == "cuda:1"


def test_a_device_that_this_machine_lacks_stays_chosen(open_page: Open, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(slots, "visible_gpus", list)
    assert open_page("new", recipe="quickstart", set="train.device=cuda:3").selectbox(key="field.train.device").value == "cuda:3"


def test_a_run_with_another_student_has_neither_name_nor_description_of_the_recipe(open_page: Open):
    page = fault_free(open_page("new", recipe="quickstart").slider(key="simple.depth").set_value(2).run())
    assert page.text_input(key="start.name").value == ""
    assert page.text_input(key="start.name").placeholder == "house-chat-2-layers"
    assert (written(page)["name"], written(page).get("description", "")) == ("house-chat-2-layers", "")
    assert "--set name=house-chat-2-layers" in " ".join(each.value for each in page.code)
    page = fault_free(page.slider(key="simple.depth").set_value(4).run())
    assert page.text_input(key="start.name").value == "quickstart"
    assert written(page)["description"].startswith("Distil the house chat model")


def test_a_description_cannot_make_the_page_ask_another_host(open_page: Open, store: Store):
    run = store.create_run(examples.config("described", description="![seen](https://example.org/seen.png)"))
    page = open_page("new", **{"from": run.id})
    assert r"\!\[seen\]" in texts(page)
    assert not [each for each in (*page.markdown, *page.caption) if "![" in each.value]


def test_one_wrong_field_leaves_the_pictures_and_the_plan(form: AppTest):
    form.button_group(key="corpus kind").set_value("other").run()
    page = fault_free(form.slider(key="simple.depth").set_value(3).run())
    assert "teacher block 3 becomes student block 2" in texts(page)
    assert {"Student's parameters", "Steps"} <= {each.label for each in page.metric}
    assert page.latex
    assert "show their last valid values" in texts(page)
    assert button(page, "Start").disabled


def test_an_explicit_list_begins_with_the_map_and_follows_the_depth(form: AppTest):
    form.slider(key="simple.depth").set_value(3).run()
    form.button_group(key="form").set_value("Advanced").run()
    page = fault_free(form.selectbox(key="field.student.layer_map").set_value("explicit").run())
    chosen = static_plan(parse_recipe(written(page))).layer_map
    assert page.text_input(key="field.student.layer_map.list").value == ", ".join(map(str, chosen))
    page = fault_free(form.number_input(key="field.student.layers").set_value(2).run())
    assert written(page)["student"]["layer_map"] == [0, 3]
    assert "Layer map updated to the new depth: 2 of 4 blocks" in texts(page)
    page = fault_free(form.text_input(key="field.student.layer_map.list").set_value("0, 1, 3").run())
    assert written(page)["student"] | {"layers": 3, "layer_map": [0, 1, 3]} == written(page)["student"]
    page = fault_free(form.text_input(key="field.student.layer_map.list").set_value("0, b").run())
    assert [each.value for each in page.error if "0, b" in each.value]
    assert "<svg" in texts(page)


def test_lora_shows_in_the_simple_form(open_page: Open, teacher: str):
    page = open_page("new", recipe="quickstart", set=[f"teacher.model={teacher}", "student.layers=2", "student.lora.rank=4"])
    assert "LoRA adapters of rank 4 are trained" in texts(page)


def test_the_mix_names_the_weights(form: AppTest):
    assert "Weights: 1 on soft targets, 0.1 on hard labels." in texts(form)


def test_a_teacher_that_is_not_here_is_not_fetched_for_a_picture(open_page: Open, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(background, "next_token", Mock(side_effect=AssertionError("asked")))
    page = open_page("new", recipe="quickstart", set=[f"teacher.model={next(iter(pypi.PACKAGES))}"])
    assert "will be downloaded when the run starts" in texts(page)
    assert "once the teacher is on this machine" in texts(page)


def test_a_fresh_model_has_no_teacher(open_page: Open):
    page = open_page("new", recipe="house-base")
    assert "without a teacher" in texts(page)
    assert not button(page, "Start").disabled
    page.button_group(key="form").set_value("Advanced").run()
    assert "`student.from_scratch.vocabulary`" in " ".join(each.help for each in fault_free(page).number_input)


def test_switching_the_teacher_off_leaves_a_valid_experiment(form: AppTest):
    form.button_group(key="form").set_value("Advanced").run()
    page = fault_free(form.toggle(key="has teacher").set_value(False).run())
    assert written(page)["kind"] == "pretrain"
    assert written(page)["losses"]["w_kd"] == 0.0
    assert not page.error


def test_switching_the_teacher_back_on_restores_what_was_there(form: AppTest):
    before = written(form)
    form.button_group(key="form").set_value("Advanced").run()
    form.toggle(key="has teacher").set_value(False).run()
    page = fault_free(form.toggle(key="has teacher").set_value(True).run())
    assert written(page) == before
    assert before["control"] and before["losses"]["w_kd"] == 1.0


def test_what_was_typed_survives_other_pages(form: AppTest):
    form.slider(key="simple.depth").set_value(3).run()
    form.switch_page(state.RUNS).run()
    page = fault_free(form.switch_page(state.NEW).run())
    assert written(page)["student"]["layers"] == 3


def test_a_run_as_the_starting_point(open_page: Open, store: Store):
    page = open_page("new", **{"from": examples.finished(store).id})
    assert page.selectbox(key="start from").value == "run done"
    assert written(page)["train"]["max_steps"] == examples.STEPS


def test_a_chain_in_the_form_is_said_in_both_of_its_ways(open_page: Open, store: Store, teacher: str):
    run = store.create_run(parse_recipe({"name": "walk", "teacher": {"model": teacher}, "data": {"block_length": 64},
                                         "chain": {"anchors": [{"layers": 2}]}}))
    page = open_page("new", **{"from": run.id})
    assert "This recipe builds a chain" in texts(page)
    page = fault_free(page.button_group(key="form").set_value("Advanced").run())
    assert "This recipe builds a chain" in texts(page)


def test_a_run_for_a_cluster_shows_its_settings_and_its_script(form: AppTest, store: Store):
    assert not [each for each in form.number_input if each.key == "launch.nodes"]
    page = fault_free(form.button_group(key="launch.place").set_value("SLURM cluster").run())
    page = fault_free(page.number_input(key="launch.nodes").set_value(3).run())
    page = fault_free(page.toggle(key="launch.script").set_value(True).run())
    assert "#SBATCH --nodes=3" in page.code[0].value and not button(page, "Start").disabled
    page = page.number_input(key="launch.minutes").set_value(1).run()
    assert "no time is left" in page.error[0].value and button(page, "Start").disabled
    assert not store.runs()


def test_a_host_shows_what_is_copied_there_and_says_what_it_lacks(
        form: AppTest, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    fake = fake_host(tmp_path, monkeypatch, "0.0.9")
    page = fault_free(form.button_group(key="launch.place").set_value("SLURM cluster").run())
    page = page.text_input(key="launch.host").set_value("far").run()
    assert "set folder to a path there" in page.error[0].value and button(page, "Start").disabled
    page = fault_free(page.text_input(key="launch.folder").set_value(str(fake.folder)).run())
    assert "Copied to far before the job" in texts(page)
    assert "/tiny (" in texts(page) and not any("sbatch" in each.value for each in page.warning)
    page = fault_free(page.toggle(key="launch.script").set_value(True).run())
    assert "#SBATCH" in page.code[0].value and page.code[1].value.startswith("rsync ")
    page = button(page, "Check the host").click().run()
    assert "has Stillhouse 0.0.9" in page.error[0].value
    page = button(page, "Start").click().run()
    assert "has Stillhouse 0.0.9" in page.error[0].value and not store.runs()
    (fake.here / "release").write_text(__version__)
    page = fault_free(button(page, "Check the host").click().run())
    assert page.success[0].value.startswith("far has rsync")


def test_what_this_machine_lacks_is_no_obstacle_on_a_cluster(open_page: Open, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(machine, "gpu_count", lambda: 0)
    page = open_page("new", recipe="quickstart", set="train.device=cuda:1")
    assert button(page, "Start").disabled
    assert not button(fault_free(page.button_group(key="launch.place").set_value("SLURM cluster").run()), "Start").disabled
