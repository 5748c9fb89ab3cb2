"""Every loss term on every page: its field, its part of the equation, its curve."""

from __future__ import annotations

import pandas as pd
import pytest

from core.config import DistillConfig, LossSpec
from core.loss_terms import LOSS_TERMS, LossTerm, keys
from workbench.screens import runs_view
from workbench.screens.new_experiment import advanced_form, controls, forms
from workbench.screens.shared import charts, results
from workbench.screens.shared.theme import GREY

EACH = pytest.mark.parametrize("term", LOSS_TERMS, ids=lambda term: term.name)


def table(**curves: list[float]) -> pd.DataFrame:
    rows = [("student", name.replace("_per_", "/", 1), step, value) for name, values in curves.items()
            for step, value in enumerate(values, 1)]
    return pd.DataFrame(rows, columns=["arm", "name", "step", "value"])


@EACH
def test_a_term_has_a_field_in_the_form(term: LossTerm) -> None:
    assert controls.CONTROLS[f"losses.{term.key}"].label.lower() == term.title
    assert f"losses.{term.key}" in advanced_form.TABS["Loss"]["Weights"]
    if term.masked:
        assert controls.MASKED_LABELS[f"losses.{term.key}"].lower() == term.masked.label


@EACH
def test_a_term_stands_in_the_equation_with_its_weight(term: LossTerm) -> None:
    losses = LossSpec(**{**dict.fromkeys(keys(), 0.0), term.key: 0.25}, temperature=3.0)
    latex = forms.equation(losses)
    assert "0.25" in latex and term.label in latex and ("3^2" in latex) == term.softened
    assert "D(p^T" not in latex
    assert (term.masked.label if term.masked else term.label) in forms.equation(losses, masked=True)


@EACH
def test_the_form_without_a_teacher_keeps_labels_alone(term: LossTerm) -> None:
    draft = forms.to_draft(DistillConfig(losses=LossSpec(**dict.fromkeys(keys(), 0.5))))
    forms.set_teacher(draft, there=False)
    assert (draft[f"losses.{term.key}.start"], draft[f"losses.{term.key}.end"]) == ((0.0, 0.0) if term.needs_teacher else (0.5, 0.5))
    assert forms.check(draft)[1] == {}


@EACH
def test_a_term_has_its_curve_and_unit(term: LossTerm) -> None:
    figure = charts.term_losses(table(**{f"raw_per_{term.name}": [2.0, 1.0]}), weighted=False).checked()
    assert [trace.name for trace in figure.data] == [term.label]
    assert (f"{term.label}: no unit" in figure.layout.yaxis.title.text) == (not term.unit)
    assert f"raw/{term.name}" in runs_view.OVERLAYS


def test_curves_have_colours_of_their_own() -> None:
    assert list(charts.TERM_COLOURS) == [term.name for term in LOSS_TERMS], "TERM_COLOURS of shared/charts.py lacks a colour"
    assert len({GREY, *charts.TERM_COLOURS.values()}) == len(LOSS_TERMS) + 1


@EACH
def test_a_term_has_its_share_of_the_total(term: LossTerm) -> None:
    other = next(each for each in LOSS_TERMS if each is not term)
    curves = table(**{"loss": [5.0], f"loss_per_{term.name}": [3.0], f"loss_per_{other.name}": [2.0]})
    assert f"3 {term.label}" in results.terms_now(charts.split(curves), masked=False)
