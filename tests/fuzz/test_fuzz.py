"""A few of the hostile inputs that `python -m tests.fuzz` gives by the thousand: an answer or a `StillhouseError`."""

from __future__ import annotations

import sys

import pytest

from tests.fuzz import data_files, folders, recipes, templates, tokenizers
from tests.fuzz.measuring import measured

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the peak of resident memory can be reset on Linux")


@pytest.mark.parametrize("seed", range(40))
def test_a_recipe_is_answered(seed: int):
    _answered(recipes.answer, seed)


@pytest.mark.filterwarnings("ignore::UserWarning")  # what Transformers says of damaged files
@pytest.mark.parametrize("seed", range(12))
def test_a_model_is_answered(seed: int):
    _answered(folders.answer, seed)


@pytest.mark.parametrize("seed", range(20))
def test_a_data_file_is_answered(seed: int):
    _answered(data_files.answer, seed)


@pytest.mark.parametrize("seed", range(6))
def test_a_chat_template_is_answered(seed: int):
    _answered(templates.answer, seed)


@pytest.mark.parametrize("seed", range(10))
def test_a_tokenizer_is_answered(seed: int):
    _answered(tokenizers.answer, seed)


def _answered(answer, seed: int) -> None:
    cost = measured(lambda: answer(seed))
    assert cost.said
    assert not cost.fault


def test_what_an_answer_costs_is_measured():
    def costly() -> str:
        return str(len(bytearray(b"x" * (64 << 20))))

    assert measured(costly).mebibytes > 60
    assert measured(lambda: "nothing").mebibytes < 60
    assert "ZeroDivisionError" in measured(lambda: str(1 / 0)).fault
