"""Both wire formats: the same positions, and answers that hold none."""

from __future__ import annotations

import pytest

from core.config import ServerSpec
from core.config.addresses import parse_address
from core.errors import TeacherServerError
from core.signals.handshake import choose_model
from core.signals.server_client import ServerClient
from core.signals.wire import VLLM, SGLang, wire_format
from tests.core.signals.stand_in import StandIn

PROMPT = [1, 5, 9, 7]


def log_p(entry: dict) -> dict[int, float]:
    return {int(token): said["logprob"] for token, said in entry.items()}


@pytest.mark.parametrize("k", [1, 3, 50])
def test_sglang_lists_what_vllm_lists(stand_in: StandIn, k: int) -> None:
    found = []
    for sglang in (False, True):
        stand_in.sglang = sglang
        own = ServerClient(parse_address(stand_in.url), ServerSpec())
        choose_model(own, 32)
        assert type(own.wire) is (SGLang if sglang else VLLM)
        found.append(own.listed([PROMPT, PROMPT[:2]], k, 2.0))
    for vllm, sglang in zip(*found, strict=True):
        assert vllm[0] is sglang[0] is None
        assert [log_p(entry) for entry in sglang[1:]] == [log_p(entry) for entry in vllm[1:]]
    assert [path for path, _, _ in stand_in.seen].count("/generate") == 2


def test_the_server_says_what_it_is() -> None:
    assert isinstance(wire_format({"id": "m", "owned_by": "sglang"}), SGLang)
    for said in ({"id": "m"}, {"id": "m", "owned_by": "vllm"}, {"id": "m", "owned_by": None}):
        assert isinstance(wire_format(said), VLLM)


def test_fewer_positions_are_requested_again_and_an_answer_without_any_is_refused(stand_in: StandIn) -> None:
    stand_in.sglang = True
    own = ServerClient(parse_address(stand_in.url), ServerSpec(patience=0.05))
    choose_model(own, 32)
    stand_in.spoil = lambda body: {"meta_info": {key: said[:2] for key, said in body["meta_info"].items() if key != "prompt_tokens"}}
    with pytest.raises(TeacherServerError, match="answered 2 of 4 positions"):
        own.listed([PROMPT], 3, 1.0)
    stand_in.spoil = lambda body: {"meta_info": {"input_token_logprobs": body["meta_info"]["input_token_logprobs"]}}
    with pytest.raises(TeacherServerError, match="no input_top_logprobs"):
        own.listed([PROMPT], 3, 1.0)
