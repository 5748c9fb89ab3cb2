"""How models are scored for the retention card."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from core.config import RetentionSpec
from core.data import movie_reviews
from core.errors import ConfigError, DataError
from core.evaluation.sentiment import evaluate_sentiment
from core.models import catalog
from core.recorder import ListRecorder, StopRequested
from core.reports.task_scores import scoring
from core.tasks.data import task_spec
from tests.core.chat_models import save_chat_model
from tests.core.masked_models import masked_model, save


@pytest.fixture
def few_reviews(monkeypatch: pytest.MonkeyPatch) -> None:
    held_out = movie_reviews.held_out
    monkeypatch.setattr(movie_reviews, "held_out", lambda split, limit=None: held_out(split, 40))


def test_a_causal_model_is_scored_once(tmp_path: Path, few_reviews: None) -> None:
    folder = str(save_chat_model(tmp_path / "model"))
    how = scoring(RetentionSpec(seeds=3), "causal", ListRecorder(), seed=7, device="cpu")
    assert how.seeds == (7,) and not how.tuned
    reviews = [review for review in movie_reviews.held_out("validation") if review.source == "rt"]
    loaded = catalog.load(folder, dtype=torch.float32)
    expected = evaluate_sentiment(loaded.model, loaded.tokenizer, reviews, "cpu")
    reached = how.score(folder, "rt", 7)
    assert (reached.value, reached.items, reached.metric) == (expected["sentiment_accuracy"], len(reviews), "accuracy")


def test_tasks_without_zero_shot_labels_are_refused_beforehand() -> None:
    with pytest.raises(ConfigError, match="squad") as error:
        scoring(RetentionSpec(tasks=("imdb", "squad")), "causal", ListRecorder(), seed=0, device="cpu")
    assert "[]" in error.value.fix
    assert scoring(RetentionSpec(tasks=()), "causal", ListRecorder(), seed=0, device="cpu").seeds == (0,)


@pytest.mark.parametrize(("name", "source", "subset"), [
    ("imdb", "imdb", None), ("nyu-mll/glue:sst2", "nyu-mll/glue", "sst2"), ("squad.json", "squad.json", None),
    ("C:\\data\\reviews.csv", "C:\\data\\reviews.csv", None)])
def test_a_task_is_named_by_its_source(name: str, source: str, subset: str | None) -> None:
    spec = task_spec(name, 500)
    assert (spec.source, spec.subset, spec.max_train_items) == (source, subset, 500)


@pytest.fixture
def encoder(tmp_path: Path) -> str:
    return str(save(masked_model(layers=2), tmp_path / "encoder"))


def labelled(folder: Path) -> str:
    path = folder / "labelled.csv"
    path.write_text("text,label\n" + "".join(f"a {word} film {number},{word}\n" for number in range(60) for word in ("good", "bad")))
    return str(path)


def test_an_encoder_is_fine_tuned_with_each_seed_on_the_same_items(encoder: str, tmp_path: Path) -> None:
    task, recorder = labelled(tmp_path), ListRecorder()
    how = scoring(RetentionSpec(tasks=(task,), seeds=2, epochs=8, learning_rate=2e-3), "masked", recorder, seed=7, device="cpu")
    assert how.seeds == (7, 8) and how.tuned
    before = catalog.load(encoder, dtype=torch.float32).model.state_dict()
    first, again, other = how.score(encoder, task, 7), how.score(encoder, task, 7), how.score(encoder, task, 8)
    assert first == again and first.items == other.items > 0 and first.metric == "accuracy"
    assert first.value > 0.9, "the label stands in the text"
    after = catalog.load(encoder, dtype=torch.float32).model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert not recorder.rows and not recorder.events, "its curves are not the run's"


def test_a_stop_ends_a_fine_tuning(encoder: str, tmp_path: Path) -> None:
    class Impatient(ListRecorder):
        def should_stop(self) -> bool:
            return True

    task = labelled(tmp_path)
    with pytest.raises(StopRequested):
        scoring(RetentionSpec(tasks=(task,)), "masked", Impatient(), seed=7, device="cpu").score(encoder, task, 7)


def test_a_task_that_cannot_be_read_is_refused_beforehand() -> None:
    with pytest.raises(DataError, match="nowhere"):
        scoring(RetentionSpec(tasks=("nowhere.csv",)), "masked", ListRecorder(), seed=0, device="cpu")
