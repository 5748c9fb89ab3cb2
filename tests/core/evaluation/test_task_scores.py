"""How models are scored for the retention card."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from core import catalog
from core.config import RetentionSpec
from core.data import house
from core.errors import ConfigError
from core.evaluation.sentiment import evaluate_sentiment
from core.evaluation.task_scores import scoring, task_spec
from core.recorder import ListRecorder
from tests.core.chat_models import save_chat_model


@pytest.fixture
def few_reviews(monkeypatch: pytest.MonkeyPatch) -> None:
    held_out = house.held_out
    monkeypatch.setattr(house, "held_out", lambda split, limit=None: held_out(split, 40))


def test_a_causal_model_is_asked_once(tmp_path: Path, few_reviews: None) -> None:
    folder = str(save_chat_model(tmp_path / "model"))
    how = scoring(RetentionSpec(seeds=3), "causal", ListRecorder(), seed=7, device="cpu")
    assert how.seeds == (7,) and not how.tuned
    reviews = [review for review in house.held_out("validation") if review.source == "rt"]
    loaded = catalog.load(folder, dtype=torch.float32)
    expected = evaluate_sentiment(loaded.model, loaded.tokenizer, reviews, "cpu")
    reached = how.score(folder, "rt", 7)
    assert (reached.value, reached.items, reached.metric) == (expected["sentiment_accuracy"], len(reviews), "accuracy")


def test_what_a_causal_model_cannot_be_asked_is_refused_beforehand() -> None:
    with pytest.raises(ConfigError, match="squad") as told:
        scoring(RetentionSpec(tasks=("imdb", "squad")), "causal", ListRecorder(), seed=0, device="cpu")
    assert "[]" in told.value.fix
    assert scoring(RetentionSpec(tasks=()), "causal", ListRecorder(), seed=0, device="cpu").seeds == (0,)


@pytest.mark.parametrize(("name", "source", "subset"), [
    ("imdb", "imdb", None), ("nyu-mll/glue:sst2", "nyu-mll/glue", "sst2"), ("squad.json", "squad.json", None),
    ("C:\\data\\reviews.csv", "C:\\data\\reviews.csv", None)])
def test_a_task_is_named_by_its_source(name: str, source: str, subset: str | None) -> None:
    pytest.importorskip("core.tasks.data")
    spec = task_spec(name, 500)
    assert (spec.source, spec.subset, spec.max_train_items) == (source, subset, 500)
