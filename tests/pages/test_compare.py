"""The Compare page: the address names the models, the frame carries them."""

import shutil
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from streamlit.testing.v1 import AppTest

from core.chains.folder import house_chains
from core.recorder import CONTROL, STUDENT
from tests.pages import examples
from tests.waiting import PATIENCE
from workbench.store import Store, references
from workbench.store.records import Run
from workbench.store.references import BEFORE

PAGE = Path(__file__).resolve().parents[2] / "pages" / "compare.py"

pytestmark = pytest.mark.usefixtures("fresh_streamlit_caches")


def page(**query: str) -> AppTest:
    test = AppTest.from_file(str(PAGE), default_timeout=PATIENCE)
    for name, value in query.items():
        test.query_params[name] = value
    test.run()
    assert not test.exception
    return test


def frame(test: AppTest) -> dict[str, str]:
    address = urlsplit(test.get("iframe")[0].proto.src)
    assert address.path == "/chat/"
    return {name: values[0] for name, values in parse_qs(address.query).items()}


def keeping(run: Run, teacher: str, *parts: str) -> None:
    for part in parts:
        shutil.copytree(teacher, run.directory / part)


def test_with_no_run_the_catalogue_is_offered(store: Store) -> None:
    assert not [name for name in page().multiselect[0].options if ":" in name and name.partition(":")[0] not in house_chains()]


def test_a_running_run_offers_its_student_before_training_only(store: Store, teacher: str) -> None:
    keeping(examples.running(store), teacher, BEFORE)
    assert [name for name in page().multiselect[0].options if "halfway" in name] == ["halfway:before"]


def test_a_finished_run_offers_all_its_models(store: Store, teacher: str) -> None:
    keeping(examples.finished(store), teacher, STUDENT, CONTROL, BEFORE)
    assert page().multiselect[0].options[-3:] == ["done", "done:control", "done:before"]
    assert frame(page(models="done,done:before"))["models"] == "done,done:before"


def test_a_page_drawn_again_reads_no_model_twice(store: Store, teacher: str, monkeypatch: pytest.MonkeyPatch) -> None:
    keeping(examples.finished(store), teacher, STUDENT)
    test, read = page(), []
    monkeypatch.setattr(references.catalog, "describe", lambda reference: read.append(reference))
    monkeypatch.setattr(references.catalog, "entries", lambda: read.append("catalogue") or [])
    assert "done" in test.run().multiselect[0].options
    assert read == []


def test_a_failed_run_offers_nothing_and_a_link_to_it_still_opens(store: Store) -> None:
    examples.failed(store)
    assert "broken" not in page().multiselect[0].options
    assert frame(page(models="house-chat,broken"))["models"] == "house-chat,broken"  # the pane tells why it has no model


def test_without_an_address_it_begins_with_what_is_there() -> None:
    assert page().multiselect[0].value == ["house-chat"]


def test_the_address_picks_the_models_and_keeps_the_chat() -> None:
    chat = "0" * 32
    test = page(models="house-chat,no-such-model, house-chat", c=chat)
    assert test.multiselect[0].value == ["house-chat", "no-such-model"]
    assert frame(test) == {"models": "house-chat,no-such-model", "c": chat, "__theme": "light"}


def test_a_fourth_model_is_left_out() -> None:
    assert page(models="a,b,c,d").multiselect[0].value == ["a", "b", "c"]


def test_a_pick_is_written_into_the_address() -> None:
    test = page(models="house-chat,mine")
    before = frame(test)["c"]
    test.multiselect[0].set_value(["mine"]).run()
    assert test.query_params["models"] == "mine"
    assert frame(test) == {"models": "mine", "c": before, "__theme": "light"}


def test_another_link_in_the_same_session_is_followed() -> None:
    test = page(models="house-chat,mine")
    test.query_params["models"] = "other"
    assert test.run().multiselect[0].value == ["other"]


def test_a_made_up_chat_id_is_replaced() -> None:
    assert len(frame(page(models="house-chat", c="<script>"))["c"]) == 32


def test_one_model_alone_gets_a_hint() -> None:
    hint = "Add a second model"
    assert any(hint in text.value for text in page(models="house-chat").caption)
    assert not any(hint in text.value for text in page(models="house-chat,mine").caption)


def test_a_control_that_is_yet_to_be_trained_is_waited_for(store: Store, teacher: str) -> None:
    run = examples.running(store)
    keeping(run, teacher, STUDENT)
    test = page(models="halfway,halfway:control")
    assert any("Not trained yet: halfway\\:control" in text.value for text in test.caption)
    assert frame(test)["missing"] == "1"
    keeping(run, teacher, CONTROL)
    test.run()
    assert not any("Not trained yet" in text.value for text in test.caption)
    assert "missing" not in frame(test)  # another address: the pane requests it again


def test_no_more_than_three_can_be_taken_at_once() -> None:
    assert not page().multiselect[0].proto.select_all


def test_with_nothing_picked_it_says_what_to_do() -> None:
    test = page(models="house-chat")
    test.multiselect[0].set_value([]).run()
    assert not test.get("iframe")
    assert any("Select two or three models" in text.value for text in test.markdown)
    assert not test.run().get("iframe")


def test_the_mean_of_several_models_is_one_of_them(store: Store, teacher: str) -> None:
    keeping(examples.finished(store), teacher, STUDENT, CONTROL)
    test = page(models="done,geometric(0.7 done, 0.3 done:control)")
    assert test.multiselect[0].value == ["done", "geometric(0.7 done, 0.3 done:control)"]
    assert frame(test)["models"] == "done,geometric(0.7 done, 0.3 done:control)"
    test.multiselect(key="average.members.chat").set_value(["done", "done:control"]).run()
    test.button(key="average.add.chat").click().run()
    assert not test.exception and not test.error
    assert test.multiselect[0].value[-1] == "arithmetic(done, done:control)"
    assert test.query_params["models"] == "done,geometric(0.7 done, 0.3 done:control),arithmetic(done, done:control)"
    assert test.button(key="average.add.chat").disabled, "three are compared at most"
