from __future__ import annotations

import pytest

from core.evaluation.time_to_target import first_step, time_to_target

SLOW = {0: 9.0, 50: 6.0, 100: 5.0}


@pytest.mark.parametrize(("curve", "step", "ratio"), [
    ({0: 6.0, 25: 5.0, 50: 4.0}, 25, 4.0),         # exactly there counts
    ({0: 6.0, 20: 4.9, 40: 5.2, 60: 4.0}, 20, 5.0),  # the first time, whatever comes after
    ({0: 4.0, 100: 3.0}, 0, 100.0),                # before the first step: a lower bound, as of one step
    ({100: 3.0, 50: 4.0}, 50, 2.0),                # in whatever order
    ({0: 6.0, 200: 5.1}, None, 0.0),               # never
    (SLOW, 100, 1.0)])
def test_the_ratio_follows_its_definition(curve: dict[int, float], step: int | None, ratio: float) -> None:
    assert first_step(curve, SLOW[100]) == step
    assert time_to_target(curve, SLOW) == ratio


def test_the_target_is_where_the_other_ends_not_its_best() -> None:
    rising = {0: 4.0, 10: 3.0, 20: 5.0}
    assert time_to_target({0: 6.0, 5: 4.9}, rising) == 4.0
