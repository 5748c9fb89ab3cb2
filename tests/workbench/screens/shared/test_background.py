from __future__ import annotations

from concurrent.futures import Future
from unittest.mock import Mock

import pytest

from core.errors import StillhouseError
from workbench.screens.shared import background


@pytest.mark.parametrize("error", [StillhouseError("Not there."), OSError("gone"), KeyError("tokens")], ids=repr)
def test_a_failed_request_is_forgotten(error: Exception):
    future = Future()
    future.set_exception(error)
    question = Mock(return_value=future)
    with pytest.raises(type(error)):
        background.answer(question, "model", "prompt", meanwhile="...")
    question.clear.assert_called_once_with("model", "prompt")


def test_an_answer_stays():
    future = Future()
    future.set_result({"tokens": []})
    question = Mock(return_value=future)
    assert background.answer(question, "model", meanwhile="...") == {"tokens": []}
    question.clear.assert_not_called()
