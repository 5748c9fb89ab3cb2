"""A teacher's server that misbehaves: what a real one answers, spoilt on the way."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from core.models.entries import LoadedModel
from core.signals.answering import Question, answers

NAME = "stand-in"


@dataclass
class StandIn:
    """What the server does, which a test changes while it runs.

    Attributes:
        spoil: changes the body of an answer to completions, or returns bytes to send in its place.
        refusals: statuses with headers, sent before anything else, one a request.
        tokenises: whether there is /tokenize.
        models: what is listed.
        sglang: whether it speaks as SGLang does.
        temperature: what a position is answered at, from what was requested.
        offset: added to token ids of /tokenize.
        seen: paths, headers and bodies of all requests.
        held: requests wait for it.
    """

    teacher: LoadedModel
    spoil: Callable[[dict[str, Any]], Any] = lambda body: body
    refusals: list[tuple[int, dict[str, str], str]] = field(default_factory=list)
    tokenises: bool = True
    models: tuple[str, ...] = (NAME,)
    sglang: bool = False
    temperature: Callable[[float], float] = float
    offset: int = 0
    seen: list[tuple[str, dict[str, str], Any]] = field(default_factory=list)
    held: threading.Event = field(default_factory=threading.Event)
    url: str = ""

    def answer(self, path: str, body: Any) -> tuple[int, Any]:
        """Return status and body."""
        if path == "/v1/models":
            kind = {"owned_by": "sglang"} if self.sglang else {}
            return 200, {"data": [{"id": name, "max_model_len": 64, **kind} for name in self.models]}
        if path == "/tokenize":
            ids = self.teacher.tokenizer(body["prompt"], add_special_tokens=False)["input_ids"]
            return (200, {"tokens": [each + self.offset for each in ids]}) if self.tokenises else (404, {"detail": "Not Found"})
        if path == "/generate":
            return 200, self.spoil(self._generated(body))
        said = answers(self.teacher, [Question(tuple(body["prompt"]), body["prompt_logprobs"], self.temperature(body["temperature"]))])
        return 200, self.spoil({"choices": [{"prompt_logprobs": said[0].listed}]})

    def _generated(self, body: Any) -> dict[str, Any]:
        """Return what SGLang answers: lists of (log-probability, token id, text)."""
        ids, k = body["input_ids"], body["top_logprobs_num"]
        question = Question(tuple(ids), k, self.temperature(body["sampling_params"]["temperature"]))
        listed = answers(self.teacher, [question])[0].listed[1:]
        found = [entry for entry in listed if entry]
        top = [sorted(([said["logprob"], int(token), None] for token, said in entry.items()), reverse=True)[:k] for entry in found]
        own = [[entry[str(token)]["logprob"], token, None] for entry, token in zip(found, ids[1:], strict=True)]
        return {"text": "x", "meta_info": {"prompt_tokens": len(ids), "input_token_logprobs": [[None, ids[0], None], *own],
                                           "input_top_logprobs": [None, *top]}}


class _Handler(BaseHTTPRequestHandler):
    stand_in: StandIn

    def _respond(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else None
        own = self.stand_in
        own.seen.append((self.path, dict(self.headers), body))
        own.held.wait(30)
        headers: dict[str, str] = {}
        if own.refusals and self.path in ("/v1/completions", "/generate"):
            status, headers, said = own.refusals.pop(0)
            answer: Any = {"message": said}
        else:
            status, answer = own.answer(self.path, body)
        content = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = _respond  # noqa: N815 -- the names that http.server calls

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@contextmanager
def standing_in(teacher: LoadedModel) -> Iterator[StandIn]:
    """Run a stand-in at a free port."""
    own = StandIn(teacher)
    own.held.set()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"stand_in": own}))
    server.daemon_threads = True
    own.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield own
    finally:
        own.held.set()
        server.shutdown()
        thread.join()
        server.server_close()
