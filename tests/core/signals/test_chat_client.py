"""Chat servers that are slow, fail, rate-limit, truncate and refuse: no note is lost, none is paid for twice."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from core.config import ChatServerSpec, ReadingSpec
from core.config.addresses import parse_address
from core.errors import TeacherServerError
from core.reading.annotation import annotate
from core.reading.teachers import identity_of, reading_teacher
from core.reading.text import paragraphs
from core.recorder import ListRecorder
from core.signals import server_client
from core.signals.chat_client import ChatClient, Completion, RateLimit

KEY = "a-key-that-nobody-repeats"
TEXT = " ".join(f"Person{number} came to the house." for number in range(12))


class ChatStandIn:
    """A chat server whose behaviour a test sets: `behave` gets the number of a request and its body, and returns status, headers, body."""

    def __init__(self) -> None:
        self.behave: Callable[[int, Any], tuple[int, dict[str, str], Any]] = lambda number, body: (200, {}, said("none"))
        self.bodies: list[Any] = []
        self.headers: list[dict[str, str]] = []
        self.answered: list[str] = []  # prompts of answers that count, as a bill would
        self.models = ["reader"]
        self.open = self.most = 0
        self.lock = threading.Lock()
        own = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.reply(200, {}, {"data": [{"id": name} for name in own.models]})

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with own.lock:
                    own.bodies.append(body)
                    own.headers.append(dict(self.headers))
                    number = len(own.bodies) - 1
                    own.open += 1
                    own.most = max(own.most, own.open)
                try:
                    status, headers, content = own.behave(number, body)
                finally:
                    with own.lock:
                        own.open -= 1
                if status == 200 and isinstance(content, dict):
                    own.answered.append(body["messages"][0]["content"])
                self.reply(status, headers, content)

            def reply(self, status: int, headers: dict[str, str], content: Any) -> None:
                sent = content if isinstance(content, bytes) else json.dumps(content).encode()
                self.send_response(status)
                for name, value in {"Content-Length": str(len(sent)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(sent)

            def log_message(self, format: str, *args: Any) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"


def said(text: str, finish: str = "stop", **usage: int) -> dict[str, Any]:
    return {"choices": [{"message": {"role": "assistant", "content": text}, "finish_reason": finish}],
            "usage": {"prompt_tokens": 30, "completion_tokens": 4, **usage}}


@pytest.fixture
def chat(monkeypatch: pytest.MonkeyPatch) -> Iterator[ChatStandIn]:
    monkeypatch.setattr(server_client, "FIRST_PAUSE", 0.01)
    own = ChatStandIn()
    thread = threading.Thread(target=own.server.serve_forever, args=(0.01,))
    thread.start()
    yield own
    own.server.shutdown()
    thread.join()
    own.server.server_close()


def client(chat: ChatStandIn, spent: tuple[int, int] = (0, 0), **spec: Any) -> ChatClient:
    return ChatClient(parse_address(chat.url), ChatServerSpec(**spec), spent)


def complete(own: ChatClient, prompts: list[str]) -> dict[int, Completion]:
    found: dict[int, Completion] = {}
    assert own.complete(prompts, 16, found.__setitem__, lambda: False)
    return found


def take(chat: ChatStandIn, folder: Path, **server: Any) -> Any:
    spec = ReadingSpec(model=chat.url, questions=0.0, max_new_tokens=16, server=ChatServerSpec(**server))

    def load(*_: Any, **__: Any) -> Any:
        raise AssertionError("no model is loaded")

    return annotate(spec, lambda: paragraphs([TEXT]), ListRecorder(), lambda: reading_teacher(spec, load), identity_of(spec), cache=folder)


def test_a_server_that_is_slow_fails_limits_and_truncates_loses_no_note_and_is_paid_once(chat: ChatStandIn, tmp_path: Path) -> None:
    spoilt = {1: (429, {"Retry-After": "0.05"}, {}), 3: (500, {}, {}), 5: (200, {}, b'{"choices": [{"mess'), 7: (503, {}, {})}

    def behave(number: int, body: Any) -> tuple[int, dict[str, str], Any]:
        time.sleep(0.02 * (number % 3))
        if number in spoilt:
            return spoilt[number]
        name = body["messages"][0]["content"].rpartition("Sentence: ")[2].split()[0]
        return 200, {}, said(f"{name} (person); the hou", "length") if number % 4 == 2 else said(f"{name} (person)")

    chat.behave = behave
    found = take(chat, tmp_path, concurrency=3)
    notes = found.paragraphs[0].sentences
    assert all(each.entities and each.entities[0].text in each.sentence for each in notes) and len(notes) == 12
    assert sorted(chat.answered) == sorted(set(chat.answered)) and len(chat.answered) == 12 and len(chat.bodies) == 16
    assert chat.most <= 3 and {body["model"] for body in chat.bodies} == {"reader"} and {body["temperature"] for body in chat.bodies} == {0}
    assert found.statistics.dropped["entities"]["truncated"] >= 1
    assert take(chat, tmp_path).queried == 0 and len(chat.bodies) == 16


def test_a_server_that_dies_keeps_what_was_answered_and_resumes(chat: ChatStandIn, tmp_path: Path) -> None:
    chat.behave = lambda number, body: (200, {}, said("none")) if number < 5 else (500, {}, {})
    with pytest.raises(TeacherServerError, match=r"reading\.server\.patience") as refused:
        take(chat, tmp_path, concurrency=2, patience=0.05)
    assert refused.value.field == "reading.model" and "kept" in refused.value.fix
    chat.behave = lambda number, body: (200, {}, said("none"))
    before = len(chat.answered)
    assert take(chat, tmp_path).queried == 12 - before and sorted(chat.answered) == sorted(set(chat.answered))


def test_a_wrong_key_is_refused_at_once_and_repeated_nowhere(chat: ChatStandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(server_client.KEY, KEY)
    chat.behave = lambda number, body: (401, {}, {"error": {"message": f"bad key {KEY}"}})
    with pytest.raises(TeacherServerError, match="refuses the key") as refused:
        take(chat, tmp_path)
    assert KEY not in str(refused.value) and chat.headers[0]["Authorization"] == f"Bearer {KEY}"
    assert not any(KEY in path.read_text() for path in tmp_path.iterdir() if path.is_file())


def test_a_server_that_is_down_or_has_several_models_is_refused_before_anything(chat: ChatStandIn) -> None:
    with pytest.raises(TeacherServerError, match="cannot be reached"):
        ChatClient(parse_address("http://127.0.0.1:9"), ChatServerSpec()).choose_model()
    chat.models = ["a", "b"]
    with pytest.raises(TeacherServerError, match="has 2 models"):
        client(chat).choose_model()


@pytest.mark.parametrize(("spec", "most"), [({"budget": 200}, 4), ({"budget_money": 0.0002, "price_prompt": 1.0, "price_answer": 1.0}, 4)])
def test_a_budget_is_never_exceeded_and_earlier_calls_count(chat: ChatStandIn, spec: dict, most: int) -> None:
    own, found = client(chat, concurrency=2, **spec), dict[int, Completion]()
    with pytest.raises(TeacherServerError, match=r"sentences have no answer\. reading\.server\.budget") as refused:
        own.complete(["one two three"] * 20, 16, found.__setitem__, lambda: False)
    assert 0 < len(found) == len(chat.answered) < 20 and own.prompt_tokens + own.answer_tokens <= 200
    assert refused.value.field in ("reading.server.budget", "reading.server.budget_money")
    with pytest.raises(TeacherServerError):
        client(chat, (190, 0), **spec).complete(["one two three"], 16, found.__setitem__, lambda: False)


def test_requests_start_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "monotonic", lambda: 100.0)
    rate = RateLimit(30)
    assert [rate.seconds() for _ in range(3)] == [0.0, 2.0, 4.0] and RateLimit(None).seconds() == 0.0


def test_a_stop_keeps_what_is_under_way(chat: ChatStandIn) -> None:
    found: dict[int, Completion] = {}
    assert client(chat, concurrency=1).complete(["a b"] * 9, 4, found.__setitem__, lambda: len(found) >= 3) is False
    assert 3 <= len(found) < 9


def test_refusals_and_empty_answers_are_answers(chat: ChatStandIn) -> None:
    refusal = said("")
    refusal["choices"][0]["message"] = {"content": None, "refusal": "I'm sorry, I can't."}
    chat.behave = lambda number, body: (200, {}, refusal)
    assert complete(client(chat), ["a"])[0].text == "I'm sorry, I can't."
