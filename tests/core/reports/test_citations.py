"""Whoever had a method first is named, for the variant that was made with it."""

from __future__ import annotations

from typing import Any

import pytest

from core.config import ExperimentConfig
from core.recipes import parse_recipe
from core.recorder import CONTROL, STUDENT
from core.reports.citations import cited, methods_section


def config(**changes: Any) -> ExperimentConfig:
    return parse_recipe({"teacher": {"model": "house-chat"}, "student": {"layers": 2}, **changes})


@pytest.mark.parametrize(("losses", "papers"), [
    ({"w_kd": 1}, {"1503.02531", "1910.01108"}),
    ({"w_kd": 1, "divergence": "reverse_kl"}, {"1503.02531", "2306.08543", "1910.01108"}),
    ({"w_kd": 1, "divergence": "jsd"}, {"1503.02531", "2306.13649", "1910.01108"}),
    ({"w_kd": 0, "w_hidden_mse": 1}, {"1412.6550", "1908.09355", "1910.01108"}),
    ({"w_kd": 0, "w_hidden_mse": 1, "hidden_layers": "ends"}, {"1412.6550", "1908.09355", "2510.05064", "1910.01108"})])
def test_losses_name_whoever_had_them_first(losses: dict[str, Any], papers: set[str]) -> None:
    settings = config(losses=losses)
    assert set(cited(settings, STUDENT)) == papers
    assert set(cited(settings, CONTROL)) == {"1910.01108"}  # its layers are the teacher's, its losses are not


@pytest.mark.parametrize(("student", "papers"), [
    ({"layers": 2, "hidden": 64}, {"1910.01108", "2407.14679"}), ({"layers": 2, "layer_map": "importance"}, {"1910.01108", "2402.02834"}),
    ({"layers": 2, "lora": {}}, {"1910.01108", "2106.09685"}), ({"layers": 2, "init": "random"}, set())])
def test_students_name_whoever_built_such_ones_first(student: dict[str, Any], papers: set[str]) -> None:
    assert set(cited(config(student=student), CONTROL)) == papers


def test_the_section_is_a_list_of_links_or_says_that_there_is_no_method() -> None:
    assert methods_section(config(student={"layers": 2, "lora": {}}), CONTROL).splitlines()[1] == (
        "- [arXiv 2106.09685](https://arxiv.org/abs/2106.09685): low-rank adapters (LoRA)")
    plain = config(student={"layers": 2, "init": "random"})
    assert methods_section(plain, CONTROL) == "Training on text, or on labels, alone."
    assert "1503.02531" in methods_section(plain, STUDENT)
