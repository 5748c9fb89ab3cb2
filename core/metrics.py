"""What is measured: each metric's unit, direction and meaning, once, for logs, figures and reports."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from core.loss_terms import LOSS_TERMS, LossTerm, MaskedWords


@dataclass(frozen=True, slots=True)
class Metric:
    """One measured quantity.

    Attributes:
        label: how figures and tables call it.
        unit: its unit, empty for pure numbers.
        better: which direction is an improvement; ``none`` for quantities that only inform.
        help: one sentence for a tooltip.
    """

    label: str
    unit: str
    better: Literal["lower", "higher", "none"]
    help: str



def _weighted(term: LossTerm, words: LossTerm | MaskedWords) -> Metric:
    factor = f"{term.key} times T squared" if term.softened else term.key
    return Metric(f"{words.label}, weighted", "", "lower", f"{factor} times the {words.help}.")


def _raw(term: LossTerm, words: LossTerm | MaskedWords) -> Metric:
    text = f"{words.help[0].upper()}{words.help[1:]}{', without T squared' if term.softened else ''}."
    return Metric(words.label, term.unit, "lower", text)


METRICS: dict[str, Metric] = {
    # Training, every logging step. `loss/x` is the weighted share of a term in the total, `raw/x` the term itself.
    "loss": Metric("total loss", "", "lower", "Weighted sum of the terms, mean over the counted positions."),
    **{f"loss/{term.name}": _weighted(term, term) for term in LOSS_TERMS},
    **{f"raw/{term.name}": _raw(term, term) for term in LOSS_TERMS},
    "learning_rate": Metric("learning rate", "", "none", "Step size of the optimiser after warm-up and decay."),
    "grad_norm": Metric("gradient norm", "", "none", "Norm of the gradient before clipping."),
    "tokens": Metric("tokens", "tokens", "none", "Tokens seen by the student so far."),
    "tokens_per_second": Metric("speed", "tokens/s", "higher", "Tokens trained per second, evaluation excluded."),
    "memory_gib": Metric("memory", "GiB", "lower", "Resident memory of the worker, or memory allocated on the GPU."),
    # A teacher that a server answers for, every logging step.
    "teacher/latency": Metric("teacher's latency", "s", "lower", "Seconds from a request to its answer, mean since the last point."),
    "teacher/tokens": Metric("tokens sent to the teacher", "", "none", "Tokens that the teacher's server answered for so far."),
    "teacher/retries": Metric("teacher's failures", "", "lower", "Requests so far that got no answer and were sent again."),
    # Evaluation on held-out items.
    "eval/cross_entropy": Metric("held-out cross-entropy", "nats/token", "lower", "Mean negative log-likelihood of held-out text."),
    "eval/perplexity": Metric("held-out perplexity", "", "lower", "exp of the held-out cross-entropy; compare only within one tokenizer."),
    "eval/masked_accuracy": Metric("masked accuracy", "", "higher", "Share of held-out masked tokens that are the model's first guess."),
    "eval/bits_per_byte": Metric("bits per byte", "bits/byte", "lower",
                                 "Held-out information per byte of text; comparable across tokenizers."),
    "eval/kl_to_teacher": Metric("KL to teacher", "nats/token", "lower", "KL(teacher || student) at temperature 1 on held-out text."),
    "eval/agreement": Metric("agreement", "", "higher", "Share of positions where student and teacher have the same most likely token."),
    "eval/sentiment_accuracy": Metric("sentiment accuracy", "", "higher",
                                      "Share of held-out reviews whose label gets the higher log-probability."),
    "eval/reading_accuracy": Metric("reading accuracy", "", "higher", (
        "Mean accuracy over tasks that are never trained on, by the mean log-probability of the candidates.")),
    "eval/accuracy": Metric("accuracy", "", "higher", "Share of held-out items that got the right label."),
    "eval/majority_share": Metric("most frequent label", "", "none",
                                  "Accuracy of always giving the label that is most frequent in training."),
    "eval/matthews": Metric("Matthews correlation", "", "higher", "Correlation of given and right labels, from -1 to 1; GLUE's for CoLA."),
    "eval/f1": Metric("F1", "", "higher", "Harmonic mean of precision and recall of label 1; GLUE's for MRPC and QQP."),
    "eval/exact_match": Metric("exact match", "", "higher", "Share of answers equal to a right one, after SQuAD's normalisation."),
    "eval/answer_f1": Metric("answer F1", "", "higher", "Overlap of the words of an answer with a right one's, mean over questions."),
}

# What some of them are in runs of masked language models, where the text itself is what stands behind the masks.
MASKED: dict[str, Metric] = {
    **{f"loss/{term.name}": _weighted(term, term.masked) for term in LOSS_TERMS if term.masked},
    **{f"raw/{term.name}": _raw(term, term.masked) for term in LOSS_TERMS if term.masked},
    "eval/cross_entropy": Metric("masked cross-entropy", "nats/token", "lower",
                                 "Mean negative log-likelihood of held-out masked tokens, the same ones every time."),
    "eval/perplexity": Metric("masked perplexity", "", "lower",
                              "exp of the masked cross-entropy; compare only within one tokenizer and one way of masking."),
    "eval/kl_to_teacher": Metric("KL to teacher", "nats/token", "lower",
                                 "KL(teacher || student) at temperature 1 over held-out masked tokens."),
    "eval/agreement": Metric("agreement", "", "higher",
                             "Share of held-out masked tokens for which student and teacher have the same first guess."),
}

# What results are shown by, without ``eval/``: the first that a run has measured heads its tables.
RESULTS = ("perplexity", "masked_accuracy", "bits_per_byte", "kl_to_teacher", "agreement", "sentiment_accuracy", "accuracy", "exact_match",
           "answer_f1", "matthews", "f1", "majority_share")


def metric(name: str, *, masked: bool = False) -> Metric:
    """Return one metric; `masked` says whether the run's models are masked language models."""
    return MASKED.get(name, METRICS[name]) if masked else METRICS[name]
