"""Runs in every state, written into a store as a worker would have written them."""

from __future__ import annotations

import math
import time
from typing import Any

from core.config import ExperimentConfig
from core.recipes import parse_recipe
from core.reports.retention_card import Card
from workbench.processes import Process, boot_id
from workbench.store import Store
from workbench.store.records import Progress, Run

STEPS = 400
GONE = Process(pid=1, started=-1.0, boot_id=boot_id())  # a worker that has ended
NAMES = ("perplexity", "kl_to_teacher", "agreement", "bits_per_byte", "cross_entropy", "sentiment_accuracy")


def config(name: str, **changes: Any) -> ExperimentConfig:
    """A small experiment with a control."""
    plain = {"name": name, "student": {"layers": 4}, "train": {"max_steps": STEPS}, "control": True} | changes
    return parse_recipe(plain)


def queued(store: Store, name: str = "waiting") -> Run:
    """A run that has not begun."""
    return store.create_run(config(name))


def running(store: Store, name: str = "halfway", *, steps: int = STEPS // 2, process: Process | None = None) -> Run:
    """A run whose student is at `steps`; `process` is who works at it (default: this process)."""
    process = process or Process.current()
    run = _started(store, name, process)
    _record(store, run, "evaluation", {"who": "teacher", "metrics": measured(0.0)})
    _train(store, run, "student", steps)
    store.record(run.id, process, [], [], Progress("steps", "student", steps, STEPS))
    return store.run(run.id)


def finished(store: Store, name: str = "done", **changes: Any) -> Run:
    """A finished run with its control. Its process lives to the end: an app that is up would take it for lost before."""
    me = Process.current()
    run = _started(store, name, me, **changes)
    _record(store, run, "evaluation", {"who": "teacher", "metrics": measured(0.0)})
    for variant, who, after in (("student", "student_after", 0.25), ("control", "control", 0.6)):
        _train(store, run, variant, STEPS)
        _record(store, run, "evaluation", {"who": who, "metrics": measured(after)})
    store.record(run.id, me, [], [], Progress("evaluate", "control", STEPS, STEPS))
    store.finish(run.id, "finished")
    return store.run(run.id)


def masked(store: Store, name: str = "filled") -> Run:
    """A finished run of a masked language model, by the triple loss."""
    me = Process.current()
    run = _started(store, name, me, student={"layers": 3, "architecture": "distilbert"},
                   losses={"w_kd": 5, "w_hard": 2, "w_hidden": 1}, control=False)
    metrics = {"cross_entropy": 2.0, "perplexity": math.exp(2.0), "masked_accuracy": 0.4, "kl_to_teacher": 0.3, "agreement": 0.7,
               "tokens": 900}
    for who, accuracy in (("teacher", 0.5), ("student_before", 0.1), ("student_after", 0.4)):
        _record(store, run, "evaluation", {"who": who, "metrics": metrics | {"masked_accuracy": accuracy}})
    terms = {"kd": (20, 0.15), "hard": (2, 2.2), "hidden": (1, 0.05)}
    rows = [("student", step, f"{kind}/{term}", raw * (weight if kind == "loss" else 1))
            for step in (1, 2) for term, (weight, raw) in terms.items() for kind in ("loss", "raw")]
    rows += [("student", step, "loss", sum(weight * raw for weight, raw in terms.values())) for step in (1, 2)]
    rows += [("student", step, f"eval/{key}", value) for step in (0, 2) for key, value in metrics.items() if key != "tokens"]
    store.log_metrics(run.id, rows)
    for step, answer in ((0, "the 5%, a 4%, . 3%"), (2, "good 31%, bad 12%, great 9%")):
        _record(store, run, "samples", {"arm": "student", "step": step, "prompt": "The film was [MASK].", "answer": answer})
    store.record(run.id, me, [], [], Progress("evaluate", "student", STEPS, STEPS))
    store.finish(run.id, "finished")
    return store.run(run.id)


def with_card(store: Store, name: str = "carded", card: Card | None = None) -> Run:
    """A finished run that requested a retention card, with the card once it is given."""
    run = finished(store, name, evaluation={"retention": {}})
    if card is not None:
        _record(store, run, "retention", card.to_dict())
    return run


def failed(store: Store, name: str = "broken") -> Run:
    """A run that failed at its third step."""
    me = Process.current()
    run = _started(store, name, me)
    _train(store, run, "student", 3)
    store.record(run.id, me, [], [], Progress("steps", "student", 3, STEPS))
    run.log_path.write_text("Traceback (most recent call last):\n  ...\nFloatingPointError: loss is nan at step 3\n", encoding="utf-8")
    store.finish(run.id, "failed", "The loss became NaN at step 3.", "Lower train.learning_rate, for example to 1e-4.")
    return store.run(run.id)


def measured(distance: float) -> dict[str, float]:
    """Held-out metrics of a model at this distance (nats/token) from its teacher."""
    cross_entropy = 3.0 + distance
    return {"cross_entropy": cross_entropy, "perplexity": math.exp(cross_entropy), "bits_per_byte": cross_entropy / 2.7,
            "kl_to_teacher": distance, "agreement": math.exp(-distance), "tokens": 8160, "bytes": 30_000,
            "sentiment_accuracy": 0.5 + 0.35 * math.exp(-distance), "sentiment_items": 400, "stderr": 0.018}


def _record(store: Store, run: Run, kind: str, payload: dict[str, Any]) -> None:
    store.log_events(run.id, [(kind, payload, time.time())])


def _started(store: Store, name: str, process: Process, **changes: Any) -> Run:
    run = store.create_run(config(name, **changes))
    store.claim(run.id, "cpu")
    store.mark_running(run.id, process)
    _record(store, run, "evaluation", {"who": "student_before", "metrics": measured(4.0)})
    return store.run(run.id)


def _train(store: Store, run: Run, variant: str, steps: int) -> None:
    rows = []
    for step in range(steps + 1):
        distance = (0.25 if variant == "student" else 0.6) + 3.7 * math.exp(-step / 60)
        noise = 0.15 * math.sin(step * 1.7) + 0.1 * math.sin(step * 0.37)
        if step:
            kd, hard = distance * 1.1 + noise, 3.0 + distance + noise
            values = {"loss": 4 * kd + 0.5 * hard, "loss/kd": 4 * kd, "loss/hard": 0.5 * hard, "raw/kd": kd, "raw/hard": hard}
            if variant == "control":
                values = {"loss": hard, "loss/hard": hard, "raw/hard": hard}
            values |= {"learning_rate": 5e-4 * min(step / 20, math.cos(step / STEPS * 1.5)), "grad_norm": 1.0, "tokens": 2048.0 * step,
                       "tokens_per_second": 1900 + 60 * math.sin(step / 9), "memory_gib": 1.1 + 0.1 * (step > 50)}
            rows += [(variant, step, key, value) for key, value in values.items()]
        if step % 50 == 0:
            rows += [(variant, step, f"eval/{key}", value) for key, value in measured(distance).items() if key in NAMES]
            _record(store, run, "samples", {"arm": variant, "step": step, "prompt": "Write a positive one-line review.",
                                                "answer": "A warm, funny and <b>surprising</b> film with a fine cast."[: 12 + step // 4]})
    store.log_metrics(run.id, rows)
