from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from core.chains.folder import Chain, Point, Target, open_chain
from core.chains.interpolation import swap
from core.chains.on_demand import load_anchor_pair
from core.models.dimensions import Dimensions
from workbench.screens.chain import curve_analysis, figures, pictures

PARAMETERS = {"substitution": 3.2, "interpolation": 3.9, "best_alpha": 3.5, "alpha_0": 3.6, "alpha_1": 4.0, "copied": 4.2,
              "nearest": 4.0, "random": 9.0}


@pytest.fixture(scope="module")
def chain(tiny_chain: Path) -> Chain:
    return open_chain(str(tiny_chain))


@pytest.fixture(scope="module")
def measured(chain: Chain) -> Chain:
    """The same chain with losses that can be reckoned with."""
    losses = (3.0, 4.0, 5.0)
    anchors = tuple(replace(anchor, validation_loss=loss, tokens=tokens, seconds=seconds) for anchor, loss, tokens, seconds in zip(
        chain.anchors, losses, (0, 3000, 1000), (0.0, 60.0, 20.0), strict=True))
    large, small = anchors[0], anchors[1]
    middle = (large.parameters + small.parameters) // 2
    target = Target(replace(large.dimensions, layers=3), middle, 0)
    return replace(chain, anchors=anchors, curve=(Point(target, 0.5, PARAMETERS, {"0": 3.6, "0.3": 3.5, "1": 4.0}),))


def test_the_slider_offers_the_anchors_and_sizes_that_exist(chain: Chain):
    options = curve_analysis.selectable_sizes(chain)
    assert options == sorted(set(options))
    assert {anchor.parameters for anchor in chain.anchors} <= set(options)
    assert len(options) <= curve_analysis.SLIDER_STEPS + 1 + len(chain.anchors)
    for option in options:
        assert abs(chain.target(parameters=option).parameters - option) <= 0.01 * option
    assert curve_analysis.nearest(options, 0) == options[0]


def test_blocks_are_swapped_as_the_engine_swaps_them(chain: Chain):
    for number in range(len(chain.anchors) - 1):
        pair = load_anchor_pair(chain, number)
        assert chain.spans(number) == pair.spans()
        for layers in range(pair.small.dimensions.layers, pair.large.dimensions.layers + 1):
            target = Target(replace(pair.large.dimensions, layers=layers), 0, number)
            assert replace(chain, grid=()).swaps(target) == swap(pair, layers)


def test_a_size_is_composed_of_spans_blocks_and_identity_blocks(chain: Chain):
    ends, deltas = [(0, 1, 2, 3), (2, 3)], [(), (-0.1, -0.2)]
    anchors = [replace(anchor, ends=end, swap_deltas=delta) for anchor, end, delta in zip(chain.anchors, ends, deltas, strict=False)]
    uneven = replace(chain, anchors=tuple(anchors), grid=())
    sizes = Dimensions(2, 32, 4, 2, 8, 32)
    sources = {layers: curve_analysis.composition(uneven, Target(replace(sizes, layers=layers), 0, 0)) for layers in (2, 3, 4)}
    assert sources[2] == [(1, 0), (0, 3)], "a span of one block costs no depth and adds"
    assert sources[3] == [(1, 0), (0, 3), None], "a span of three blocks would add two"
    assert sources[4] == [(0, 0), (0, 1), (0, 2), (0, 3)]
    said = pictures.describe(uneven, Target(replace(sizes, layers=3), 0, 0))
    assert "block 1 for block 3. 1 identity block is added." in said
    assert pictures.composition(uneven, Target(replace(sizes, layers=3), 0, 0)).count("<rect") == 4 + 3 + 2


def test_expectations_lie_on_the_line_between_measured_sizes(measured: Chain):
    large, small, _ = measured.anchors
    middle = measured.curve[0].target.parameters
    assert curve_analysis.expected_loss(measured, middle, "substitution") == pytest.approx(3.2)
    assert curve_analysis.expected_loss(measured, (middle + large.parameters) // 2, "substitution") == pytest.approx(3.1, abs=1e-3)
    assert curve_analysis.expected_loss(measured, small.parameters, "interpolation") == pytest.approx(4.0)
    bare = replace(measured, curve=())
    assert curve_analysis.expected_loss(bare, middle, "substitution") is None


def test_no_line_joins_a_baseline_across_anchors(measured: Chain):
    cut = curve_analysis.curve(measured, "alpha_0")
    assert cut["loss"].tolist()[:2] == [3.6, 3.0]
    assert np.isnan(cut["loss"].tolist()[2])
    assert curve_analysis.curve(measured, "alpha_1")["loss"].tolist()[:2] == [4.0, 4.0]


def test_the_sweep_is_described_by_its_numbers(measured: Chain):
    point = measured.curve[0]
    said = curve_analysis.describe_sweep(measured, point)
    assert "loss of 3.900 nats/token, **0.100 better than anchor 1 itself** (4.000)" in said
    assert "The best alpha of the sweep, 0.3, is 0.500 better" in said
    assert "Substitution has 3.200, 0.800 better than anchor 1 and 0.300 better than the best alpha" in said
    worse = replace(point, losses=PARAMETERS | {"interpolation": 4.25, "substitution": None}, alphas={"0": 4.1, "1": 4.0})
    said = curve_analysis.describe_sweep(measured, worse)
    assert "**0.250 worse than anchor 1 itself**" in said
    assert "No alpha of the sweep is better than anchor 1." in said
    assert "Substitution" not in said


def test_a_chain_costs_the_same_for_any_number_of_sizes(measured: Chain):
    spent = curve_analysis.costs(measured)
    assert (spent.steps, spent.tokens, spent.seconds) == (2, 4000, 80.0)
    assert spent.direct(6) == (12_000, 240.0)
    assert spent.break_even == 3
    assert "**3 times as much**" in curve_analysis.describe_costs(spent, 6)
    assert curve_analysis.costs(replace(measured, anchors=tuple(replace(anchor, tokens=0) for anchor in measured.anchors))) is None


def test_new_weights_do_not_squash_the_figure(measured: Chain):
    figure = figures.size_quality(measured, size=measured.curve[0].target.parameters, expected=3.2, created={"mine": (10_000, 3.3)},
                                  everything=True)
    assert max(max(filter(np.isfinite, trace.y)) for trace in figure.data) < PARAMETERS["random"]
    assert figures.random_level(measured) == PARAMETERS["random"]
    names = [trace.name for trace in figure.data]
    assert names[:len(figures.CURVES)] == [label for label, *_ in figures.CURVES.values()]


def test_three_lines_are_drawn_unless_all_are_requested(measured: Chain):
    figure = figures.size_quality(measured, size=10_000, expected=None, created={})
    assert [trace.name for trace in figure.data] == ["substitution", "nearest anchor, unchanged", "anchors"]
    figure = figures.size_quality(measured, size=10_000, expected=None, created={}, method=curve_analysis.INTERPOLATION)
    assert figure.data[0].name == "interpolation, default alpha"


def test_a_nearest_anchor_that_is_better_is_recommended(measured: Chain):
    target = measured.curve[0].target
    anchor = min(curve_analysis.anchors_around(measured, target), key=lambda each: abs(each.parameters - target.parameters))
    assert "The nearest anchor is better" in curve_analysis.advice(measured, target, anchor.validation_loss + 0.1)
    said = curve_analysis.advice(measured, target, anchor.validation_loss - 0.1)
    assert said.endswith("0.100 better here.")
    assert "nearest anchor is better" not in said


def test_the_sweep_and_the_ledger_draw_what_was_measured(measured: Chain):
    sweep = figures.alpha_sweep(measured, measured.curve[0])
    assert sweep.data[0].x.tolist() == [0.0, 0.3, 0.5, 1.0]
    assert [note.text for note in sweep.layout.annotations] == ["anchor 1, the smaller one", "anchor 0, the larger one", "substitution"]
    ledger = figures.ledger(curve_analysis.costs(measured), "tokens", 5)
    assert ledger.data[0].y.tolist() == [2000, 4000, 6000, 8000, 10_000]
    assert ledger.data[1].y.tolist() == [4000] * 5


def test_the_lineage_names_everybody_and_shows_words_as_they_are(measured: Chain):
    drawn = pictures.lineage(measured, "<b>owner</b>/teacher", [])
    assert drawn.count("<rect") == 3
    assert "<b>" not in drawn
    assert "4.00 nats/token · ppl 54.6" in drawn
    crossed = pictures.lineage(measured, "proxy", [], "<i>writer</i> wrote 2,731 texts")
    assert crossed.count("<rect") == 4 and "<i>" not in crossed
    assert ">wrote 2,731 texts<" in crossed and ">bridge<" in crossed
