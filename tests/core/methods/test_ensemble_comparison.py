"""A student of an ensemble of language models is compared over seeds: all numbers, a stop, a resume, and what cannot be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from core.config import DistillConfig
from core.errors import ConfigError
from core.events import Headway, RunWarning, TrainingNetwork
from core.methods import run_experiment
from core.models import catalog
from core.planning.plan import static_plan
from core.recipes import check_recipe, parse_recipe
from core.recorder import ListRecorder
from core.reports.run_report import RunReport, parse_report
from tests.core.chat_models import SENTENCES, save_chat_model


@pytest.fixture(scope="module")
def members(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("members")
    return [str(save_chat_model(folder / name, layers=layers, seed=seed)) for name, layers, seed in (("a", 2, 0), ("b", 1, 1))]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("corpus") / "corpus.jsonl"
    path.write_text("".join(json.dumps({"text": f"{SENTENCES[row % 5]} {SENTENCES[row * 7 % 5]} {row}"}) + "\n" for row in range(120)))
    return path


def config(members: list[str], corpus: Path, **changes: Any) -> DistillConfig:
    found = parse_recipe({
        "name": "small", "teacher": {"model": f"arithmetic({', '.join(members)})"}, "student": {"layers": 1}, "control": True,
        "data": {"source": str(corpus), "block_length": 16, "validation_fraction": 0.2},
        "train": {"max_steps": 2, "per_device_train_batch_size": 2, "device": "cpu", "seed": 3},
        "evaluation": {"eval_steps": 1, "blocks": 3, "prompts": [], "ensemble_seeds": 2}, **changes})
    assert isinstance(found, DistillConfig)
    return found


def carry_out(spec: DistillConfig, folder: Path, recorder: ListRecorder | None = None) -> RunReport:
    report = run_experiment(spec, recorder or ListRecorder(), folder, load=catalog.load, command="again")
    assert isinstance(report, RunReport)
    return report


@pytest.fixture(scope="module")
def done(members: list[str], corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, RunReport, ListRecorder]:
    folder, recorder = tmp_path_factory.mktemp("run"), ListRecorder()
    return folder, carry_out(config(members, corpus), folder, recorder), recorder


def test_the_report_has_the_cross_entropy_of_all_over_seeds(done: tuple[Path, RunReport, ListRecorder], members: list[str]) -> None:
    folder, report, recorder = done
    assert parse_report(json.loads((folder / "report.json").read_text())) == report == recorder.of(RunReport)[-1]
    assert len(recorder.of(RunReport)) == 1
    record, metrics = report.to_dict()["ensemble"], report.metrics
    first, second = record["repetitions"]
    assert (first["seed"], second["seed"], record["measure"]) == (3, 4, "cross_entropy")
    assert [each["name"] for each in record["members"]] == members and record["one_member"]["name"] == members[0]
    for who, subject in (("ensemble", "teacher"), ("student", "student_after"), ("hard_labels", "control")):
        measured = metrics[subject]
        assert measured is not None and first[who] == measured["cross_entropy"]
    assert second["student"] != first["student"] and second["members"] == first["members"] and second["ensemble"] == first["ensemble"]
    assert record["student"]["errors"]["n"] == record["one_member"]["errors"]["n"] == 2 and record["ensemble"]["errors"]["low"] is None
    kept = [each["hard_labels"] - each["student"] for each in (first, second)]
    gain = [each["hard_labels"] - each["ensemble"] for each in (first, second)]
    assert record["gain"]["value"] == pytest.approx(sum(gain) / 2)
    assert record["share_of_gain"] is None if sum(gain) <= 0 else record["share_of_gain"]["value"] == pytest.approx(sum(kept) / sum(gain))
    saved = [each["one_member"] - each["student"] for each in (first, second)]
    assert record["one_member"]["student_saves"]["value"] == pytest.approx(sum(saved) / 2)


def test_all_students_see_as_many_tokens_and_a_member_is_measured_as_a_teacher_is(done: tuple[Path, RunReport, ListRecorder]) -> None:
    folder, report, recorder = done
    others = {path.parent.name: json.loads(path.read_text()) for path in (folder / "repetitions").glob("*/report.json")}
    assert set(others) == {"3-member", "4-ensemble", "4-member"} and {each["tokens"] for each in others.values()} == {report.tokens}
    assert report.ensemble is not None and report.ensemble.images == report.tokens
    assert {each["data"]["digest"] for name, each in others.items() if name.startswith("4")} != {None}
    for name in ("3-member", "4-member"):
        assert others[name]["metrics"]["teacher"]["cross_entropy"] == pytest.approx(report.ensemble.repetitions[0].members[0], abs=1e-6)
    assert not list((folder / "repetitions").rglob("model.safetensors")), "the reports are what counts of them"
    assert [part.done for part in recorder.of(TrainingNetwork)] == [2, 3, 5]
    shares = [each.share for each in recorder.of(Headway)]
    assert shares and max(shares) <= 1 and shares[-1] > 2 / 3


def test_a_stopped_comparison_resumes_to_the_same_numbers(done: tuple[Path, RunReport, ListRecorder], members: list[str], corpus: Path,
                                                          tmp_path: Path) -> None:
    class Stops(ListRecorder):
        def should_stop(self) -> bool:
            return len(self.of(TrainingNetwork)) > 1

    stopped = carry_out(config(members, corpus), tmp_path, Stops())
    assert stopped.stopped and stopped.ensemble is None and (tmp_path / "student").is_dir()
    again = ListRecorder()
    assert carry_out(config(members, corpus), tmp_path, again).ensemble == done[1].ensemble
    assert len(again.of(TrainingNetwork)) == 2, "the first one was over"


def test_a_single_model_is_refused_and_one_member_is_said(members: list[str], corpus: Path, tmp_path: Path) -> None:
    single = config(members, corpus, teacher={"model": members[0]})
    with pytest.raises(ConfigError, match="is a single model") as caught:
        carry_out(single, tmp_path / "single")
    assert caught.value.field == "evaluation.ensemble_seeds" and not (tmp_path / "single" / "student").exists()
    assert not static_plan(single).fits
    planned = static_plan(config(members, corpus))
    assert any("over 2 seeds" in check.message for check in planned.checks)
    one = config(members[:1], corpus, evaluation={"ensemble_seeds": 1, "blocks": 2, "prompts": []})
    assert any(check.caution and "one member" in check.message for check in static_plan(one).checks)
    recorder = ListRecorder()
    report = carry_out(one, tmp_path / "one", recorder)
    assert any("one member" in warning.message for warning in recorder.of(RunWarning))
    assert report.ensemble is not None and report.ensemble.repetitions[0].members[0] == pytest.approx(
        report.ensemble.repetitions[0].ensemble, abs=1e-5)


@pytest.mark.parametrize(("changes", "words"), [
    ({"control": False}, "set control to true"), ({"train": {"processes": 2}}, "compared in one process"),
    ({"kind": "pretrain", "teacher": None, "control": None, "losses": {"w_kd": 0}, "student": {"model": "house-chat"}},
     "distilled from an ensemble")])
def test_recipes_that_cannot_be_compared_say_why(changes: dict[str, Any], words: str) -> None:
    plain = {"teacher": {"model": "arithmetic(a, b)"}, "control": True, "evaluation": {"ensemble_seeds": 3}}
    found, errors = check_recipe({**plain, **changes})
    assert found is None and words in " ".join(map(str, errors)), errors


def test_a_narrower_student_is_made_of_the_first_member(members: list[str], corpus: Path, tmp_path: Path) -> None:
    spec = config(members, corpus, student={"layers": 1, "intermediate_size": 8}, control=False, evaluation={"blocks": 2, "prompts": []})
    report = carry_out(spec, tmp_path)
    assert catalog.load(str(tmp_path / "student")).model.config.intermediate_size == 8 and report.ensemble is None
