from __future__ import annotations

from workbench.screens.chain.recovery import finding, table

CALLED = {"made": "this model", "random": "random initialisation", "nearest": "anchor 1, the nearest"}
CURVES = {"made": {0: 4.0, 50: 3.0, 100: 3.1}, "random": {0: 9.0, 50: 6.0, 100: 5.0}, "nearest": {0: 3.5, 50: 3.2, 100: 3.0}}


def test_rows_say_how_soon_each_was_where_new_weights_ended():
    _, rows = table(CURVES | {"made": {0: 6.0, 25: 5.0, 100: 4.0}}, CALLED, ended=True)
    assert rows == [["this model", "6.000", "4.000", "25 steps", "4×"], ["random initialisation", "9.000", "5.000", "100 steps", "1×"],
                    ["anchor 1, the nearest", "3.500", "3.000", "0 steps", "≥ 100×"]]
    assert table(CURVES | {"made": {0: 6.0, 100: 5.5}}, CALLED, ended=True)[1][0][3:] == ["not reached", "–"]


def test_nothing_is_compared_before_new_weights_have_ended():
    head, rows = table({"made": {0: 4.0, 50: 3.0}, "random": {0: 9.0}}, CALLED, ended=False)
    assert head[2] == "Now"
    assert rows == [["this model", "4.000", "3.000", "–", "–"], ["random initialisation", "9.000", "9.000", "–", "–"],
                    ["anchor 1, the nearest", "–", "–", "–", "–"]]


def test_the_finding_is_what_the_curves_say():
    said = finding(CURVES, CALLED, 409_600)
    assert said.startswith("After 410k tokens this model has a loss of 3.100, 1.900 lower than a random initialisation of its shape "
                           "and 0.100 higher than anchor 1, the nearest, trained the same way.")
    assert "It is below the final loss of the random initialisation before its first step: **at least 100 times sooner**." in said
    assert "It reaches the final loss of anchor 1, the nearest after 50 of 100 steps: **2 times sooner**." in said
    assert said.endswith("Its own best loss was 3.000, after 50 steps.")
    late = finding(CURVES | {"made": {0: 9.0, 50: 6.0, 100: 3.0}}, CALLED, 1)
    assert "the final loss of the random initialisation only at the end" in late and "Its own best" not in late
    assert "It does not reach the final loss of the random initialisation." in finding(CURVES | {"made": {0: 9.0, 100: 6.0}}, CALLED, 1)
