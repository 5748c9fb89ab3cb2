"""The form of a bridge from another vocabulary."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from tests.pages.conftest import Open, button, fault_free, texts, written
from workbench.store import Store


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
