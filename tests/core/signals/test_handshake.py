"""Servers that are not the teacher that a recipe means are refused before the first step."""

from __future__ import annotations

import pytest
import torch

from core.config import ServerSpec
from core.config.addresses import parse_address
from core.errors import CompatibilityError, TeacherServerError
from core.signals.cache import Key, SignalCache
from core.signals.cached import CachedTeacher
from core.signals.forms import LikeliestTokens
from core.signals.handshake import choose_model, require_answers_as_requested, require_same_answers, require_same_tokens
from core.signals.served import ServedTeacher
from core.signals.server_client import ServerClient
from tests.core.signals.stand_in import StandIn

ROW = [1, 70, 71, 90, 75, 80, 77, 81, 84, 226, 92, 84, 87]


def client(stand_in: StandIn, model: str = "") -> ServerClient:
    return ServerClient(parse_address(f"{stand_in.url}#{model}"), ServerSpec())


def served(stand_in: StandIn, k: int = 5, temperature: float = 2.0) -> ServedTeacher:
    return ServedTeacher(client(stand_in), k, temperature, len(stand_in.teacher.tokenizer))


def test_the_only_model_is_the_one_that_is_meant(stand_in):
    own = client(stand_in)
    assert choose_model(own, 32).context == 64 and own.model == "stand-in"


def test_one_of_several_has_to_be_named(stand_in):
    stand_in.models = ("a", "b")
    with pytest.raises(TeacherServerError, match=r"has 2 models\. One of these was expected: a, b") as refused:
        choose_model(client(stand_in), 32)
    assert refused.value.suggestion.value == f"{stand_in.url}#a"
    assert choose_model(client(stand_in, "b"), 32).model == "b"
    with pytest.raises(TeacherServerError, match="no model 'c'"):
        choose_model(client(stand_in, "c"), 32)


def test_a_block_that_the_server_cannot_read_is_refused(stand_in):
    with pytest.raises(CompatibilityError, match="reads 64 at most") as refused:
        choose_model(client(stand_in), 64)
    assert refused.value.suggestion.value == 63


def test_texts_are_tokenised_alike(stand_in, served_model):
    assert require_same_tokens(client(stand_in), served_model.tokenizer, [ROW, ROW[3:]]) == 2
    stand_in.offset = 1
    with pytest.raises(CompatibilityError, match=r"another tokenizer: token 0 of '.+' is \d+ here and \d+ there") as refused:
        require_same_tokens(client(stand_in), served_model.tokenizer, [ROW])
    assert refused.value.field == "teacher.model"
    stand_in.tokenises = False
    assert require_same_tokens(client(stand_in), served_model.tokenizer, [ROW]) == 0


def test_spelling_is_compared_where_the_server_tokenises_nothing(stand_in, served_model):
    def spell(add: str):
        def spoil(body: dict) -> dict:
            for said in body["choices"][0]["prompt_logprobs"][1:]:
                for token, each in said.items():
                    each["decoded_token"] = served_model.tokenizer.decode([int(token)]) + add
            return body
        return spoil

    stand_in.spoil = spell("")
    require_answers_as_requested(served(stand_in), served_model.tokenizer, ROW, spelt=True)
    stand_in.spoil = spell("x")
    with pytest.raises(CompatibilityError, match="another tokenizer: token"):
        require_answers_as_requested(served(stand_in), served_model.tokenizer, ROW, spelt=True)


def test_raw_log_probabilities_are_noticed(stand_in, served_model):
    require_answers_as_requested(served(stand_in), served_model.tokenizer, ROW, spelt=False)
    stand_in.temperature = lambda requested: 1.0
    with pytest.raises(TeacherServerError, match="the same log-probabilities at two temperatures") as refused:
        require_answers_as_requested(served(stand_in), served_model.tokenizer, ROW, spelt=False)
    assert "serve-teacher" in refused.value.fix and refused.value.suggestion.value == 1.0
    require_answers_as_requested(served(stand_in, temperature=1.0), served_model.tokenizer, ROW, spelt=False)


def test_fewer_than_k_are_noticed(stand_in, served_model):
    def limit(body: dict) -> dict:
        listed = body["choices"][0]["prompt_logprobs"]
        listed[1:] = [dict(list(said.items())[:3]) for said in listed[1:]]
        return body

    stand_in.spoil = limit
    with pytest.raises(TeacherServerError, match=r"lists 3 tokens of a position\. teacher.signals.top_k is 5") as refused:
        require_answers_as_requested(served(stand_in), served_model.tokenizer, ROW, spelt=False)
    assert refused.value.suggestion.value == 3


def test_answers_that_have_changed_since_are_noticed(stand_in, served_model, tmp_path):
    own, form = served(stand_in), LikeliestTokens(5, 2.0)
    key = Key("t", "w", "k", form.describe(), "unknown", len(ROW), own.vocabulary)
    cached = CachedTeacher(SignalCache(tmp_path / "c", key), form, own)
    require_same_answers(own, cached.cache)
    cached.fill(torch.tensor([ROW]))
    cached.flush()
    again = SignalCache(tmp_path / "c", key)
    require_same_answers(own, again)
    stand_in.temperature = lambda requested: 3 * requested
    with pytest.raises(TeacherServerError, match=r"differently than it did: by \d") as refused:
        require_same_answers(own, again)
    assert "signals delete c" in refused.value.fix
