"""The keys of --set in the help."""

from __future__ import annotations

from collections.abc import Callable

from core.config import DistillConfig
from core.recipes import read_recipe
from workbench.terminal.settings_help import settings


def test_settings_are_the_configuration(recipe: Callable[..., str]):
    known = {key: default for key, _, default in settings()}
    plain = DistillConfig().to_dict()
    assert known["losses.w_kd"] == plain["losses"]["w_kd"] == 1.0
    assert all(description for _, description, _ in settings())
    for key in ("student.lora.rank=2", "train.report_to=[tensorboard]", "losses.w_kd={start: 1, end: 0}"):
        assert key.split("=")[0] in known
    assert read_recipe(recipe(3), ["losses.beta=0.25"]).losses.beta == 0.25
