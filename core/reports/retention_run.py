"""Measure a retention card: sizes from the files, times side by side, then every model on every task with every seed.

What has ended is kept in the run's folder, so that calling `measure_retention` again resumes where the last call was stopped:

    <directory>/speed.json    the times
    <directory>/scores.json   who/task/seed -> score
    <directory>/card.json     the card, once it is whole
"""

from __future__ import annotations

import datetime
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from core.config import RetentionSpec
from core.errors import CompatibilityError, ExportError, UnsupportedModelError
from core.evaluation.flops import forward_flops
from core.evaluation.speed import Forward, Speed, forward_of, measure_speed
from core.events import Phase, RunWarning, ScoringTask
from core.models import catalog
from core.models.entries import LoadedModel, ModelEntry
from core.recorder import Recorder, StopRequested, stop_if_requested
from core.reports.retention_card import KINDS, Card, Row, Score, TaskScores, Timing
from core.reports.task_scores import Load, Scoring
from core.system.files import read_json, write_json

if TYPE_CHECKING:
    from core.export.sessions import OnnxModel

FORMATS = {"F32": "fp32", "F16": "fp16", "BF16": "bf16", "F64": "fp64"}
Unit = tuple[str, str, int]  # who, task, seed
Each = Callable[[Sequence[Unit], Callable[[Unit], Score]], Iterable[tuple[Unit, Score]]]  # units and what scores one -> each with its score
SPEED, SCORES, CARD = "speed.json", "scores.json", "card.json"


def one_by_one(units: Sequence[Unit], score: Callable[[Unit], Score]) -> Iterator[tuple[Unit, Score]]:
    """Yield every unit with its score."""
    for unit in units:
        yield unit, score(unit)


def measure_retention(models: Mapping[str, str], spec: RetentionSpec, recorder: Recorder, directory: Path, scoring: Scoring, *,
                      names: Mapping[str, str] | None = None, load: Load = catalog.load, each: Each = one_by_one) -> Card:
    """Measure the card, or resume it.

    Args:
        models: who (first ``teacher``, or the kind of row that stands for it; ``student``, ``control``) -> model reference: a folder, or
            any that `load` takes.
        recorder: gets ``phase`` (name, who, task, seed, done, total); queried for a stop between what is kept.
        directory: where everything of this card is kept; of one run, whose models do not change.
        scoring: how they are scored, as `core.reports.task_scores.scoring` gives it.
        names: who -> name for people (default: the model's own).
        each: takes the scores that are not there yet.

    Raises:
        StopRequested: the recorder requested a stop; what had ended is kept.
        StillhouseError: a model that cannot be used, or whatever stops a task.
    """
    names, seeds = names or {}, scoring.seeds if spec.tasks else ()
    speed, entries, exports = _speed(models, spec, recorder, directory / SPEED, load)
    scores = _scores(models, spec, seeds, recorder, directory / SCORES, scoring, each)
    rows = tuple(_row(who, names.get(who, entry.name), entry, spec, speed, scores, seeds) for who, entry in entries.items())
    of = {row.kind: row for row in rows}
    rows += tuple(_exported_row(of[kind.split()[0]], kind, size, speed) for kind, size in exports.items())
    timing = Timing(speed.length, speed.batch, speed.threads, speed.rounds, speed.batch_rounds, speed.processor)
    tuned = scoring.tuned and bool(seeds)
    card = Card(rows, seeds, timing, spec.train_items if tuned else None, spec.epochs if tuned else None,
                datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"))
    write_json(directory / CARD, card.to_dict())
    recorder.event(card)
    return card


def _speed(models: Mapping[str, str], spec: RetentionSpec, recorder: Recorder, path: Path,
           load: Load) -> tuple[Speed, dict[str, ModelEntry], dict[str, int]]:
    """Return the times, the models' catalogue entries, and the bytes of their exports.

    All are in memory together while they are timed, and only then.
    """
    import torch

    loaded = {who: load(reference, device="cpu", dtype=torch.float32) for who, reference in models.items()}
    entries = {who: each.entry for who, each in loaded.items()}
    settings = [list(models), spec.seconds, spec.length, spec.exports]
    kept = read_json(path)
    if kept is not None and kept["settings"] == settings:
        return Speed.from_dict(kept["speed"]), entries, kept["exports"]
    length = min([spec.length, *(entry.context for entry in entries.values())])
    timed = {who: forward_of(each.model) for who, each in loaded.items()}
    with TemporaryDirectory() as work:
        single, several = _exports(loaded, Path(work), recorder, torch.get_num_threads()) if spec.exports else ({}, {})
        speed = measure_speed(timed | {kind: _forward_of_export(each) for kind, each in single.items()}, recorder, length=length,
                              batched=timed | {kind: _forward_of_export(each) for kind, each in several.items()}, seconds=spec.seconds,
                              vocabulary=min(entry.vocabulary for entry in entries.values()))
        sizes = {kind: each.bytes for kind, each in single.items()}
    write_json(path, {"settings": settings, "speed": speed.to_dict(), "exports": sizes})
    return speed, entries, sizes


def _exports(loaded: Mapping[str, LoadedModel], work: Path, recorder: Recorder,
             threads: int) -> tuple[dict[str, OnnxModel], dict[str, OnnxModel]]:
    """Return the exports of student and what it is compared with by kind of row, on one thread, and on all.

    A model that cannot be exported has no such row, and the recorder gets a warning.
    """
    from core.export.exporting import onnx_models
    from core.export.sessions import OnnxModel

    single: dict[str, OnnxModel] = {}
    for who in (next(iter(loaded)), "student"):
        if recorder.should_stop():
            raise StopRequested
        recorder.event(Phase("export", subject=who))
        (work / who).mkdir()
        try:
            single |= {f"{who} {form}": each for form, each in onnx_models(loaded[who], work / who).items()}
        except (ExportError, UnsupportedModelError, CompatibilityError) as error:
            recorder.event(RunWarning(f"The card has no exports of the {KINDS[who].lower()}: {error}"))
    return single, {kind: OnnxModel(each.path, threads) for kind, each in single.items()}


def _forward_of_export(model: OnnxModel) -> Forward:
    return lambda input_ids, attention_mask: model(input_ids.numpy(), attention_mask.numpy())


def _scores(models: Mapping[str, str], spec: RetentionSpec, seeds: tuple[int, ...], recorder: Recorder, path: Path,
            scoring: Scoring, each: Each) -> dict[str, Score]:
    """Return ``who/task/seed`` -> score; each is saved as soon as it is known."""
    settings = hashlib.sha256(json.dumps([spec.train_items, spec.epochs, spec.learning_rate]).encode()).hexdigest()[:12]
    kept: dict[str, Any] = read_json(path) or {}
    found = kept["scores"] if kept.get("settings") == settings else {}
    wanted = [(who, task, seed) for seed in seeds for task in spec.tasks for who in models]

    def score(unit: Unit) -> Score:
        stop_if_requested(recorder)
        who, task, seed = unit
        done = sum(_key(*other) in found for other in wanted)
        recorder.event(ScoringTask(subject=who, task=task, seed=seed, done=done, total=len(wanted)))
        return scoring.score(models[who], task, seed)

    for unit, reached in each([unit for unit in wanted if _key(*unit) not in found], score):
        found[_key(*unit)] = asdict(reached)
        write_json(path, {"settings": settings, "scores": found})
    return {key: Score(**plain) for key, plain in found.items()}


def _row(who: str, name: str, entry: ModelEntry, spec: RetentionSpec, speed: Speed, scores: Mapping[str, Score],
         seeds: tuple[int, ...]) -> Row:
    tasks = []
    for task in spec.tasks:
        reached = [scores[_key(who, task, seed)] for seed in seeds]
        tasks.append(TaskScores(task, reached[0].metric, reached[0].items, tuple(each.value for each in reached)))
    header = entry.header if entry.header is not None and entry.header.format == "safetensors" else None
    return Row(who, name, entry.parameters, entry.parameters - entry.counts.embeddings - entry.counts.head, entry.size_bytes,
               number_format(header.dtype) if header else "gguf", forward_flops(header, length=speed.length).total if header else None,
               speed.models[who], tuple(tasks))


def _exported_row(row: Row, kind: str, size: int, speed: Speed) -> Row:
    """Return the row of what was exported of a model: as many parameters and operations, other bytes and times."""
    return replace(row, kind=kind, size_bytes=size, format="int8" if kind.endswith("int8") else "fp32", speed=speed.models[kind], scores=())


def number_format(dtype: str) -> str:
    """Return the name that the card prints for a number type of safetensors."""
    return FORMATS.get(dtype, dtype.lower())


def _key(who: str, task: str, seed: int) -> str:
    return f"{who}/{task}/{seed}"
