"""What a teacher's server is sent and what it answers: retries, back-off, concurrency, a budget.

    GET  /v1/models
    POST /v1/completions, or /generate of SGLang    what is expected at each position of a prompt (`core.signals.wire`)
    POST /tokenize                                  where there is one

The key is read from the environment, is sent as a header to the address alone, redirects are not followed, and no message repeats it.
"""

from __future__ import annotations

import email.utils
import os
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

import httpx

from core.config import ChatServerSpec, ServedAddress, ServerSpec
from core.errors import ConfigError, SetField, StillhouseError, TeacherServerError, shorten
from core.signals.wire import FIELD, VLLM, Entry, WireFormat
from core.system.reach import ADDRESSES, allowed_addresses

KEY = "STILLHOUSE_TEACHER_KEY"
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0  # seconds between two tries; doubled after each
POLL = 0.25  # seconds between two looks at a stop
BUSY = (408, 425, 429, 500, 502, 503, 504)  # what goes away by itself
ABSENT = (404, 405, 501)

Read = TypeVar("Read")


@dataclass
class ServerUse:
    """What was queried of a server since its client was made.

    Attributes:
        requests, tokens: that were answered.
        retries: requests that had to be sent again.
        seconds: of all answers together, waiting included.
        short: positions that listed fewer tokens than requested.
    """

    requests: int = 0
    tokens: int = 0
    retries: int = 0
    seconds: float = 0.0
    short: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Return the record, with the mean latency in seconds."""
        return asdict(self) | {"seconds": round(self.seconds, 3),
                               "latency": round(self.seconds / self.requests, 4) if self.requests else None}


class _LaterError(Exception):
    """A failure that may go away; its text says what happened. `after`: seconds that the server asks to wait."""

    def __init__(self, what: str, after: float | None = None) -> None:
        super().__init__(what)
        self.after = after


class ServerClient:
    """Asks a server.

    Class variables say how messages name it: `FIELD` and `SECTION`, keys of the recipe; `STARTED`, how one is started.

    Args:
        address: of the server.
        spec: concurrency, timeout, patience, budget.
        troubled: called in the thread that asks, with what is wrong, a few times a second while the server does not answer; what it raises
            ends the waiting.

    Raises:
        ConfigError: the environment's key cannot be sent.

    Attributes:
        model: as the server calls it; the address's until `core.signals.handshake` has found the only one.
        wire: how the server is spoken to; likewise.
        use: what was queried so far.
    """

    FIELD, SECTION = FIELD, "teacher.server"
    WHO = "The teacher's server"
    EXPECTED = "A server that answers as vLLM or SGLang does was expected."
    STARTED = "Start it, as with: python -m workbench serve-teacher MODEL"

    def __init__(self, address: ServedAddress, spec: ServerSpec | ChatServerSpec,
                 troubled: Callable[[str], None] = lambda what: None) -> None:
        self.address, self.spec, self.troubled = address, spec, troubled
        self.model, self.use = address.model, ServerUse()
        self.wire: WireFormat = VLLM()
        self._sent, self._shown = 0, (0, 0.0)
        self._lock, self._ended, self._trouble = threading.Lock(), threading.Event(), ""
        allowed = allowed_addresses()
        self._key = _key() if not allowed or address.url in allowed else ""
        headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        # Proxies and netrc of the environment would send the key elsewhere.
        self._http = httpx.Client(base_url=address.url, headers=headers, timeout=spec.timeout, trust_env=False, follow_redirects=False,
                                  limits=httpx.Limits(max_connections=spec.concurrency + 1))
        weakref.finalize(self, self._http.close)  # connections end with whoever asks

    def models(self) -> list[dict[str, Any]]:
        """Return the models that the server lists. A server that is not there is not waited for.

        Raises:
            TeacherServerError: it cannot be reached, or refuses.
        """
        return self._call("GET", "/v1/models", None, lambda answer: [dict(each) for each in answer["data"]], patience=0.0)

    def tokenize(self, text: str) -> list[int] | None:
        """Return the server's token ids of a text, without special tokens around it; None where it tokenises nothing."""
        return self._call("POST", "/tokenize", {"model": self.model, "prompt": text, "add_special_tokens": False},
                          lambda answer: [int(each) for each in answer["tokens"]], absent=None)

    def listed(self, prompts: Sequence[Sequence[int]], k: int, temperature: float) -> list[list[Entry | None]]:
        """Return, for each prompt, what the server lists at each of its positions: token id -> ``logprob`` and more.

        Entry t of a prompt says what was expected at t, given what stands before; the first is None.

        Raises:
            TeacherServerError: the budget is spent, the server refuses, or did not answer for longer than `patience`.
        """
        tokens = sum(map(len, prompts))
        if self.spec.budget is not None and self._sent + tokens > self.spec.budget:
            raise TeacherServerError(f"The next batch has {tokens:,} tokens, and {self._sent:,} were sent to the teacher's server.",
                                     f"teacher.server.budget is {self.spec.budget:,}.",
                                     "What was answered is kept: raise the budget, or resume the run, which counts from 0 again.",
                                     field="teacher.server.budget")
        self._sent += tokens
        self._ended.clear()
        with ThreadPoolExecutor(min(self.spec.concurrency, len(prompts))) as pool:
            requested = [pool.submit(self._completion, list(map(int, prompt)), k, temperature) for prompt in prompts]
            try:
                self._wait(requested)
            except BaseException:
                self._ended.set()
                for each in requested:
                    each.cancel()
                raise
        return [each.result() for each in requested]

    def use_since_last(self) -> dict[str, float]:
        """Return the metrics ``teacher/...``: mean latency since the last call, where there were answers; tokens and failures so far."""
        with self._lock:
            requests, seconds = self.use.requests - self._shown[0], self.use.seconds - self._shown[1]
            self._shown = self.use.requests, self.use.seconds
            latency = {"teacher/latency": seconds / requests} if requests else {}
            return latency | {"teacher/tokens": float(self.use.tokens), "teacher/retries": float(self.use.retries)}

    def _wait(self, requested: Sequence[Future[Any]]) -> None:
        pending = set(requested)
        while pending:
            done, pending = wait(pending, POLL, FIRST_COMPLETED)
            for each in done:
                each.result()
            if self._trouble:
                self.troubled(self._trouble)

    def _completion(self, prompt: list[int], k: int, temperature: float) -> list[Entry | None]:
        def read(answer: Any) -> list[Entry | None]:
            found = self.wire.entries(answer)
            if len(found) != len(prompt):
                raise _LaterError(f"answered {len(found)} of {len(prompt)} positions")
            return found

        started = time.monotonic()
        found = self._call("POST", self.wire.PATH, self.wire.body(self.model, prompt, k, temperature), read)
        with self._lock:
            self.use.requests += 1
            self.use.tokens += len(prompt)
            self.use.seconds += time.monotonic() - started
        return found

    # ------------------------------------------------------------------------------------------ one request

    def _call(self, method: str, path: str, body: Any, read: Callable[[Any], Read], *, patience: float | None = None,
              absent: Any = ...) -> Read:
        """Send a request until it is answered.

        Args:
            read: takes the answer apart.
            patience: seconds from the first failure on (default: the recipe's).
            absent: returned where the server knows no such path.
        """
        patience = self.spec.patience if patience is None else patience
        began, pause = None, FIRST_PAUSE
        while True:
            try:
                found = self._once(method, path, body, read, absent)
                self._trouble = ""
                return found
            except _LaterError as failure:
                began = began or time.monotonic()
                waited = time.monotonic() - began
                if waited >= patience:
                    raise self._gave_up(failure, waited, patience) from failure
                with self._lock:
                    self.use.retries += 1
                self._trouble = str(failure)
                seconds = pause if failure.after is None else max(failure.after, 0.05)
                if self._ended.wait(min(seconds, patience - waited)):
                    raise self._gave_up(failure, waited, patience) from failure
                pause = min(2 * pause, LONGEST_PAUSE)

    def _once(self, method: str, path: str, body: Any, read: Callable[[Any], Read], absent: Any) -> Read:
        try:
            response = self._http.request(method, path, json=body)
        except httpx.TimeoutException as error:
            raise _LaterError(f"did not answer within {self.spec.timeout:g} s") from error
        except httpx.TransportError as error:
            raise _LaterError("cannot be reached" if isinstance(error, httpx.ConnectError) else "broke off its answer") from error
        if response.status_code in BUSY:
            raise _LaterError(f"is busy or failed ({response.status_code})", _retry_after(response))
        if response.status_code in ABSENT and absent is not ...:
            return absent
        if response.status_code != 200:
            raise self._refused(response, path)
        try:
            return read(response.json())
        except (KeyError, TypeError, IndexError, AttributeError, ValueError) as error:
            raise _LaterError("answered with JSON that is cut or of another kind") from error

    def _gave_up(self, failure: _LaterError, waited: float, patience: float) -> StillhouseError:
        if not patience:
            return TeacherServerError(f"{self.WHO} at {self.address.url} {failure}.", self.EXPECTED, self.STARTED, field=self.FIELD)
        return TeacherServerError(f"{self.WHO} at {self.address.url} {failure}, for {waited:.0f} s.",
                                  f"An answer within {patience:g} s was expected ({self.SECTION}.patience).",
                                  "What was answered is kept: start the server again, then resume the run.", field=self.FIELD)

    def _refused(self, response: httpx.Response, path: str) -> StillhouseError:
        said = self._said(response)
        if response.status_code in (401, 403):
            return TeacherServerError(f"{self.WHO} at {self.address.url} refuses {'the' if self._key else 'a request without a'} "
                                      f"key ({response.status_code}).", f"The server's key was expected in {KEY}.",
                                      f"Set the environment variable {KEY}; an address that {ADDRESSES} does not list is sent none."
                                      if allowed_addresses() else f"Set the environment variable {KEY}.", field=self.FIELD)
        if response.status_code < 500 and "logprobs" in said:
            return TeacherServerError(f"The teacher's server refuses so many log-probabilities: {said}",
                                      "One that lists teacher.signals.top_k tokens of each position was expected.",
                                      "Start vLLM with --max-logprobs -1, or ask for fewer",
                                      suggestion=SetField("teacher.signals.top_k", 20))
        what = f"{response.status_code} to {path}{said and f': {said}'}"
        return TeacherServerError(f"{self.WHO} at {self.address.url} answers {what}.", self.EXPECTED,
                                  "Look at its log, and at the address.", field=self.FIELD)

    def _said(self, response: httpx.Response) -> str:
        """Return the server's own message, without the key."""
        try:
            plain = response.json()
            text = plain.get("message") or plain.get("detail") or (plain.get("error") or {}).get("message") or ""
        except (ValueError, AttributeError):
            text = ""
        text = str(text).replace(self._key, "…") if self._key else str(text)
        return shorten(" ".join(text.split()), 160)


def _key() -> str:
    """Return the key of the environment, without the line end that a file of secrets leaves behind it.

    Raises:
        ConfigError: characters that no header can hold. httpx would repeat the whole header in its own error, and logs would keep it.
    """
    key = os.environ.get(KEY, "").strip()
    if not (key.isascii() and key.isprintable()):
        raise ConfigError(f"The key in {KEY} holds characters that a request's header cannot.", "Printable ASCII was expected.",
                          f"Set {KEY} to the server's key alone, on one line.")
    return key


def _retry_after(response: httpx.Response) -> float | None:
    """Return the seconds that a server asks to wait; None where it does not say."""
    said = response.headers.get("Retry-After", "")
    if said.replace(".", "", 1).isdecimal():
        return float(said)
    try:
        # Against the server's own clock, where it says what that shows: ours may have been set, or be another.
        now = email.utils.parsedate_to_datetime(date).timestamp() if (date := response.headers.get("Date")) else time.time()
        return max(0.0, email.utils.parsedate_to_datetime(said).timestamp() - now)
    except (TypeError, ValueError):
        return None
