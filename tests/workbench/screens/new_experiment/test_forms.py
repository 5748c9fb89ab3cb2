"""A configuration as a form's draft and back."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.config import DistillConfig
from core.recipes import apply_overrides, parse_recipe
from workbench.screens.new_experiment import advanced_form, controls, forms

CONFIGS = [
    {},
    {"student": {"layer_map": [0, 3, 7]}, "train": {"report_to": ["tensorboard"]}},
    {"student": {"layers": 2, "lora": {"rank": 4}}, "losses": {"w_kd": {"start": 1, "end": 0.2}, "divergence": "jsd"}},
    {"teacher": None, "student": {"from_scratch": {"layers": 3}}, "losses": {"w_kd": 0, "w_hard": 1}, "name": "fresh-1"},
]


@pytest.mark.parametrize("plain", CONFIGS)
def test_a_draft_gives_back_the_configuration(plain: dict):
    config = parse_recipe(plain)
    assert forms.check(forms.to_draft(config)) == (config, {})


def test_every_leaf_has_a_control_and_a_place_in_the_advanced_form():
    leaves = set(forms.LEAVES)
    assert set(controls.CONTROLS) == leaves, f"name in CONTROLS of controls.py: {set(controls.CONTROLS) ^ leaves}"
    placed = [*advanced_form.ELSEWHERE, *(path for groups in advanced_form.TABS.values() for paths in groups.values() for path in paths)]
    assert set(placed) == leaves, f"give a place in TABS of advanced_form.py: {set(placed) ^ leaves}"
    assert len(set(placed)) == len(placed), f"twice in TABS of advanced_form.py: {[path for path in leaves if placed.count(path) > 1]}"


@pytest.mark.parametrize(("changes", "path", "words"), [
    ({"losses.temperature": 0.0}, "losses.temperature", "number above 0"),
    ({"losses.w_kd.start": -1.0}, "losses.w_kd", "number of 0 or more"),
    ({"name": "../x"}, "name", "is not a run name"),
    ({"student.layer_map": "explicit", forms.MAP_LIST: "0, 3, 2"}, "student.layer_map", "each once"),
    ({"student.layer_map": "explicit", forms.MAP_LIST: "0, x"}, forms.MAP_LIST, "Block numbers"),
    ({"student.layer_map": "explicit", forms.MAP_LIST: "0, 1", "student.layers": 3}, "student.layers",
     "lists 2 blocks"),
    ({f"losses.{term}.{end}": 0.0 for term in ("w_kd", "w_hard") for end in ("start", "end")}, "losses.w_hard",
     "all loss weights are zero"),
    ({"teacher": False, "losses.w_kd.start": 0.0, "losses.w_kd.end": 0.0}, "student.model", "No teacher and no architecture from scratch"),
])
def test_errors_are_reported_by_path(changes: dict, path: str, words: str):
    config, errors = forms.check(forms.to_draft(DistillConfig()) | changes)
    assert config is None
    assert list(errors) == [path]
    assert words.lower() in errors[path].lower()


def test_several_mistakes_are_reported_at_once():
    _, errors = forms.check(forms.to_draft(DistillConfig()) | {"losses.temperature": -1.0, "train.learning_rate": 0.0})
    assert set(errors) == {"losses.temperature", "train.learning_rate"}


@pytest.mark.parametrize("before", CONFIGS)
@pytest.mark.parametrize("after", CONFIGS)
def test_changes_lead_from_one_configuration_to_the_other(before: dict, after: dict):
    start, goal = parse_recipe(before), parse_recipe(after)
    assert parse_recipe(apply_overrides(start.to_dict(), forms.changes(goal, start))) == goal


START = {"name": "lesson", "description": "House chat, half its depth, with a control.", "teacher": {"model": "house-chat"},
         "student": {"layers": 4}, "control": True}


@pytest.mark.parametrize("changed", [{"teacher.model": "gpt2"}, {"student.layers": 2}, {"data.source": "mine.csv"}, {"control": False},
                                     {"losses.w_hard.start": 3.0}, {"train.max_steps": 7}])
def test_words_of_the_start_leave_with_what_they_describe_and_come_back_with_it(changed: dict):
    start = parse_recipe(START)
    draft = forms.to_draft(start)
    before = {key: draft[key] for key in changed}
    draft |= changed
    forms.follow_start(draft, start)
    assert (draft["name"], draft["description"]) == (None, "")
    draft |= before
    forms.follow_start(draft, start)
    assert forms.check(draft) == (start, {})


def test_words_that_still_fit_and_those_that_somebody_wrote_stay():
    start = parse_recipe(START)
    seeded = forms.to_draft(start) | {"train.seed": 7, "losses.temperature": 5.0}
    forms.follow_start(seeded, start)
    assert (seeded["name"], seeded["description"]) == ("lesson", START["description"])
    own = forms.to_draft(start) | {"teacher.model": "gpt2", "name": "mine", "description": "My words."}
    forms.follow_start(own, start)
    assert (own["name"], own["description"]) == ("mine", "My words.")
    own |= {"teacher.model": "house-chat"}
    forms.follow_start(own, start)
    assert (own["name"], own["description"]) == ("mine", "My words.")


def test_only_what_differs_is_a_change():
    start = DistillConfig()
    goal = parse_recipe({"student": {"layers": 3}, "description": "true"})
    assert forms.changes(goal, start) == ["description=true", "student.layers=3"]


def test_the_command_names_the_recipe_and_the_changes():
    start = DistillConfig()
    goal = parse_recipe({"losses": {"temperature": 4}, "description": "two words"})
    assert forms.command(goal, start, Path("assets/recipes/quickstart.yaml")) == (
        "python -m workbench distill assets/recipes/quickstart.yaml --set 'description=two words' --set losses.temperature=4.0")
    assert forms.command(parse_recipe({"name": "mine"}), start, None) == "python -m workbench distill mine.yaml"


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_the_mix_divides_the_same_sum(share: float):
    draft = forms.to_draft(DistillConfig())
    forms.set_mix(draft, share)
    assert forms.soft_share(draft) == pytest.approx(share)
    assert draft["losses.w_kd.end"] + draft["losses.w_hard.end"] == pytest.approx(1.5)


def test_the_equation_shows_the_numbers_of_the_terms_that_count():
    losses = parse_recipe({"losses": {"w_kd": {"start": 1, "end": 0.5}, "w_hard": 0, "w_hidden": 2, "temperature": 3}}).losses
    latex = forms.equation(losses)
    assert r"(1 \to 0.5)\cdot 3^2" in latex
    assert r"2\cdot (1-\cos(h_s, h_t))" in latex
    assert "hard labels" not in latex


def test_the_triple_loss_stands_one_term_below_the_other():
    losses = parse_recipe({"losses": {"w_kd": 5, "w_hard": 2, "w_hidden": 1}}).losses
    latex = forms.equation(losses, masked=True)
    assert latex.count(r"\\") == 2
    assert [latex.index(label) for label in ("soft targets", "masked tokens", "hidden states")] == sorted(
        latex.index(label) for label in ("soft targets", "masked tokens", "hidden states"))
    assert "hard labels" not in latex
