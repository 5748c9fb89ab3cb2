"""Which runs' numbers compare with each other."""

from __future__ import annotations

import pytest

from tests.pages import examples
from workbench.screens.shared import comparability
from workbench.store import Store


@pytest.fixture
def store(home) -> Store:
    return Store()


def sizes(store: Store, metric: str) -> list[int]:
    runs = sorted(store.runs(), key=lambda run: run.name)
    return [len(members) for members in comparability.groups(runs, metric, store).values()]


def test_another_vocabulary_cuts_the_same_text_into_other_tokens(store: Store, monkeypatch: pytest.MonkeyPatch):
    examples.finished(store, "a")
    measured = examples.measured
    monkeypatch.setattr(examples, "measured", lambda distance: measured(distance) | {"tokens": 5000})
    examples.finished(store, "b")
    assert sizes(store, "eval/perplexity") == [1, 1]
    assert sizes(store, "eval/agreement") == [1, 1]
    assert sizes(store, "eval/bits_per_byte") == [2], "bits per byte of one text compare across vocabularies"
    assert sizes(store, "tokens_per_second") == [2]


def test_another_teacher_separates_what_is_measured_against_it(store: Store):
    examples.finished(store, "a", teacher={"model": "house-chat"})
    examples.finished(store, "b", teacher={"model": "other"})
    assert sizes(store, "eval/kl_to_teacher") == [1, 1]
    assert sizes(store, "eval/perplexity") == [2]


def test_losses_of_other_weights_are_no_one_quantity(store: Store):
    examples.finished(store, "a", losses={"w_kd": 1.0})
    examples.finished(store, "b", losses={"w_kd": 0.5})
    assert sizes(store, "loss") == [1, 1]
    assert sizes(store, "raw/kd") == [2]
