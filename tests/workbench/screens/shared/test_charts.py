"""Figures from tables."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from workbench.screens.shared import charts


def test_tokens_that_look_like_markup_are_shown_as_they_are():
    tokens = pd.DataFrame({"token": ["<br>", "<b>bold", "&lt;", "plain"], "plain": [0.4, 0.3, 0.2, 0.1], "softened": [0.25] * 4})
    assert charts.temperature(tokens, 2.0).layout.xaxis.ticktext == ("&lt;br&gt;", "&lt;b&gt;bold", "&amp;lt;", "plain")


def table(**curves: list[float]) -> pd.DataFrame:
    """Curves by ``variant__name``, with "/" written as "_per_"; steps from 1."""
    rows = [(variant, name.replace("_per_", "/"), step, value) for key, values in curves.items()
            for variant, _, name in [key.partition("__")] for step, value in enumerate(values, 1)]
    return pd.DataFrame(rows, columns=["arm", "name", "step", "value"])


def checked(draw):
    """What draws, followed by plotly's own check of every key and value."""
    return lambda *curves, **options: draw(*curves, **options).checked()


term_losses, evaluation, single = map(checked, (charts.term_losses, charts.evaluation, charts.single))


def trace(figure, name: str):
    """The trace of that name that stands in the legend."""
    return next(each for each in figure.data if each.name == name and each.showlegend is not False)


@pytest.mark.parametrize("count", [10, 1500, 1501, 10_000, 123_457])
def test_downsampling_keeps_ends_and_extremes(count: int):
    values = np.sin(np.arange(count) / 50)
    values[count // 3], values[count // 2] = 9.0, -9.0
    kept = charts.downsample(charts.Curve(np.arange(count), values))
    assert len(kept.steps) <= min(count, charts.POINTS + 2)
    assert {0, count - 1, count // 3, count // 2} <= set(kept.steps)
    assert (np.diff(kept.steps) > 0).all()
    assert np.array_equal(kept.values, values[kept.steps])


def test_downsampling_survives_missing_values():
    values = np.full(4000, np.nan)
    values[2000] = 1.0
    assert 1.0 in set(charts.downsample(charts.Curve(np.arange(4000), values)).values)


def test_each_term_has_its_curve_and_the_control_its_own():
    figure = term_losses(table(student__loss=[3, 2], student__loss_per_kd=[2, 1], student__loss_per_hard=[1, 1],
                                      student__loss_per_hidden=[0, 0], control__loss_per_hard=[2, 2]))
    assert {each.name for each in figure.data} == {"soft targets", "hard labels", "hard labels (control)", "total"}
    assert list(trace(figure, "soft targets").y) == [2, 1]
    assert trace(figure, "hard labels (control)").line.dash == "dash"


def test_a_control_has_its_place_before_its_first_point():
    ahead = charts.Ahead(control=True, steps=40)
    before = table(student__loss=[3, 2], student__loss_per_hard=[3, 2], **{"student__eval_per_agreement": [0.5, 0.6]})
    figure = term_losses(before, ahead=ahead)
    awaited = trace(figure, "control: after the student")
    assert np.isnan(awaited.y).all() and awaited.line.dash == "dash"
    assert list(figure.layout.xaxis.autorangeoptions.include) == [0, 40] and figure.layout.xaxis.autorangeoptions.clipmin == 0
    assert trace(evaluation(before, "eval/agreement", ahead=ahead), "control: after the student")
    # Before its first step the control is the student, and is measured with it.
    measured = pd.concat([before, table(control__eval_per_agreement=[0.5]).assign(step=0)])
    assert trace(term_losses(measured, ahead=ahead), "control: after the student")
    assert [each.name for each in evaluation(measured, "eval/agreement", ahead=ahead).data] == [
        "student", "control: after the student"]
    begun = pd.concat([before, table(control__loss_per_hard=[4.0])])
    names = {each.name for each in term_losses(begun, ahead=ahead).data}
    assert "hard labels (control)" in names and "control: after the student" not in names
    assert "control: after the student" not in {each.name for each in term_losses(before).data}


def test_raw_terms_have_no_total_and_a_unit():
    figure = term_losses(table(student__loss=[3, 2], student__raw_per_kd=[0.5, 0.4], student__raw_per_hard=[1, 1]), weighted=False)
    assert {each.name for each in figure.data} == {"soft targets", "hard labels"}
    assert figure.layout.yaxis.title.text == "nats/token"


def test_long_curves_are_drawn_under_their_average():
    rough = [1.0, 3.0] * 100
    figure = term_losses(table(student__raw_per_kd=rough), weighted=False)
    logged, average = figure.data
    assert logged.showlegend is False
    assert list(logged.y) == rough
    assert np.ptp(np.asarray(average.y)[20:]) < 1.0


def test_an_evaluation_shows_both_variants_and_the_teachers_level():
    curves = table(student__eval_per_perplexity=[90, 30], control__eval_per_perplexity=[90, 40])
    figure = evaluation(curves, "eval/perplexity", teacher=20)
    assert [each.name for each in figure.data] == ["student", "control"]
    assert figure.layout.yaxis.type == "log"
    assert figure.layout.shapes[0].y0 == 20
    assert figure.layout.annotations[0].y == pytest.approx(math.log10(20))  # plotly reads annotations, not shapes, in powers of ten


def test_a_curve_that_is_not_there_is_not_drawn():
    assert len(single(table(student__loss=[1.0]), "memory_gib").data) == 0


def test_overlaid_runs_keep_their_names_and_colours():
    runs = pd.concat([table(student__eval_per_agreement=[0.1, 0.2]).assign(run=name) for name in ("b", "a")])
    figure = charts.overlay(runs, "eval/agreement")
    assert [each.name for each in figure.data] == ["b", "a"]
    assert figure.data[0].line.color != figure.data[1].line.color


@pytest.mark.parametrize("draw", [evaluation, lambda curves, name: charts.overlay(curves.assign(run="one"), name)])
def test_axes_end_where_shares_and_steps_do(draw):
    figure = draw(table(student__eval_per_agreement=[0.5]), "eval/agreement")
    ends = figure.layout.yaxis.autorangeoptions
    assert -0.05 <= ends.clipmin < 0 and 1 < ends.clipmax <= 1.05
    assert figure.layout.xaxis.autorangeoptions.clipmin == 0
    assert draw(table(student__eval_per_perplexity=[50.0]), "eval/perplexity").layout.yaxis.autorangeoptions.clipmax is None


def test_two_tokens_that_read_the_same_keep_their_own_bars():
    tokens = pd.DataFrame({"token": ["a", "a"], "plain": [0.9, 0.1], "softened": [0.7, 0.3]})
    figure = charts.temperature(tokens, 2.5)
    assert list(figure.data[0].x) == [0, 1]
    assert list(figure.layout.xaxis.ticktext) == ["a", "a"]
    assert figure.data[1].name == "T = 2.5"


def test_bars_of_a_sharp_distribution_end_where_the_softened_ones_are_still_seen():
    tokens = pd.DataFrame({"token": ["a", "b"], "plain": [0.95, 0.002], "softened": [0.003, 0.002]})
    figure = charts.temperature(tokens, 10.0)
    plain, softened = figure.data
    assert max(plain.y) == pytest.approx(25 * 0.003)
    assert list(plain.customdata) == [0.95, 0.002]
    assert plain.text == ("95% ↑", "")
    assert list(softened.y) == [0.003, 0.002]
    assert charts.is_cut(tokens)
    assert not charts.is_cut(tokens.assign(softened=[0.5, 0.1]))


def test_a_logarithmic_axis_writes_its_minor_ticks_in_full():
    curves = pd.DataFrame({"arm": "student", "name": "loss/kd", "step": [1, 2], "value": [1.0, 30.0]})
    assert term_losses(curves, logarithmic=True).layout.yaxis.tickformat == "~g"


def test_intervals_stand_around_their_dots_and_series_side_by_side():
    rows = [("IMDb", "Student", 0.97, 0.95, 0.98), ("IMDb", "Control", 0.90, math.nan, math.nan), ("<b>mine", "Student", 0.8, 0.7, 0.9)]
    points = pd.DataFrame(rows, columns=["label", "series", "value", "low", "high"])
    figure = charts.intervals(points, x_title="share", colours={"Student": "#111111", "Nobody": "#222222", "Control": "#333333"},
                              hollow={"Control"}, reference=1.0)
    student, control = figure.data
    assert list(student.x - student.error_x.arrayminus) == pytest.approx([0.95, 0.7])
    assert list(student.x + student.error_x.array) == pytest.approx([0.98, 0.9])
    assert np.isnan(control.error_x.array).all() and control.marker.symbol == "diamond-open"
    assert student.y[0] < control.y[0] < 0.5 and student.y[1] - student.y[0] == 1
    assert figure.layout.yaxis.ticktext == ("IMDb", "&lt;b&gt;mine") and figure.layout.yaxis.range == (1.5, -0.5)
    assert figure.layout.shapes[0].x0 == 1.0 and figure.layout.showlegend
    single = charts.intervals(points[points["series"] == "Student"], x_title="share", colours={"Student": "#111111"})
    assert not single.layout.shapes and not single.layout.showlegend and set(single.data[0].y) == {0.0, 1.0}


def test_ranked_bars_stand_from_the_top_and_say_what_differs_in_colour_pattern_and_words():
    bars = pd.DataFrame({"label": ["good", "<b>bad", "good"], "value": [0.5, 0.2, 0.1], "mark": ["same", "moved", "new"],
                         "note": ["", "▲ 2", "new"]})
    figure = charts.ranked(bars, colour="#111111", longest=0.6)
    trace, = figure.data
    assert list(trace.y) == [0, 1, 2] and figure.layout.yaxis.range[0] > figure.layout.yaxis.range[1]
    assert figure.layout.yaxis.ticktext == ("good", "&lt;b&gt;bad", "good")
    assert trace.text == ("50.0%", "20.0%  ▲ 2", "10.0%  new")
    assert list(trace.marker.color) == ["#111111", "#111111", charts.ROSE]
    assert list(trace.marker.pattern.shape) == ["", "", "/"] and trace.marker.opacity[1] < 1
    assert figure.layout.xaxis.range == (0, 0.6 * charts.BAR_ROOM)
    assert figure.layout.dragmode is False
