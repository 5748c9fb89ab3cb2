"""The catalogue and the students of runs."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml
from transformers import AutoModelForSequenceClassification

from core.errors import NetworkError
from core.models import pypi
from tests.core.masked_models import masked_model, masked_tokenizer
from tests.pages import examples
from tests.pages.conftest import Open, button, fault_free, texts
from workbench.screens.models import desktop
from workbench.screens.shared import fetch_button, state, views
from workbench.store import Store, references

PACKAGED = next(iter(pypi.PACKAGES))


class FakeFetch:
    """A download that stands where the test sets it."""

    share, done, error = 0.4, False, None

    def __init__(self, name: str) -> None:
        self.name = name


def test_the_catalogue_with_no_student_yet(open_page: Open):
    said = texts(open_page("models"))
    assert "house-chat" in said
    assert f"#### {PACKAGED}" in said
    assert "No student yet" in said


def test_a_finished_run_leaves_its_student_here(open_page: Open, store: Store, teacher: str):
    run = examples.finished(store)
    shutil.copytree(teacher, run.output_dir)
    page = open_page("models")
    assert "#### done" in texts(page)
    assert str(run.output_dir) not in [code.value for code in page.code], "paths stand there on request only"
    fault_free(page.toggle(key="more.done").set_value(True).run())
    assert any('pipeline("text-generation", model="./done")' in code.value for code in page.code)
    assert str(run.output_dir) in [code.value for code in page.code]
    fault_free(page.button(key="delete.done").click().run())
    assert store.run(run.id).deleted is not None
    fault_free(button(page, "Undo").click().run())
    assert store.run(run.id).deleted is None


def test_a_running_run_has_no_student_yet(open_page: Open, store: Store):
    examples.running(store)
    assert "No student yet" in texts(open_page("models"))


def test_a_failed_run_leaves_none(open_page: Open, store: Store, teacher: str):
    examples.failed(store)
    shutil.copytree(teacher, examples.finished(store).output_dir)
    page = open_page("models")
    assert "#### done" in texts(page)
    assert "broken" not in texts(page)
    assert not [each for each in page.button if each.key and "broken" in each.key]


def test_the_untrained_student_is_no_result(open_page: Open, store: Store, teacher: str):
    shutil.copytree(teacher, examples.finished(store).directory / references.BEFORE)
    assert "No student yet" in texts(open_page("models"))


def test_a_card_cannot_make_the_page_ask_another_host(open_page: Open, teacher: str, tmp_path: Path):
    folder = shutil.copytree(teacher, tmp_path / "mine")
    image = "![seen](https://example.org/seen.png)"
    (folder / "README.md").write_text(f"---\nlicense: '{image}'\n---\nA model. {image}\n")
    page = open_page("models", any=str(folder))
    assert f"A model. {image}" in [text.value for text in page.text]
    assert f"licence {views.plain(image)}" in texts(page)
    assert image not in "".join(each.value for each in (*page.markdown, *page.caption))
    assert image not in open_page("models", any=image).error[0].value


def test_the_folder_opens_on_the_desktop_of_whoever_sits_there(
        open_page: Open, store: Store, teacher: str, monkeypatch: pytest.MonkeyPatch):
    run = examples.finished(store)
    shutil.copytree(teacher, run.output_dir)
    monkeypatch.setattr(desktop, "file_manager", lambda: ["true"])
    key = f"open.{run.output_dir}"

    def opened_page():
        return fault_free(open_page("models").toggle(key="more.done").set_value(True).run())

    assert key not in [each.key for each in opened_page().button], "the request names no host"
    monkeypatch.setattr(state, "visitor_is_here", lambda: True)
    opened: list[Path] = []
    monkeypatch.setattr(desktop, "open_folder", opened.append)
    fault_free(opened_page().button(key=key).click().run())
    assert opened == [run.output_dir]
    monkeypatch.setattr(desktop, "file_manager", lambda: None)
    assert key not in [each.key for each in opened_page().button]


def test_fetching_shows_its_progress(open_page: Open, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(fetch_button, "Fetch", FakeFetch)
    page = fault_free(open_page("models").button(key=f"fetch.{PACKAGED}").click().run())
    assert page.get("progress")[0].proto.text == "Downloading, 40%"


def test_a_failed_fetch_says_why_and_offers_another_try(open_page: Open, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(fetch_button, "Fetch", FakeFetch)
    monkeypatch.setattr(FakeFetch, "done", True)
    monkeypatch.setattr(FakeFetch, "error", NetworkError("The model could not be downloaded: no network."))
    page = fault_free(open_page("models").button(key=f"fetch.{PACKAGED}").click().run())
    assert "no network" in page.error[0].value
    assert page.button(key=f"fetch.{PACKAGED}")


def test_any_other_model_by_its_reference(open_page: Open, teacher: str):
    assert "4 blocks" in texts(open_page("models", any=teacher))
    assert "nowhere" in open_page("models", any="/nowhere/at/all").error[0].value


def test_each_model_says_what_it_does_and_offers_what_fits(open_page: Open, store: Store, teacher: str, encoder: str, tmp_path: Path):
    AutoModelForSequenceClassification.from_config(masked_model().config).save_pretrained(tmp_path / "model")
    masked_tokenizer().save_pretrained(tmp_path / "model")
    for name, folder in (("chatty", teacher), ("filler", encoder), ("judge", tmp_path / "model")):
        shutil.copytree(folder, examples.finished(store, name, control=False).output_dir)
    page = open_page("models")
    offered = {name: [each.label for each in page.button if each.key and each.key.partition(".")[2] == name] for name in (
        "chatty", "filler", "judge")}
    assert offered["chatty"][:2] == ["Chat", "Distil"]
    assert offered["filler"][:3] == ["Predict masked tokens", "Fine-tune", "Distil"]
    assert not {"Chat", "Distil", "Predict masked tokens"} & set(offered["judge"])
    said = texts(page)
    assert all(words in said for words in ("causal LM]", "masked LM]", "classifier]"))


def test_distilling_an_encoder_opens_the_triple_loss(open_page: Open, store: Store, encoder: str):
    shutil.copytree(encoder, examples.finished(store, "filler", control=False).output_dir)
    page = fault_free(open_page("models").button(key="distil.filler").click().run())
    assert page.title[0].value == "New experiment"
    plain = yaml.safe_load(page.code[-1].value)
    assert (plain["teacher"]["model"], plain["student"]["architecture"], plain["data"]["block_length"]) == ("filler", "distilbert", 48)
    assert not button(page, "Start").disabled


def test_ones_own_models_stand_first_with_what_was_measured_and_can_be_sorted(open_page: Open, store: Store, teacher: str):
    for name in ("zeta", "alpha"):
        run = examples.finished(store, name)
        for part in ("student", "control"):
            shutil.copytree(teacher, run.directory / part)
    page = open_page("models")
    heads = [each.value for each in page.markdown if each.value.startswith("#### ")]
    assert heads[:4] == [f"#### {views.plain(name)}" for name in ("alpha", "alpha:control", "zeta", "zeta:control")]
    house = next(each for each in page.expander if "ship or can be fetched" in each.label)
    assert not house.proto.expanded and "#### house-chat" in [each.value for each in house.markdown]
    assert not any(each == "#### house-chat" for each in heads[:4])
    fault_free(page.selectbox(key="models.order").set_value("Quality").run())
    shown = [each.value for each in page.markdown]
    quality = [each for each in shown if "perplexity" in each]
    assert len(quality) == 4 and quality == sorted(quality, key=lambda words: float(words.split()[2].strip("*")))
    # The controls of `examples` are worse than the students.
    assert [each.value for each in page.markdown if each.value.startswith("#### ")][:2] == ["#### alpha", "#### zeta"]
    fault_free(page.text_input(key="models.search").set_value("zeta").run())
    assert "#### alpha" not in texts(page) and "#### zeta" in texts(page)
    fault_free(page.text_input(key="models.search").set_value("nothing so").run())
    assert "No model matches" in texts(page)
    assert open_page("models", house="1").expander[-1].proto.expanded
