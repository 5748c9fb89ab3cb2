"""Chat completions of any server with OpenAI's interface (vLLM, Ollama, llama.cpp, hosted ones): concurrency, retries, a rate, a budget.

    GET  /v1/models
    POST /v1/chat/completions    messages, max_tokens, temperature: 0

The key, retries and refusals are those of `core.signals.server_client`.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any

from core.config import ChatServerSpec, ServedAddress
from core.errors import TeacherServerError
from core.signals.server_client import POLL, ServerClient

WORDS_TO_TOKENS = 4  # tokens that a word takes at most, roughly: what is reserved of the budget until answers say what prompts take
MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Completion:
    """An answer.

    Attributes:
        whole: whether the server ended it, rather than the limit of tokens.
        prompt_tokens, answer_tokens: as the server counts them; estimates where it does not say.
    """

    text: str
    whole: bool
    prompt_tokens: int
    answer_tokens: int


class RateLimit:
    """Lets so many requests start in a minute, evenly spread."""

    def __init__(self, per_minute: float | None) -> None:
        self._interval, self._next, self._lock = 60 / per_minute if per_minute else 0.0, 0.0, threading.Lock()

    def seconds(self) -> float:
        """Take the next place; return the seconds until its turn."""
        with self._lock:
            now = time.monotonic()
            turn = max(now, self._next)
            self._next = turn + self._interval
            return turn - now


class ChatClient(ServerClient):
    """Asks a chat server for many answers.

    Args:
        address, spec: of the server.
        spent: tokens of prompts and of answers that earlier calls used; they count against the budget.
    """

    FIELD, SECTION = "reading.model", "reading.server"
    WHO = "The reading teacher's server"
    EXPECTED, STARTED = "A server with OpenAI's chat completions was expected.", "Start it, or look at the address."

    def __init__(self, address: ServedAddress, spec: ChatServerSpec, spent: tuple[int, int] = (0, 0)) -> None:
        super().__init__(address, spec)
        self.chat = spec
        self.prompt_tokens, self.answer_tokens = spent
        self._rate = RateLimit(spec.requests_per_minute)
        self._tokens_a_word = float(WORDS_TO_TOKENS)

    @property
    def money(self) -> float:
        """Return what everything cost so far, in the currency of the prices."""
        return self._cost(self.prompt_tokens, self.answer_tokens)

    def choose_model(self) -> None:
        """Take the server's only model where the address names none. A server that is not there is not waited for.

        Raises:
            TeacherServerError: it cannot be reached, refuses, or has no such model.
        """
        names = [str(each.get("id", "")) for each in self.models()]
        wanted = self.address.model
        # Names may carry a tag, as Ollama's do; hosted servers need not list every model that they answer as.
        if not wanted and len(names) != 1:
            raise TeacherServerError(f"{self.WHO} at {self.address.url} has {len(names)} models.",
                                     f"One of these was expected: {', '.join(names[:20])}." if names else "A model was expected.",
                                     "Name it behind the address, as http://host:port#model.", field=self.FIELD)
        self.model = wanted or names[0]

    def complete(self, prompts: Sequence[str], max_tokens: int, keep: Callable[[int, Completion], None], stop: Callable[[], bool]) -> bool:
        """Answer prompts, several at once; `keep` gets each answer as it comes, in this thread. False where `stop` ended it.

        Answers that are under way when one fails, or when a stop is requested, are waited for and kept: they are paid for.

        Raises:
            TeacherServerError: the budget is spent, the server refuses, or did not answer for longer than `patience`.
        """
        waiting, under_way = list(enumerate(prompts))[::-1], dict[Future[Completion], tuple[int, int]]()
        failure: BaseException | None = None
        stopped = False
        self._ended.clear()
        with ThreadPoolExecutor(self.chat.concurrency) as pool:
            while waiting or under_way:
                while waiting and failure is None and not stopped and len(under_way) < self.chat.concurrency:
                    number, prompt = waiting[-1]
                    reserved = self._reserve(prompt, max_tokens, len(under_way))
                    if reserved is None:
                        if under_way:
                            break  # what is under way may take less than what is reserved for it
                        failure = self._spent(len(waiting))
                        break
                    waiting.pop()
                    under_way[pool.submit(self._complete, prompt, max_tokens)] = number, reserved
                if not under_way:
                    break
                done, _ = wait(under_way, POLL, FIRST_COMPLETED)
                for each in done:
                    number, _ = under_way.pop(each)
                    try:
                        found = each.result()
                        self.prompt_tokens += found.prompt_tokens
                        self.answer_tokens += found.answer_tokens
                        words = max(1, len(prompts[number].split()))
                        self._tokens_a_word = max(self._tokens_a_word, found.prompt_tokens / words)
                        keep(number, found)
                    except BaseException as error:  # kept until the others are in
                        failure = failure or error
                        self._ended.set()
                if not stopped and failure is None and stop():
                    stopped = True
                    self._ended.set()
        if failure is not None and not (stopped and isinstance(failure, TeacherServerError)):
            raise failure
        return not stopped

    def _cost(self, prompt_tokens: int, answer_tokens: int) -> float:
        return (prompt_tokens * self.chat.price_prompt + answer_tokens * self.chat.price_answer) / MILLION

    def _reserve(self, prompt: str, max_tokens: int, under_way: int) -> int | None:
        """Return the tokens that a request may take at most; None where the budget has no room for it and for those under way."""
        estimate = math.ceil(len(prompt.split()) * self._tokens_a_word)
        together = under_way + 1  # prompts of one template are about as long as each other
        prompt_tokens, answer_tokens = self.prompt_tokens + together * estimate, self.answer_tokens + together * max_tokens
        if self.chat.budget is not None and prompt_tokens + answer_tokens > self.chat.budget:
            return None
        if self.chat.budget_money is not None and self._cost(prompt_tokens, answer_tokens) > self.chat.budget_money:
            return None
        return estimate + max_tokens

    def _spent(self, left: int) -> TeacherServerError:
        used, money = self.prompt_tokens + self.answer_tokens, self.chat.budget_money
        tokens = money is None or (self.chat.budget is not None and used >= self.chat.budget * 0.5)
        key = f"{self.SECTION}.{'budget' if tokens else 'budget_money'}"
        return TeacherServerError(f"{used:,} tokens were used{f', at a cost of {self.money:.4g}' if money is not None else ''}, and "
                                  f"{left:,} sentences have no answer.",
                                  f"{key} is {self.chat.budget if tokens else money:,}, which the next answer might exceed.",
                                  "What was answered is kept: raise the budget and resume, or annotate fewer paragraphs.", field=key)

    def _complete(self, prompt: str, max_tokens: int) -> Completion:
        if self._ended.wait(self._rate.seconds()):
            raise TeacherServerError("The request was not sent: another one failed, or a stop was requested.", field=self.FIELD)

        def read(answer: Any) -> Completion:
            choice, usage = answer["choices"][0], answer.get("usage") or {}
            text = choice["message"]["content"]
            if text is None:
                text = choice["message"].get("refusal") or ""
            if not isinstance(text, str):
                raise TypeError("content is text")
            return Completion(text, choice.get("finish_reason") != "length",
                              int(usage.get("prompt_tokens", len(prompt.split()) * WORDS_TO_TOKENS)),
                              int(usage.get("completion_tokens", len(text.split()) * WORDS_TO_TOKENS)))

        started = time.monotonic()
        found = self._call("POST", "/v1/chat/completions", {
            "model": self.model, "messages": [{"role": "user", "content": prompt}], "max_tokens": max_tokens, "temperature": 0}, read)
        with self._lock:
            self.use.requests += 1
            self.use.tokens += found.prompt_tokens + found.answer_tokens
            self.use.seconds += time.monotonic() - started
        return found
