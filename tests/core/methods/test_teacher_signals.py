"""Runs whose teacher is queried once: built, reused, resumed as they began, refused where they cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.config import ExperimentConfig
from core.errors import CompatibilityError, ConfigError, CorruptSignalsError
from core.methods import teacher_signals
from core.methods.distillation import distill
from core.models import catalog
from core.models.compatibility import require_causal_lm
from core.recipes import parse_recipe
from core.recorder import STUDENT, ListRecorder, StopRequested
from core.reports.run_report import RunReport
from core.system.paths import signals_dir
from tests.core.chat_models import save_chat_model
from tests.core.masked_models import masked_model, save

STEPS = 4


def experiment(teacher: Path, corpus: Path, signals: dict[str, object] | None = None, **losses: object) -> ExperimentConfig:
    return parse_recipe({
        "teacher": {"model": str(teacher), "signals": signals or {}}, "student": {"layers": 2}, "losses": losses,
        "data": {"source": str(corpus), "block_length": 24, "validation_fraction": 0.2},
        "train": {"num_train_epochs": 2, "per_device_train_batch_size": 16, "save_steps": 2, "device": "cpu", "precision": "fp32"},
        "evaluation": {"eval_steps": 100, "blocks": 4, "prompts": []}})


def run(config: ExperimentConfig, folder: Path) -> RunReport:
    return distill(config, ListRecorder(), folder)


@pytest.mark.parametrize("losses", [{}, {"w_hidden": 1.0, "divergence": "reverse_kl"}], ids=str)
def test_kept_hidden_states_train_the_same_model(teacher, short_corpus, tmp_path, losses):
    live = run(experiment(teacher, short_corpus, **losses), tmp_path / "live")
    assert live.signals is None and not signals_dir().exists()
    built = run(experiment(teacher, short_corpus, {"form": "hidden"}, **losses), tmp_path / "built")
    again = run(experiment(teacher, short_corpus, {"form": "hidden"}, **losses), tmp_path / "again")
    assert 0 < built.signals.queried <= live.data.blocks, "equal blocks are queried once"
    assert built.signals.queried + built.signals.reused == again.signals.reused == 2 * live.data.blocks, "two epochs"
    assert again.signals.queried == 0
    assert again.signals.cache == built.signals.cache
    for name, value in live.student_after.items():
        assert again.student_after[name] == pytest.approx(value, abs=2e-3, rel=1e-3), name
        assert again.student_after[name] == built.student_after[name], "what is read is what was said"
    assert again.signals.live_tokens_per_second > 0 and again.to_dict()["signals"]["share_of_bound"] > 0
    assert built.signals.live_tokens_per_second is None, "the teacher was queried: there is nothing to compare"


def test_a_run_that_names_no_form_uses_what_is_kept(teacher, short_corpus, tmp_path):
    run(experiment(teacher, short_corpus, {"form": "hidden"}), tmp_path / "built")
    report = run(experiment(teacher, short_corpus, temperature=3.0), tmp_path / "auto")
    assert report.signals.form == "hidden" and report.signals.queried == 0
    assert RunReport.from_dict(report.to_dict()) == report
    assert run(experiment(teacher, short_corpus, {"form": "live"}), tmp_path / "live").signals is None
    assert run(experiment(teacher, short_corpus, w_hidden_mse=1.0), tmp_path / "inner").signals is None, "inner states are not kept"
    other = save_chat_model(tmp_path / "other", layers=3, positions=64, seed=1)
    assert run(experiment(other, short_corpus), tmp_path / "another").signals is None, "another teacher"


@pytest.mark.parametrize("signals", [{"form": "sampled", "samples": 20}, {"form": "top_k", "top_k": 5},
                                     {"form": "top_k", "top_k": 5, "tail": False}], ids=str)
def test_forms_that_are_no_whole_answers(teacher, short_corpus, tmp_path, signals):
    built = run(experiment(teacher, short_corpus, signals), tmp_path / "built")
    again = run(experiment(teacher, short_corpus, signals), tmp_path / "again")
    assert again.signals.queried == 0 and again.signals.form == signals["form"]
    assert again.student_after == built.student_after
    assert run(experiment(teacher, short_corpus), tmp_path / "live").signals is None, "estimates are used only where they are queried for"


def test_all_tokens_are_the_live_teacher(teacher, corpus, tmp_path):
    live = run(experiment(teacher, corpus), tmp_path / "live")
    whole = run(experiment(teacher, corpus, {"form": "top_k", "top_k": 10_000}), tmp_path / "whole")
    for name, value in live.student_after.items():
        assert whole.student_after[name] == pytest.approx(value, abs=1e-4), name


def test_a_resumed_run_keeps_its_source(teacher, short_corpus, tmp_path):
    """It began live; answers that were kept in the meantime do not change it."""
    with pytest.raises(StopRequested):
        distill(experiment(teacher, short_corpus), ListRecorder(stop_after=2), tmp_path / "run")
    run(experiment(teacher, short_corpus, {"form": "hidden"}), tmp_path / "built")
    undisturbed = run(experiment(teacher, short_corpus, {"form": "live"}), tmp_path / "live")
    resumed = run(experiment(teacher, short_corpus), tmp_path / "run")
    assert resumed.signals is None and resumed.student_after == undisturbed.student_after


def test_a_stop_keeps_what_was_answered(teacher, short_corpus, tmp_path):
    config = experiment(teacher, short_corpus, {"form": "hidden"})
    with pytest.raises(StopRequested):
        distill(config, ListRecorder(stop_after=2), tmp_path / "run")
    recorder = ListRecorder()
    report = distill(config, recorder, tmp_path / "run")
    assert 0 < report.signals.queried <= report.data.blocks, "each block once, over both calls"
    undisturbed = ListRecorder()
    assert distill(config, undisturbed, tmp_path / "undisturbed").signals.queried == 0
    tail = recorder.series(STUDENT, "loss")
    assert tail and tail == {step: undisturbed.series(STUDENT, "loss")[step] for step in tail}


def test_a_damaged_cache_stops_the_run_before_its_first_step(teacher, short_corpus, tmp_path):
    built = run(experiment(teacher, short_corpus, {"form": "hidden"}), tmp_path / "built")
    shard = next(path for path in (signals_dir() / built.signals.cache).glob("*.safetensors") if path.name != "head.safetensors")
    shard.write_bytes(shard.read_bytes()[:-1] + b"x")
    recorder = ListRecorder()
    with pytest.raises(CorruptSignalsError, match=shard.name):
        distill(experiment(teacher, short_corpus), recorder, tmp_path / "run")
    assert not recorder.series(STUDENT, "loss")


def test_masked_models_are_queried_at_every_step(short_corpus, tmp_path):
    folder = save(masked_model(2), tmp_path / "masked")
    config = experiment(folder, short_corpus, {"form": "hidden"})
    with pytest.raises(CompatibilityError, match="Masks are drawn again") as refused:
        run(config, tmp_path / "run")
    assert refused.value.suggestion.value == "live"
    assert run(experiment(folder, short_corpus), tmp_path / "auto").signals is None


@pytest.mark.parametrize(("signals", "losses", "said"), [
    ({"form": "sampled"}, {"divergence": "reverse_kl"}, "which only the forward KL is linear in"),
    ({"form": "sampled"}, {"divergence": "jsd"}, "which only the forward KL is linear in"),
    ({"form": "top_k", "tail": False}, {"divergence": "reverse_kl"}, "falls when mass moves off them"),
    ({"form": "top_k"}, {"w_hidden": 1.0}, "hold no states"),
    ({"form": "hidden"}, {"w_hidden_mse": 1.0}, "hold no states")])
def test_combinations_that_compare_nothing_are_refused(tmp_path, signals, losses, said):
    with pytest.raises(ConfigError, match=said):
        experiment(tmp_path, tmp_path, signals, **losses)


def test_weights_are_hashed_only_where_answers_are_kept(teacher, short_corpus, tmp_path, monkeypatch):
    """It takes seconds for a large teacher."""
    monkeypatch.setattr(teacher_signals, "loaded_hash", lambda model: pytest.fail("hashed"))
    run(experiment(teacher, short_corpus), tmp_path / "run")


@pytest.fixture
def ensemble(teacher: Path, tmp_path: Path) -> Path:
    other = save_chat_model(tmp_path / "other", layers=1, seed=1, positions=64)
    return Path(f"arithmetic({teacher}, {other})")


def test_an_ensemble_is_a_teacher_like_any_other_and_its_answers_can_be_kept(ensemble, teacher, short_corpus, tmp_path):
    live = run(experiment(ensemble, short_corpus, temperature=2.0), tmp_path / "live")
    alone = run(experiment(teacher, short_corpus, temperature=2.0), tmp_path / "alone")
    assert live.teacher.parameters > alone.teacher.parameters and live.signals is None
    assert live.metrics["teacher"]["cross_entropy"] != alone.metrics["teacher"]["cross_entropy"]
    assert live.student_after != alone.student_after and live.student_before["cross_entropy"] == alone.student_before["cross_entropy"]
    kept = run(experiment(ensemble, short_corpus, {"form": "top_k", "top_k": 400}, temperature=2.0), tmp_path / "kept")
    assert kept.student_after["cross_entropy"] == pytest.approx(live.student_after["cross_entropy"], abs=2e-3), "all tokens are listed"
    drawn = run(experiment(ensemble, short_corpus, {"form": "sampled"}, temperature=2.0), tmp_path / "drawn")
    assert drawn.signals.form == "sampled"


def test_states_of_an_ensemble_are_neither_compared_nor_kept(ensemble, short_corpus, tmp_path):
    with pytest.raises(CompatibilityError, match="w_hidden compares hidden states, and the teacher is an ensemble"):
        run(experiment(ensemble, short_corpus, w_hidden=1.0), tmp_path / "compared")
    with pytest.raises(CompatibilityError, match="form is hidden, and the teacher is an ensemble"):
        run(experiment(ensemble, short_corpus, {"form": "hidden"}), tmp_path / "kept")


def test_an_ensemble_teaches_and_is_not_trained(ensemble, teacher, short_corpus, tmp_path):
    config = experiment(teacher, short_corpus)
    trained = config.model_copy(update={"student": config.student.model_copy(update={"layers": None, "model": str(ensemble)})})
    with pytest.raises(CompatibilityError, match="is an ensemble"):
        run(trained, tmp_path / "trained")
    with pytest.raises(CompatibilityError, match="is an ensemble"):
        require_causal_lm(catalog.describe(str(ensemble)), "chain")
