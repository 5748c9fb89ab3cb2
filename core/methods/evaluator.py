"""Evaluation of a run: each model is measured once, logged and sampled, and remembered for the calls that resume the run.

    Evaluator             what happens to a measurement: once, logged, with samples, remembered
    LanguageEvaluation    what is measured of a language model: held-out text, sentiment, answers to prompts
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

import torch
from torch import nn
from transformers import PreTrainedModel

from core.config import BridgeConfig, ExperimentConfig
from core.data import movie_reviews
from core.data.movie_reviews import Review
from core.data.packing import Blocks
from core.evaluation.objectives import Objective
from core.evaluation.sentiment import evaluate_sentiment
from core.evaluation.served import evaluate_served
from core.events import STAGES, SUBJECTS, TEACHER, Evaluation, Phase, Sample
from core.methods.kept_measurements import KeptMeasurements, Metrics, arithmetic, blocks_digest
from core.methods.orders import Order, share_out
from core.methods.run_folder import RunFolder
from core.methods.schedule import counted, skipped
from core.methods.steps import Corpus, TrainingInputs
from core.methods.teacher_signals import tokenizer_digest
from core.metrics import METRICS
from core.models.architectures import plain_model
from core.models.weight_digests import loaded_hash
from core.recorder import CONTROL, STUDENT, NullRecorder, Recorder
from core.signals.cached import CachedTeacher
from core.system.paths import cache_dir
from core.training.passes import ALONE, Passes
from core.training.sharding import any_sharded

Samples = Iterable[tuple[str, str]]  # prompts with their answers

LANGUAGE, SENTIMENT, ANSWERS = "language", "sentiment", "answers"  # parts of a run's schedule
SHORT_REVIEW = Review("A film like any other.", False, "rt", "validation")
STATES_BYTES = 1 << 28  # of a teacher's states on held-out text that are kept between evaluations

TRAINED = {STUDENT: SUBJECTS[STUDENT, "after"], CONTROL: SUBJECTS[CONTROL, "after"]}  # variant -> subject after its training


class Evaluator:
    """Measures the models of a run.

    Args:
        folder: remembers every measurement.
        recorder: receives every measurement and sample.
        variants: all variants that the run trains; they start from the same weights.
    """

    def __init__(self, folder: RunFolder, recorder: Recorder, variants: tuple[str, ...]) -> None:
        self.folder, self.recorder, self.variants = folder, recorder, variants

    def evaluate(self, subject: str, measure: Callable[[], Metrics], samples: Callable[[], Samples] | None = None) -> None:
        """Measure a model, unless this or an earlier call has.

        Args:
            subject: the key of the measurement in reports; all but the teacher's are points of the curves of their variants.
            measure: measures the model on held-out items.
            samples: lets the model answer a few prompts, as an illustration.
        """
        if subject in self.folder.progress.measurements:
            return
        self.recorder.event(Phase("evaluate", subject=subject))
        metrics = measure()
        self.recorder.event(Evaluation.of(subject, metrics))
        variants, step = self._place(subject)
        for variant in variants:
            self.recorder.log(variant, step, curve_metrics(metrics))
        if samples is not None and variants:
            self.show(variants[0], step, samples())
        # Remembered last: what a run that dies in between has not reported is measured and reported again.
        self.folder.progress.measurements[subject] = metrics
        self.folder.save_progress()

    def show(self, variant: str, step: int, samples: Samples) -> None:
        """Record samples of a variant at an optimiser step."""
        for prompt, answer in samples:
            self.recorder.event(Sample(variant, step, prompt, answer))

    def _place(self, subject: str) -> tuple[tuple[str, ...], int]:
        """Return the variants whose curves a measurement belongs to, and its step."""
        variant, stage = STAGES[subject]
        if variant == TEACHER:
            return (), 0
        return (self.variants, 0) if stage == "before" else ((variant,), self.folder.progress.steps.get(variant, 0))


def curve_metrics(metrics: Metrics) -> Metrics:
    """Return the metrics that are drawn as curves, under their names there."""
    return {f"eval/{name}": value for name, value in metrics.items() if f"eval/{name}" in METRICS}


@dataclass(frozen=True)
class LanguageEvaluation:
    """What is measured of a language model.

    Attributes:
        objective: causal or masked.
        tokenizer: of all models of the run.
        held_out: blocks of the validation part.
        sentiment_items: held-out reviews for the sentiment accuracy; may be 0.
        prompts: answered as samples.
        teacher: compared with, where there is one.
        batch_size: blocks in a forward pass.
        max_new_tokens: longest answer.
        seed: of the sampled answers.
        recorder: polled for stop requests, which end a measurement within a forward pass and leave nothing of it.
        states: what the teacher's head reads on the held-out blocks, which all evaluations of a run share; None where they would take
            more than STATES_BYTES.
        corpus: measures more, where a method made it.
        order: what the other processes of a run load to take part; None where this one measures alone.
    """

    objective: Objective
    tokenizer: Any
    held_out: Blocks
    sentiment_items: int
    prompts: tuple[str, ...]
    teacher: PreTrainedModel | CachedTeacher | None
    batch_size: int
    max_new_tokens: int
    seed: int
    device: torch.device
    dtype: torch.dtype
    recorder: Recorder = field(default_factory=NullRecorder)
    states: dict[int, torch.Tensor] | None = None
    corpus: Corpus | None = None
    order: Order | None = None
    _teacher_hash: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, inputs: TrainingInputs, recorder: Recorder | None = None, order: Order | None = None) -> LanguageEvaluation:
        """Return what the recipe of a run asks to be measured."""
        spec, train = inputs.config.evaluation, inputs.config.train
        reviews = inputs.corpus is None and reads_reviews(inputs.config)
        held_out, states = inputs.data.validation.take(spec.blocks), cast("dict[int, torch.Tensor] | None", None)
        teacher: PreTrainedModel | CachedTeacher | None = inputs.served.held_out if inputs.served is not None else None
        if inputs.teacher is not None:
            teacher = inputs.teacher.model
            width = teacher.config.get_text_config().hidden_size
            states = {} if 4 * held_out.input_ids.size * width <= STATES_BYTES else None
        return cls(inputs.objective, inputs.tokenizer, held_out, spec.sentiment_items if reviews else 0,
                   inputs.objective.prompts(spec.prompts), teacher, train.per_device_train_batch_size, spec.max_new_tokens, train.seed,
                   inputs.device, inputs.dtype, recorder or NullRecorder(), states, inputs.corpus, order)

    @property
    def reviews(self) -> Sequence[Review]:
        """The held-out reviews."""
        return movie_reviews.held_out("validation", self.sentiment_items) if self.sentiment_items else []

    def shortened(self, *, blocks: int, reviews: int, prompts: int) -> LanguageEvaluation:
        """Return the same with so many items at most."""
        return replace(self, held_out=self.held_out.take(blocks), sentiment_items=min(self.sentiment_items, reviews),
                       prompts=self.prompts[:prompts], states=None)

    def metrics(self, model: nn.Module, at: str = "") -> Metrics:
        """Measure everything but samples.

        Args:
            at: where the other processes of a run find the same model (`core.methods.orders.share_out`); alone without it.
        """
        more = {} if self.corpus is None else self.corpus.measure(model, self.tokenizer, self.device, self.dtype)
        return self.language(model, at) | self.sentiment(model, at) | more

    def shared_metrics(self, model: nn.Module, weights: str, at: str = "") -> Metrics:
        """Return `metrics`, taken from the measurements that are kept where they are there, and kept there otherwise.

        Args:
            at: as of `metrics`.
            weights: what distinguishes the model from any other, as `core.models.weight_digests.loaded_hash` gives it.
        """
        if not self._shareable:
            return self.metrics(model, at)
        language, sentiment = self._keys(weights)
        kept = KeptMeasurements(cache_dir() / "measurements")
        parameters = plain_model(model).num_parameters()
        found = kept.of(language, lambda: self.language(model, at),
                        lambda: skipped(self.recorder, LANGUAGE, self.language_flop(parameters)))
        return found | (kept.of(sentiment, lambda: self.sentiment(model, at), lambda: skipped(
            self.recorder, SENTIMENT, self.sentiment_flop(parameters))) if self.sentiment_items else {})

    def known(self, weights: str) -> bool:
        """Return whether `shared_metrics` has nothing to measure for a model."""
        if not self._shareable:
            return False
        language, sentiment = self._keys(weights)
        kept = KeptMeasurements(cache_dir() / "measurements")
        return kept.find(language) is not None and (not self.sentiment_items or kept.find(sentiment) is not None)

    def rehearse(self, model: nn.Module) -> Metrics:
        """Return `metrics` of next to nothing, so that what cannot be measured is found before the first step."""
        device = plain_model(model).device  # a student whose weights will be shared out is not on the run's device yet
        small = replace(self.shortened(blocks=1, reviews=0, prompts=0), recorder=NullRecorder(), device=device,
                        teacher=self.teacher if device.type == self.device.type else None)
        if self.corpus is not None:
            self.corpus.rehearse(model, self.tokenizer, device, self.dtype)
        found = small.language(model)
        if not self.sentiment_items:
            return found
        return found | evaluate_sentiment(model, self.tokenizer, [SHORT_REVIEW], device, dtype=self.dtype)

    def teacher_hash(self) -> str:
        """Return the digest of the teacher's weights; empty without one in memory."""
        if isinstance(self.teacher, PreTrainedModel) and not self._teacher_hash:
            self._teacher_hash.append(loaded_hash(self.teacher))
        return "".join(self._teacher_hash)

    @property
    def _shareable(self) -> bool:
        """Whether weights and items say all: not what a server answers, nor what a method measures besides."""
        return self.corpus is None and not isinstance(self.teacher, CachedTeacher)

    def _keys(self, weights: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return what the two parts of `metrics` are kept under."""
        model = {"weights": weights, "tokenizer": tokenizer_digest(self.tokenizer)} | arithmetic(self.device, self.dtype)
        language = {"measured": self.objective.name, "teacher": self.teacher_hash(), "blocks": blocks_digest(self.held_out),
                    "batch": self.batch_size}
        return model | language, model | {"measured": "sentiment", "items": self.sentiment_items,
                                          "template": self.tokenizer.chat_template, "corpus": movie_reviews.version()}

    def served(self) -> Metrics:
        """Measure the teacher at its address, on the held-out blocks."""
        assert isinstance(self.teacher, CachedTeacher), "its answers are kept"
        with counted(self.recorder, LANGUAGE, 0.0) as advance:
            return evaluate_served(self.teacher, self.held_out, tokenizer=self.tokenizer, batch_size=self.batch_size, advance=advance)

    def language(self, model: nn.Module, at: str = "") -> Metrics:
        """Measure cross-entropy and the like on the held-out blocks; `at` as of `metrics`."""
        passes = self._passes(LANGUAGE, at)
        flop = self.language_flop(plain_model(model).num_parameters())
        if self.states == {} and model is not self.teacher:
            flop += self.states_flop
        with counted(self.recorder, LANGUAGE, flop) as advance, passes.computing():
            return self.objective.measure(model, self.held_out, self.teacher, batch_size=self.batch_size, device=self.device,
                                          dtype=self.dtype, advance=advance, states=self.states, passes=passes)

    def sentiment(self, model: nn.Module, at: str = "") -> Metrics:
        """Measure the sentiment accuracy; nothing without reviews. `at` as of `metrics`."""
        if not self.sentiment_items:
            return {}
        passes = self._passes(SENTIMENT, at)
        flop = self.sentiment_flop(plain_model(model).num_parameters())
        with counted(self.recorder, SENTIMENT, flop) as advance, passes.computing():
            return evaluate_sentiment(model, self.tokenizer, self.reviews, self.device, dtype=self.dtype, advance=advance,
                                      passes=passes)

    def samples(self, model: nn.Module, at: str = "") -> Iterator[tuple[str, str]]:
        """Yield every prompt with the model's answer; the model is in training mode again afterwards if it was before.

        Args:
            at: as of `metrics`; then all have to be taken.
        """
        passes, training = self._passes(ANSWERS, at), model.training
        model.eval()

        def answer(number: int) -> str:
            # A model with adapters is called like the one that it wraps.
            return self.objective.answer(cast(PreTrainedModel, model), self.prompts[number], max_new_tokens=self.max_new_tokens,
                                         seed=self.seed)

        with counted(self.recorder, ANSWERS, self.answers_flop(plain_model(model).num_parameters())) as advance:
            yield from zip(self.prompts, passes.texts(len(self.prompts), answer, advance), strict=True)
        model.train(training)

    def _passes(self, part: str, at: str) -> Passes:
        """Return what this process does of a part; the others hear of theirs, where they can take part."""
        if self.order is None or (part == LANGUAGE and isinstance(self.teacher, CachedTeacher)) or (part == ANSWERS and any_sharded()):
            return ALONE  # one process queries a server, and keeps what it answers; answers are of different lengths, in no step
        return share_out(part, at, self.order)

    def language_flop(self, parameters: int) -> float:
        """FLOP of `language` for a model of so many parameters, without the teacher's states that are kept."""
        again = self.teacher.num_parameters() if isinstance(self.teacher, PreTrainedModel) and self.states is None else 0
        return 2.0 * (parameters + again) * self.held_out.input_ids.size

    @property
    def states_flop(self) -> float:
        """FLOP of the teacher's states on the held-out blocks, where they are kept; 0 where they are not."""
        kept = isinstance(self.teacher, PreTrainedModel) and self.states is not None
        return 2.0 * cast(PreTrainedModel, self.teacher).num_parameters() * self.held_out.input_ids.size if kept else 0.0

    def sentiment_flop(self, parameters: int) -> float:
        """FLOP of `sentiment`; a review counts as many tokens as a block."""
        return 2.0 * parameters * self.sentiment_items * self.held_out.input_ids.shape[1]

    def answers_flop(self, parameters: int) -> float:
        """FLOP of `samples`."""
        return 2.0 * parameters * len(self.prompts) * self.max_new_tokens


def reads_reviews(config: ExperimentConfig) -> bool:
    """Return whether what is trained on are film reviews: of the house corpus, or written to its requests."""
    requests = config.bridge.prompts if isinstance(config, BridgeConfig) else None
    return movie_reviews.HOUSE in (config.data.source, requests)
