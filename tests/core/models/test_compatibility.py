"""Each requirement lets pass what fits, and names what does not."""

from __future__ import annotations

import copy
from dataclasses import replace
from types import SimpleNamespace

import pytest

from core.config import DataSpec, LossSpec, TaskSpec
from core.data.tokenizers import train_tokenizer
from core.errors import CompatibilityError, ConfigError
from core.models import catalog, compatibility
from core.models.entries import ModelEntry
from core.recipes import parse_recipe
from tests.core.chat_models import SENTENCES, chat_model, chat_tokenizer, save_chat_model


def _loaded(width: int | None = None, tokenizer: object = None) -> SimpleNamespace:
    return SimpleNamespace(model=chat_model(width=width), tokenizer=tokenizer or chat_tokenizer())


def test_one_family_padded_to_different_widths_is_compatible() -> None:
    real, shorter = len(chat_tokenizer()), train_tokenizer([{"text": sentence} for sentence in SENTENCES], 290, 64)
    assert compatibility.require_compatible(_loaded(real + 20), _loaded(real + 52)) == real
    assert compatibility.require_compatible(_loaded(real - 3), _loaded(real)) == real - 3
    assert compatibility.require_compatible(_loaded(), _loaded(tokenizer=shorter)) == 290


def test_different_tokenizers_are_not() -> None:
    with pytest.raises(CompatibilityError, match="numbers stand for different tokens"):
        compatibility.require_compatible(_loaded(), _loaded(tokenizer=chat_tokenizer(("Vier Kater saßen dort.",))))


def test_tokens_added_at_the_end_are_left_out() -> None:
    longer = copy.deepcopy(chat_tokenizer())
    longer.add_tokens(["<|tool|>"])
    assert compatibility.require_shared_vocabulary(chat_tokenizer(), longer) == len(chat_tokenizer()) < len(longer)


def test_vocabularies_are_the_same_if_their_numbers_mean_the_same() -> None:
    foreign = train_tokenizer(({"text": text} for text in ("Other words, other merges.", "Nothing alike here.")), 300, 64)
    assert compatibility.same_vocabulary(chat_tokenizer(), chat_tokenizer())
    assert not compatibility.same_vocabulary(chat_tokenizer(), foreign)


def test_block_length_up_to_the_context():
    assert compatibility.require_block_length_fits(DataSpec(block_length=32), 32)
    with pytest.raises(CompatibilityError):
        compatibility.require_block_length_fits(DataSpec(block_length=33), 32)


def test_vocabulary_with_padding_and_with_rows_missing():
    tokenizer = chat_tokenizer()
    rows = len(tokenizer)

    def loaded(width: int):
        return SimpleNamespace(model=chat_model(width=width), tokenizer=tokenizer, entry=SimpleNamespace(name="tiny"))

    assert compatibility.require_vocabulary_fits(loaded(rows)) == f"Teacher and student share {rows} tokens."
    assert "7 rows of the model are padding" in compatibility.require_vocabulary_fits(loaded(rows + 7))
    with pytest.raises(CompatibilityError, match="tiny"):
        compatibility.require_vocabulary_fits(loaded(rows - 1))


@pytest.mark.parametrize(("changes", "kind", "error", "words"), [
    ({"masking": {"fraction": 0.3}}, "causal", CompatibilityError, "masking belongs"),
    ({"losses": {"kd_positions": "masked"}, "masking": {"rarity": 0}}, "causal", CompatibilityError, "losses.kd_positions belong "),
    ({"student": {"architecture": "distilbert"}}, "causal", CompatibilityError, "student.architecture"),
    ({"evaluation": {"sentiment_items": 5}}, "masked", ConfigError, "answers no question")])
def test_settings_of_the_other_objective_are_refused(changes, kind, error, words):
    with pytest.raises(error, match=words):
        compatibility.require_settings_for(parse_recipe(changes), kind)


@pytest.fixture(scope="module")
def causal(tmp_path_factory: pytest.TempPathFactory) -> ModelEntry:
    return catalog.describe(str(save_chat_model(tmp_path_factory.mktemp("models") / "chat")))


@pytest.mark.parametrize(("require", "accepted"), [
    (compatibility.require_encoder, {"masked", "classification", "question_answering"}),
    (compatibility.require_task_teacher, {"classification", "question_answering"}),
    (compatibility.require_language_model, {"causal", "masked"}),
    (lambda entry: compatibility.require_causal_lm(entry, "bridge"), {"causal"}),
    (lambda entry: compatibility.require_task(entry, "masked") or entry, {"masked"})])
def test_tasks_that_are_accepted_and_refused(require, accepted, causal: ModelEntry) -> None:
    for task in ("causal", "masked", "classification", "question_answering"):
        entry = replace(causal, task=task)
        if task in accepted:
            assert require(entry) is entry
        else:
            with pytest.raises(CompatibilityError, match=r"chat"):
                require(entry)


def test_teacher_and_student_are_for_the_same_task(causal: ModelEntry) -> None:
    assert compatibility.require_same_task(causal, causal) is causal
    with pytest.raises(CompatibilityError, match="must predict the same"):
        compatibility.require_same_task(causal, replace(causal, task="masked"))


def test_the_cosine_needs_equal_widths_and_the_projected_error_does_not() -> None:
    cosine, projected = LossSpec(w_hidden=1.0), LossSpec(w_hidden_mse=1.0)
    assert compatibility.require_equal_widths(cosine, 32, 32)
    assert compatibility.require_equal_widths(projected, 32, 16)
    with pytest.raises(CompatibilityError, match="32 and 16 channels"):
        compatibility.require_equal_widths(cosine, 32, 16)


def test_longer_items_of_a_task_are_truncated_and_not_refused() -> None:
    assert compatibility.describe_task_length(TaskSpec(max_length=32), 64) == "32 tokens of the 64 that the models read."
    assert "Set task.max_length to 16" in compatibility.describe_task_length(TaskSpec(max_length=32), 16)


def test_a_teacher_without_a_chat_template_is_named() -> None:
    error = compatibility.no_chat_template_error("owner/name")
    assert isinstance(error, CompatibilityError) and "'owner/name' has no chat template" in error.given
