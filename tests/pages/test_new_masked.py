"""The form of a new experiment with a masked language model."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest
from transformers import AutoModelForSequenceClassification

from core.planning.plan import static_plan
from core.recipes import parse_recipe, read_recipe
from tests.core.masked_models import masked_model, masked_tokenizer, save
from tests.core.tiny import tiny_encoder
from tests.pages import examples
from tests.pages.conftest import QUICKSTART, Open, answered, button, fault_free, keys_shown, texts, written
from workbench.screens.new_experiment import kinds
from workbench.screens.shared import background, state
from workbench.store import Store


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
