"""What keeping a teacher's answers costs, before the run."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.config import ExperimentConfig
from core.errors import DiskFullError
from core.methods.building_signals import build_signals
from core.planning import signals_cost as module
from core.planning.signals_cost import SignalsCost, signals_cost
from core.recorder import NullRecorder
from tests.core.planning.test_dry_run import changed, config, inputs

__all__ = ["config"]


@pytest.mark.parametrize(("ratio", "passes", "bound", "whole"), [
    (0.5, 1, 5 / 3, 1.0), (0.5, 2, 5 / 3, 10 / 8), (0.1, 4, 13 / 3, 4 * 2.6 / (2.6 + 3 * 0.6)), (1 / 3, 0.4, 2.0, 1.0)])
def test_the_bound_is_the_arithmetic_of_a_step(ratio: float, passes: float, bound: float, whole: float) -> None:
    cost = SignalsCost(ratio, passes, {"hidden": 10})
    assert (cost.bound, cost.this_run) == (pytest.approx(bound), pytest.approx(whole))
    assert ("read once" in str(cost)) == (whole == 1.0)


@pytest.mark.parametrize("form", ["hidden", "top_k"])
def test_the_size_is_that_of_the_cache_that_is_built(config: ExperimentConfig, form: str) -> None:
    config = changed(config, teacher={"model": config.teacher.model, "signals": {"form": form, "top_k": 7}})
    material = inputs(config)
    cost = signals_cost(material, material.teacher.entry.parameters // 2, 3.0)
    built = build_signals(config, NullRecorder(), lambda kept, blocks: None)
    blocks = len(material.data.train)
    assert cost.ratio == pytest.approx(0.5, rel=1e-3)
    assert built.bytes == pytest.approx(cost.bytes[form] * built.blocks / blocks, rel=0.15), "headers of the shards are more"


def test_a_form_without_room_is_refused(config: ExperimentConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(folder: Path, needed: int) -> None:
        raise DiskFullError("The disk is full.", f"{needed} bytes are needed.", "Make room.")

    monkeypatch.setattr(module, "require_free_disk", full)
    assert signals_cost(inputs(config), 1000, 1.0).bytes["hidden"] > 0, "nothing is kept unless the recipe says so"
    with pytest.raises(DiskFullError):
        signals_cost(inputs(changed(config, teacher={"model": config.teacher.model, "signals": {"form": "hidden"}})), 1000, 1.0)
