"""What the command line shows of a retention card and of scores."""

from __future__ import annotations

import time

from core.reports.measure import Measurement
from tests.core.evaluation.cards import card
from tests.pages import examples
from workbench.store import Store
from workbench.terminal import output


def test_a_run_is_shown_with_its_retention_card() -> None:
    store = Store()
    run = examples.with_card(store, "carded", card())
    assert "retention card" not in output.run_text(run, store)
    store.log_events(run.id, [("report", {"retention": card().to_dict()}, time.time())])
    text = output.run_text(run, store)
    line = next(each for each in text.splitlines() if each.startswith("Retained, macro"))
    assert "97.7% [" in line and line.endswith("97%, GLUE")
    assert "arXiv 1910.01108" in text


def test_lines_of_a_card_fit_a_terminal() -> None:
    text = output.card_text(card())
    assert max(map(len, text.splitlines())) <= 120


def test_a_score_over_items_has_wilsons_interval_in_brackets() -> None:
    measured = Measurement("small", "rt", "accuracy", 28, "items", {"accuracy": 1.0, "stderr": 0.0, "items": 28})
    text = output.measurement_table([measured])
    assert "accuracy 1 (0.879 to 1.000)" in text
    assert text.splitlines()[-1] == "in brackets 95% CI, Wilson over items"
