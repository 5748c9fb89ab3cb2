"""The form of a new experiment, simple and advanced."""

from __future__ import annotations

import json
import shutil
from concurrent.futures import Future
from pathlib import Path
from unittest.mock import Mock

import pytest
import yaml
from streamlit.testing.v1 import AppTest
from transformers import AutoModelForSequenceClassification

from core.errors import DataError
from core.models import pypi
from core.planning.plan import static_plan
from core.recipes import parse_recipe, read_recipe
from core.system import units
from tests.core.masked_models import masked_model, masked_tokenizer, save
from tests.core.tiny import tiny_encoder
from tests.pages import examples
from tests.pages.conftest import ROOT, Open, answered, button, fault_free, texts
from workbench.inference.client import EngineLostError
from workbench.runs import slots
from workbench.screens.new_experiment import advanced_form, error_focus, forms, kinds
from workbench.screens.shared import background, state
from workbench.store import Store

QUICKSTART = ROOT / "assets" / "recipes" / "quickstart.yaml"


@pytest.fixture
def form(open_page: Open, teacher: str) -> AppTest:
    """The simple form with the tiny teacher."""
    return open_page("new", recipe="quickstart", set=[f"teacher.model={teacher}", "student.layers=2"])


def written(page: AppTest) -> dict:
    """The configuration at the bottom of the page."""
    return yaml.safe_load(page.code[-1].value)


def test_it_begins_with_the_recipe_unchanged(open_page: Open):
    assert parse_recipe(written(open_page("new", recipe="quickstart"))) == read_recipe(QUICKSTART)


def test_a_link_carries_changes(form: AppTest):
    assert written(form)["student"]["layers"] == 2
    assert "--set student.layers=2" in form.code[0].value
    assert "set=student.layers%3D2" in form.code[1].value


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


def keys_shown(form: AppTest) -> str:
    """The help of every field of the advanced form."""
    page = fault_free(form.button_group(key="form").set_value("Advanced").run())
    widgets, shown = ("number_input", "selectbox", "toggle", "text_input", "text_area", "button_group", "multiselect"), ""
    for tab in advanced_form.TABS:
        page.session_state["advanced tab"] = tab
        page = fault_free(page.run())
        shown += " ".join(each.help or "" for widget in widgets for each in page.get(widget))
        assert not [each.label for widget in widgets for each in page.get(widget) if "`" in each.label]  # it names the help's button
    return shown


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


def test_lora_shows_in_the_simple_form(open_page: Open, teacher: str):
    page = open_page("new", recipe="quickstart", set=[f"teacher.model={teacher}", "student.layers=2", "student.lora.rank=4"])
    assert "LoRA adapters of rank 4 are trained" in texts(page)


def test_the_mix_names_the_weights(form: AppTest):
    assert "Weights: 1 on soft targets, 0.1 on hard labels." in texts(form)


def test_an_upload_becomes_the_corpus(form: AppTest):
    form.button_group(key="corpus kind").set_value("other").run()
    page = fault_free(form.file_uploader(key="data file").set_value(("reviews.jsonl", b'{"text": "A film."}\n', "application/json")).run())
    assert written(page)["data"]["source"].endswith(".jsonl")
    assert Path(written(page)["data"]["source"]).read_bytes() == b'{"text": "A film."}\n'


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


def test_a_run_as_the_starting_point(open_page: Open, store: Store):
    page = open_page("new", **{"from": examples.finished(store).id})
    assert page.selectbox(key="start from").value == "run done"
    assert written(page)["train"]["max_steps"] == examples.STEPS


@pytest.fixture
def bridging(open_page: Open, teacher: str) -> AppTest:
    """The form of a bridge from the tiny teacher to itself."""
    return open_page("new", recipe="house-bridge", set=[f"bridge.model={teacher}", f"student.model={teacher}", "data.block_length=64"])


def test_a_bridge_has_a_form_of_its_own(bridging: AppTest, store: Store, teacher: str):
    assert "Bridge from another vocabulary" in [each.value for each in bridging.subheader]
    assert "without a teacher" not in texts(bridging)
    page = fault_free(bridging.number_input(key="bridge.texts").set_value(40).run())
    page = fault_free(page.number_input(key="bridge.top_k").set_value(7).run())
    assert written(page)["bridge"] | {"texts": 40, "top_k": 7, "model": teacher} == written(page)["bridge"]
    assert "--set bridge.texts=40" in page.code[0].value
    page = fault_free(page.button_group(key="form").set_value("Advanced").run())
    assert page.number_input(key="bridge.texts").value == 40
    fault_free(button(page, "Start").click().run())
    run, = store.runs()
    assert (run.config.bridge.texts, run.config.bridge.model, run.config.student.model) == (40, teacher, teacher)
    assert written(open_again(page, run.id))["bridge"]["texts"] == 40


def open_again(page: AppTest, run_id: str) -> AppTest:
    """The form with that run as its starting point."""
    page.switch_page("../pages/new.py")
    page.query_params.clear()
    page.query_params["from"] = run_id
    return fault_free(page.run())


def test_a_bridge_takes_prompts_from_a_file(bridging: AppTest, tmp_path: Path):
    page = fault_free(bridging.button_group(key="bridge.prompts kind").set_value("other").run())
    assert page.button(key="start").disabled
    page = fault_free(page.text_input(key="bridge.prompts").set_value(str(tmp_path / "none.jsonl")).run())
    assert page.button(key="start").disabled and "none.jsonl" in page.error[0].value
    (tmp_path / "asked.jsonl").write_text('{"prompt": "Is it good?"}\n')
    page = fault_free(page.text_input(key="bridge.prompts").set_value(str(tmp_path / "asked.jsonl")).run())
    assert not page.button(key="start").disabled, [each.value for each in page.error]


def test_a_writer_that_nobody_can_ask_is_refused_beside_its_field(open_page: Open, teacher: str, tmp_path: Path):
    mute = shutil.copytree(teacher, tmp_path / "mute")
    (mute / "chat_template.jinja").unlink()
    page = open_page("new", recipe="house-bridge", set=[f"bridge.model={mute}", f"student.model={teacher}", "data.block_length=64"])
    assert "has no chat template" in page.error[0].value
    assert page.button(key="start").disabled


def test_a_packaged_writer_will_be_downloaded(open_page: Open):
    assert "will be downloaded when the run starts" in texts(open_page("new", recipe="house-bridge"))


def test_a_chain_in_the_form_is_said_in_both_of_its_ways(open_page: Open, store: Store, teacher: str):
    run = store.create_run(parse_recipe({"name": "walk", "teacher": {"model": teacher}, "data": {"block_length": 64},
                                         "chain": {"anchors": [{"layers": 2}]}}))
    page = open_page("new", **{"from": run.id})
    assert "This recipe builds a chain" in texts(page)
    page = fault_free(page.button_group(key="form").set_value("Advanced").run())
    assert "This recipe builds a chain" in texts(page)


# ---------------------------------------------------------------------------------------------------- masked language models


def trained(store: Store, name: str, folder: str) -> str:
    """A finished run whose student is a copy of this model: the teacher's picker offers it."""
    shutil.copytree(folder, examples.finished(store, name, control=False).output_dir)
    return name


@pytest.fixture
def masked_form(store: Store, open_page: Open, encoder: str) -> AppTest:
    """The quickstart's form after an encoder was chosen in the teacher's picker."""
    trained(store, "filler", encoder)
    return fault_free(open_page("new", recipe="quickstart").selectbox(key="field.teacher").set_value("filler").run())


def test_a_masked_teacher_brings_the_triple_loss(masked_form: AppTest, encoder: str):
    plain = written(masked_form)
    assert plain["teacher"]["model"] == "filler"
    assert (plain["student"]["layers"], plain["student"]["architecture"], plain["student"]["layer_map"]) == (None, "distilbert", "uniform")
    assert {term: plain["losses"][term] for term in ("w_kd", "w_hard", "w_hidden", "temperature")} == {
        "w_kd": 5.0, "w_hard": 2.0, "w_hidden": 1.0, "temperature": 2.0}
    assert {part: plain["masking"][part] for part in ("mlm_probability", "mask_replace_prob", "random_replace_prob")} == {
        "mlm_probability": 0.15, "mask_replace_prob": 0.8, "random_replace_prob": 0.1}
    assert plain["evaluation"]["sentiment_items"] == 0
    assert all("[MASK]" in prompt for prompt in plain["evaluation"]["prompts"])
    assert plain["train"]["max_steps"] == 150, "the budget stays"
    assert plain["data"]["block_length"] == 48, "all that this encoder reads"
    assert static_plan(parse_recipe(plain | {"teacher": {"model": encoder}, "data": plain["data"]})).fits


def test_the_masked_form_speaks_of_blanks(masked_form: AppTest):
    latex, = (each.value for each in masked_form.latex)
    assert r"5\cdot 2^2" in latex and "masked tokens" in latex and r"1\cdot (1-\cos(h_s, h_t))" in latex
    said = texts(masked_form)
    assert "y are the tokens behind the masks" in said
    assert "15% of the tokens are masked and predicted: 80% of them are replaced by [MASK], 10% by a random token" in said
    assert "folded into the positions" in said
    assert "for the first blank of “The film was" in said
    assert "the text itself" not in said


def test_a_block_longer_than_the_encoder_reads_is_reported(masked_form: AppTest):
    masked_form.session_state["draft"]["data.block_length"] = 64
    page = fault_free(masked_form.run())
    assert "The model reads 48 at most" in texts(page)
    assert button(page, "Start").disabled


def test_an_encoder_gets_blocks_as_long_as_those_it_was_trained_on_and_the_chat_model_its_own_back(
        store: Store, open_page: Open, encoder: str):
    trained(store, "filler", encoder)
    record = Path(store.run("filler").output_dir) / "stillhouse.json"
    record.write_text(json.dumps({"config": {"data": {"block_length": 32}}}))
    page = open_page("new", recipe="quickstart")
    page = fault_free(page.selectbox(key="field.teacher").set_value("filler").run())
    assert written(page)["data"]["block_length"] == 32
    assert not written(page).get("description"), "the words of a recipe for another teacher"
    assert not written(fault_free(page.selectbox(key="field.teacher").set_value("house-chat").run())).get("description"), "half the blocks"
    page = fault_free(page.selectbox(key="field.teacher").set_value("filler").run())
    page.session_state["draft"]["data.block_length"] = 48
    page = fault_free(page.run())
    assert any("was trained on blocks of 32 tokens, and may understand blocks of 48 worse" in each.value for each in page.warning)
    assert not button(page, "Start").disabled
    page.session_state["draft"]["description"] = "My own words."
    page = fault_free(page.selectbox(key="field.teacher").set_value("house-chat").run())
    assert (written(page)["data"]["block_length"], written(page)["description"]) == (256, "My own words.")
    page = fault_free(page.selectbox(key="field.teacher").set_value("filler").run())
    assert written(page)["data"]["block_length"] == 32, "what was put aside is still too long for it"


def test_the_three_weights_move_the_equation_and_the_way_back_is_the_preset(masked_form: AppTest):
    assert not [each for each in masked_form.button if each.label == "DistilBERT (triple loss)"], "the form follows it already"
    page = fault_free(masked_form.number_input(key="simple.losses.w_hidden").set_value(3.0).run())
    assert written(page)["losses"]["w_hidden"] == 3.0
    assert any(r"3\cdot (1-\cos" in each.value for each in page.latex)
    page = fault_free(button(page, "DistilBERT (triple loss)").click().run())
    assert written(page)["losses"]["w_hidden"] == 1.0


def test_the_preview_of_an_encoder_shows_what_can_be_masked(masked_form: AppTest, monkeypatch: pytest.MonkeyPatch):
    tokens = [{"id": 0, "text": "[CLS]", "weight": 0.0, "counted": False}, {"id": 7, "text": "film", "weight": 1.0, "counted": True}]
    found = {"format": "text", "column": "text", "total_rows": 12, "size": 3000, "note": "", "rows": [],
             "counted_share": 0.5, "block": {"tokens": tokens, "counted": 1, "padding": 0, "length": 2}}
    monkeypatch.setattr(background, "preview", lambda data, model: answered(found))
    masked_form.session_state["data preview"] = True
    assert "1 of 2 tokens can be masked and are shaded" in texts(fault_free(masked_form.run()))


def test_start_queues_a_masked_run(open_page: Open, store: Store, encoder: str):
    page = open_page("new", recipe="distilbert", set=[f"teacher.model={encoder}", "student.layers=null", "data.block_length=48"])
    fault_free(button(page, "Start").click().run())
    run, = store.runs()
    assert (run.config.student.architecture, run.config.losses.w_hidden.start) == ("distilbert", 1.0)


def test_going_back_to_a_causal_teacher_brings_its_settings_back(masked_form: AppTest):
    before = read_recipe(QUICKSTART).to_dict()
    fault_free(masked_form.number_input(key="simple.losses.w_kd").set_value(4.0).run())
    page = fault_free(masked_form.selectbox(key="field.teacher").set_value("house-chat").run())
    assert written(page) == before | {"student": before["student"] | {"layers": None}, "name": "house-chat-student", "description": ""}
    page = fault_free(page.selectbox(key="field.teacher").set_value("filler").run())
    assert (written(page)["student"]["architecture"], written(page)["losses"]["w_kd"]) == ("distilbert", 4.0)


def test_a_masked_recipe_turns_to_the_quickstart_with_a_causal_teacher(open_page: Open, encoder: str):
    page = open_page("new", recipe="distilbert", set=[f"teacher.model={encoder}"])
    page = fault_free(page.selectbox(key="field.teacher").set_value("house-chat").run())
    start = read_recipe(QUICKSTART).to_dict()
    assert written(page)["losses"] == start["losses"]
    assert written(page)["masking"] == start["masking"]
    assert not page.error


def test_an_encoder_that_is_no_bert_keeps_its_architecture(masked_form: AppTest, store: Store, tmp_path: Path):
    trained(store, "other-filler", str(save(tiny_encoder("roberta"), tmp_path / "roberta")))
    state.forget_models()
    page = fault_free(masked_form.run().selectbox(key="field.teacher").set_value("other-filler").run())
    assert written(page)["student"]["architecture"] == "teacher"
    assert written(page)["losses"]["w_kd"] == 5.0


def test_the_advanced_form_of_an_encoder_shows_what_counts_for_it(masked_form: AppTest):
    shown = keys_shown(masked_form)
    for path in kinds.MASKED_ONLY:
        assert f"`{path}`" in shown, path
    assert not [path for path in kinds.CAUSAL_ONLY if f"`{path}`" in shown]


def test_a_link_with_prompts_for_an_encoder_is_reported_and_fixed(open_page: Open, encoder: str):
    page = open_page("new", recipe="quickstart", set=[f"teacher.model={encoder}", "student.layers=2", "data.block_length=48"])
    assert "A masked language model predicts masked tokens and answers no question" in page.error[0].value
    assert button(page, "Start").disabled
    page = fault_free(button(page, "DistilBERT (triple loss)").click().run())
    assert not page.error
    assert not button(page, "Start").disabled


def test_settings_of_encoders_with_a_causal_teacher_are_reported(open_page: Open, teacher: str):
    page = open_page("new", recipe="distilbert", set=[f"teacher.model={teacher}", "data.block_length=48"])
    assert "belong to masked-language models, and this one predicts the next token" in page.error[0].value
    assert button(page, "Start").disabled


def test_classifiers_are_not_offered_as_teachers(open_page: Open, store: Store, tmp_path: Path):
    AutoModelForSequenceClassification.from_config(masked_model().config).save_pretrained(tmp_path / "model")
    masked_tokenizer().save_pretrained(tmp_path / "model")
    trained(store, "classifier", str(tmp_path / "model"))
    page = open_page("new", recipe="quickstart")
    assert not [option for option in page.selectbox(key="field.teacher").options if option.startswith("classifier")]
    page = open_page("new", recipe="quickstart", set=["teacher.model=classifier"])
    assert "classifies texts. A model that predicts tokens was expected" in texts(page)
    assert button(page, "Start").disabled


def test_an_encoder_from_nothing_keeps_its_masking(masked_form: AppTest):
    masked_form.button_group(key="form").set_value("Advanced").run()
    page = fault_free(masked_form.toggle(key="has teacher").set_value(False).run())
    plain = written(page)
    assert plain["kind"] == "pretrain"
    assert plain["student"]["from_scratch"]["architecture"] == "bert"
    assert plain["masking"]["mlm_probability"] == 0.15
    assert not page.error
    page.session_state["advanced tab"] = "Data"
    assert "`masking.mlm_probability`" in " ".join(each.help for each in fault_free(page.run()).number_input)
