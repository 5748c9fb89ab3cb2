"""Masked models and classifiers in the engine process: several in one request, and refused where they do not belong."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from core.errors import CompatibilityError, DataError
from core.evaluation.blanks import fill_blanks
from core.evaluation.classes import class_probabilities
from tests.core.chat_models import save_chat_model
from tests.core.masked_models import classifier, masked_model, masked_tokenizer, save
from workbench.inference.client import Engine

SENTENCE = "the [MASK] was [MASK]"


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    root = tmp_path_factory.mktemp("models")
    return {"teacher": str(save(masked_model(4), root / "teacher")), "student": str(save(masked_model(2, seed=1), root / "student")),
            "judge": str(save(classifier(), root / "judge")), "pupil": str(save(classifier(seed=1), root / "pupil")),
            "chat": str(save_chat_model(root / "chat"))}


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    engine = Engine(lambda reference: reference)
    yield engine
    engine.close()


def test_blanks_of_several_models_at_once(engine: Engine, folders: dict[str, str]) -> None:
    found = engine.blanks([folders["teacher"], folders["student"]], SENTENCE, 3)
    assert len(found["blanks"]) == 2 and len(found["seconds"]) == 2 and min(found["seconds"]) > 0
    blank = found["blanks"][1]
    for number, model in enumerate((masked_model(4), masked_model(2, seed=1))):
        first = fill_blanks(model, masked_tokenizer(), SENTENCE, 3)[1]
        top = sorted(blank["words"], key=lambda word: word["places"][number]["rank"])[:3]
        assert [word["token"] for word in top] == [fill.token for fill in first]
        assert top[0]["places"][number]["probability"] == pytest.approx(first[0].probability, rel=1e-4)
    assert blank["divergences"][0] == pytest.approx(0, abs=1e-5) and blank["divergences"][1] > 0


def test_classes_of_several_models_at_once(engine: Engine, folders: dict[str, str]) -> None:
    found = engine.classes([folders["judge"], folders["pupil"]], "the film was good")
    for shares, model in zip(found["classes"], (classifier(), classifier(seed=1)), strict=True):
        exact = class_probabilities(model, masked_tokenizer(), "the film was good")
        assert [share["label"] for share in shares] == ["negative", "positive"]
        assert [share["probability"] for share in shares] == pytest.approx([each.probability for each in exact], rel=1e-4)
    assert engine.classes([folders["judge"]], "the film", "was good") != engine.classes([folders["judge"]], "the film was good")


def test_threads_that_share_a_model_do_not_disturb_each_other(engine: Engine, folders: dict[str, str]) -> None:
    sentences = [f"the {'very ' * number}[MASK] was [MASK]" for number in range(8)]
    alone = [engine.blanks([folders["teacher"], folders["student"]], sentence)["blanks"] for sentence in sentences]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda sentence: engine.blanks([folders["teacher"], folders["student"]], sentence)["blanks"], sentences))
    assert together == alone


def test_invalid_requests_are_refused(engine: Engine, folders: dict[str, str]) -> None:
    with pytest.raises(DataError, match="There is no blank"):
        engine.blanks([folders["teacher"]], "the film")
    with pytest.raises(DataError, match="reads 48 at most"):
        engine.blanks([folders["teacher"]], "[MASK] " * 60)
    with pytest.raises(DataError, match="reads 48 at most"):
        engine.classes([folders["judge"]], "good " * 60)


@pytest.mark.parametrize(("model", "does"), [("teacher", "predicts masked tokens"), ("judge", "classifies texts")])
def test_encoders_do_not_chat(engine: Engine, folders: dict[str, str], model: str, does: str) -> None:
    messages = [{"role": "user", "content": "Is it good?"}]
    with pytest.raises(CompatibilityError, match=does):
        list(engine.generate(folders[model], messages))
    with pytest.raises(CompatibilityError, match=does):
        engine.info(folders[model], "causal")
    for pair in ((folders["chat"], folders[model]), (folders[model], folders["chat"])):
        with pytest.raises(CompatibilityError, match=does):
            engine.lens(*pair, messages, "It is.")
    assert engine.info(folders[model]).layers > 0, "whatever it is for, it can be looked at"


def test_a_causal_model_fills_no_blank_and_knows_no_class(engine: Engine, folders: dict[str, str]) -> None:
    for ask in (engine.blanks, engine.classes):
        with pytest.raises(CompatibilityError, match="predicts the next token"):
            ask([folders["chat"]], SENTENCE)
    with pytest.raises(CompatibilityError, match="A model that predicts masked tokens was expected"):
        engine.info(folders["chat"], "masked")
