import json
import re

import pytest
from huggingface_hub import ModelCard

from core.config import ExperimentConfig, LossSpec
from core.recipes import parse_recipe, read_recipe
from core.recorder import CONTROL, STUDENT
from core.reports import model_card as cards
from core.reports.citations import cited
from core.reports.model_card import describe_losses
from core.reports.run_report import RunReport

LANGUAGE = {"cross_entropy": 3.0, "perplexity": 20.0855, "bits_per_byte": 1.25, "kl_to_teacher": 0.5, "agreement": 0.625,
            "tokens": 8000, "bytes": 27000}
SENTIMENT = {"sentiment_accuracy": 0.81, "sentiment_items": 600, "stderr": 0.016, "accuracy_imdb": 0.85, "items_imdb": 400,
             "accuracy_rt": 0.73, "items_rt": 200}


def config(**changes) -> ExperimentConfig:
    return parse_recipe({"name": "small", "teacher": {"model": "house-chat"}, "student": {"layers": 4}, "losses": {"temperature": 3},
                         "control": True, **changes})


@pytest.fixture
def report() -> dict:
    after = LANGUAGE | SENTIMENT
    return {
        "output_dir": "/somewhere/student", "teacher": {"name": "house-chat", "parameters": 4_200_000, "layers": 8},
        "student": {"name": "small", "parameters": 2_400_000, "trainable_parameters": 2_400_000, "layers": 4, "layer_map": [0, 2, 5, 7]},
        "metrics": {"teacher": after | {"perplexity": 15.5}, "student_before": after | {"perplexity": 320.0}, "student_after": after,
                    "control": after | {"perplexity": 23.25}},
        "data": {"digest": "0123456789ab", "blocks": 900, "documents": 5000, "padding": 0.01},
        "seconds": 181.5, "tokens": 460_800, "tokens_per_second": 3100.0, "stopped": False,
        "command": "python -m workbench distill assets/recipes/quickstart.yaml",
    }


def model_card(config: ExperimentConfig, report: dict, **more) -> str:
    return cards.model_card(config, RunReport.from_dict(report), **more)


def record(config: ExperimentConfig, report: dict) -> dict:
    return cards.record(config, RunReport.from_dict(report))


def own_values(card: ModelCard) -> dict[str, float]:
    return {metric.metric_type: metric.metric_value for metric in card.data.eval_results}


def test_the_hubs_own_reader_understands_the_card(report):
    card = ModelCard(model_card(config(), report))
    assert (card.data.library_name, card.data.base_model, card.data.tags) == ("transformers", "house-chat", ["stillhouse", "distillation"])
    assert own_values(card) == {name: report["metrics"]["student_after"][name] for name in (
        "perplexity", "cross_entropy", "bits_per_byte", "kl_to_teacher", "agreement", "sentiment_accuracy")}


def test_the_controls_card_tells_its_own_numbers_and_no_distillation(report):
    card = ModelCard(model_card(config(), report, variant=CONTROL))
    assert card.data.tags == ["stillhouse", "control"]
    assert own_values(card)["perplexity"] == 23.25
    assert "hard labels only" in card.text
    assert "distilled from it" not in card.text


def test_a_student_of_hard_labels_alone_is_not_called_distilled(report):
    card = ModelCard(model_card(config(losses={"w_kd": 0, "w_hard": 1}), report))
    assert card.data.tags == ["stillhouse"]
    assert card.data.base_model == "house-chat"
    assert "distilled" not in card.text


def test_the_table_has_a_column_for_everything_that_was_measured(report):
    report["metrics"]["control"] = None
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in model_card(config(control=False), report).splitlines()
            if line.startswith("|")]
    assert rows[0] == ["", "teacher", "student before", "student after"]
    assert ["held-out perplexity ↓", "15.5", "320", "20.09"] in rows
    assert ["sentiment accuracy ↑", "0.81", "0.81", "0.81"] in rows


def test_the_card_says_what_was_done(report):
    text = model_card(config(description="For the first lesson."), report)
    for said in ("4 blocks and 2,400,000 parameters", "house-chat (8 blocks, 4,200,000 parameters)", "0, 2, 5, 7", "460,800 tokens",
                 "seed 42", "temperature T = 3", "600 reviews",
                 "(95% CI, Wilson over 600 reviews)", "For the first lesson.", report["command"]):
        assert said in text
    assert report["output_dir"] not in text


@pytest.mark.parametrize(("control", "said"), [(True, "Its control is the same student"), (False, "No control was trained.")])
def test_the_card_says_whether_there_is_a_control(report, control: bool, said: str):
    assert said in model_card(config(control=control), report)
    assert said not in model_card(config(control=control), report, variant=CONTROL)


def test_a_model_from_nothing_has_no_base_model(report):
    fresh = parse_recipe({"teacher": None, "student": {"from_scratch": {}}, "losses": {"w_kd": 0, "w_hard": 1}})
    report["teacher"] = report["student"]["layer_map"] = None
    report["metrics"] = {"teacher": None, "student_before": None, "student_after": {key: LANGUAGE[key] for key in (
        "cross_entropy", "perplexity", "bits_per_byte", "tokens", "bytes")}, "control": None}
    card = ModelCard(model_card(fresh, report))
    assert card.data.base_model is None
    assert card.data.tags == ["stillhouse"]
    assert "trained from nothing" in card.text


@pytest.mark.parametrize(("reference", "shown"), [
    ("/home/somebody/models/tiny", "tiny"), ("~/models/tiny", "tiny"), ("../tiny", "tiny"), ("owner/tiny", "owner/tiny"), ("tiny", "tiny"),
    ("/home/somebody/runs/20260101-abc/student", "20260101-abc/student")])
def test_a_card_names_a_model_but_not_where_it_lay(report, reference, shown):
    report["teacher"]["name"] = reference
    text = model_card(config(teacher={"model": reference}), report)
    assert ModelCard(text).data.base_model == shown
    assert "somebody" not in text


def test_a_card_names_a_file_but_not_where_it_lay(report):
    text = model_card(config(data={"source": "/home/somebody/private/letters.jsonl"}), report)
    assert "letters.jsonl" in text
    assert "somebody" not in text


def test_the_record_holds_the_lineage(report):
    found = record(config(), report)
    assert parse_recipe(found["config"]) == config()
    assert found["lineage"]["teacher"]["name"] == "house-chat"
    assert found["lineage"]["layer_map"] == [0, 2, 5, 7]
    assert (found["lineage"]["seed"], found["lineage"]["data"]["digest"]) == (42, "0123456789ab")
    assert {"stillhouse", "python", "torch", "transformers"} <= found["lineage"]["versions"].keys()
    assert re.fullmatch(r"[0-9a-f]{40}(\+changes)?", found["lineage"]["git_commit"] or "0" * 40)
    assert found["metrics"] == report["metrics"]


def test_three_documents_that_can_be_read_back(report, tmp_path):
    cards.write_folder_documents(tmp_path, config(), RunReport.from_dict(report))
    assert {path.name for path in tmp_path.iterdir()} == {"README.md", "recipe.yaml", "stillhouse.json"}
    assert read_recipe(tmp_path / "recipe.yaml") == config()
    assert json.loads((tmp_path / "stillhouse.json").read_text()) == record(config(), report)


@pytest.mark.parametrize(("spec", "text"), [
    ({}, "1 x soft targets + 0.5 x hard labels; soft targets are KL(teacher || student) at temperature T = 2, times T squared."),
    ({"w_kd": 0, "w_hard": 1}, "1 x hard labels."),
    ({"w_kd": {"start": 1, "end": 0.25}, "w_hard": 0, "w_hidden": 2, "divergence": "jsd", "temperature": 1.5},
     "(1 to 0.25) x soft targets + 2 x last hidden states; "
     "soft targets are generalised Jensen-Shannon at temperature T = 1.5, times T squared."),
])
def test_losses_in_one_line(spec, text):
    assert describe_losses(LossSpec.model_validate(spec)) == text


def test_the_card_links_the_papers_of_its_methods(report):
    settings = config(losses={"w_kd": 1, "divergence": "reverse_kl"})
    text = model_card(settings, report)
    assert all(f"https://arxiv.org/abs/{paper}" in text for paper in cited(settings, STUDENT))
