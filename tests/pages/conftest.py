"""The app's pages, opened as a browser would through the router, with a teacher that is there and no worker that starts."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

import pytest
import yaml
from streamlit import config
from streamlit.testing.v1 import AppTest

from tests.core.chat_models import save_chat_model
from tests.core.masked_models import masked_model, save
from tests.waiting import PATIENCE
from workbench.runs import jobs
from workbench.screens.new_experiment import advanced_form
from workbench.screens.shared import background, state
from workbench.store import Store

ROOT = Path(__file__).resolve().parents[2]
QUICKSTART = ROOT / "assets" / "recipes" / "quickstart.yaml"
Open = Callable[..., AppTest]


@pytest.fixture(autouse=True)
def _no_worker(monkeypatch: pytest.MonkeyPatch, fresh_streamlit_caches: None) -> None:
    """Runs stay queued, the engine process is never called, and a page does not end with a garbage collection, as in the app itself."""
    config.set_option("runner.postScriptGC", False)  # AppTest does not read the app's config.toml
    monkeypatch.setattr(jobs, "launch_next", lambda store: [])
    monkeypatch.setattr(background, "warmed", lambda model: None)
    says = {"tokens": [" good", " bad", "\n"], "logits": [2.0, 1.0, 0.0]}
    monkeypatch.setattr(background, "next_token", lambda model, prompt: answered(says))
    monkeypatch.setattr(background, "scan_dataset", lambda *question: answered({"rows": 95, "held_out": 5, "blocks": 30}))


@pytest.fixture
def store(home: Path) -> Store:
    """The store that the pages see."""
    return Store()


@pytest.fixture(scope="session")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A tiny chat model of four blocks, as a folder."""
    return str(save_chat_model(tmp_path_factory.mktemp("models") / "tiny", layers=4))


@pytest.fixture(scope="session")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A tiny BERT of four blocks, as a folder."""
    return str(save(masked_model(), tmp_path_factory.mktemp("models") / "encoder"))


@pytest.fixture
def open_page() -> Open:
    """Opens a page: ``open_page("run", run=...)``; the other arguments are the URL's."""
    return opened


def opened(name: str, **query: str | list[str]) -> AppTest:
    """A page, opened as `open_page` does."""
    test = AppTest.from_file(str(ROOT / "workbench" / "ui.py"), default_timeout=PATIENCE)
    test.switch_page(getattr(state, name.upper()))
    for key, value in query.items():
        test.query_params[key] = value
    return fault_free(test.run())


@pytest.fixture
def form(open_page: Open, teacher: str) -> AppTest:
    """The simple form with the tiny teacher."""
    return open_page("new", recipe="quickstart", set=[f"teacher.model={teacher}", "student.layers=2"])


def written(page: AppTest) -> dict:
    """The configuration at the bottom of the page."""
    return yaml.safe_load(page.code[-1].value)


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


def answered(value: dict) -> Future:
    """A question to the engine that has its answer already."""
    future: Future = Future()
    future.set_result(value)
    return future


def fault_free(test: AppTest) -> AppTest:
    """The page as it is, after making sure that it shows no traceback."""
    assert not test.exception, test.exception
    return test


def texts(test: AppTest) -> str:
    """Everything that the page says in words."""
    kinds = ("markdown", "caption", "error", "warning", "info", "title", "subheader", "code", "text")
    return "\n".join(str(element.value) for kind in kinds for element in test.get(kind))


def button(test: AppTest, label: str):
    """The button with this label."""
    return next(each for each in test.button if each.label == label)
