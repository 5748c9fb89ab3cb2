"""Evaluation of a run: each model is measured once, logged and sampled, and remembered for the calls that resume the run.

    Evaluator             what happens to a measurement: once, logged, with samples, remembered
    LanguageEvaluation    what is measured of a language model: held-out text, sentiment, answers to prompts
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from torch import nn
from transformers import PreTrainedModel

from core.data import movie_reviews
from core.data.movie_reviews import Review
from core.data.packing import Blocks
from core.evaluation.objectives import Objective
from core.evaluation.sentiment import evaluate_sentiment
from core.evaluation.served import evaluate_served
from core.events import STAGES, SUBJECTS, TEACHER, Evaluation, Phase, Sample
from core.methods.run_folder import RunFolder
from core.methods.steps import Corpus, TrainingInputs
from core.metrics import METRICS
from core.recorder import CONTROL, STUDENT, Recorder
from core.signals.cached import CachedTeacher

Metrics = dict[str, float]
Samples = Iterable[tuple[str, str]]  # prompts with their answers

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
        reviews: held-out reviews for the sentiment accuracy; may be empty.
        prompts: answered as samples.
        teacher: compared with, where there is one.
        batch_size: blocks in a forward pass.
        max_new_tokens: longest answer.
        seed: of the sampled answers.
        corpus: measures more, where a method made it.
    """

    objective: Objective
    tokenizer: Any
    held_out: Blocks
    reviews: Sequence[Review]
    prompts: tuple[str, ...]
    teacher: PreTrainedModel | CachedTeacher | None
    batch_size: int
    max_new_tokens: int
    seed: int
    device: torch.device
    dtype: torch.dtype
    corpus: Corpus | None = None

    @classmethod
    def of(cls, inputs: TrainingInputs) -> LanguageEvaluation:
        """Return what the recipe of a run asks to be measured."""
        spec, train = inputs.config.evaluation, inputs.config.train
        reviews = movie_reviews.held_out("validation", spec.sentiment_items) if spec.sentiment_items else []
        teacher: PreTrainedModel | CachedTeacher | None = inputs.served.held_out if inputs.served is not None else None
        if inputs.teacher is not None:
            teacher = inputs.teacher.model
        return cls(inputs.objective, inputs.tokenizer, inputs.data.validation.take(spec.blocks), reviews,
                   inputs.objective.prompts(spec.prompts), teacher, train.per_device_train_batch_size, spec.max_new_tokens, train.seed,
                   inputs.device, inputs.dtype, inputs.corpus)

    def shortened(self, *, blocks: int, reviews: int, prompts: int) -> LanguageEvaluation:
        """Return the same with so many items at most."""
        return replace(self, held_out=self.held_out.take(blocks), reviews=self.reviews[:reviews], prompts=self.prompts[:prompts])

    def metrics(self, model: nn.Module) -> Metrics:
        """Measure everything but samples."""
        more = {} if self.corpus is None else self.corpus.measure(model, self.tokenizer, self.device, self.dtype)
        return self.language(model) | self.sentiment(model) | more

    def served(self) -> Metrics:
        """Measure the teacher at its address, on the held-out blocks."""
        assert isinstance(self.teacher, CachedTeacher), "its answers are kept"
        return evaluate_served(self.teacher, self.held_out, tokenizer=self.tokenizer, batch_size=self.batch_size)

    def language(self, model: nn.Module) -> Metrics:
        """Measure cross-entropy and the like on the held-out blocks."""
        return self.objective.measure(model, self.held_out, self.teacher, batch_size=self.batch_size, device=self.device, dtype=self.dtype)

    def sentiment(self, model: nn.Module) -> Metrics:
        """Measure the sentiment accuracy; nothing without reviews."""
        if not self.reviews:
            return {}
        return evaluate_sentiment(model, self.tokenizer, self.reviews, self.device, dtype=self.dtype)

    def samples(self, model: nn.Module) -> Iterator[tuple[str, str]]:
        """Yield every prompt with the model's answer; the model is in training mode again afterwards if it was before."""
        training = model.training
        model.eval()
        for prompt in self.prompts:
            # A model with adapters is called like the one that it wraps.
            yield prompt, self.objective.answer(cast(PreTrainedModel, model), prompt, max_new_tokens=self.max_new_tokens, seed=self.seed)
        model.train(training)
