"""Streaming into the chat pane's client against bare `generate` of Transformers, the same model in turns."""

from __future__ import annotations

import statistics
import time

import torch

from core.data.chat_template import render
from core.models import catalog
from core.models.entries import LoadedModel
from tests.benchmarks.table import Figure
from workbench.inference import client
from workbench.inference.wire import Answer

MODEL, TOKENS, ROUNDS = "house-chat", 160, 5
MESSAGES = [{"role": "user", "content": "Continue this review:\n\nI watched this film with my family last night."}]
SAMPLING = {"sampling_temperature": 0.7, "top_k": 50, "top_p": 0.95}


def streamed_speed(seed: int) -> tuple[float, int]:
    """Tokens per second that arrive in the web process, from the question to the end, and how many came."""
    began, tokens = time.perf_counter(), 0
    for part in client.engine().generate(MODEL, MESSAGES, max_new_tokens=TOKENS, seed=seed, **SAMPLING):
        if isinstance(part, Answer):
            tokens = part.tokens
    return tokens / (time.perf_counter() - began), tokens


def bare_speed(loaded: LoadedModel, tokens: int) -> float:
    """Tokens per second of `generate` with the same sampling for an answer of the same length."""
    prompt = render(MESSAGES, loaded.tokenizer, add_generation_prompt=True)
    ids = torch.tensor([loaded.tokenizer(prompt, add_special_tokens=False).input_ids])
    began = time.perf_counter()
    loaded.model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=tokens, min_new_tokens=tokens, do_sample=True,
                          temperature=SAMPLING["sampling_temperature"], top_k=SAMPLING["top_k"], top_p=SAMPLING["top_p"])
    return tokens / (time.perf_counter() - began)


def figures() -> list[Figure]:
    """The chat's row of the table."""
    loaded = catalog.load(MODEL)
    streamed_speed(0), bare_speed(loaded, 20)  # loading and warming up
    pairs = []
    for seed in range(ROUNDS):
        ours, tokens = streamed_speed(seed)
        if tokens > 1:
            pairs.append((ours, bare_speed(loaded, tokens)))
    client.close()
    ours, bare = (statistics.median(side) for side in zip(*pairs, strict=True))
    return [Figure("chat streaming against bare generate", ours / bare, "times its speed", ">= 0.9", ours >= 0.9 * bare,
                   f"{ours:.0f} and {bare:.0f} tokens/s")]
