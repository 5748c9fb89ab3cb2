"""Sharing an experiment from its form, and what an instructor's link fixes on the other side."""

from __future__ import annotations

from streamlit.testing.v1 import AppTest

from core.recipes import read_recipe
from core.system.paths import ASSETS
from tests.pages.conftest import Open, button, fault_free, texts
from workbench.screens.new_experiment import controls
from workbench.screens.shared import share
from workbench.sharing import packed
from workbench.sharing.restrictions import Restrictions
from workbench.store import Store

QUICKSTART = read_recipe(ASSETS / "recipes" / "quickstart.yaml")
LINK = packed.to_query(QUICKSTART.model_copy(update={"losses": QUICKSTART.losses.model_copy(update={"temperature": 6.0})}))


def temperature(page: AppTest):
    return next(each for each in page.slider if each.label == "Temperature T")


def test_a_link_fills_the_form_in_and_comes_out_of_it_again(open_page: Open):
    page = open_page("new", **LINK)
    assert temperature(page).value == 6.0
    assert any(f"c={LINK['c']}" in code.value and "/new?" in code.value for code in page.code)
    assert any('aria-label="QR code' in element.value for element in page.markdown)
    assert [each.label for each in page.get("link_button")][-2:] == ["Download script", "Download notebook"]
    assert [each.label for each in page.get("download_button")][-1:] == ["Download YAML"]
    assert "temperature: 6" in page.code[-1].value


def test_a_changed_link_says_so(open_page: Open):
    assert "checksum" in open_page("new", **LINK | {"T": "7"}).error[0].value


def test_a_run_starts_only_within_what_the_link_fixes(open_page: Open, store: Store):
    page = open_page("new", **LINK, **Restrictions(("T",), ("advanced", "Models"), most_steps=150).to_query())
    assert temperature(page).disabled
    assert page.segmented_control(key="form").options == ["Simple"]
    page.session_state[controls.DRAFT]["losses.temperature"] = 2.0  # a browser that moves it all the same
    fault_free(button(page, "Start").click().run())
    assert "The instructor fixed it at 6.0" in texts(page) and not store.runs()
    page.session_state[controls.DRAFT]["losses.temperature"] = 6.0
    fault_free(button(page, "Start").click().run())
    assert store.runs()[0].config.losses.temperature == 6.0
    assert share.RESTRICTED in page.session_state
