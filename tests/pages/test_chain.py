"""The Chain page: no chain, one under way, one that failed, one that is there; sizes created, removed, recovered; the form."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoConfig, AutoModelForCausalLM, Qwen3Config

from core.chains import folder, on_demand
from core.chains.folder import Chain, Target
from core.recipes import parse_recipe
from core.system.paths import ASSETS
from tests.core.chat_models import SENTENCES
from tests.pages.conftest import Open, answered, button, fault_free, texts
from tests.tiny_chains import HEAD, LARGE, MIDDLE, SMALL, chain_recipe, save_anchor
from workbench.inference import client
from workbench.processes import Process
from workbench.screens.chain import curve_analysis, recovery, recovery_view
from workbench.screens.shared import background, state, views
from workbench.store import Store, chains, references
from workbench.store.records import Progress, Run
from workbench.terminal import cli

LOSSES = {"this": 3.25, "larger_anchor": 3.0, "smaller_anchor": 4.0, "alpha_0": 3.5, "alpha_1": 4.0, "copied": 4.2, "random": 9.0}


class FakeEngine:
    """Makes sizes in this process."""

    def make_size(self, chain: Chain, target: Target, folder: Path, **how: Any) -> dict[str, Any]:
        on_demand.create(chain, target, folder, measure=False, **how)
        return {}


class Measured:
    """The question for a created model's losses, answered at once."""

    def __call__(self, *arguments: str) -> Any:
        return answered(LOSSES)

    def clear(self, *arguments: str) -> None:
        pass


@pytest.fixture(autouse=True)
def _engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No house chain, and an engine that needs no process."""
    (tmp_path / "shipped").mkdir()
    monkeypatch.setattr(folder, "HOUSE_MODELS", tmp_path / "shipped")
    monkeypatch.setattr(client, "engine", FakeEngine)
    monkeypatch.setattr(background, "measured_size", Measured())


@pytest.fixture
def house(tiny_chain: Path, tmp_path: Path, _engine: None) -> str:
    """The tiny chain as one that ships with the project."""
    (tmp_path / "shipped" / "pocket-chain").symlink_to(tiny_chain)
    return "pocket-chain"


def chain_run(store: Store, tiny_chain: Path, status: str, anchors: int) -> Run:
    run = store.create_run(chain_recipe(tiny_chain.parent, "walk"), device="cpu")
    store.mark_running(run.id, Process.current())
    for number in range(anchors):
        shutil.copytree(tiny_chain / "anchors" / str(number), run.directory / "anchors" / str(number))
    store.log_metrics(run.id, [("student", step, "loss", 5.0 - step) for step in (1, 2)])
    store.record(run.id, Process.current(), [], [], Progress("steps", "student", 2, 6))
    if status == "finished":
        for file in ("chain.json", "validation.npz"):
            shutil.copy(tiny_chain / file, run.directory)
    if status != "running":
        store.finish(run.id, status, "The loss became NaN at step 2." if status == "failed" else "")
    return store.run(run.id)


def test_no_chain_yet_opens_the_form(open_page: Open):
    page = open_page("chain")
    assert "No chain yet" in texts(page)
    assert button(page, "Build chain")
    assert "python -m workbench chain chain.yaml" in texts(page)


def test_a_chain_under_way_says_how_far_it_is(open_page: Open, store: Store, tiny_chain: Path):
    run = chain_run(store, tiny_chain, "running", 2)
    page = open_page("chain", chain=run.id)
    assert "2 of 3 anchors are ready" in texts(page)
    assert "step 2 of 6" in page.get("progress")[0].proto.text
    assert page.query_params["chain"] == "walk"
    assert "Training" in open_page("run", run="walk").get("progress")[0].proto.text


def test_a_failed_chain_says_what_to_do(open_page: Open, store: Store, tiny_chain: Path):
    chain_run(store, tiny_chain, "failed", 1)
    said = texts(open_page("chain"))
    assert "is not finished: 1 of 3 anchors are ready. Resume" in said
    assert "NaN at step 2" in said


def test_a_finished_run_is_a_chain_and_its_page_leads_here(open_page: Open, store: Store, tiny_chain: Path):
    run = chain_run(store, tiny_chain, "finished", 3)
    page = open_page("run", run="walk")
    assert "chain of 3 anchors" in texts(page)
    assert button(page, "Open chain")
    assert [entry for entry in references.entries(store) if entry.name == "walk:2"]
    assert f"#### {views.plain('walk:2')}" in texts(open_page("models"))
    fault_free(open_page("runs"))
    fault_free(open_page("home"))
    page = open_page("chain", chain="walk")
    assert "3 anchors of 4 → 2 → 1 blocks" in texts(page)
    assert page.query_params["chain"] == run.name


def test_the_lesson_is_at_hand(open_page: Open, house: str):
    links = [link.proto for link in open_page("chain", chain=house).get("page_link")]
    assert any("a lesson" in link.label and link.query_string == "lesson=any-size" for link in links)


def test_an_unknown_chain_is_a_message(open_page: Open, house: str):
    assert "no chain 'pocket'" in open_page("chain", chain="pocket").error[0].value


def test_a_slider_that_was_moved_again_before_the_address_came_stays_where_it_is(open_page: Open, house: str, store: Store):
    page = open_page("chain", chain=house)
    first = page.query_params["size"]
    smallest, largest = (chains.place(house, store).open().anchors[number].parameters for number in (-1, 0))
    page.select_slider[0].set_value(smallest).run()
    page.select_slider[0].set_value(largest)
    page.query_params["size"] = first  # as the browser sends it while it has heard of nothing newer
    fault_free(page.run())
    assert page.select_slider[0].value == largest and page.query_params["size"] == str(largest)


def test_a_link_gives_a_count_exactly_and_the_page_offers_a_better_one_beside_it(open_page: Open, house: str, store: Store, monkeypatch):
    chain = chains.place(house, store).open()
    first, other = (point.target for point in chain.curve[:2])
    monkeypatch.setattr(Chain, "better_nearby", lambda _, target: other if target.parameters == first.parameters else None)
    monkeypatch.setattr(curve_analysis, "SLIDER_STEPS", 1)  # the slider alone offers the anchors
    page = open_page("chain", chain=house, size=str(first.parameters))
    assert page.select_slider[0].value == first.parameters and page.query_params["size"] == str(first.parameters)
    below, above = chain.neighbours(first)
    assert f"Next sizes: {below:,} and {above:,} parameters." in texts(page)
    fault_free(button(page, f"Use {other.parameters:,} instead").click().run())
    assert page.select_slider[0].value == other.parameters and page.query_params["size"] == str(other.parameters)


def test_a_size_is_made_shown_and_removed(open_page: Open, house: str, store: Store):
    place = chains.place(house, store)
    target = next(point.target for point in place.open().curve if point.target.larger_anchor == 0)
    page = open_page("chain", chain=house, size=str(target.parameters))
    slider, = page.select_slider
    assert page.query_params["size"] == str(slider.value)
    assert {metric.label for metric in page.metric} >= {"Blocks", "Width", "Inner width", "Parameters", "In 16 bit"}
    assert "Expected loss with substitution: about" in texts(page)
    fault_free(button(page, "Create model").click().run())
    model, = chains.created(place)
    assert model.losses == LOSSES
    assert model.requested_size == slider.value
    assert f"--params {model.requested_size} --out {model.name}" in texts(page)
    assert "Models created from this chain" in texts(page)
    assert references.resolve(model.name, store) == str(model.folder)
    assert f"#### {views.plain(model.name)}" in texts(open_page("models"))
    fault_free(button(page, "Remove").click().run())
    assert chains.created(place) == []
    assert f"**{views.plain(model.name)}** is in the bin" in texts(page)
    fault_free(button(page, "Undo").click().run())
    assert chains.created(place) == [model] and chains.binned_created(place) == []
    fault_free(button(page, "Remove").click().run())
    fault_free(button(page, "Delete permanently").click().run())
    assert chains.created(place) == chains.binned_created(place) == []


def test_recovery_opens_a_form_that_can_be_started(open_page: Open, house: str, store: Store):
    place = chains.place(house, store)
    chain = place.open()
    target = next(point.target for point in chain.curve if point.target.larger_anchor == 0)
    on_demand.create(chain, target, place.generated_dir / "pocket", measure=False)
    model, = chains.created(place)
    changes = [*recovery_view.link(place, model, target.larger_anchor), "data.block_length=64"]
    page = open_page("new", recipe="quickstart", set=changes)
    assert not page.error, [error.value for error in page.error]
    assert "Initialised from **pocket**" in texts(page)
    assert not page.button(key="start").disabled
    fault_free(page.button(key="start").click().run())
    run, = store.runs()
    assert (run.config.teacher.model, run.config.student.model) == (f"{house}:0", str(model.folder))
    assert run.config.control


@pytest.fixture
def pocket(house: str, store: Store) -> chains.CreatedModel:
    """A model that was created from the tiny chain, and measured."""
    place = chains.place(house, store)
    chain = place.open()
    target = next(point.target for point in chain.curve if point.target.larger_anchor == 0)
    on_demand.create(chain, target, place.generated_dir / "pocket", measure=False)
    chains.update_record(place.generated_dir / "pocket", losses=LOSSES)
    return chains.created(place)[0]


def ended(store: Store, run_id: str, losses: dict[int, float], status: str = "finished") -> None:
    """A training that went as these held-out losses say."""
    store.claim(run_id, "cpu")
    store.mark_running(run_id, Process.current())
    store.log_metrics(run_id, [("student", step, "eval/cross_entropy", loss) for step, loss in losses.items()])
    store.log_metrics(run_id, [("student", max(losses), "tokens", 64.0 * max(losses))])
    if status != "running":
        store.finish(run_id, status)


def test_recovery_is_started_with_its_baselines_and_plotted_together(open_page: Open, house: str, store: Store,
                                                                          pocket: chains.CreatedModel):
    page = open_page("chain", chain=house)
    fault_free(page.number_input(key="recovery.pocket.tokens").set_value(100 * 256).run())
    fault_free(button(page, "Start all three").click().run())
    runs = {run.name: run for run in store.runs()}
    assert set(runs) == {"pocket-recovered", "pocket-recovered-random", "pocket-recovered-nearest"}
    config = {name: run.config for name, run in runs.items()}
    assert {each.teacher.model for each in config.values()} == {f"{house}:0"}
    assert len({(each.train.max_steps, each.train.seed, each.data) for each in config.values()}) == 1
    assert config["pocket-recovered"].train.max_steps == 100 and config["pocket-recovered"].data.block_length == 32
    anchor = recovery.nearest(chains.place(house, store).open(), pocket.target)
    assert [(each.student.model, each.student.init) for each in map(config.get, sorted(config))] == [
        (str(pocket.folder), "teacher"), (f"{house}:{anchor.number}", "teacher"), (str(pocket.folder), "random")]
    assert "Nothing has been measured yet" in texts(page) and "Recovery training" in texts(page)

    ids = chains.read_created(pocket.folder).recoveries[0]
    ended(store, ids["made"], {0: 4.0, 50: 3.0, 100: 2.5})
    ended(store, ids["random"], {0: 9.0, 50: 5.0, 100: 3.5})
    ended(store, ids["nearest"], {0: 3.8, 50: 2.6, 100: 2.4})
    said = texts(open_page("chain", chain=house))
    assert "this model has a loss of 2.500, 1.000 lower than a random initialisation of its shape and 0.100 higher than anchor" in said
    assert "It reaches the final loss of the random initialisation after 50 of 100 steps: **2 times sooner**." in said
    assert "It does not reach the final loss of anchor" in said


def test_a_recovery_that_broke_says_so_and_one_in_the_bin_is_left_out(open_page: Open, house: str, store: Store,
                                                                             pocket: chains.CreatedModel):
    place = chains.place(house, store)
    recovery_view.start(place, place.open(), pocket, distilled=False, tokens=10_000, seed=1)
    ids = chains.read_created(pocket.folder).recoveries[0]
    assert store.run(ids["made"]).config.teacher is None
    store.claim(ids["random"], "cpu")
    store.mark_running(ids["random"], Process.current())
    store.finish(ids["random"], "failed", "The loss became NaN at step 2.")
    store.delete(ids["nearest"])
    said = texts(open_page("chain", chain=house))
    assert "NaN at step 2" in said
    store.delete(ids["made"])
    assert "Recovered" not in texts(open_page("chain", chain=house))


def test_the_form_queues_a_chain(open_page: Open, store: Store, teacher: str, monkeypatch: pytest.MonkeyPatch):
    page = open_page("chain")
    fault_free(page.text_input(key="build.name").set_value("mine").run())
    fault_free(button(page, "Build chain").click().run())
    run, = store.runs()
    assert (run.name, run.builds_chain) == ("mine", True)
    assert [(anchor.layers, anchor.intermediate_size) for anchor in run.config.chain.anchors] == [(4, 384), (2, 256)]
    assert run.command.startswith("python -m workbench chain ")
    assert state.CHAIN.endswith("chain.py")


def test_a_chain_is_duplicated_in_its_own_form(open_page: Open, store: Store, tiny_chain: Path):
    run = chain_run(store, tiny_chain, "finished", 3)
    page = open_page("run", run="walk")
    fault_free(button(page, "Duplicate as new").click().run())
    page = open_page("chain", **{"from": run.id})
    assert "Filled in from the run **walk**" in texts(page)
    fault_free(page.number_input(key="build.steps.walk").set_value(7).run())
    fault_free(button(page, "Build chain").click().run())
    again = store.runs()[0]
    assert again.builds_chain and again.id != run.id
    assert again.config == run.config.model_copy(update={
        "name": again.name, "train": run.config.train.model_copy(update={"max_steps": 7}), "chain": again.config.chain})
    assert [(each.layers, each.intermediate_size) for each in again.config.chain.anchors] == [(2, 32), (1, 32)]


def test_anchors_that_the_form_cannot_show_are_kept(open_page: Open, store: Store, tiny_chain: Path):
    config = chain_recipe(tiny_chain.parent, "counted").to_dict()
    config["chain"]["anchors"] = [{"parameters": 25_120}]
    run = store.create_run(parse_recipe(config))
    page = open_page("chain", **{"from": run.id})
    assert any("parameters 25,120" in each.proto.body for each in page.get("html"))
    fault_free(button(page, "Build chain").click().run())
    assert store.runs()[0].config.chain == run.config.chain and len(store.runs()) == 2


def test_only_a_chains_run_can_be_taken_over(open_page: Open, store: Store):
    run = store.create_run(parse_recipe({"name": "a"}))
    assert "builds no chain" in open_page("chain", **{"from": run.id}).error[0].value
    assert "no run 'gone'" in open_page("chain", **{"from": "gone"}).error[0].value


def test_a_bridged_model_heads_a_chain(open_page: Open, store: Store, teacher: str):
    run = store.create_run(parse_recipe({"name": "crossed", "teacher": None, "student": {"model": teacher}, "bridge": {"model": teacher},
                                         "losses": {"w_kd": 0, "w_hard": 1}}), device="cpu")
    store.mark_running(run.id, Process.current())
    progress = {"name": "write texts", "done": 40, "texts": 100, "kept": 30, "left_out": {"empty": 2, "repetitive": 8}}
    store.record(run.id, Process.current(), [], [("phase", progress, 1.0)], Progress("write texts", None, 0, None))
    page = open_page("run", run="crossed")
    bar, = page.get("progress")
    assert bar.proto.text == "40 of 100 texts generated, 30 kept; filtered: 8 repetitive, 2 empty"
    assert bar.proto.value == 40
    assert "texts by" in texts(page) and "proxy" in texts(page)
    store.record(run.id, Process.current(), [], [("bridge", {"kept": 80, "left_out": {"empty": 20}}, 2.0)],
                 Progress("steps", "student", 1, 1))
    shutil.copytree(teacher, run.output_dir)
    store.finish(run.id, "finished")
    page = open_page("run", run="crossed")
    assert "Trained on **80 texts**; filtered: 20 empty." in texts(page)
    fault_free(button(page, "Build a chain from it").click().run())
    page = open_page("chain", teacher="crossed")
    assert page.selectbox(key="build.teacher").value == "crossed"
    fault_free(button(page, "Build chain").click().run())
    chain = store.runs()[0]
    assert chain.config.teacher.model == "crossed" and chain.parents == {"crossed": f"{run.id}:student"}


def test_an_encoder_heads_no_chain(open_page: Open, encoder: str):
    page = open_page("chain", teacher=encoder)
    assert "A chain is made of models that predict the next token" in page.error[0].value
    assert "house-chat" in page.selectbox(key="build.teacher").value


def test_a_chain_shaped_as_qwen3_from_its_recipe_to_an_answer_and_an_export(open_page: Open, store: Store, tmp_path: Path,
                                                                             capsys: pytest.CaptureFixture[str]):
    """Grouped queries, tied embeddings, normalised queries and keys: what the recipe that ships does with 4B, 1.7B and 0.6B, in small."""
    large, middle, small = (save_anchor(tmp_path / name, Qwen3Config, seed, **sizes)
                            for seed, (name, sizes) in enumerate({"large": LARGE, "middle": MIDDLE, "small": SMALL}.items()))
    (tmp_path / "corpus.txt").write_text("\n\n".join(f"{sentence} Number {index}." for index in range(60) for sentence in SENTENCES))
    changes = {"teacher.model": large, "chain.anchors": f"[{{model: {middle}}}, {{model: {small}}}]", "chain.curve_points": 2,
               "data.source": tmp_path / "corpus.txt", "data.column": "text", "data.block_length": 32, "train.max_steps": 2,
               "train.per_device_train_batch_size": 4, "train.gradient_accumulation_steps": 1, "train.precision": "fp32",
               "train.device": "cpu", "evaluation.blocks": 2, "evaluation.prompts": "[]"}
    settings = [word for key, value in changes.items() for word in ("--set", f"{key}={value}")]

    def said(*arguments: str) -> Any:
        capsys.readouterr()
        assert cli.main([*arguments, "--json"]) == 0, capsys.readouterr().err
        return json.loads(capsys.readouterr().out)

    said("chain", str(ASSETS / "recipes" / "qwen3-chain.yaml"), *settings)
    place = chains.place("qwen3-chain", store)
    assert [anchor.dimensions.layers for anchor in place.open().anchors] == [4, 2, 2]

    page = open_page("chain", chain="qwen3-chain")
    wanted = page.select_slider[0].options[len(page.select_slider[0].options) // 2]
    page = open_page("chain", chain="qwen3-chain", size=wanted.replace(",", ""))
    fault_free(button(page, "Create model").click().run())
    model, = chains.created(place)
    config = AutoConfig.from_pretrained(model.folder)
    assert config.model_type == "qwen3" and config.tie_word_embeddings and config.head_dim == HEAD
    assert AutoModelForCausalLM.from_pretrained(model.folder).num_parameters() == model.target.parameters

    made = said("interpolate", "qwen3-chain", "--params", str(model.target.parameters), "--out", str(tmp_path / "made"))
    assert made["parameters"] == model.target.parameters
    assert said("generate", model.name, "--prompt", "Is it good?", "--max-new-tokens", "4")["tokens"]
    said("export", model.name, "--format", "folder", "--out", str(tmp_path / "exported"))
    exported = AutoModelForCausalLM.from_pretrained(tmp_path / "exported")
    assert exported.num_parameters() == model.target.parameters  # ONNX files of the family: tests/core/export
