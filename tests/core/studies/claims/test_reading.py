"""The claims about reading, at a scale of seconds."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.events import Annotating, Phase
from core.recorder import ListRecorder, NullRecorder, StopRequested
from core.studies.claims import reading
from core.studies.claims.reading import ReadingProtocolConfig, TextProtocolConfig
from core.studies.claims.registry import CLAIMS
from core.studies.claims.running import evaluate_claim, run_claim
from tests.core.chat_models import save_chat_model

SMALL = ReadingProtocolConfig(paragraphs=40, hidden=16, layers=1, vocabulary=400, block_length=64, batch=2, base_steps=2, steps=2,
                              teacher_hidden=32, teacher_layers=1, task_items=2, items=3)


def test_claims_measure_what_their_figures_name_and_share_students(home) -> None:
    trained = []
    for name in ("D1", "D4", "D6"):
        recorder = ListRecorder()
        outcome = run_claim(name, (42,), recorder, setting=SMALL)
        assert {figure.name for figure in CLAIMS[name].figures} <= set(outcome.numbers) and outcome.verdict == "inconclusive"
        trained.append(sum(event.name == "train" for event in recorder.of(Phase)))
        if name == "D1":
            assert 0.5 < outcome.numbers["tokens_ratio"].mean < 2
    assert trained == [3, 1, 0], "the base, own and FURTHER; SHUFFLED; nothing"


def test_distillation_and_tasks_are_read_with_and_without_notes(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(reading, "_report", lambda seed, setting, recorder, **changes: seen.append(changes) or _Said(len(seen)))
    assert reading.reading_adds_to_distillation(42, SMALL, NullRecorder())["over_kd"] == 1
    assert [(each.get("teacher"), each["notes"], each.get("task_items", 0)) for each in seen if "start" in each] == [
        ("base", "none", 0), ("base", "own", 0), (None, "none", 2), (None, "own", 2)]


def test_variants_differ_in_what_is_read_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(reading, "_report", lambda seed, setting, recorder, **changes: seen.append(changes) or _Said(len(seen)))
    reading.both_behaviours_count(1, SMALL, NullRecorder())
    reading.paragraphs_beat_sentences(1, SMALL, NullRecorder())
    variants = [each for each in seen if "start" in each]
    assert [{key: value for key, value in each.items() if key != "start"} for each in variants] == [
        {"notes": "own"}, {"entities": 0.0}, {"questions": 0.0}, {"unit": "paragraph"}, {"unit": "sentence"}]


def on_text(folder: Path) -> TextProtocolConfig:
    text = folder / "text.txt"
    text.write_text("\n\n".join(f"Film number {number} has a very good script." for number in range(60)))
    return TextProtocolConfig(teacher=str(save_chat_model(folder / "teacher", positions=2048)), source=str(text), base_paragraphs=30,
                              paragraphs=8, hidden=16, layers=1, heads=2, vocabulary=400, positions=2048, block_length=48, batch=2,
                              base_steps=2, steps=2, items=2)


def test_a_model_takes_the_notes_of_real_text(home: Path, tmp_path: Path) -> None:
    recorder = ListRecorder()
    outcome = run_claim("D7", (42,), recorder, setting=on_text(tmp_path))
    assert {figure.name for figure in CLAIMS["D7"].figures} == set(outcome.numbers) and outcome.verdict == "inconclusive"
    assert outcome.numbers["sentences"].mean == 8 and 0 <= outcome.numbers["share_valid"].mean <= 1
    assert {event.sentences for event in recorder.of(Annotating)} == {8}, "the base reads without notes"
    assert sum(event.name == "train" for event in recorder.of(Phase)) == 3, "the base, own and FURTHER"


class _Said:
    """A report with an accuracy."""

    def __init__(self, accuracy: float) -> None:
        self.output_dir, self.student_after = "base", {"reading_accuracy": accuracy}


def numbers(name: str, **decisive: float) -> dict[int, dict[str, float]]:
    """Three seeds that differ a little; figures that no rule reads are 0."""
    return {seed: {figure.name: decisive.get(figure.name, 0.0) + (0.001 * seed if figure.name in decisive else 0)
                   for figure in CLAIMS[name].figures} for seed in range(3)}


@pytest.mark.parametrize(("name", "decisive", "verdict"), [
    ("D1", {"over_further": 0.1, "over_base": 0.1, "tasks_better": 4.0}, "pass"),
    ("D1", {"over_further": 0.1, "over_base": 0.1, "tasks_better": 3.0}, "fail"),
    ("D1", {"over_further": -0.1, "over_base": 0.1, "tasks_better": 5.0}, "fail"),
    ("D2", {"cost_of_entities": 0.1, "difference": 0.0}, "pass"), ("D2", {"cost_of_entities": 0.1, "difference": -0.1}, "fail"),
    ("D3", {"over_sentences": 0.1}, "pass"), ("D3", {"over_sentences": -0.1}, "fail"),
    ("D4", {"beyond_half": 0.1, "over_shuffled": 0.1}, "pass"), ("D4", {"beyond_half": -0.1, "over_shuffled": 0.1}, "fail"),
    ("D5", {"over_kd": 0.1, "over_td": 0.1}, "pass"), ("D5", {"over_kd": 0.1, "over_td": -0.1}, "fail"),
    ("D6", {"tasks_nearer": 3.0}, "pass"), ("D6", {"tasks_nearer": 2.0}, "fail"),
    ("D7", {"over_further": 0.1, "over_base": 0.1, "tasks_better": 4.0}, "pass"),
    ("D7", {"over_further": 0.1, "over_base": 0.1, "tasks_better": 3.0}, "fail"),
    ("D7", {"over_further": 0.1, "over_base": -0.1, "tasks_better": 6.0}, "fail")])
def test_rules(name: str, decisive: dict[str, float], verdict: str) -> None:
    assert evaluate_claim(CLAIMS[name], numbers(name, **decisive), SMALL, 1.0).verdict == verdict


def test_a_stop_ends_a_protocol(home: Path, tmp_path: Path) -> None:
    with pytest.raises(StopRequested):
        reading.reading_beats_further_training(42, SMALL, ListRecorder(stop_after=0))
    with pytest.raises(StopRequested):
        reading.notes_of_a_model(42, on_text(tmp_path), ListRecorder(stop_after=0))
