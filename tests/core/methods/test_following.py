"""The same experiment in one process and in two: equal losses and measurements, one record, one folder that either resumes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from core.config import BridgeConfig, TaskSpec
from core.events import Processes, Sample
from core.methods import bridge, fine_tuning, following, run_experiment
from core.methods.evaluator import LanguageEvaluation
from core.methods.orders import Order
from core.models import catalog
from core.recipes import parse_recipe
from core.recorder import CONTROL, STUDENT, ListRecorder
from core.system import ranks
from core.system.paths import cache_dir
from core.tasks import fine_tuning as tasks
from core.tasks.data import load_task
from core.tasks.heads import with_head
from tests.core.chat_models import save_chat_model
from tests.core.masked_models import masked_model, save
from tests.core.tasks.encoders import encoder
from tests.ranks import run_ranks
from tests.tiny_chains import chain_recipe

STEPS = 6
Rows = dict[str, float]  # "variant step name" -> value


def recipe(folder: Path, teacher: Path, **changes: Any) -> dict[str, Any]:
    """A run of two variants over an epoch that no step divides, with a masked or a causal model."""
    corpus = folder / "reviews.txt"
    corpus.write_text("\n\n".join(f"Film number {n} has a quiet script and {n % 7} good jokes, I think." for n in range(60)))
    return {"name": "shared", "teacher": {"model": str(teacher)}, "student": {"layers": 1}, "control": True,
            "data": {"source": str(corpus), "block_length": 24, "validation_fraction": 0.2},
            "train": {"max_steps": STEPS, "per_device_train_batch_size": 3, "gradient_accumulation_steps": 3, "save_steps": 3,
                      "device": "cpu", "precision": "fp32"},
            "evaluation": {"eval_steps": 3, "blocks": 2, "prompts": [], "sentiment_items": 0}, **changes}


def carry_out(plain: dict[str, Any], directory: Path, stop_after: int | None = None) -> None:
    """Run a recipe; rank 0, or the only process, leaves what was recorded in ``<directory>.json``.

    Any other says that it recorded nothing, and leaves there what it measured.
    """
    recorder, measured = ListRecorder(stop_after), list[str]()
    with pytest.MonkeyPatch.context() as patch:
        for kind, name in ((LanguageEvaluation, "language"), (fine_tuning.TaskInputs, "measure"), (fine_tuning, "evaluate_task"),
                           (following, "evaluate_task"), (tasks, "fine_tune_and_evaluate")):
            patch.setattr(kind, name, noted(getattr(kind, name), measured))
        report = run_experiment(parse_recipe(plain), recorder, directory, load=catalog.load)
    assert report.stopped == (stop_after is not None)
    if ranks.rank():
        assert not recorder.rows and not recorder.events
        Path(f"{directory}.{ranks.rank()}.json").write_text(json.dumps(measured))
        return
    rows = {f"{variant} {step} {name}": value for variant, step, name, value in recorder.rows}
    speeds = [len(each.memory_gib) for each in recorder.of(Processes)]
    Path(f"{directory}.json").write_text(json.dumps({
        "rows": rows, "speeds": speeds, "report": report.to_dict(), "measured": measured,
        "samples": [each.to_dict() for each in recorder.of(Sample)]}))


def noted(measure: Callable[..., Any], measured: list[str]) -> Callable[..., Any]:
    """The measurement, which also notes that it was made."""
    def noting(*given: Any, **named: Any) -> Any:
        measured.append(measure.__name__)
        return measure(*given, **named)

    return noting


def recorded(directory: Path) -> dict[str, Any]:
    return json.loads(Path(f"{directory}.json").read_text())


def in_two(directory: Path, plain: dict[str, Any], stop_after: int | None = None) -> dict[str, Any]:
    shutil.rmtree(cache_dir() / "measurements", ignore_errors=True)  # so that these two measure what one has measured
    codes = run_ranks(2, carry_out, plain, directory, stop_after, log=directory.with_suffix(".log"))
    assert codes == [0, 0], [Path(f"{directory.with_suffix('.log')}.{rank}").read_text()[-3000:] for rank in (0, 1)]
    return recorded(directory)


def compared(rows: Rows) -> Rows:
    """Everything but times and memory."""
    return {name: value for name, value in rows.items() if not name.endswith(("tokens_per_second", "memory_gib"))}


def labelled(folder: Path) -> str:
    """A file of texts with labels."""
    items = [{"text": f"the film was {' '.join(['very'] * (n % 4))} {'good' if n % 2 else 'bad'} {n}", "label": n % 2} for n in range(40)]
    (folder / "films.jsonl").write_text("".join(json.dumps(item) + "\n" for item in items))
    return str(folder / "films.jsonl")


def task(folder: Path) -> dict[str, Any]:
    """A fine-tuning of an encoder with a teacher; its batches hold items of like length."""
    start, films = encoder(folder / "encoder"), labelled(folder)
    settings = folder / "encoder" / "config.json"
    no_dropout = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}  # what is dropped, each process draws
    settings.write_text(json.dumps(json.loads(settings.read_text()) | no_dropout))
    teacher = with_head(start, load_task(TaskSpec(source=films)), 7)
    teacher.save_pretrained(folder / "tuned-teacher")
    start.tokenizer.save_pretrained(folder / "tuned-teacher")
    return {"name": "task", "student": {"model": str(folder / "encoder")}, "teacher": {"model": str(folder / "tuned-teacher")},
            "task": {"source": films, "max_length": 32},
            "train": {"max_steps": STEPS, "per_device_train_batch_size": 3, "save_steps": 3, "device": "cpu", "precision": "fp32"},
            "evaluation": {"eval_steps": 3}}


@pytest.mark.parametrize("kind", ["causal", "masked"])
def test_two_processes_log_the_losses_of_one(tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "teacher"
    plain = recipe(tmp_path, save_chat_model(folder, layers=2) if kind == "causal" else save(masked_model(2), folder))
    plain["evaluation"] |= {"blocks": 7, "prompts": ["A film", "I think", "The jokes"], "max_new_tokens": 3}  # an odd number of passes
    if kind == "masked":
        plain["evaluation"]["retention"] = {"tasks": [labelled(tmp_path)], "seeds": 1, "epochs": 1, "seconds": 0.1, "length": 16}
    carry_out(plain, tmp_path / "alone")
    alone, together = recorded(tmp_path / "alone"), in_two(tmp_path / "together", plain)
    assert compared(together["rows"]) == pytest.approx(compared(alone["rows"]), rel=1e-5, abs=1e-5)
    assert {f"{variant} {step} loss" for variant in (STUDENT, CONTROL) for step in range(1, STEPS + 1)} <= together["rows"].keys()
    assert alone["speeds"] == [] and together["speeds"] and set(together["speeds"]) == {2}
    assert together["report"]["tokens"] == alone["report"]["tokens"]
    assert together["report"]["metrics"].keys() == alone["report"]["metrics"].keys()
    for subject, metrics in alone["report"]["metrics"].items():
        assert together["report"]["metrics"][subject] == pytest.approx(metrics, rel=1e-5, abs=1e-5), subject
    assert together["samples"] == alone["samples"] and len(alone["samples"]) % 3 == 0
    measured = [alone["measured"], together["measured"], json.loads((tmp_path / "together.1.json").read_text())]
    language = [each.count("language") for each in measured]
    assert language[0] == language[1] == language[2] + 1 > 6, "the second process takes part in all but what is tried before training"
    # Of the card one is tried then; teacher, student and control are tuned, two of them by the second process.
    assert [each.count("fine_tune_and_evaluate") for each in measured] == ([4, 2, 2] if kind == "masked" else [0, 0, 0])
    scores = [[row["scores"] for row in each["report"]["retention"]["rows"]] if kind == "masked" else [] for each in (alone, together)]
    assert scores[0] == scores[1]
    assert sorted(path.name for path in (tmp_path / "together").iterdir()) == sorted(path.name for path in (tmp_path / "alone").iterdir())


def two_methods(distilled: dict[str, Any], tuned: dict[str, Any], folder: Path) -> None:
    """In each of several processes, which are started once for both."""
    carry_out(distilled, folder / "distilled")
    carry_out(tuned, folder / "tuned")


def test_four_processes_log_the_losses_of_one(tmp_path: Path) -> None:
    distilled, tuned = recipe(tmp_path, save_chat_model(tmp_path / "teacher", layers=2), control=False), task(tmp_path)
    tuned["train"] |= {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 3}
    alone, together = tmp_path / "alone", tmp_path / "together"
    for folder in (alone, together):
        folder.mkdir()
    two_methods(distilled, tuned, alone)
    codes = run_ranks(4, two_methods, distilled, tuned, together, log=tmp_path / "log")
    assert codes == [0] * 4, [Path(f"{tmp_path / 'log'}.{rank}").read_text()[-3000:] for rank in range(4)]
    for name in ("distilled", "tuned"):
        assert compared(recorded(together / name)["rows"]) == pytest.approx(compared(recorded(alone / name)["rows"]), rel=1e-5, abs=1e-5)
        assert set(recorded(together / name)["speeds"]) == {4}


def test_two_processes_fine_tune_as_one(tmp_path: Path) -> None:
    plain = task(tmp_path)
    carry_out(plain, tmp_path / "alone")
    alone, together = recorded(tmp_path / "alone"), in_two(tmp_path / "together", plain)
    assert compared(together["rows"]) == pytest.approx(compared(alone["rows"]), rel=1e-5, abs=1e-5)
    for subject in ("teacher", "student_before", "student_after"):
        assert together["report"]["metrics"][subject] == pytest.approx(alone["report"]["metrics"][subject])
    others = json.loads((tmp_path / "together.1.json").read_text())
    assert others == together["measured"] == alone["measured"] == ["evaluate_task", "measure", "evaluate_task"]


def reading(folder: Path) -> dict[str, Any]:
    """Training on notes that rank 0 takes, and packs, alone."""
    return {"reading": {"model": "oracle", "paragraphs": 12, "items": 4}, "teacher": None, "data": {"block_length": 64},
            "student": {"model": str(save_chat_model(folder / "student", layers=2))},
            "train": {"max_steps": 3, "per_device_train_batch_size": 2, "precision": "fp32", "device": "cpu"},
            "evaluation": {"eval_steps": 100, "blocks": 2, "prompts": []}}


def crossing(folder: Path) -> dict[str, Any]:
    """Training on texts that a teacher has written before, for a tiny one writes no sentences; reviews are measured too."""
    plain = {"bridge": {"model": str(save_chat_model(folder / "teacher", layers=2)), "texts": 24}, "teacher": None,
             "data": {"block_length": 24}, "student": {"model": str(save_chat_model(folder / "student", layers=1))},
             "train": {"max_steps": 3, "per_device_train_batch_size": 2, "precision": "fp32", "device": "cpu"},
             "evaluation": {"eval_steps": 2, "blocks": 3, "prompts": [], "sentiment_items": 31}}
    config = parse_recipe(plain)
    assert isinstance(config, BridgeConfig)
    lines = [{"prompt": f"Describe film {n}.", "answer": f"Film number {n} has {n % 7} good jokes.", "whole": True} for n in range(24)]
    raw = cache_dir() / f"bridge-{bridge._key(config.bridge, config.train.seed)}.raw.jsonl"
    raw.parent.mkdir(parents=True, exist_ok=True)
    raw.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return plain


@pytest.mark.parametrize("method", [crossing, chain_recipe, reading])
def test_methods_that_train_several_times_or_make_their_text_do_it_in_two_processes_too(
        tmp_path: Path, method: Callable[[Path], Any]) -> None:
    plain = method(tmp_path)
    plain = plain if isinstance(plain, dict) else plain.to_dict()
    carry_out(plain, tmp_path / "alone")
    alone, together = recorded(tmp_path / "alone"), in_two(tmp_path / "together", plain)
    assert compared(together["rows"]) == pytest.approx(compared(alone["rows"]), rel=1e-5, abs=1e-5)
    assert set(together["speeds"]) == {2}


def test_a_run_of_two_is_resumed_by_one_and_the_other_way_round(tmp_path: Path) -> None:
    plain = recipe(tmp_path, save_chat_model(tmp_path / "teacher", layers=2), control=False)
    carry_out(plain, tmp_path / "alone")
    undisturbed = compared(recorded(tmp_path / "alone")["rows"])
    for name, first, second in (("shrinks", in_two, None), ("grows", None, in_two)):
        rows: Rows = {}
        for each, stop in ((first, 4), (second, None)):
            if each is not None:
                each(tmp_path / name, plain, stop)
            else:
                carry_out(plain, tmp_path / name, stop)
            rows |= recorded(tmp_path / name)["rows"]
        assert compared(rows) == pytest.approx(undisturbed, rel=1e-5, abs=1e-5), name


@pytest.mark.parametrize(("resolved", "name"), [(torch.bfloat16, "bf16"), (torch.float32, "fp32")])
def test_the_others_compute_in_the_format_that_rank_0_found_best(tmp_path: Path, resolved: torch.dtype, name: str) -> None:
    config = parse_recipe(recipe(tmp_path, tmp_path, train={"max_steps": STEPS, "precision": "auto"}))
    order = Order.to_train(config, resolved, tmp_path, STUDENT, signals="kept")
    assert parse_recipe(dict(order.config)).train.precision == name
    assert config.train.precision == "auto"
    assert (order.variant, order.signals) == (STUDENT, "kept")
