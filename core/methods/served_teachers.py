"""A run whose teacher answers at an address: the handshake, and the two caches that its answers are kept in.

    training    at the temperature of the loss, in the form of the recipe
    held out    at temperature 1, with the text's own token: the teacher's cross-entropy, and what students are compared with
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

from core.config import ExperimentConfig
from core.data.prepare import PreparedData
from core.errors import ConfigError, about
from core.events import RunWarning
from core.methods.teacher_signals import tokenizer_digest
from core.models.vocabulary import unpadded_width
from core.recorder import Recorder, stop_if_requested
from core.reports.run_report import ModelSummary, SignalsSummary
from core.signals.cache import Key, SignalCache
from core.signals.cached import CachedTeacher
from core.signals.forms import LikeliestTokens
from core.signals.handshake import ServerFacts, choose_model, require_answers_as_requested, require_same_answers, require_same_tokens
from core.signals.served import ServedTeacher
from core.signals.server_client import ServerClient
from core.system import reach
from core.system.paths import signals_dir

SAY_AGAIN = 60.0  # seconds between two warnings of a server that does not answer
KEEP = 30.0  # seconds after which answers are written: they were paid for


@dataclass(frozen=True)
class Served:
    """A teacher at an address, after its handshake.

    Attributes:
        name: its address without credentials, with the model.
        training, held_out: its answers; see the module.
    """

    name: str
    facts: ServerFacts
    client: ServerClient
    training: CachedTeacher
    held_out: CachedTeacher

    @property
    def summary(self) -> ModelSummary:
        """The teacher as reports hold it; a server does not say how large its model is."""
        return ModelSummary(self.name, None, None)

    def signals(self, tokens_per_second: float) -> SignalsSummary:
        """Return what the report says of the answers, and of the server."""
        kept = self.training
        return SignalsSummary(
            form="top_k", cache=kept.cache.key.digest, queried=kept.queried, reused=kept.reused, bytes=kept.cache.manifest.size,
            seconds=round(kept.seconds, 2), ratio=None, bound=None, tokens_per_second=round(tokens_per_second, 1),
            server={"address": self.client.address.url, "model": self.client.model, **self.client.use.to_dict()})

    def describe(self, tokens: int) -> str:
        """Return a sentence for a plan.

        Args:
            tokens: of all training blocks.
        """
        alike = f"{self.facts.compared} texts are tokenised alike" if self.facts.compared else "it tokenises nothing itself"
        return (f"'{self.name}' answers; {alike}; its {self.training.cache.key.form['k']} likeliest tokens are requested at up to "
                f"{tokens:,} positions, each once.")


def connect(config: ExperimentConfig, tokenizer: Any, student: Any, data: PreparedData, recorder: Recorder) -> Served:
    """Return the teacher at a recipe's address, once it has been checked (`core.signals.handshake`).

    Args:
        tokenizer: the student's.
        student: its model, whose head says how many tokens there are.
        recorder: hears of a server that does not answer; polled for stop requests meanwhile.

    Raises:
        TeacherServerError, CompatibilityError: the server cannot be this student's teacher; see `core.signals.handshake`.
        ConfigError: an address that may not be queried.
    """
    spec = config.teacher
    assert spec is not None and spec.address is not None, "the recipe names an address"
    if outside := reach.address_refusal(spec.address.url):
        raise ConfigError(*outside, field="teacher.model")
    client = ServerClient(spec.address, spec.server, _Waiting(recorder))
    length, width = data.train.input_ids.shape[1], unpadded_width(tokenizer, student)
    facts = choose_model(client, length)
    name = replace(spec.address, model=facts.model).name
    rows = (data.validation if len(data.validation) else data.train).input_ids.tolist()
    facts = replace(facts, compared=require_same_tokens(client, tokenizer, rows))
    training = ServedTeacher(client, spec.signals.top_k, config.losses.temperature, width)
    held_out = ServedTeacher(client, spec.signals.top_k, 1.0, width, own=True)
    require_answers_as_requested(training, tokenizer, rows[0], spelt=not facts.compared)

    def cached(teacher: ServedTeacher, form: LikeliestTokens) -> CachedTeacher:
        # The name says whose answers these are; whether they are still its answers is queried, not hashed.
        key = Key(name, f"server {name}", tokenizer_digest(tokenizer), form.describe() | ({"own": True} if teacher.own else {}), "unknown",
                  length, width)
        cache = SignalCache(signals_dir() / key.digest, key)
        require_same_answers(teacher, cache)
        return CachedTeacher(cache, form, teacher, flush_seconds=KEEP)

    with about("teacher.model"):
        return Served(name, facts, client, cached(training, LikeliestTokens(training.places, training.temperature, spec.signals.tail)),
                      cached(held_out, LikeliestTokens(held_out.places, 1.0)))


class _Waiting:
    """Says once in a while that a server does not answer, and ends the waiting where the user stops the run."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder, self._said = recorder, float("-inf")

    def __call__(self, what: str) -> None:
        if time.monotonic() - self._said > SAY_AGAIN:
            self._said = time.monotonic()
            self.recorder.event(RunWarning(f"The teacher's server {what}. The run waits for it (teacher.server.patience)."))
        stop_if_requested(self.recorder)
