"""A teacher served to other processes and machines, in the wire format of stock vLLM that `core.signals.server_client` speaks.

    GET  /v1/models
    POST /v1/completions    prompt: token ids (of one text or of several), or a text; max_tokens: 1; prompt_logprobs: k; temperature: T
    POST /tokenize          prompt: text

Log-probabilities are processed: taken at the temperature that is requested. Texts that wait together are answered in one forward pass.
The process is one of its own, which the app knows nothing of.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import json
import socket
import time
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from core.errors import StillhouseError
from workbench import settings
from workbench.errors import ServeError
from workbench.web.origins import is_loopback

if TYPE_CHECKING:
    from core.models.entries import LoadedModel
    from core.signals.answering import Question, Said

MAX_BODY = 8 << 20  # bytes of a request
MAX_PROMPTS = 64  # texts of a request
MAX_LISTED = 1 << 22  # log-probabilities of an answer: some 160 MB of JSON
BATCH_TOKENS = 4096  # of one forward pass
MAX_WAITING = 256  # texts that wait; others are refused until later
RETRY_AFTER = 1  # seconds
STOP_WITHIN = 1  # seconds that open requests get when the server ends


class _RefusedError(Exception):
    """A request that cannot be answered; with its status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass
class Batcher:
    """Answers questions in the order in which they came, those of one length that wait together in one forward pass.

    Attributes:
        waiting: questions with where their answers go.
    """

    teacher: LoadedModel
    waiting: list[tuple[Question, asyncio.Future[Said]]] = field(default_factory=list)
    _came: asyncio.Event = field(default_factory=asyncio.Event)

    async def ask(self, questions: list[Question]) -> list[Said]:
        """Return the answers to questions, once they were computed."""
        loop = asyncio.get_running_loop()
        futures = [loop.create_future() for _ in questions]
        self.waiting += zip(questions, futures, strict=True)
        self._came.set()
        return list(await asyncio.gather(*futures))

    async def run(self) -> None:
        """Answer until the task is cancelled."""
        from core.signals.answering import answers

        while True:
            await self._came.wait()
            batch = self._next()
            if not batch:
                self._came.clear()
                continue
            try:
                said = await asyncio.to_thread(answers, self.teacher, [question for question, _ in batch])
            except Exception as error:  # whatever it is, it is the answer to these questions, and the next ones are answered
                for _, future in batch:
                    if not future.done():
                        future.set_exception(error)
                continue
            for (_, future), each in zip(batch, said, strict=True):
                if not future.done():
                    future.set_result(each)

    def _next(self) -> list[tuple[Question, asyncio.Future[Said]]]:
        """Take the first question that waits and others of its length. What nobody waits for any more is left out."""
        self.waiting = [pair for pair in self.waiting if not pair[1].done()]
        if not self.waiting:
            return []
        length = len(self.waiting[0][0].prompt)
        most = max(1, BATCH_TOKENS // length)
        batch = [pair for pair in self.waiting if len(pair[0].prompt) == length][:most]
        taken = {id(pair[1]) for pair in batch}
        self.waiting = [pair for pair in self.waiting if id(pair[1]) not in taken]
        return batch


def application(teacher: LoadedModel, name: str, key: str = "") -> Starlette:
    """Return the server's application.

    Args:
        name: what the model is called.
        key: bearer token that requests have to bring; empty for none.
    """
    batcher, created = Batcher(teacher), int(time.time())

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        task = asyncio.create_task(batcher.run())
        yield
        task.cancel()

    async def models(request: Request) -> Response:
        return JSONResponse({"object": "list", "data": [{"id": name, "object": "model", "created": created, "owned_by": "stillhouse",
                                                         "root": name, "max_model_len": teacher.entry.context + 1}]})

    async def tokenize(request: Request) -> Response:
        body = await _body(request, name)
        text = body.get("prompt")
        if not isinstance(text, str):
            raise _RefusedError(400, "prompt: a text was expected.")
        tokens = await asyncio.to_thread(_tokens, teacher, text, bool(body.get("add_special_tokens", True)))
        return JSONResponse({"count": len(tokens), "max_model_len": teacher.entry.context + 1, "tokens": tokens})

    async def completions(request: Request) -> Response:
        body = await _body(request, name)
        questions = await asyncio.to_thread(_questions, body, teacher)
        if len(batcher.waiting) + len(questions) > MAX_WAITING:
            return _refusal(429, "Too many texts wait.", {"Retry-After": str(RETRY_AFTER)})
        said = await batcher.ask(questions)
        content = await asyncio.to_thread(_completion, body, name, said, teacher, sum(len(each.prompt) for each in questions))
        return Response(content, media_type="application/json")

    def guarded(endpoint: Any) -> Any:
        async def answer(request: Request) -> Response:
            given = request.headers.get("Authorization", "").removeprefix("Bearer ")
            if key and not hmac.compare_digest(given.encode(), key.encode()):
                return _refusal(401, "The key is missing or another one.")
            try:
                return await endpoint(request)
            except _RefusedError as refused:
                return _refusal(refused.status, str(refused))
            except StillhouseError as error:
                return _refusal(400, str(error))

        return answer

    return Starlette(routes=[Route("/v1/models", guarded(models)), Route("/v1/completions", guarded(completions), methods=["POST"]),
                             Route("/tokenize", guarded(tokenize), methods=["POST"])], lifespan=lifespan)


def serve(teacher: LoadedModel, name: str, listener: socket.socket, shown: str) -> None:
    """Answer until SIGTERM or Ctrl-C.

    Args:
        shown: host for the line that says where.
    """
    import uvicorn

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            host = f"[{shown}]" if ":" in shown else shown
            print(f"{name} answers at http://{host}:{listener.getsockname()[1]}  (Ctrl-C ends it)", flush=True)

    key = settings.TEACHER_KEY.read().strip()
    Server(uvicorn.Config(application(teacher, name, key), log_level="warning", access_log=False, proxy_headers=False, server_header=False,
                          timeout_graceful_shutdown=STOP_WITHIN)).run([listener])


def require_key(host: str) -> None:
    """Raise ServeError for an address that other machines reach without a key that they have to bring."""
    if not is_loopback(host) and not settings.TEACHER_KEY.read().strip():
        raise ServeError(f"The address {host} can be reached from other machines.", "A key was expected.",
                         f"Set {settings.TEACHER_KEY.variable}, or listen on {settings.HOST.default}.")


async def _body(request: Request, name: str) -> dict[str, Any]:
    """Return the JSON of a request for this model."""
    received = bytearray()
    async for part in request.stream():
        received += part
        if len(received) > MAX_BODY:
            raise _RefusedError(413, f"The request is larger than {MAX_BODY:,} bytes.")
    try:
        body = json.loads(received)
    except (ValueError, RecursionError) as error:
        raise _RefusedError(400, "The request is no JSON.") from error
    if not isinstance(body, dict):
        raise _RefusedError(400, "A JSON object was expected.")
    if body.get("model") not in (None, "", name):
        raise _RefusedError(404, f"There is no model '{str(body['model'])[:80]}', only '{name}'.")
    return body


def _questions(body: dict[str, Any], teacher: LoadedModel) -> list[Question]:
    """Return what a request for completions asks."""
    from core.signals.answering import Question, require_tokens

    prompt, k, temperature, most = (body.get(part) for part in ("prompt", "prompt_logprobs", "temperature", "max_tokens"))
    k, temperature = 0 if k is None else k, 1.0 if temperature is None else temperature
    if type(k) is not int or k < -1:
        raise _RefusedError(400, "prompt_logprobs: a number from 0, or -1 for all, was expected.")
    if not isinstance(temperature, (int, float)) or isinstance(temperature, bool) or not 0 <= temperature <= 1e6:
        raise _RefusedError(400, "temperature: a number from 0 was expected.")
    if most not in (None, 1):
        raise _RefusedError(400, "max_tokens: 1 was expected; this server says what it thinks of texts, and writes none.")
    texts = [_tokens(teacher, prompt, True)] if isinstance(prompt, str) else prompt
    if isinstance(texts, list) and texts and not isinstance(texts[0], list):
        texts = [texts]
    if not isinstance(texts, list) or not 0 < len(texts) <= MAX_PROMPTS:
        raise _RefusedError(400, f"prompt: token ids of 1 to {MAX_PROMPTS} texts were expected.")
    context = teacher.entry.context
    for text in texts:
        if not isinstance(text, list) or not text or any(type(token) is not int or token < 0 for token in text):
            raise _RefusedError(400, "prompt: token ids were expected.")
        if len(text) > context:
            raise _RefusedError(400, f"prompt: {len(text)} tokens; the model reads {context}.")
        require_tokens(teacher, text)
    listed = sum(map(len, texts)) * (min(k, teacher.entry.vocabulary) if k >= 0 else teacher.entry.vocabulary)
    if listed > MAX_LISTED:
        raise _RefusedError(413, f"{listed:,} log-probabilities would be listed, {MAX_LISTED:,} are most: ask for fewer prompt_logprobs.")
    return [Question(tuple(text), k, float(temperature)) for text in texts]


def _completion(body: dict[str, Any], name: str, said: list[Said], teacher: LoadedModel, tokens: int) -> bytes:
    wanted = body.get("prompt_logprobs") is not None
    choices = [{"index": place, "text": teacher.tokenizer.decode([each.next_token]), "logprobs": None, "finish_reason": "length",
                "prompt_logprobs": each.listed if wanted else None} for place, each in enumerate(said)]
    return json.dumps({"id": f"cmpl-{uuid.uuid4().hex}", "object": "text_completion", "created": int(time.time()), "model": name,
                       "choices": choices, "usage": {"prompt_tokens": tokens, "completion_tokens": len(said),
                                                     "total_tokens": tokens + len(said)}}).encode()


def _tokens(teacher: LoadedModel, text: str, special: bool) -> list[int]:
    return list(teacher.tokenizer(text, add_special_tokens=special)["input_ids"])


def _refusal(status: int, message: str, headers: dict[str, str] | None = None) -> Response:
    return JSONResponse({"object": "error", "message": message, "code": status}, status, headers)
