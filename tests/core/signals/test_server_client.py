"""A client of servers that are slow, busy, broken, dying, and of one that wants a key."""

from __future__ import annotations

import httpx
import pytest

from core.config import ServerSpec
from core.config.addresses import parse_address
from core.errors import ConfigError, StillhouseError, TeacherServerError
from core.signals import server_client
from core.signals.server_client import ServerClient, _retry_after
from tests.core.signals.stand_in import StandIn

PROMPT = [1, 5, 9, 7]
KEY = "a-key-that-nobody-repeats"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_client, "FIRST_PAUSE", 0.01)


def client(stand_in: StandIn, **spec: float) -> ServerClient:
    return ServerClient(parse_address(f"{stand_in.url}#stand-in"), ServerSpec(**spec))


def test_positions_are_listed_for_each_prompt(stand_in):
    own = client(stand_in)
    found = own.listed([PROMPT, PROMPT[:2]], 3, 1.0)
    assert [len(each) for each in found] == [4, 2] and all(each[0] is None for each in found)
    assert own.use.tokens == 6 and own.use.requests == 2 and own.use.retries == 0
    assert own.use.to_dict()["latency"] > 0
    bodies = [body for path, _, body in stand_in.seen if path == "/v1/completions"]
    assert {body["max_tokens"] for body in bodies} == {1} and {body["prompt_logprobs"] for body in bodies} == {3}


@pytest.mark.parametrize("refusal", [(429, {"Retry-After": "0.2"}, ""), (503, {}, ""), (502, {"Retry-After": "soon"}, "")], ids=str)
def test_a_busy_server_is_queried_again(stand_in, refusal):
    stand_in.refusals = [refusal, refusal]
    own = client(stand_in)
    assert len(own.listed([PROMPT], 3, 1.0)[0]) == 4
    assert own.use.retries == 2


def test_the_time_that_a_server_names_is_waited(stand_in, monkeypatch):
    waits = []
    own = client(stand_in)
    monkeypatch.setattr(own._ended, "wait", lambda seconds: waits.append(seconds))
    stand_in.refusals = [(429, {"Retry-After": "7"}, ""), (429, {}, "")]
    own.listed([PROMPT], 3, 1.0)
    assert waits[0] == 7 and waits[1] < 1


def test_a_date_that_a_server_names_is_taken_by_its_own_clock():
    """Ours may have been set back, or be another machine's."""
    headers = {"Date": "Mon, 01 Jan 2001 10:00:00 GMT", "Retry-After": "Mon, 01 Jan 2001 10:00:05 GMT"}
    assert _retry_after(httpx.Response(429, headers=headers)) == 5


@pytest.mark.parametrize("spoil", [lambda body: b'{"choices": [{"prompt_logpro', lambda body: {"choices": []}, lambda body: [1],
                                   lambda body: {"choices": [{"prompt_logprobs": body["choices"][0]["prompt_logprobs"][:2]}]}],
                         ids=["cut", "empty", "a list", "too few positions"])
def test_an_answer_that_is_cut_is_requested_again_and_then_refused(stand_in, spoil):
    whole, spoilt = stand_in.spoil, []
    stand_in.spoil = lambda body: spoil(body) if not spoilt and (spoilt.append(1) or True) else whole(body)
    assert len(client(stand_in).listed([PROMPT], 3, 1.0)[0]) == 4, "the second answer is whole"
    stand_in.spoil = spoil
    with pytest.raises(TeacherServerError, match=r"for \d+ s\. An answer within 0.05 s") as refused:
        client(stand_in, patience=0.05).listed([PROMPT], 3, 1.0)
    assert refused.value.field == "teacher.model" and "resume" in refused.value.fix


def test_a_slow_server_is_given_up(stand_in):
    stand_in.held.clear()
    with pytest.raises(TeacherServerError, match=r"did not answer within 0\.05 s"):
        client(stand_in, timeout=0.05, patience=0.1).listed([PROMPT], 3, 1.0)


def test_a_server_that_is_not_there_is_not_waited_for(stand_in):
    own = ServerClient(parse_address("http://127.0.0.1:9"), ServerSpec())
    with pytest.raises(TeacherServerError, match="cannot be reached") as refused:
        own.models()
    assert "serve-teacher" in refused.value.fix


def test_who_waits_may_end_it(stand_in):
    class StoppedError(Exception):
        pass

    def stop(what: str) -> None:
        raise StoppedError(what)

    stand_in.refusals = [(503, {}, "")] * 10_000
    own = ServerClient(parse_address(stand_in.url), ServerSpec(), stop)
    with pytest.raises(StoppedError, match="is busy or failed"):
        own.listed([PROMPT], 3, 1.0)


@pytest.mark.parametrize(("refusal", "said", "advised"), [
    ((401, {}, f"wrong key {KEY}"), "refuses the key", "STILLHOUSE_TEACHER_KEY"),
    ((400, {}, "Requested prompt logprobs of 50, which is greater than max allowed: 20"), "max allowed: 20", "--max-logprobs -1"),
    ((404, {}, "no such model"), "answers 404 to /v1/completions: no such model", "log"),
    ((302, {"Location": "http://127.0.0.1:9/"}, ""), "answers 302", "address"),
    ((400, {}, f"{KEY} is odd"), "… is odd", "log")], ids=lambda part: str(part)[:20])
def test_a_refusal_is_shown_without_the_key(stand_in, monkeypatch, refusal, said, advised):
    monkeypatch.setenv("STILLHOUSE_TEACHER_KEY", KEY)
    stand_in.refusals = [refusal]
    own = client(stand_in)
    with pytest.raises(TeacherServerError, match=said) as refused:
        own.listed([PROMPT], 3, 1.0)
    assert advised in str(refused.value) and KEY not in str(refused.value) and refused.value.field
    assert stand_in.seen[-1][1]["Authorization"] == f"Bearer {KEY}"
    assert own.use.retries == 0


def test_a_line_end_behind_the_key_is_not_part_of_it(stand_in, monkeypatch):
    monkeypatch.setenv("STILLHOUSE_TEACHER_KEY", f"{KEY}\r\n")
    client(stand_in).models()
    assert [headers["Authorization"] for _, headers, _ in stand_in.seen] == [f"Bearer {KEY}"]


@pytest.mark.parametrize("key", ["a\nb", "schlüssel"], ids=ascii)
def test_a_key_that_no_header_can_hold_is_refused_without_it(stand_in, monkeypatch, key):
    monkeypatch.setenv("STILLHOUSE_TEACHER_KEY", key)
    with pytest.raises(ConfigError, match="STILLHOUSE_TEACHER_KEY") as refused:
        client(stand_in)
    assert key not in str(refused.value) and refused.value.__cause__ is None and not stand_in.seen


def test_the_key_goes_to_listed_addresses_alone(stand_in, monkeypatch):
    monkeypatch.setenv("STILLHOUSE_TEACHER_KEY", KEY)
    monkeypatch.setenv("STILLHOUSE_TEACHERS", "http://elsewhere:8000")
    client(stand_in).listed([PROMPT], 3, 1.0)
    assert "Authorization" not in stand_in.seen[-1][1]
    monkeypatch.setenv("STILLHOUSE_TEACHERS", f"http://elsewhere:8000, {stand_in.url}/")
    client(stand_in).listed([PROMPT], 3, 1.0)
    assert stand_in.seen[-1][1]["Authorization"] == f"Bearer {KEY}"


def test_a_budget_is_kept(stand_in):
    own = client(stand_in, budget=6)
    own.listed([PROMPT], 3, 1.0)
    with pytest.raises(StillhouseError, match=r"next batch has 4 tokens, and 4 were sent") as refused:
        own.listed([PROMPT], 3, 1.0)
    assert refused.value.field == "teacher.server.budget" and own.use.requests == 1


def test_what_gives_no_prompt_log_probabilities_is_named(stand_in):
    stand_in.spoil = lambda body: {"choices": [{"text": "x", "prompt_logprobs": None}]}
    with pytest.raises(TeacherServerError, match=r"llama\.cpp"):
        client(stand_in).listed([PROMPT], 3, 1.0)
