"""The real engine in real worker processes, killed in mid-run: the resumed run is the one that nobody disturbed."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from core.events import Sample
from core.methods.distillation import distill
from core.recipes import parse_recipe
from core.recorder import CONTROL, STUDENT, ListRecorder
from tests.app_process import end_runs_of
from tests.core.chat_models import save_chat_model
from tests.workbench.held_steps import held_at
from workbench.runs import jobs
from workbench.runs.journal import read_journal
from workbench.store import Store
from workbench.store.records import ACTIVE, Run

STEPS = 20
HELD = 15  # step at which the worker is killed


def _last_step(run: Run) -> int:
    """Of the student, the second that the store has not seen yet included."""
    return max([run.progress.step, *(step for variant, step, _, _ in read_journal(run.journal_path)[0] if variant == STUDENT)])


def _sample(payload: dict[str, Any]) -> tuple[str, int, str]:
    return payload["arm"], payload["step"], payload["answer"]


@pytest.mark.timeout(600)  # three times torch is imported; a busy machine takes minutes for it
def test_kill_9_and_resume_give_the_undisturbed_curves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    corpus = tmp_path / "reviews.txt"
    corpus.write_text("\n\n".join(f"Film number {n} has a quiet script and {n % 7} good jokes, I think." for n in range(120)))
    config = parse_recipe({
        "name": "killed", "teacher": {"model": str(save_chat_model(tmp_path / "teacher", layers=2))}, "student": {"layers": 1},
        "data": {"source": str(corpus), "block_length": 24, "validation_fraction": 0.2}, "control": True,
        "train": {"max_steps": STEPS, "per_device_train_batch_size": 2, "save_steps": 10, "device": "cpu", "precision": "fp32"},
        "evaluation": {"eval_steps": 10, "blocks": 2, "prompts": ["A film"], "max_new_tokens": 4}})
    store, held = Store(), held_at(HELD, tmp_path, monkeypatch)
    run = jobs.submit(config, store)
    try:
        while _last_step(run) < HELD and run.status in ACTIVE:
            time.sleep(0.01)
            run = store.run(run.id)
        os.kill(run.process.pid, signal.SIGKILL)
        while not (lost := jobs.reconcile(store)):
            time.sleep(0.05)
        assert [each.status for each in lost] == ["lost"], jobs.log_tail(run)
        kept = store.metrics(run.id, STUDENT, ["loss"])
        assert kept.step.tolist() == list(range(1, len(kept) + 1)), "everything that was logged is there"
        held.unlink()
        run = jobs.resume("killed", store)
        while run.status in ACTIVE:
            time.sleep(0.05)
            run = store.run(run.id)
        assert run.status == "finished", jobs.log_tail(run)
    finally:
        end_runs_of(store)
    undisturbed = ListRecorder()
    distill(config, undisturbed, tmp_path / "undisturbed")
    frame = store.metrics(run.id)
    for variant in (STUDENT, CONTROL):
        for name in ("loss", "raw/hard", "learning_rate", "eval/perplexity"):
            rows = frame[(frame["arm"] == variant) & (frame.name == name)]
            curve = dict(zip(rows.step.tolist(), rows.value.tolist(), strict=True))
            assert curve == undisturbed.series(variant, name), (variant, name)
    samples = [_sample(event.payload) for event in store.events(run.id, kind="samples")]
    assert set(samples) == {_sample(sample.to_dict()) for sample in undisturbed.of(Sample)}
    assert len(samples) == len(set(samples)), "what was replayed is not doubled"
    assert store.report(run.id).student_after
