"""A retention card as points of a figure and as a file."""

from __future__ import annotations

import io
from dataclasses import replace

import pandas as pd
import pytest

from core.reports.retention_card import Card, Row
from tests.core.evaluation.cards import card
from workbench.screens.shared import retention_view
from workbench.screens.shared.theme import ROLE_COLOURS, SERIES


def test_every_task_has_a_point_for_each_row_and_the_published_one() -> None:
    points = retention_view.retained_points(card()).set_index(["label", "series"])
    assert points.loc[("IMDb", "Student"), "value"] == pytest.approx(0.89 / 0.91)
    assert points.loc[("IMDb", "DistilBERT"), "value"] == pytest.approx(92.82 / 93.46)
    assert points.loc[("All tasks", "DistilBERT"), "value"] == pytest.approx(77.0 / 79.5)
    assert ("Rotten Tomatoes", "DistilBERT") not in points.index and ("IMDb", "Teacher") not in points.index
    student = points.loc[("All tasks", "Student")]
    assert student["low"] < student["value"] < student["high"]
    assert pd.isna(points.loc[("IMDb", "DistilBERT"), "low"])


def test_without_tasks_there_is_no_point() -> None:
    bare = replace(card(), rows=tuple(replace(row, scores=()) for row in card().rows))
    assert retention_view.retained_points(bare).empty


def test_every_row_has_a_colour_of_its_own() -> None:
    known = card()
    more = replace(known, rows=(*known.rows, Row("ONNX", "a"), Row("ONNX int8", "b")))
    colours = retention_view.series_colours(more)
    assert colours["Student"] == ROLE_COLOURS["student"] and list(colours)[-1] == "DistilBERT"
    assert len(set(colours.values())) == len(colours) == 5 and set(colours.values()) <= set(SERIES)


def test_the_file_holds_raw_scores_by_seed_and_what_follows() -> None:
    table = pd.read_csv(io.StringIO(retention_view.card_csv(card()))).set_index(["kind", "quantity"])
    assert table.loc[("student", "imdb accuracy, seed 43"), "value"] == 0.90
    assert table.loc[("student", "faster"), "low"] == pytest.approx(0.52)
    assert table.loc[("teacher", "parameters"), "value"] == 10_000_000 and table.loc[("student", "imdb items"), "value"] == 1250
    assert table.loc[("published", "macro retained"), "value"] == 0.97
    assert retention_view.card_csv(Card((Row("teacher", "t"),))).count("\n") == 1 + 3
