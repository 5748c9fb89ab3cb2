"""The Compare page's panes for masked models and classifiers, with an engine that answers from a table."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import pytest

from core.errors import DataError, OutOfMemoryError, StillhouseError
from core.recorder import CONTROL, STUDENT
from tests.core.masked_models import classifier, masked_model, save
from tests.pages import examples
from tests.pages.conftest import Open, answered, button, fault_free, texts
from workbench.inference.wire import ModelCard
from workbench.screens.compare import blank_pane
from workbench.screens.shared import background
from workbench.store import Store

CARD = ModelCard(parameters=4_300_000, layers=6, context=256, weights="0123456789ab", device="cpu")


class Question:
    """A stub of an engine call: records its arguments and returns `answer`; raises it if it is an error."""

    def __init__(self, answer: Callable[..., Any]) -> None:
        self.answer, self.calls, self.forgotten = answer, [], []

    def __call__(self, *arguments: Any) -> Future:
        self.calls.append(arguments)
        found: Future = Future()
        try:
            found.set_result(self.answer(*arguments))
        except StillhouseError as error:
            found.set_exception(error)
        return found

    def clear(self, *arguments: Any) -> None:
        self.forgotten.append(arguments)


def word(token: str, *places: tuple[int, float]) -> dict[str, Any]:
    return {"token": token, "places": [{"rank": rank, "probability": probability} for rank, probability in places]}


def filled(models: tuple[str, ...], text: str, *_: Any) -> dict[str, Any]:
    words = [word("good", *[(1, 0.4)] * len(models)), word("great", *[(2, 0.2), (14, 0.01), (2, 0.1)][:len(models)])]
    blank = {"words": words, "divergences": [0.0, 0.25, None][:len(models)]}
    return {"blanks": [blank] * text.count("[MASK]"), "seconds": [0.0123] * len(models)}


def classified(models: tuple[str, ...], *_: Any) -> dict[str, Any]:
    shares = [{"negative": 0.2, "positive": 0.8}, {"negative": 0.7, "positive": 0.3}, {"spam": 1.0, "ham": 0.0}]
    return {"classes": [[{"label": label, "probability": share} for label, share in each.items()] for each in shares[:len(models)]],
            "seconds": [0.004] * len(models)}


@pytest.fixture(autouse=True)
def engine(monkeypatch: pytest.MonkeyPatch) -> dict[str, Question]:
    questions = {"card": Question(lambda *_: CARD), "blanks": Question(filled), "classes": Question(classified)}
    for name, question in questions.items():
        monkeypatch.setattr(background, name, question)
    return questions


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    root = tmp_path_factory.mktemp("encoders")
    return {"masked": str(save(masked_model(4), root / "masked")), "pupil": str(save(masked_model(2), root / "pupil")),
            "judge": str(save(classifier(), root / "judge")), "other": str(save(classifier(seed=1), root / "other"))}


def trained(store: Store, folder: str, name: str = "distilled", *parts: str) -> None:
    run = examples.finished(store, name)
    for part in parts or (STUDENT,):
        shutil.copytree(folder, run.directory / part)


def labels(page: Any) -> list[str]:
    return [each.label for each in page.button]


# ------------------------------------------------------------------------------------------------ fill-mask


def test_it_begins_with_the_house_encoder_and_the_newest_student(open_page: Open, store: Store, folders: dict[str, str],
                                                                 engine: dict[str, Question]):
    trained(store, folders["pupil"], "older")
    trained(store, folders["pupil"], "newer", STUDENT, CONTROL)
    page = open_page("compare", pane="blanks")
    picker = page.multiselect[0]
    assert picker.value == ["house-encoder", "newer"]
    assert {"newer", "newer:control", "older"} <= set(picker.options) and "house-chat" not in picker.options
    models, text, first, _ = engine["blanks"].calls[-1]
    assert (list(models), text, first) == (picker.value, blank_pane.EXAMPLES[0], 10)
    said = texts(page)
    assert "**Teacher** · house-encoder" in said and "12.3 ms" in said and "0123456789ab" in said
    assert "2 of 2 words shared, the same first word" in said
    assert len(page.get("bidi_component")) == 2
    assert page.query_params["pane"] == "blanks" and page.query_params["models"] == ",".join(picker.value)


def test_a_link_names_models_and_sentence_and_their_kind_chooses_the_pane(open_page: Open, folders: dict[str, str],
                                                                        engine: dict[str, Question]):
    models = f"{folders['masked']},{folders['pupil']}"
    page = open_page("compare", models=models, text="I [MASK] a <mask>.")
    assert page.text_input(key="compare.sentence").value == "I [MASK] a <mask>."
    assert engine["blanks"].calls[-1][1] == "I [MASK] a [MASK]."
    assert page.query_params["pane"] == "blanks"
    assert "I **\\[MASK\\]** a \\[MASK\\]." in texts(page) and "I \\[MASK\\] a **\\[MASK\\]**." in texts(page)
    assert len(page.get("bidi_component")) == 4


def test_an_example_is_taken_and_remembered(open_page: Open, folders: dict[str, str], engine: dict[str, Question]):
    page = open_page("compare", models=folders["masked"])
    fault_free(page.button(key="sentence.3").click().run())
    assert page.query_params["text"] == page.text_input(key="compare.sentence").value == blank_pane.EXAMPLES[3]
    assert engine["blanks"].calls[-1][1] == blank_pane.EXAMPLES[3]
    del page.query_params["text"]
    assert fault_free(page.run()).text_input(key="compare.sentence").value == blank_pane.EXAMPLES[3]


def test_the_same_sentence_can_be_sent_again(open_page: Open, folders: dict[str, str], engine: dict[str, Question]):
    page = open_page("compare", models=folders["masked"])
    assert not engine["blanks"].forgotten
    fault_free(page.button(key="fill in").click().run())
    assert engine["blanks"].forgotten == engine["blanks"].calls[:1]


@pytest.mark.parametrize("sentence", ["The film was good.", ""])
def test_a_sentence_without_a_blank_says_what_to_write_and_asks_nothing(open_page: Open, folders: dict[str, str],
                                                                        engine: dict[str, Question], sentence: str):
    page = open_page("compare", models=folders["masked"])
    fault_free(page.text_input(key="compare.sentence").set_value(sentence).run())
    assert "Write [MASK] or ___ in place of a word." in page.error[0].value
    assert not page.get("bidi_component")
    assert {call[1] for call in engine["blanks"].calls} == {blank_pane.EXAMPLES[0]}


def test_what_the_engine_refuses_stands_beside_the_field(open_page: Open, folders: dict[str, str], engine: dict[str, Question]):
    def refuse(*_: Any) -> None:
        raise DataError("The text takes 300 tokens.", "The model reads 256 at most.", "Shorten it.")

    engine["blanks"].answer = refuse
    page = open_page("compare", models=folders["masked"])
    assert "The model reads 256 at most" in page.error[0].value
    assert engine["blanks"].forgotten, "the next try is a new one"


def test_a_model_that_cannot_be_loaded_leaves_the_others(open_page: Open, folders: dict[str, str], engine: dict[str, Question]):
    def load(model: str, *_: Any) -> ModelCard:
        if model == folders["pupil"]:
            raise OutOfMemoryError("The model needs 9 GiB.")
        return CARD

    engine["card"].answer = load
    page = open_page("compare", models=f"{folders['masked']},{folders['pupil']}")
    assert "needs 9 GiB" in page.error[0].value
    assert engine["blanks"].calls[-1][0] == (folders["masked"],)
    assert "**Model** · masked" in texts(page)


def test_a_model_that_is_being_loaded_is_named(open_page: Open, folders: dict[str, str], monkeypatch: pytest.MonkeyPatch,
                                               engine: dict[str, Question]):
    waiting: Future = Future()
    monkeypatch.setattr(background, "card", lambda model, *_: waiting if model == folders["pupil"] else answered(CARD))
    page = open_page("compare", models=f"{folders['masked']},{folders['pupil']}")
    assert "Loading pupil: 1 of 2 models are ready." in texts(page)
    assert not engine["blanks"].calls and not page.get("bidi_component")
    waiting.set_result(CARD)
    fault_free(page.run())
    assert len(page.get("bidi_component")) == 2


def test_a_model_of_another_kind_is_rejected_with_a_link_to_its_pane(open_page: Open, folders: dict[str, str], engine: dict[str, Question]):
    page = open_page("compare", pane="blanks", models=f"house-chat,{folders['masked']}")
    shown = page.error[0].value
    assert "'house-chat' predicts the next token" in shown and "A model that predicts masked tokens was expected" in shown
    assert engine["blanks"].calls[-1][0] == (folders["masked"],)
    fault_free(button(page, "Chat with house-chat").click().run())
    assert page.query_params["pane"] == "chat" and page.multiselect[0].value == ["house-chat"]
    assert page.get("iframe")


def test_many_blanks_are_cut_with_a_word(open_page: Open, folders: dict[str, str]):
    page = open_page("compare", models=folders["masked"], text="[MASK] " * 9)
    assert "The first 6 of 9 blanks are shown" in texts(page)
    assert len(page.get("bidi_component")) == 6


def test_with_no_model_it_says_how_one_is_made(open_page: Open, folders: dict[str, str]):
    page = open_page("compare", pane="blanks", models=folders["masked"])
    assert "distill assets/recipes/distilbert.yaml" in texts(page), "one alone: how a student of it is trained"
    fault_free(page.multiselect[0].set_value([]).run())
    assert "distill assets/recipes/house-encoder.yaml" in texts(page)


# ------------------------------------------------------------------------------------------------ classify


def test_classes_stand_side_by_side_with_their_agreement(open_page: Open, folders: dict[str, str], engine: dict[str, Question]):
    page = open_page("compare", models=f"{folders['judge']},{folders['other']}", text="A fine film.")
    assert page.query_params["pane"] == "classes"
    assert engine["classes"].calls[-1][1:3] == ("A fine film.", "")
    assert "Disagrees: negative, where the teacher says positive" in texts(page).replace("\\", "")
    assert len(page.get("bidi_component")) == 2
    fault_free(page.text_input(key="compare.pair").set_value("It is fine.").run())
    assert engine["classes"].calls[-1][1:3] == ("A fine film.", "It is fine.")
    fault_free(page.button(key="classify").click().run())
    assert engine["classes"].forgotten


def test_runs_of_classifiers_are_offered_there_and_not_in_the_chat(open_page: Open, store: Store, folders: dict[str, str]):
    trained(store, folders["judge"], "judge")
    page = open_page("compare", pane="classes")
    assert page.multiselect[0].value == ["judge"]
    page.segmented_control(key="compare.pane").set_value("chat").run()
    assert "judge" not in fault_free(page).multiselect[0].options and page.multiselect[0].value == ["house-chat"]
    assert "text" not in page.query_params
    page.segmented_control(key="compare.pane").set_value("classes").run()
    assert fault_free(page).multiselect[0].value == ["judge"], "each pane remembers its own models"


def test_a_classifier_in_the_chat_is_rejected(open_page: Open, folders: dict[str, str]):
    page = open_page("compare", pane="chat", models=folders["judge"])
    assert "classifies texts" in page.error[0].value
    assert not page.get("iframe")
    assert "Select two or three models" in texts(page)


# ------------------------------------------------------------------------------------------------ ways there


@pytest.mark.parametrize(("kind", "action", "comparison", "pane"), [
    ("masked", "Predict masked tokens", "Compare masked-token predictions", "blanks"),
    ("judge", "Classify", "Compare how they classify", "classes")])
def test_models_and_runs_lead_to_the_pane_of_their_kind(open_page: Open, store: Store, folders: dict[str, str], kind: str, action: str,
                                                        comparison: str, pane: str):
    trained(store, folders[kind], "distilled", STUDENT, CONTROL)
    assert open_page("models").button(key=f"{pane}.distilled").label == action
    run = open_page("run", run="distilled")
    assert comparison in labels(run) and "Compare in chat" not in labels(run)


