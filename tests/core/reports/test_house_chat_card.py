"""The house model's card as Markdown; what it measures has tests of its own."""

from __future__ import annotations

from pathlib import Path

from core.recipes import read_recipe
from core.reports.house_chat_card import card

RECIPES = Path(__file__).resolve().parents[3] / "assets" / "recipes"
STAGES = {name: read_recipe(RECIPES / name) for name in ("house-base.yaml", "house-chat.yaml")}
METRICS = {"parameters": 1, "accuracy_imdb": 0.8, "items_imdb": 100, "accuracy_rt": 0.7, "items_rt": 100, "perplexity": 30.0, "tokens": 9,
           "bits_per_byte": 1.0, "generated_tokens_per_second": 50.0, "forward_tokens_per_second": 900.0}


def test_prompts_and_answers_of_several_lines_stay_whole():
    samples = [("Is it good?\n\nThe story is thin.", "No.\n\nNot at all."), ("Write.", "")]
    text = card({**METRICS, "samples": samples}, STAGES, 75.4)
    assert "**Is it good?**\n\n**The story is thin.**\n\n> No.\n>\n> Not at all.\n" in text
    assert "**Write.**\n\n> (nothing)\n" in text
    assert "Together 75 minutes on a machine of two cores" in text and all(f"distill {name}`" in text for name in STAGES)
