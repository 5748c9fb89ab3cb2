"""A whole ablation on a tiny teacher: what is trained, what is found again, what it says."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.config import ExperimentConfig
from core.errors import ConfigError
from core.events import AblationPart
from core.methods import distillation
from core.recipes import parse_recipe
from core.recorder import ListRecorder, StopRequested
from core.reports.retention_card import Card
from core.studies.ablation import variants
from core.studies.ablation.results import folder_of, result_of
from core.studies.ablation.run import run_ablation
from tests.core.chat_models import save_chat_model


@pytest.fixture
def config(tmp_path: Path, corpus: Path) -> ExperimentConfig:
    teacher = save_chat_model(tmp_path / "teacher", layers=3, positions=64)
    return parse_recipe({
        "name": "tiny", "teacher": {"model": str(teacher)}, "student": {"layers": 2, "init": "random"}, "control": True,
        "data": {"source": str(corpus), "block_length": 24, "validation_fraction": 0.2},
        "train": {"max_steps": 2, "per_device_train_batch_size": 2, "device": "cpu", "precision": "fp32"},
        "evaluation": {"eval_steps": 2, "blocks": 4, "prompts": [], "retention": {}}})


def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The folders in which something is trained from now on."""
    trained, distill = [], distillation.distill

    def counting(config, recorder, folder, **rest):
        trained.append(folder.name)
        return distill(config, recorder, folder, **rest)

    monkeypatch.setattr(distillation, "distill", counting)
    return trained


def test_every_variant_is_trained_with_every_seed_and_a_stop_loses_none(config: ExperimentConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    class Impatient(ListRecorder):
        def should_stop(self) -> bool:
            return len(self.of(AblationPart)) == 4

    trained = counted(monkeypatch)
    with pytest.raises(StopRequested):
        run_ablation(config, (1, 2), Impatient())
    known = result_of(folder_of(config))
    assert known.seeds == (1,), "the seed that had ended in all variants is reported already"
    begun, recorder = len(trained), ListRecorder()
    assert begun == 4
    found = run_ablation(config, (1, 2), recorder)
    assert found.seeds == (1, 2) and found.parts == ("minus_kd", "minus_hard") and result_of(folder_of(config)) == found
    assert len(set(trained)) == 3 * 2 and len(trained) - begun == 3, "finished trainings are found again, the stopped one resumes"
    assert all(found.values[name]["cross_entropy"][0] == known.values[name]["cross_entropy"][0] for name in found.values)
    assert found.metrics == ("cross_entropy", "kl_to_teacher", "agreement")
    assert found.values["minus_kd"]["cross_entropy"] != found.values["full"]["cross_entropy"]
    events = recorder.of(AblationPart)
    assert events[0] == AblationPart("full", 1, 0, 6) and events[-1].done == 5
    assert not recorder.of(Card), "no variant measures a card"


def test_the_same_seed_begins_with_the_same_weights_and_blocks(config: ExperimentConfig) -> None:
    """Paired: at the first step the whole recipe and the one without soft targets see the same text with the same student."""
    losses = {}
    for variant in ("full", "minus_kd"):
        recorder = ListRecorder()
        variants.trained(variants.with_seed(variants.variants(config)[variant], 1), recorder)
        losses[variant] = recorder.series("student", "raw/hard")[1]
    assert losses["full"] == pytest.approx(losses["minus_kd"], rel=1e-6)


@pytest.mark.parametrize("seeds", [(), (1, 1)])
def test_seeds_must_differ(config: ExperimentConfig, seeds: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match="seeds"):
        run_ablation(config, seeds, ListRecorder())
