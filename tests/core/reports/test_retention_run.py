"""A card measured on real folders with a scorer that is known: what it holds, and how it resumes after a stop."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.config import RetentionSpec
from core.errors import ExportError
from core.evaluation.flops import forward_flops
from core.events import Phase, RunWarning, ScoringTask
from core.export import exporting
from core.models import catalog
from core.recorder import ListRecorder, StopRequested
from core.reports.retention_card import Card, Score
from core.reports.retention_run import CARD, SCORES, SPEED, measure_retention
from core.reports.retention_text import markdown
from core.reports.task_scores import Scoring
from core.system.files import read_json, write_json
from tests.core.chat_models import save_chat_model
from tests.core.masked_models import masked_model, save

SPEC = RetentionSpec(seeds=2, seconds=0.2, length=16)
SEEDS = (5, 6)


@pytest.fixture
def models(tmp_path: Path) -> dict[str, str]:
    return {who: str(save_chat_model(tmp_path / who, layers=layers, positions=64))
            for who, layers in (("teacher", 4), ("student", 2), ("control", 2))}


class Scorer:
    """Scores that follow from who, task and seed."""

    def __init__(self, fail_after: int | None = None) -> None:
        self.calls: list[tuple[str, str, int]] = []
        self.fail_after = fail_after

    def __call__(self, reference: str, task: str, seed: int) -> Score:
        if len(self.calls) == self.fail_after:
            raise StopRequested
        who = Path(reference).name
        self.calls.append((who, task, seed))
        return Score({"teacher": 0.9, "student": 0.8, "control": 0.7}[who] - 0.01 * (seed - 5), 100)


def test_a_card_holds_sizes_times_and_scores(models: dict[str, str], tmp_path: Path) -> None:
    scorer, recorder = Scorer(), ListRecorder()
    card = measure_retention(models, SPEC, recorder, tmp_path / "card", Scoring(scorer, SEEDS), names={"student": "mine"})
    teacher, student, control = card.rows
    assert [row.kind for row in card.rows] == ["teacher", "student", "control"] and student.name == "mine"
    entry = catalog.describe(models["student"])
    assert (student.parameters, student.size_bytes, student.format) == (entry.parameters, entry.size_bytes, "fp32")
    assert student.without_embeddings == entry.parameters - entry.counts.embeddings - entry.counts.head
    assert teacher.flops == forward_flops(catalog.describe(models["teacher"]).header, length=16).total
    assert card.timing.length == 16 and student.speed.latency.value > 0 and teacher.speed.latency_speedup.value == 1
    assert card.seeds == (5, 6) and student.of_task("rt").values == pytest.approx((0.8, 0.79))
    assert card.macro(student).value == pytest.approx(0.795 / 0.895) and card.macro(control).value < card.macro(student).value
    assert len(scorer.calls) == 3 * 2 * 2
    assert Card.from_dict(read_json(tmp_path / "card" / CARD)) == card
    assert recorder.of(Card) == [card]
    phases = recorder.of(ScoringTask)
    assert phases[0] == ScoringTask(subject="teacher", task="imdb", seed=5, done=0, total=12)
    assert phases[-1].done == 11


def test_a_stopped_card_resumes_after_what_had_ended(models: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(StopRequested):
        measure_retention(models, SPEC, ListRecorder(), tmp_path / "card", Scoring(Scorer(fail_after=5), SEEDS))
    assert not (tmp_path / "card" / CARD).exists()
    speed, again, recorder = read_json(tmp_path / "card" / SPEED), Scorer(), ListRecorder()
    card = measure_retention(models, SPEC, recorder, tmp_path / "card", Scoring(again, SEEDS))
    assert len(again.calls) == 12 - 5
    assert {phase.name for phase in recorder.of(Phase)} == {"retention"}
    assert read_json(tmp_path / "card" / SPEED) == speed and len(card.row("student").of_task("imdb").values) == 2


def test_a_stop_between_scores_is_heard(models: dict[str, str], tmp_path: Path) -> None:
    scorer = Scorer()

    class Impatient(ListRecorder):
        def should_stop(self) -> bool:
            return len(scorer.calls) == 3

    with pytest.raises(StopRequested):
        measure_retention(models, SPEC, Impatient(), tmp_path / "card", Scoring(scorer, SEEDS))
    assert len(read_json(tmp_path / "card" / SCORES)["scores"]) == 3


def test_other_settings_score_again(models: dict[str, str], tmp_path: Path) -> None:
    measure_retention(models, SPEC, ListRecorder(), tmp_path / "card", Scoring(Scorer(), SEEDS))
    scorer = Scorer()
    measure_retention(models, SPEC.model_copy(update={"epochs": 3.0}), ListRecorder(), tmp_path / "card", Scoring(scorer, SEEDS))
    assert len(scorer.calls) == 12
    more = Scorer()
    measure_retention(models, SPEC.model_copy(update={"epochs": 3.0}), ListRecorder(), tmp_path / "card", Scoring(more, (5, 6, 7)))
    assert {seed for _, _, seed in more.calls} == {7}


def test_a_file_that_was_cut_off_counts_as_none(models: dict[str, str], tmp_path: Path) -> None:
    write_json(tmp_path / "card" / SCORES, {})
    (tmp_path / "card" / SPEED).write_text('{"settings":', encoding="utf-8")
    assert measure_retention(models, SPEC, ListRecorder(), tmp_path / "card", Scoring(Scorer(), SEEDS)).macro


def test_zero_shot_scores_have_no_fine_tuning(models: dict[str, str], tmp_path: Path) -> None:
    card = measure_retention(models, SPEC, ListRecorder(), tmp_path / "card", Scoring(Scorer(), (5,), tuned=False))
    assert (card.train_items, card.epochs, card.seeds) == (None, None, (5,)) and card.macro(card.row("student")).low is None


def test_without_tasks_nothing_is_scored(models: dict[str, str], tmp_path: Path) -> None:
    sizes = SPEC.model_copy(update={"tasks": ()})
    card = measure_retention(models, sizes, ListRecorder(), tmp_path / "card", Scoring(Scorer(fail_after=0), SEEDS))
    assert card.seeds == () and card.tasks == () and card.faster(card.row("student")) is not None


def test_a_short_context_is_timed_at_its_own_length(models: dict[str, str], tmp_path: Path) -> None:
    spec = SPEC.model_copy(update={"tasks": (), "length": 500})
    card = measure_retention(models, spec, ListRecorder(), tmp_path / "card", Scoring(Scorer(), SEEDS))
    assert card.timing.length == 64


def test_exports_stand_in_the_same_table(tmp_path: Path) -> None:
    folders = {who: str(save(masked_model(layers), tmp_path / who)) for who, layers in (("teacher", 2), ("student", 1))}
    spec = RetentionSpec(tasks=(), seconds=0.2, length=16, exports=True)
    scoring = Scoring((), lambda *_: pytest.fail("nothing is scored"), tuned=True)
    card = measure_retention(folders, spec, ListRecorder(), tmp_path / "card", scoring)
    by_kind = {row.kind: row for row in card.rows}
    assert list(by_kind) == ["teacher", "student", "teacher onnx", "teacher onnx-int8", "student onnx", "student onnx-int8"]
    assert by_kind["student onnx-int8"].size_bytes < by_kind["student onnx"].size_bytes
    assert by_kind["student onnx"].parameters == by_kind["student"].parameters and by_kind["teacher onnx-int8"].format == "int8"
    assert all(row.speed.latency.value > 0 and row.speed.throughput.value > 0 for row in card.rows)
    assert "Student, ONNX int8" in markdown(card) and Card.from_dict(card.to_dict()) == card
    again = measure_retention(folders, spec, ListRecorder(), tmp_path / "card", scoring)
    assert [row.speed for row in again.rows] == [row.speed for row in card.rows]


def test_names_that_only_the_loader_knows_are_exported_and_failures_leave_the_rest(tmp_path: Path, monkeypatch) -> None:
    folders = {who: str(save(masked_model(layers), tmp_path / who)) for who, layers in (("teacher", 2), ("student", 1))}
    exported = exporting.onnx_models

    def onnx_models(loaded, work, **more):
        if loaded.entry.layers == 2:
            raise ExportError("An operator is missing.", "")
        return exported(loaded, work, **more)

    monkeypatch.setattr(exporting, "onnx_models", onnx_models)
    recorder = ListRecorder()
    spec = RetentionSpec(tasks=(), seconds=0.1, length=16, exports=True)
    card = measure_retention(
        {"teacher": "a run", "student": "another"}, spec, recorder, tmp_path / "card", Scoring((), lambda *_: pytest.fail("not scored")),
        load=lambda name, **more: catalog.load(folders["teacher" if name == "a run" else "student"], **more))
    assert [row.kind for row in card.rows] == ["teacher", "student", "student onnx", "student onnx-int8"]
    assert [warning.message for warning in recorder.of(RunWarning)] == [
        "The card has no exports of the teacher: An operator is missing."]
