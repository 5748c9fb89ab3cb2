"""Recipes as YAML and overrides: what is read, what is refused, and the words for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.config import Ramp
from core.config.fields import describe, leaves
from core.config.sentences import PATTERNS
from core.errors import ConfigError
from core.recipes import apply_overrides, override, parse_recipe, parse_yaml, read_recipe

RECIPES = Path(__file__).resolve().parents[2] / "assets" / "recipes"


@pytest.mark.parametrize(("override", "path", "value"), [
    ("student.layers=3", ("student", "layers"), 3),
    ("student.layer_map=[0, 3, 7]", ("student", "layer_map"), (0, 3, 7)),
    ("losses.temperature=4", ("losses", "temperature"), 4.0),
    ("losses.w_kd={start: 1, end: 0}", ("losses", "w_kd"), Ramp(start=1, end=0)),
    ("train.learning_rate=5e-4", ("train", "learning_rate"), 5e-4),
    ("train.report_to=tensorboard", ("train", "report_to"), ("tensorboard",)),
    ("train.max_steps=null", ("train", "max_steps"), None),
])
def test_overrides(override, path, value):
    section, key = path
    assert getattr(getattr(parse_recipe(apply_overrides({}, [override])), section), key) == value


@pytest.mark.parametrize(("overrides", "says"), [
    (["student.init=random", "student.lora={rank: 2}"], "new ones would stay random"),
    (["student.layes=3"], "Did you mean 'student.layers'"),
    (["trian.max_steps=3"], "Did you mean 'train'"),
    (["losses.temperature=0"], "number above 0"),
    (["losses.temperature=-2"], "number above 0"),
    (["losses.w_kd=-1"], "number of 0 or more"),
    (["losses.w_kd=0", "losses.w_hard=0"], "all loss weights are zero"),
    (["student.layers=0"], "number of 1 or more"),
    (["student.layers=true"], "A whole number was expected"),
    (["train.max_steps='20'"], "A whole number was expected"),
    (["student.layer_map=[3, 1]"], "each once"),
    (["train.device=gpu"], "One of auto, cpu, cuda or cuda:N was expected"),
    (["train.seed=4294967296"], "A number below 4294967296 was expected"),
    (["train.report_to=papyrus"], "One of tensorboard, wandb, trackio or mlflow was expected"),
    (["losses.w_kd=heavy"], "A number, or start and end, was expected"),
    (["losses.w_kd={start: 1}"], "losses.w_kd.end was not given. Something must be given here."),
    (["evaluation.prompts=[1]"], "Text was expected: put it in quotes"),
    (["evaluation.prompts=1"], "A list was expected"),
    (["teacher.model="], "Something must be given here"),
    (["train=null"], "A section with keys and values was expected"),
    (["chain.anchors=[]"], "A list of at least 1 was expected"),
    (["train.warmup_ratio=2"], "A number of at most 1 was expected"),
    (["data.source="], "Something must be given here"),
    (["name=../escape"], "not a run name"),
    (["teacher=null"], "no architecture from scratch"),
    (["losses"], "section.key=value"),
])
def test_mistakes_are_named(overrides, says):
    with pytest.raises(ConfigError) as caught:
        parse_recipe(apply_overrides({}, overrides))
    assert says.lower() in str(caught.value).lower()


def test_text_of_a_certain_form_has_words_for_it() -> None:
    patterns = {each.pattern for _, field in leaves() for each in field.metadata if getattr(each, "pattern", None)}
    assert patterns and patterns <= PATTERNS.keys()


@pytest.mark.parametrize(("text", "says"), [("a: [", "not YAML"), ("", "holds nothing"), ("- 1", "holds list")])
def test_files_that_are_no_recipe(tmp_path, text, says):
    (tmp_path / "recipe.yaml").write_text(text)
    with pytest.raises(ConfigError, match=says):
        read_recipe(tmp_path / "recipe.yaml")


def test_a_file_that_is_not_there_or_not_text(tmp_path):
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    for name, says in (("none.yaml", "no such file"), ("binary.yaml", "UTF-8")):
        with pytest.raises(ConfigError, match=says):
            read_recipe(tmp_path / name)


def test_a_shipped_recipe_is_found_from_any_folder_and_a_file_of_that_name_comes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert read_recipe("assets/recipes/quickstart.yaml") == read_recipe(RECIPES / "quickstart.yaml")
    own = tmp_path / "assets" / "recipes" / "quickstart.yaml"
    own.parent.mkdir(parents=True)
    own.write_text("name: mine\n")
    assert read_recipe("assets/recipes/quickstart.yaml").name == "mine"


def test_leaves_are_the_keys_of_a_recipe_with_every_section_there():
    known = dict(leaves())
    assert list(known)[:3] == ["name", "description", "teacher.model"]
    assert {"losses.w_kd", "student.lora.rank", "student.from_scratch.heads"} <= set(known), "a weight is one leaf; optional sections count"
    assert not {"losses", "losses.w_kd.start", "student.lora"} & set(known)
    assert known["losses.temperature"].description == describe("losses.temperature")


ODD = ("epoch=3-step=10", "/x/run #2", "model: final", "[v2] best", "{x}", "*star", "&amp", "!bang", "@home", "%1", "'quoted'",
       '/x/"double"', '"one" and "two"', "colon:", "~tilde", "~", "back\\slash", "模型 ünï", "2024-01-01", "1e5", "- dash", "yes", "a, b",
       "? q", "| pipe", "> more", "007", " edged ", "'")


@pytest.mark.parametrize("path", ["teacher.model", "student.model", "data.source", "data.column", "bridge.model", "bridge.prompts",
                                  "task.label_column", "description"])
@pytest.mark.parametrize("text", ODD)
def test_fields_of_text_take_it_as_it_is(path, text):
    section, key = path.split(".") if "." in path else ("", path)
    plain = apply_overrides({}, [f"{path}={text}"])
    assert (plain[section] if section else plain)[key] == text


@pytest.mark.parametrize(("override", "value"), [
    ("data.column=null", None), ("data.column=", None), ('data.column="null"', "null"), ("data.column = stars", "stars"),
    ("teacher.model=null", "null"), ('data.source="run #2"', "run #2"), ('data.source="it"', "it")])
def test_the_absence_of_text_and_quotes(override, value):
    (key, found), = next(iter(apply_overrides({}, [override]).values())).items()
    assert (key, found) == (override.partition("=")[0].strip().partition(".")[2], value)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(["teacher.model", "data.column", "bridge.model", "description"]), st.text() | st.sampled_from(ODD) | st.none()
       | st.sampled_from(["null", '"null"', '"run #2"', '"', '""', "a\nb"]))
def test_an_override_is_read_back(path, value):
    if value is None and path != "data.column":
        return  # these cannot be absent
    place: Any = apply_overrides({}, [override(path, value)])
    for key in path.split("."):
        place = place[key]
    assert place == value


@pytest.mark.parametrize("name", ["1e5", "007", "true", "x1"])
def test_names_are_text_however_they_look(name):
    assert parse_recipe(apply_overrides({}, [f"name={name}"])).name == name
    assert parse_recipe({"name": name}).name == name


def test_learning_rates_may_be_written_as_people_do():
    assert parse_recipe(parse_yaml("train: {learning_rate: 5e-4}", "x")).train.learning_rate == 5e-4
    assert parse_recipe(apply_overrides({}, ["train.learning_rate=1e-3"])).train.learning_rate == 1e-3


@pytest.mark.parametrize(("losses", "teacher", "weights"), [
    ({"temperature": 4}, {"model": "fine-tuned"}, (0.5, 0.5)), ({"temperature": 4}, None, (0, 1)),
    ({"w_kd": 0.8}, {"model": "fine-tuned"}, (0.8, 0.5)), (None, None, (0, 1)), ({}, {"model": "fine-tuned"}, (0.5, 0.5))])
def test_a_task_completes_the_losses_that_are_given(losses, teacher, weights):
    config = parse_recipe({"student": {"model": "encoder"}, "teacher": teacher, "task": {"source": "rt"}, "losses": losses})
    assert (config.losses.w_kd.start, config.losses.w_hard.start) == weights
    assert config.losses.temperature == (4 if losses and "temperature" in losses else parse_recipe({}).losses.temperature)


def test_losses_of_a_task_that_are_no_section():
    with pytest.raises(ConfigError, match="losses"):
        parse_recipe({"student": {"model": "encoder"}, "task": {}, "losses": 3})


STUDENT = {"student": {"model": "proxy"}}


def test_a_section_that_a_release_ignored_is_ignored_with_a_warning(caplog):
    config = parse_recipe({"task": {}, **STUDENT, "data": {"block_length": 64}})
    assert config == parse_recipe({"task": {}, **STUDENT})
    assert "'fine_tune' has no use for its section 'data'" in caplog.text


@pytest.mark.parametrize(("plain", "overrides", "kind"), [
    ({"teacher": None, **STUDENT}, ["teacher.model=x"], "distill"), ({}, ["teacher=null", "student.model=x"], "pretrain"),
    ({"teacher": None, **STUDENT}, ["train.seed=1"], "pretrain"), ({"kind": "fine_tune", **STUDENT}, ["train.seed=1"], "fine_tune"),
    ({"task": {}, **STUDENT}, ["teacher.model=x"], "fine_tune"), ({}, ["kind=pretrain", "teacher=null", "student.model=x"], "pretrain"),
    ({"bridge": {"model": "x"}, **STUDENT}, ["train.seed=1"], "bridge"),
    ({"bridge": {"model": "x"}, "teacher": None, **STUDENT}, ["bridge=null"], "pretrain")])
def test_overrides_may_change_the_kind(plain: dict, overrides: list[str], kind: str):
    for start in (plain, parse_recipe(plain).to_dict()):
        assert parse_recipe(apply_overrides(start, [*overrides, "losses.w_kd=0", "losses.w_hard=1"])).kind == kind


def test_a_copy_with_a_key_that_there_is_not_is_a_mistake() -> None:
    train = parse_recipe({}).train
    assert train.model_copy(update={"max_steps": 3}).max_steps == 3
    with pytest.raises(TypeError, match=r"TrainSpec has no max_step$"):
        train.model_copy(update={"max_step": 3})
