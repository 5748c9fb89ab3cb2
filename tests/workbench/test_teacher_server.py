"""The teacher's server: what it answers, what it refuses, and that what waits together is answered together."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from starlette.testclient import TestClient

from core.models import catalog
from core.models.entries import LoadedModel
from core.signals import answering
from core.signals.answering import Question
from tests.core.chat_models import save_chat_model
from workbench import teacher_server
from workbench.errors import ServeError
from workbench.teacher_server import Batcher, application, require_key

KEY = "a-key-that-nobody-repeats"


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    folder: Path = save_chat_model(tmp_path_factory.mktemp("teacher") / "teacher", layers=2, positions=64)
    return catalog.load(str(folder), dtype=torch.float32)


@pytest.fixture
def server(teacher: LoadedModel) -> Iterator[TestClient]:
    with TestClient(application(teacher, "tiny")) as client:
        yield client


def ask(server: TestClient, **body: Any) -> tuple[int, Any]:
    response = server.post("/v1/completions", json={"prompt": [1, 5, 9], "max_tokens": 1, "prompt_logprobs": 3, **body})
    return response.status_code, response.json()


def test_it_answers_as_vllm_does(server, teacher):
    listed = server.get("/v1/models").json()["data"]
    assert [each["id"] for each in listed] == ["tiny"] and listed[0]["max_model_len"] == 65
    status, document = ask(server, model="tiny", temperature=2.0)
    assert status == 200 and document["usage"] == {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4}
    choice, = document["choices"]
    said = answering.answers(teacher, [Question((1, 5, 9), 3, 2.0)])[0]
    assert choice["prompt_logprobs"] == said.listed and choice["finish_reason"] == "length"
    tokens = server.post("/tokenize", json={"prompt": "good film", "add_special_tokens": False}).json()
    assert tokens["tokens"] == teacher.tokenizer("good film", add_special_tokens=False)["input_ids"]
    assert tokens["count"] == len(tokens["tokens"])


def test_several_texts_and_plain_text_may_be_queried(server, teacher):
    _, document = ask(server, prompt=[[1, 5, 9], [1, 5]])
    assert [len(choice["prompt_logprobs"]) for choice in document["choices"]] == [3, 2]
    assert [choice["index"] for choice in document["choices"]] == [0, 1]
    _, document = ask(server, prompt="good film", prompt_logprobs=None)
    assert document["choices"][0]["prompt_logprobs"] is None
    assert document["usage"]["prompt_tokens"] == len(teacher.tokenizer("good film")["input_ids"])


@pytest.mark.parametrize(("body", "status", "said"), [
    ({"model": "other"}, 404, "only 'tiny'"), ({"prompt": []}, 400, "token ids"), ({"prompt": [[]]}, 400, "token ids"),
    ({"prompt": [1, "x"]}, 400, "token ids"), ({"prompt": [True]}, 400, "token ids"), ({"prompt": None}, 400, "token ids"),
    ({"prompt": [1, 10**6]}, 400, "token 1000000"), ({"prompt": [1, 10**30]}, 400, "token 1" + "0" * 30),
    ({"prompt": [1] * 65}, 400, "reads 64"), ({"prompt": [[1]] * 65}, 400, "1 to 64"),
    ({"max_tokens": 2}, 400, "max_tokens"), ({"temperature": -1}, 400, "temperature"), ({"prompt_logprobs": 1.5}, 400, "prompt_logprobs")],
    ids=lambda part: str(part)[:30])
def test_what_cannot_be_answered_is_refused_with_the_reason(server, body, status, said):
    found, document = ask(server, **body)
    assert found == status and said in document["message"]


def test_a_text_that_cannot_be_answered_shares_no_forward_pass(server, monkeypatch):
    monkeypatch.setattr(Batcher, "ask", lambda *_: pytest.fail("it would end the answers of others that wait with it"))
    assert ask(server, prompt=[1, 5, 10**6])[0] == 400


def test_bodies_and_answers_have_a_limit(server, monkeypatch):
    assert server.post("/v1/completions", content=b"{" * 10).status_code == 400
    assert server.post("/v1/completions", content=b"[" * 100_000).status_code == 400
    monkeypatch.setattr(teacher_server, "MAX_BODY", 10)
    assert ask(server)[0] == 413
    monkeypatch.undo()
    monkeypatch.setattr(teacher_server, "MAX_LISTED", 8)
    assert ask(server)[0] == 413
    monkeypatch.undo()
    monkeypatch.setattr(teacher_server, "MAX_WAITING", 0)
    response = server.post("/v1/completions", json={"prompt": [1, 5]})
    assert response.status_code == 429 and response.headers["Retry-After"]


def test_a_key_is_required(teacher):
    with TestClient(application(teacher, "tiny", KEY)) as client:
        for path in ("/v1/models", "/v1/completions", "/tokenize"):
            for given in ({}, {"Authorization": "Bearer other"}, {"Authorization": ""}):
                response = client.request("GET" if path == "/v1/models" else "POST", path, headers=given)
                assert response.status_code == 401 and KEY not in response.text
        assert client.get("/v1/models", headers={"Authorization": f"Bearer {KEY}"}).status_code == 200


def test_an_address_that_others_reach_needs_a_key(monkeypatch):
    require_key("127.0.0.1")
    with pytest.raises(ServeError, match="can be reached from other machines"):
        require_key("0.0.0.0")
    monkeypatch.setenv("STILLHOUSE_TEACHER_KEY", " \n")
    with pytest.raises(ServeError, match="can be reached from other machines"):
        require_key("0.0.0.0")
    monkeypatch.setenv("STILLHOUSE_TEACHER_KEY", KEY)
    require_key("0.0.0.0")


def test_texts_that_wait_together_are_one_forward_pass(teacher, monkeypatch):
    sizes, real = [], answering.answers

    def counted(teacher: LoadedModel, questions: list[Question]) -> Any:
        sizes.append(len(questions))
        if (7, 7, 7) in [each.prompt for each in questions]:
            raise RuntimeError("it failed")
        return real(teacher, questions)

    monkeypatch.setattr(answering, "answers", counted)

    async def scenario() -> list[Any]:
        batcher = Batcher(teacher)
        prompts = ((1, 5), (1, 6), (1, 5, 9), (1, 8), (7, 7, 7, 7))
        requested = [asyncio.ensure_future(batcher.ask([Question(prompt, 2, 1.0)])) for prompt in prompts]
        failing = asyncio.ensure_future(batcher.ask([Question((7, 7, 7), 2, 1.0)]))
        gone = asyncio.ensure_future(batcher.ask([Question((2, 2, 2, 2, 2), 2, 1.0)]))
        await asyncio.sleep(0)
        gone.cancel()
        running = asyncio.ensure_future(batcher.run())
        found = await asyncio.gather(*requested, failing, return_exceptions=True)
        running.cancel()
        return found

    found = asyncio.run(scenario())
    assert isinstance(found[5], RuntimeError) and isinstance(found[2], RuntimeError), "who waited with it hears of it too"
    assert sizes == [3, 2, 1], "by length, in the order in which they came; who is gone is not answered"
    assert [len(each[0].listed) for each in (found[0], found[1], found[3])] == [2, 2, 2]
    assert len(found[4][0].listed) == 4
