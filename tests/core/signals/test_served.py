"""What a server lists becomes the likeliest tokens with the right tail."""

from __future__ import annotations

import math

import pytest
import torch

from core.config import ServerSpec
from core.config.addresses import parse_address
from core.errors import TeacherServerError
from core.signals.served import LEAST_TAIL, ServedTeacher, listing
from core.signals.server_client import ServerClient
from core.signals.source import LocalTeacher
from core.signals.targets import Head


def teacher(k: int = 3, vocabulary: int = 10, *, own: bool = False, url: str = "http://127.0.0.1:9") -> ServedTeacher:
    return ServedTeacher(ServerClient(parse_address(url), ServerSpec()), k, 2.0, vocabulary, own)


def entry(**probabilities: float) -> dict:
    return {name.removeprefix("t"): {"logprob": math.log(p), "rank": 1} for name, p in probabilities.items()}


def test_k_tokens_and_the_rest():
    found = listing(entry(t4=0.5, t2=0.2, t7=0.1), 4, teacher())
    assert found.ids.tolist() == [4, 2, 7] and math.exp(found.log_tail) == pytest.approx(0.2) and not found.short


def test_the_texts_own_token_outside_the_k_is_in_the_tail_or_has_its_place():
    said = entry(t4=0.5, t2=0.2, t7=0.1, t9=0.05)
    found = listing(said, 9, teacher())
    assert found.ids.tolist() == [4, 2, 7] and math.exp(found.log_tail) == pytest.approx(0.2)
    found = listing(said, 9, teacher(own=True))
    assert found.ids.tolist() == [4, 2, 7, 9] and math.exp(found.log_tail) == pytest.approx(0.15)
    found = listing(entry(t4=0.5, t2=0.2, t7=0.1), 2, teacher(own=True))
    assert found.ids.tolist() == [4, 2, 7]


def test_fewer_than_k_leave_more_to_the_tail():
    found = listing(entry(t4=0.5, t2=0.2), 4, teacher())
    assert found.short and math.exp(found.log_tail) == pytest.approx(0.3)


def test_ids_beyond_the_students_are_in_the_tail():
    found = listing(entry(t4=0.5, t12=0.2, t7=0.1), 4, teacher())
    assert found.ids.tolist() == [4, 7] and math.exp(found.log_tail) == pytest.approx(0.4) and not found.short


def test_all_tokens_have_no_tail():
    found = listing({**entry(t0=0.5, t1=0.2), "2": {"logprob": math.log(0.2)}, "3": {"logprob": math.log(0.1)}}, 0, teacher(9, 3))
    assert found.log_tail == -math.inf and sum(map(math.exp, found.log_p)) == pytest.approx(1)


def test_a_tail_that_rounding_took_is_small_and_there():
    found = listing(entry(t4=0.6, t2=0.3, t7=0.1000001), 4, teacher())
    assert math.exp(found.log_tail) == pytest.approx(LEAST_TAIL)


@pytest.mark.parametrize(("said", "message"), [
    ({}, "lists no token"), (None, "lists no token"), ({"4": {"logprob": 0.5}}, "above 0"), ({"4": {"logprob": math.nan}}, "above 0"),
    ({"x": {"logprob": -1.0}}, "something else"), ({"4": -1.0}, "something else"), (entry(t4=0.9, t2=0.9), "add up to 1.8"),
    ({"4": {"logprob": -1.0}, "04": {"logprob": -1.0}}, "twice"), (entry(t14=0.9), "none of the student's 10")], ids=str)
def test_what_is_no_distribution_is_refused(said, message):
    with pytest.raises(TeacherServerError, match=message) as refused:
        listing(said, 4, teacher())
    assert refused.value.field == "teacher.model"


def test_a_server_that_hides_the_texts_own_token_is_refused_where_it_is_needed():
    with pytest.raises(TeacherServerError, match="own token"):
        listing(entry(t4=0.5, t2=0.2, t7=0.1), 9, teacher(own=True))


def test_answers_are_those_of_the_model_one_position_earlier(stand_in, served_model):
    width = len(served_model.tokenizer)
    own = teacher(5, width, url=stand_in.url)
    ids = torch.randint(0, 200, (3, 12), generator=torch.Generator().manual_seed(0))
    positions = torch.rand(3, 12, generator=torch.Generator().manual_seed(1)) < 0.5
    positions[:, -1] = False
    found = own.answer(ids, None, positions).targets
    head = LocalTeacher(served_model.model).answer(ids, None, positions).targets
    assert isinstance(head, Head)
    log_p, expected = torch.log_softmax(head.at(slice(None), width) / 2.0, -1).topk(5)
    assert torch.equal(found.ids, expected)
    torch.testing.assert_close(found.log_p, log_p)
    torch.testing.assert_close(found.log_tail, torch.log1p(-log_p.exp().sum(-1)))
    everywhere = own.answer(ids, None, torch.ones_like(positions)).targets
    total = everywhere.log_p.exp().sum(-1) + everywhere.log_tail.exp()
    torch.testing.assert_close(total, torch.ones_like(total)), "the last position is a distribution too"


def test_short_positions_are_counted_and_leave_unused_places(stand_in, served_model):
    def shorten(body: dict) -> dict:
        for said in body["choices"][0]["prompt_logprobs"][1:]:
            for token in list(said)[:2]:
                del said[token]
        return body

    stand_in.spoil = shorten
    own = teacher(5, len(served_model.tokenizer), url=stand_in.url)
    found = own.answer(torch.tensor([[1, 5, 9, 7]]), None, torch.ones(1, 4, dtype=torch.bool)).targets
    assert own.client.use.short == 3 and int(found.unused[0].sum()) == 1
    total = found.log_p.exp().sum(-1) + found.log_tail.exp()
    torch.testing.assert_close(total, torch.ones_like(total))
