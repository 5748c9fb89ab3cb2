"""A teacher that is queried ahead of the runs."""

from __future__ import annotations

import pytest

from core.errors import CompatibilityError, ConfigError, DiskFullError
from core.methods.building_signals import build_signals
from core.methods.distillation import distill
from core.recipes import parse_recipe
from core.recorder import ListRecorder, NullRecorder, StopRequested
from core.signals.cache import SignalCache
from core.system import files
from tests.core.chat_models import save_chat_model
from tests.core.masked_models import masked_model, save
from tests.core.methods.test_teacher_signals import experiment


def nothing(done: int, total: int) -> None:
    pass


def test_a_run_queries_nothing_after_a_build(teacher, corpus, tmp_path):
    config, seen = experiment(teacher, corpus), []
    built = build_signals(config, NullRecorder(), lambda done, total: seen.append((done, total)))
    assert built.form == "hidden" and 0 < built.queried == built.blocks and built.error.kl < 1e-3
    assert seen[0] == (0, built.blocks) and seen[-1] == (built.blocks, built.blocks)
    report = distill(config, ListRecorder(), tmp_path / "run")
    assert (report.signals.cache, report.signals.queried) == (built.cache, 0)
    assert build_signals(config, NullRecorder(), nothing).queried == 0


def test_a_stopped_build_continues(teacher, corpus):
    config, done = experiment(teacher, corpus, {"form": "sampled"}), []
    with pytest.raises(StopRequested):
        build_signals(config, NullRecorder(lambda: bool(done) and done[-1] > 0), lambda kept, total: done.append(kept))
    assert done[-1] > 0
    built = build_signals(config, NullRecorder(), nothing)
    assert built.queried == built.blocks - done[-1]


def test_what_is_short_is_said_before_the_first_question(teacher, corpus, monkeypatch):
    monkeypatch.setattr(files.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 1000}))
    monkeypatch.setattr(SignalCache, "add", lambda *_: pytest.fail("queried"))
    with pytest.raises(DiskFullError, match="left"):
        build_signals(experiment(teacher, corpus), NullRecorder(), nothing)


def test_recipes_without_answers_to_keep_are_refused(teacher, corpus, tmp_path):
    with pytest.raises(ConfigError, match="live"):
        build_signals(experiment(teacher, corpus, {"form": "live"}), NullRecorder(), nothing)
    with pytest.raises(ConfigError, match="kind pretrain"):
        build_signals(parse_recipe({"teacher": None, "student": {"from_scratch": {}}}), NullRecorder(), nothing)
    with pytest.raises(CompatibilityError, match="Masks are drawn again"):
        build_signals(experiment(save(masked_model(2), tmp_path / "masked"), corpus), NullRecorder(), nothing)


@pytest.mark.parametrize("signals", [{"form": "top_k", "top_k": 6}, {"form": "sampled", "samples": 8}], ids=str)
def test_an_ensemble_is_queried_ahead_as_well(teacher, corpus, tmp_path, signals):
    other = save_chat_model(tmp_path / "other", layers=2, positions=64, seed=3)
    plain = experiment(f"arithmetic({teacher}, {other})", corpus, signals).model_dump(mode="json", exclude_unset=True)
    config = parse_recipe(plain | {"student": {"model": str(other)}})
    built = build_signals(config, NullRecorder(), nothing)
    assert built.queried == built.blocks and built.server is None
    assert built.error.kl < (1e-4 if signals["form"] == "top_k" else 5), "eight draws from a flat distribution hold little of it"
    assert distill(config, ListRecorder(), tmp_path / "run").signals.queried == 0
