"""Metrics by name: complete, and worded for what a run's models predict."""

from __future__ import annotations

import pytest

from core.loss_terms import LOSS_TERMS
from core.metrics import MASKED, METRICS, metric


@pytest.mark.parametrize("name", METRICS)
def test_a_metric_has_a_label_a_direction_and_a_sentence(name: str) -> None:
    for masked in (False, True):
        found = metric(name, masked=masked)
        assert found.label and found.better in ("lower", "higher", "none") and found.help.endswith(".")


def test_labels_of_figures_differ() -> None:
    """Two curves of one name in a legend could not be distinguished."""
    for masked in (False, True):
        labels = [metric(name, masked=masked).label for name in METRICS]
        assert len(set(labels)) == len(labels)


def test_masked_models_have_words_of_their_own_where_they_need_them() -> None:
    assert MASKED.keys() <= METRICS.keys()
    assert metric("eval/perplexity", masked=True) is MASKED["eval/perplexity"]
    assert metric("eval/perplexity") is METRICS["eval/perplexity"]
    assert metric("learning_rate", masked=True) is METRICS["learning_rate"]
    for name, ours in MASKED.items():
        assert (ours.better, ours.unit) == (METRICS[name].better, METRICS[name].unit), "only words differ"


def test_a_weighted_term_has_a_raw_one() -> None:
    terms = {name.removeprefix("loss/") for name in METRICS if name.startswith("loss/")}
    assert terms == {name.removeprefix("raw/") for name in METRICS if name.startswith("raw/")} == {term.name for term in LOSS_TERMS}


def test_an_unknown_metric_is_an_error() -> None:
    with pytest.raises(KeyError):
        metric("eval/bleu")
