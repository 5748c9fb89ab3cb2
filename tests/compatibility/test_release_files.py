"""What release 0.1.0 left on users' disks opens with this code; `make_release_files` says how the files were made."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.compatibility.conftest import RELEASE
from workbench.store import Store
from workbench.terminal import cli

RECIPES = sorted((RELEASE / "recipes").glob("*.yaml"))
RUNS: dict[str, Any] = json.loads((RELEASE / "shown.json").read_text())
STATUSES = {"pretrained": "finished", "encoder": "finished", "distilled": "finished", "whole": "finished", "stopped": "stopped",
            "chain": "finished", "bridged": "finished", "tuned": "finished", "failed": "failed", "lost": "lost", "cancelled": "stopped"}

# What has another name now: dotted key of a recipe, or name of a metric, in release 0.1.0 -> today's.
RENAMED_KEYS: dict[str, str] = {
    "student.fresh": "student.from_scratch",  # null where there is none
    **{f"student.fresh.{key}": f"student.from_scratch.{key}"
       for key in ("architecture", "layers", "hidden", "heads", "key_value_heads", "vocabulary", "positions")},
    "student.fresh.feed_forward": "student.from_scratch.intermediate_size",
    "student.feed_forward": "student.intermediate_size",
    "student.units": "student.pruning_criterion",
    "data.passes": "data.corpus_epochs",
    "data.small_talk": "data.identity_question_every",
    "masking.fraction": "masking.mlm_probability",
    "masking.mask": "masking.mask_replace_prob",
    "masking.random": "masking.random_replace_prob",
    "masking.rarity": "masking.mlm_smoothing",
    "masking.whole_words": "masking.whole_word_mask",
    "chain.order": "chain.teacher",
}
RENAMED_IN_LISTS = {"feed_forward": "intermediate_size"}  # key of an element, as of chain.anchors
# key of release 0.1.0 -> its value then -> today's
RENAMED_VALUES: dict[str, dict[Any, Any]] = {"chain.order": {"stepwise": "predecessor", "direct": "largest"}}
# Defaults that changed: what a recipe says of them holds, what it leaves open is read in a new way.
CHANGED_DEFAULTS: dict[str, Any] = {"train.save_precision": "auto"}
RENAMED_METRICS: dict[str, str] = {}


def leaves(plain: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys and values of a recipe; lists are values, and so is a weight that moves from a start to an end."""
    for key, value in plain.items():
        if isinstance(value, dict) and value.keys() != {"start", "end"}:
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def renamed(key: str, value: Any) -> tuple[str, Any]:
    """A leaf of release 0.1.0 as it is called today."""
    today = RENAMED_VALUES.get(key, {})
    if isinstance(value, list):
        value = [{RENAMED_IN_LISTS.get(name, name): each for name, each in element.items()} if isinstance(element, dict) else element
                 for element in value]
    return RENAMED_KEYS.get(key, key), today.get(value, value) if isinstance(value, str) else value


def answer(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> Any:
    """The JSON document of one command."""
    capsys.readouterr()
    assert cli.main([*words, "--json"]) == code
    return json.loads(capsys.readouterr().out)


# ---------------------------------------------------------------------------------------------------- recipes


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_is_read_as_before(path: Path) -> None:
    from core.recipes import read_recipe

    before = dict(leaves(json.loads(path.with_suffix(".json").read_text())))
    given = set(dict(leaves(yaml.safe_load(path.read_text()))))
    today = dict(leaves(read_recipe(path).to_dict()))
    for key, value in before.items():
        name, expected = renamed(key, value if key in given else CHANGED_DEFAULTS.get(key, value))
        # A default that this kind of experiment has no use for may be gone; what the recipe says must be there.
        assert today.get(name, None if key in given else expected) == expected, f"{key}, today {name}"
    # Written out and read again it is the same.
    from core.recipes import parse_recipe

    assert parse_recipe(read_recipe(path).to_dict()) == read_recipe(path)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_settings_of_the_command_line_have_their_old_names(path: Path, tmp_path: Path) -> None:
    from core.recipes import read_recipe

    plain = yaml.safe_load(path.read_text())
    settings = [f"{key}={json.dumps(value)}" for key, value in leaves(plain)]
    (tmp_path / "empty.yaml").write_text("{}")
    assert read_recipe(tmp_path / "empty.yaml", settings) == read_recipe(path)


def test_the_recipes_use_every_key_of_the_release() -> None:
    known = {key for path in RECIPES for key, _ in leaves(json.loads(path.with_suffix(".json").read_text()))}
    given = {key for path in RECIPES for key, _ in leaves(yaml.safe_load(path.read_text()))}
    sections = {"bridge", "chain", "task", "student.fresh", "student.lora", "evaluation.retention"}  # null where there are none
    assert known - given - sections == set()


# ---------------------------------------------------------------------------------------------------- the store


def test_the_store_lists_its_runs(release_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = answer(capsys, "runs")
    assert {run["name"]: run["status"] for run in runs} == STATUSES
    assert [run["name"] for run in answer(capsys, "runs", "--deleted") if run["deleted"]] == ["deleted"]
    created = [run["created"] for run in runs]
    assert created == sorted(created, reverse=True)


@pytest.mark.parametrize("name", RUNS)
def test_a_run_is_shown_as_before(name: str, release_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before, today = RUNS[name], answer(capsys, "show", name)
    assert Path(today["directory"]) == release_home / "runs" / before["run_id"]
    for key in before.keys() - {"directory", "output_dir", "latest_metrics", "events"}:
        assert today[key] == before[key], key
    assert today["latest_metrics"] == {variant: {RENAMED_METRICS.get(metric, metric): value for metric, value in metrics.items()}
                                       for variant, metrics in before["latest_metrics"].items()}
    assert Counter(event.kind for event in Store().events(before["run_id"])) == before["events"]


@pytest.mark.parametrize("name", RUNS)
def test_a_runs_configuration_is_that_of_its_recipe(name: str, release_home: Path) -> None:
    from core.recipes import read_recipe

    run = Store().run(name)
    assert run.config == read_recipe(run.directory / "recipe.yaml")
    assert run.config.name == name


@pytest.mark.parametrize("name", RUNS)
def test_a_runs_configuration_has_the_digest_it_had(name: str, release_home: Path) -> None:
    run = Store().run(name)
    assert run.config.digest() == run.config_hash


def test_reports_of_models_have_the_digest_they_had(release_home: Path) -> None:
    from core.recipes import parse_recipe

    records = [json.loads(path.read_text()) for path in (release_home / "runs").rglob("stillhouse.json")]
    assert len(records) > 5
    for record in records:
        assert parse_recipe(record["config"]).digest() == record["config_digest"]


def test_the_error_of_a_failed_run_is_read(release_home: Path) -> None:
    error = Store().run("failed").error
    assert error is not None and (error.given, error.fix) == (RUNS["failed"]["message"], RUNS["failed"]["hint"])


def test_the_curves_of_a_run_are_there(release_home: Path) -> None:
    store = Store()
    whole = store.run("whole")
    curve = store.metrics(whole.id, "student", ["loss"])
    assert curve.step.tolist() == list(range(1, 9)) and all(map(math.isfinite, curve.value))
    assert {event.payload["step"] for event in store.events(whole.id, kind="samples")} == {0, 3, 6, 8}


def test_models_of_runs_chains_and_sizes_are_listed(release_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    models = {model["name"]: model for model in answer(capsys, "models")}
    assert {"pretrained", "encoder", "distilled", "distilled:control", "whole", "bridged", "tuned", "chain:0", "chain:1", "chain:2",
            "chain-3.9k"} <= models.keys()
    assert (models["tuned"]["task"], models["encoder"]["task"], models["chain-3.9k"]["source"]) == (
        "classification", "masked", "made on demand")


# ---------------------------------------------------------------------------------------------------- runs


def test_a_stopped_run_ends_as_the_one_that_nobody_stopped(release_home: Path) -> None:
    from safetensors.torch import load_file
    from torch.testing import assert_close

    from core.recorder import ListRecorder
    from workbench.runs.worker import run_worker

    store, watcher = Store(), ListRecorder()
    stopped, whole = store.run("stopped"), store.run("whole")
    assert store.metrics(stopped.id, "student", ["loss"]).step.max() == 5
    store.requeue(stopped.id)
    assert store.claim(stopped.id, "cpu")
    resumed = run_worker(stopped.id, store, watchers=(watcher,)).run
    assert resumed.status == "finished", resumed.message
    assert list(watcher.series("student", "loss")) == [6, 7, 8], "it resumes from its checkpoint"
    curves = [store.metrics(run.id, "student", ["loss"]) for run in (resumed, whole)]
    assert curves[0].step.tolist() == curves[1].step.tolist()
    assert curves[0].value.tolist() == pytest.approx(curves[1].value.tolist(), rel=1e-4)
    reports = [store.report(run.id).metrics for run in (resumed, whole)]
    for who in ("teacher", "student_before", "student_after"):
        for metric in ("cross_entropy", "kl_to_teacher"):
            assert reports[0][who][metric] == pytest.approx(reports[1][who][metric], rel=1e-4, abs=1e-6), f"{who}: {metric}"
    weights = [load_file(run.output_dir / "model.safetensors") for run in (resumed, whole)]
    assert_close(*weights, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("name", ["failed", "lost", "cancelled"])
def test_a_run_that_ended_early_can_be_queued_again(name: str, release_home: Path) -> None:
    store = Store()
    assert store.run(name).resumable
    assert store.requeue(name).status == "queued"


def test_a_fine_tuned_model_scores_as_its_run_reported(release_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    measured, = answer(capsys, "evaluate", "tuned")
    reported = RUNS["tuned"]["report"]["metrics"]["student_after"]
    assert (measured["headline"], measured["counted"]) == ("accuracy", reported["items"])
    assert measured["metrics"]["accuracy"] == pytest.approx(reported["accuracy"], abs=1.01 / reported["items"])  # one item may be a tie


# ---------------------------------------------------------------------------------------------------- chains


def test_a_size_is_created_from_a_chain(release_home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = release_home / "runs" / RUNS["chain"]["run_id"]
    shown = answer(capsys, "show", str(folder))
    assert shown["aligned"] and [anchor["layers"] for anchor in shown["anchors"]] == [4, 2, 1]
    point, *_ = shown["curve"]
    made = answer(capsys, "interpolate", "chain", "--params", str(point["target"]["parameters"]), "--out", str(tmp_path / "made"))
    assert (made["method"], made["parameters"]) == ("substitution", point["target"]["parameters"])
    assert made["validation_loss"] == pytest.approx(point["losses"]["substitution"], rel=1e-3)
    assert made["baselines"]["larger_anchor"] == shown["anchors"][0]["validation_loss"]
    mixed = answer(capsys, "interpolate", "chain", "--params", str(point["target"]["parameters"]), "--method", "interpolation",
                   "--out", str(tmp_path / "mixed"))
    assert mixed["validation_loss"] == pytest.approx(point["losses"]["interpolation"], rel=1e-3)


def test_a_created_model_knows_where_it_comes_from(release_home: Path) -> None:
    from workbench.store import chains

    place = chains.place("chain", Store())
    created, = chains.created(place)
    assert (created.name, created.method, created.target.dimensions.layers) == ("chain-3.9k", "substitution", 3)
    assert created.losses["larger_anchor"] == place.open().anchors[0].validation_loss


def test_the_selection_slice_is_read_under_its_former_name(release_home: Path) -> None:
    from core.chains.folder import SELECTION, open_chain, selection_file
    from core.chains.on_demand import load_anchor_pair, read_slice, swap_deltas

    chain = open_chain(str(release_home / "runs" / RUNS["chain"]["run_id"]))
    former = selection_file(chain.path)
    assert former.name == "choosing.npz" and len(read_slice(former)) > 0
    # The stored deltas, which have another name in files, were measured on that slice; processors with bf16 differ from those without.
    assert swap_deltas(load_anchor_pair(chain, 0), chain) == pytest.approx(chain.anchors[1].swap_deltas, rel=0.03)
    former.unlink()
    assert selection_file(chain.path).name == SELECTION == "selection.npz"


# ---------------------------------------------------------------------------------------------------- exports


@pytest.mark.parametrize(("form", "file", "tolerance"), [("onnx", "model.onnx", 1e-4), ("onnx-int8", "model.int8.onnx", 0.2)])
def test_an_exported_model_says_what_its_torch_model_says(form: str, file: str, tolerance: float, release_home: Path) -> None:
    import onnxruntime
    import torch
    from transformers import AutoModelForMaskedLM, AutoTokenizer

    from core.export.exporting import read_exported

    folder = release_home / "exports" / f"encoder-{form}"
    record = read_exported(folder)
    assert (record.model, record.form, record.file, record.task) == ("encoder", form, file, "masked")
    model = AutoModelForMaskedLM.from_pretrained(Store().run("encoder").output_dir).eval()
    texts = ["the film was [MASK].", "a dull plot, and [MASK] jokes"]
    given = AutoTokenizer.from_pretrained(folder)(texts, padding=True, return_tensors="pt")
    session = onnxruntime.InferenceSession(folder / file, providers=["CPUExecutionProvider"])
    logits, = session.run(["logits"], {each.name: given[each.name].numpy() for each in session.get_inputs()})
    with torch.no_grad():
        expected = model(**given).logits
    real = given.attention_mask.bool()
    assert (torch.from_numpy(logits)[real] - expected[real]).abs().max() < tolerance


# ---------------------------------------------------------------------------------------------------- ablations and claims


def test_an_ablation_is_found_with_its_result(release_home: Path) -> None:
    from core.studies.ablation import results
    from workbench.studies.jobs import AblationJob

    folder, = results.folders()
    config, seeds = results.load_request(folder)
    assert (config.name, seeds, results.command_of(folder)) == (
        "ablated", (42, 43), "python -m workbench ablate ablate.yaml --seeds 2")
    result = results.result_of(folder)
    assert result.parts == ("minus_kd", "minus_hard", "random")
    stored = json.loads((folder / "result.json").read_text())
    assert result.difference("random", "cross_entropy").value == stored["differences"]["random"]["cross_entropy"]["value"] > 1
    state = AblationJob(folder).load_state()
    assert (state.state, state.done, state.total) == ("finished", 8, 8)


def test_the_outcome_of_a_claim_is_found(release_home: Path) -> None:
    from core.studies.claims import outcomes, registry
    from workbench.studies.jobs import ClaimJob

    outcome, place = outcomes.latest(registry.CLAIMS["C9"])
    stored = json.loads((release_home / "claims" / "C9" / "outcome.json").read_text())
    assert (place, outcome.verdict, outcome.date, outcome.seeds) == ("here", "pass", stored["date"], (42, 43, 44))
    assert outcome.numbers["worst"].mean == stored["numbers"]["worst"]["mean"]
    state = ClaimJob.of("C9").load_state()
    assert (state.state, state.done, state.total) == ("finished", 3, 3)
