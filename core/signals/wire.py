"""The wire formats in which servers say what they expect at each position of a prompt.

    vLLM      POST /v1/completions   prompt, max_tokens: 1, prompt_logprobs: k, temperature: T
    SGLang    POST /generate         input_ids, sampling_params, return_logprob, logprob_start_len: 0, top_logprobs_num: k

Both list models at /v1/models, where they say in `owned_by` which of the two they are, and tokenise texts at /tokenize. Both apply no
temperature to a prompt's log-probabilities unless they are started or patched for it, which `core.signals.handshake` measures.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from core.errors import TeacherServerError

FIELD = "teacher.model"

Entry = dict[str, Any]  # token id -> ``logprob``, and what else the server says of it


class WireFormat(ABC):
    """How one kind of server is sent a prompt and read."""

    PATH: ClassVar[str]

    @abstractmethod
    def body(self, model: str, prompt: Sequence[int], k: int, temperature: float) -> dict[str, Any]:
        """Return the request for the `k` likeliest tokens of each position of a prompt of token ids."""

    @abstractmethod
    def entries(self, answer: Any) -> list[Entry | None]:
        """Return what an answer lists for each position; the first is None.

        Raises:
            TeacherServerError: a server that gives no log-probabilities of prompts.
            KeyError, TypeError, IndexError, ValueError: an answer that is cut or of another kind.
        """


class VLLM(WireFormat):
    """The completions of stock vLLM, and of ``python -m workbench serve-teacher``."""

    PATH = "/v1/completions"

    def body(self, model: str, prompt: Sequence[int], k: int, temperature: float) -> dict[str, Any]:
        """See `WireFormat.body`."""
        return {"model": model, "prompt": list(prompt), "max_tokens": 1, "prompt_logprobs": k, "temperature": temperature}

    def entries(self, answer: Any) -> list[Entry | None]:
        """See `WireFormat.entries`."""
        found = answer["choices"][0]["prompt_logprobs"]
        if not isinstance(found, list):
            raise TeacherServerError("The server's answer has no prompt_logprobs.", "vLLM's /v1/completions was expected.",
                                     "llama.cpp's server and vendors' interfaces give none: take vLLM, SGLang, or serve-teacher.",
                                     field=FIELD)
        return found


class SGLang(WireFormat):
    """The native interface of SGLang: lists of (log-probability, token id, text or null)."""

    PATH = "/generate"

    def body(self, model: str, prompt: Sequence[int], k: int, temperature: float) -> dict[str, Any]:
        """See `WireFormat.body`. The server serves one model, and its name is not sent."""
        return {"input_ids": list(prompt), "sampling_params": {"max_new_tokens": 1, "temperature": temperature}, "return_logprob": True,
                "logprob_start_len": 0, "top_logprobs_num": k, "return_text_in_logprobs": False}

    def entries(self, answer: Any) -> list[Entry | None]:
        """See `WireFormat.entries`. The text's own token is listed apart, and joins the others as in vLLM's answer."""
        said = answer["meta_info"]
        own, top = said["input_token_logprobs"], said.get("input_top_logprobs")
        if not isinstance(top, list) or len(top) != len(own):
            raise TeacherServerError("The server's answer has no input_top_logprobs.", "SGLang's /generate was expected.",
                                     "Take vLLM, SGLang, or serve-teacher.", field=FIELD)
        return [None, *(_joined(listed, alone) for listed, alone in zip(top[1:], own[1:], strict=True))]


def _joined(listed: Sequence[Sequence[Any]] | None, own: Sequence[Any]) -> Entry:
    entry: Entry = {str(int(token)): {"logprob": log_p} for log_p, token, *_ in listed or ()}
    log_p, token = own[0], int(own[1])
    entry.setdefault(str(token), {"logprob": log_p})
    return entry


def wire_format(listed: Mapping[str, Any]) -> WireFormat:
    """Return how the server of a listed model is spoken to; vLLM's way where it does not say what it is."""
    return SGLang() if str(listed.get("owned_by", "")).casefold() == "sglang" else VLLM()
