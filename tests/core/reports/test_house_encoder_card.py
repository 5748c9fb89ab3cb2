"""The house encoder's card as Markdown; what it measures has tests of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from core.evaluation.blanks import Fill
from core.models import catalog
from core.recipes import read_recipe
from core.reports import house_encoder_card
from core.reports.house_encoder_card import SEEDS, TASKS, card, masked_metrics, measure
from core.tasks.data import TaskData
from tests.core.masked_models import masked_model, save
from tests.core.tasks.encoders import sentiment

RECIPE = "house-encoder.yaml"
CONFIG = read_recipe(Path(__file__).resolve().parents[3] / "assets" / "recipes" / RECIPE)
METRICS: dict[str, Any] = {"parameters": 1234567, "embeddings": 1000, "masked_accuracy": 0.4567, "tokens": 9876, "perplexity": 23.45,
                           "accuracy_imdb": [0.8, 0.82, 0.84], "items_imdb": 100, "accuracy_rt": [0.7, 0.7, 0.7], "items_rt": 400,
                           "samples": []}


def test_accuracies_have_the_error_of_their_seeds_and_that_of_their_number() -> None:
    text = card(METRICS, RECIPE, CONFIG, 75.4)
    # sqrt(0.02^2 / 3) over seeds; sqrt(p (1 - p) / n) for the number of reviews
    assert "82.0% ± 1.2% over seeds, 100 reviews (± 3.8% for their number)" in text
    assert "70.0% ± 0.0% over seeds, 400 reviews (± 2.3% for their number)" in text
    assert "1,234,567" in text and "45.7% of 9,876 masked tokens" in text and "75 minutes" in text
    assert f"distill {RECIPE}`" in text and "reads" not in text.split("## Limits")[1]


def test_blanks_and_a_longer_reach_are_shown() -> None:
    longest = {"masked_accuracy": 0.31, "perplexity": 40.0}
    fills = [Fill("good", 0.5), Fill("bad", 0.25)]
    text = card({**METRICS, "samples": [("The film was [MASK].", fills)], "longest": longest}, RECIPE, CONFIG, 1)
    assert "| The film was [MASK]. | good 50%, bad 25% |" in text
    assert "31.0%" in text.split("## Limits")[1] and "40.0" in text.split("## Limits")[1]


def test_measured_keys_are_those_of_the_card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a tiny encoder that reads fewer tokens than the recipe's blocks hold, and a task of seconds."""
    given: list[tuple[str, int]] = []

    def task(spec: Any) -> TaskData:
        given.append((spec.source, spec.max_train_items))
        assert spec.validation == "test"
        return sentiment(train=8, held_out=4)

    monkeypatch.setattr(house_encoder_card, "load_task", task)
    monkeypatch.setattr(house_encoder_card, "fine_tune_and_evaluate", lambda *_, seed, **__: (None, {"accuracy": seed / 100}))
    held_out = house_encoder_card.movie_reviews.held_out("test")[:6]
    monkeypatch.setattr(house_encoder_card.movie_reviews, "held_out", lambda part: held_out if part == "test" else pytest.fail(part))
    folder = save(masked_model(), tmp_path / "encoder")
    config = CONFIG.model_copy(update={"data": CONFIG.data.model_copy(update={"block_length": 32})})
    metrics = measure(folder, config)
    assert given == [(task, house_encoder_card.TRAIN_ITEMS) for task in TASKS]
    assert metrics["accuracy_rt"] == [seed / 100 for seed in SEEDS] and metrics["items_rt"] == 4
    assert metrics.keys() == METRICS.keys() | {"longest"} | masked_metrics(catalog.load(str(folder)), config.data).keys()
    assert len(metrics["samples"]) == len(house_encoder_card.SENTENCES)
    assert metrics["longest"]["perplexity"] != metrics["perplexity"], "blocks of the context's length, not of the recipe's"
    assert "## Blanks" in card(metrics, RECIPE, config, 2)


def test_the_command_writes_the_card_beside_the_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setattr(house_encoder_card, "measure", lambda folder, config: METRICS)
    house_encoder_card.main([str(tmp_path), "12.5", f"assets/recipes/{RECIPE}"])
    text = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert text == card(METRICS, f"assets/recipes/{RECIPE}", CONFIG, 12.5) and capsys.readouterr().out == f"{text}\n"
