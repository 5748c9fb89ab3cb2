"""Chain-based distillation (2605.07783): anchors in descending size, each distilled from its predecessor.

    largest = teacher, its units sorted by importance              nested chains (2605.07783, appendix C.6)
    try every later stage in small                                 core.methods.chain_rehearsal
    for each anchor:
        student = prefix of its predecessor, or a checkpoint       core.students.build
        distil from the predecessor                                core.methods.distillation; reverse KL as published (equation 1)
    measure every swap and shape on one held-out slice             core.chains.on_demand
    measure every anchor, and the curve between them, on another

A chain is a run like any other: calling `build_chain` again on the same directory resumes it, within an anchor at its latest
checkpoint. The result is the folder that `core.chains.folder` opens.

Assistants of intermediate size between teacher and student are TAKD's (1902.03393); pruning a model and distilling it into the pruned
one is Minitron's (2407.14679).

What the paper leaves open and is decided here: nested anchors are prefixes of one sorted model, so that all share their
channels, heads and neurons; and when the losses match hidden layers by ``ends``, each student layer is aligned with the last of a
span of teacher layers, as in Boomerang distillation (2510.05064), which makes the sizes between two anchors usable without training
(`core.chains.interpolation.substitute`). Papers by method: docs/references.md.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from core.chains.anchors import requested_dimensions
from core.chains.folder import CALIBRATION, FILE, FORMAT, SELECTION, VALIDATION, Anchor, Chain, Point, Target, open_chain, selection_file
from core.chains.interpolation import AnchorPair, substitute
from core.chains.on_demand import load_anchor, load_anchor_pair, loss_of, measure_point, read_slice, swap_deltas, write_slice
from core.chains.sizes import valid_shapes
from core.config import AnchorSpec, ChainConfig, StudentSpec, TeacherSpec, total_steps
from core.data.packing import Blocks
from core.data.prepare import PreparedData, prepare
from core.events import Phase
from core.methods.chain_recorder import AnchorRecorder
from core.methods.chain_rehearsal import rehearse
from core.methods.distillation import distill
from core.methods.rehearsal import rehearse_saving
from core.methods.room import require_room, run_bytes, stored_bytes
from core.methods.run_folder import RunFolder
from core.methods.steps import CALIBRATION_BLOCKS, Load, variants_of
from core.models import catalog, compatibility
from core.models.dimensions import Dimensions, as_record
from core.models.header import precision_of, read_model_header
from core.models.loading import tokenizer_from_pretrained
from core.recorder import STUDENT, Recorder, stop_if_requested
from core.reports.run_report import AnchorSummary, ChainReport, ModelSummary
from core.students.importance import sort_by_importance, unit_importance
from core.students.layer_maps import layer_map, span_ends
from core.students.resizing import Weights
from core.system.devices import resolve_device
from core.system.paths import cache_dir
from core.system.provenance import git_commit, versions
from core.training.trackers import require_trackers

GRID_WIDTHS = 4  # steps of the inner width between two anchors at which shapes are measured


def build_chain(config: ChainConfig, recorder: Recorder, directory: Path, *, load: Load = catalog.load,
                command: str = "") -> ChainReport:
    """Build a chain, or resume it.

    Args:
        config: with its section ``chain``; ``teacher`` is the largest anchor, ``losses``, ``data``, ``train`` and
            ``evaluation`` hold for every anchor, steps or epochs of ``train`` for each of them.
        recorder, directory, load, command: as in `core.methods.distillation.distill`.

    Returns:
        The report: ``output_dir``, ``teacher``, ``anchors``, ``curve_points``, ``tokens``, ``seconds``, ``tokens_per_second``,
        ``stopped`` and ``command``.

    Raises:
        StopRequested: with the report of what is known so far.
        StillhouseError: whatever the user can fix; an anchor is there whole or not at all.
    """
    folder = RunFolder(directory)
    inputs = ChainInputs(config, folder, recorder, load)
    require_trackers(config.train.report_to)
    anchors = [make_largest(inputs)]
    with folder.stop_reported(lambda: _report(inputs, anchors, command, stopped=True)):
        if not all(folder.has_model(f"anchors/{number}") for number in range(len(config.chain.anchors) + 1)):
            _phase(inputs, "try later stages")
            _require_room(inputs, anchors[0], rehearse(config, folder.path, anchors[0], load, aligned=_aligned(config)))
        for number, spec in enumerate(config.chain.anchors, 1):
            stop_if_requested(recorder)
            anchors.append(train_anchor(inputs, number, spec, anchors))
        chain = measure(inputs, anchors, command)
    report = _report(inputs, chain.anchors, command, stopped=False, curve_points=len(chain.curve))
    recorder.event(report)
    return report


@dataclass(frozen=True, slots=True)
class ChainInputs:
    """What every step of building a chain reads."""

    config: ChainConfig
    folder: RunFolder
    recorder: Recorder
    load: Load


# ---------------------------------------------------------------------------------------------------- anchors


def make_largest(inputs: ChainInputs) -> Anchor:
    """Make anchor 0: the teacher with its units sorted by importance; unchanged in an independent chain."""
    folder = inputs.folder.path / "anchors" / "0"
    if not folder.is_dir():
        _phase(inputs, "load teacher")
        loaded = inputs.load(inputs.config.teacher.model, device=resolve_device(inputs.config.train.device), dtype=torch.float32)
        compatibility.require_causal_lm(loaded.entry, "chain")
        compatibility.require_vocabulary_fits(loaded)
        rehearse_saving(inputs.folder.path, loaded.tokenizer, loaded.model)
        weights = Weights.of(loaded.model)
        _save_slices(inputs, loaded.tokenizer)
        if inputs.config.chain.mode == "nested":
            _phase(inputs, "order units")
            ids = torch.from_numpy(read_slice(inputs.folder.path / CALIBRATION).input_ids).long()
            importance = unit_importance(loaded.model, ids.split(inputs.config.train.per_device_train_batch_size))
            weights = sort_by_importance(weights, importance)
        model = weights.model()
        model.generation_config = loaded.model.generation_config
        precision = precision_of(inputs.config.train.save_precision, loaded.entry.header)
        inputs.folder.save_model("anchors/0", model, loaded.tokenizer, precision)
    elif not selection_file(inputs.folder.path).is_file():  # begun by a release that chose and measured on one slice
        _save_slices(inputs, catalog.load(str(folder)).tokenizer)
    layers = tuple(range(read_model_header(folder).dimensions.layers))
    return _anchor(inputs, 0, origin=layers, ends=layers)


def train_anchor(inputs: ChainInputs, number: int, spec: AnchorSpec, anchors: list[Anchor]) -> Anchor:
    """Train one anchor. Raises StopRequested after saving a checkpoint."""
    teacher = anchors[-1] if inputs.config.chain.teacher == "predecessor" else anchors[0]
    student = student_of(inputs, spec, teacher, anchors[-1])
    folder, work = inputs.folder.path / "anchors" / str(number), inputs.folder.path / "steps" / str(number)
    cost: dict[str, Any] = {"tokens": 0, "seconds": 0.0}
    if not folder.is_dir():
        config = inputs.config.step(TeacherSpec(model=str(inputs.folder.path / teacher.folder)), student,
                                    f"{inputs.config.name or 'chain'}-{number}")
        recorder = AnchorRecorder(inputs.recorder, number, len(inputs.config.chain.anchors), _steps_of(inputs))
        report = distill(config, recorder, work, load=inputs.load)
        (work / STUDENT / "cost.json").write_text(json.dumps({"tokens": report.tokens, "seconds": report.seconds}))
        os.replace(work / STUDENT, folder)
        shutil.rmtree(work)
    if (folder / "cost.json").is_file():
        cost = json.loads((folder / "cost.json").read_text())
    apart = inputs.config.chain.mode == "independent"
    depth = read_model_header(folder).dimensions.layers
    kept = student.layer_map if isinstance(student.layer_map, tuple) else tuple(range(depth))
    ends = span_ends(teacher.dimensions.layers, depth) if _aligned(inputs.config) and depth <= teacher.dimensions.layers else ()
    return replace(_anchor(inputs, number, origin=() if apart else tuple(teacher.origin[block] for block in kept),
                           ends=tuple(teacher.ends[block] for block in ends)), **cost)


def student_of(inputs: ChainInputs, spec: AnchorSpec, teacher: Anchor, above: Anchor) -> StudentSpec:
    """Return how an anchor is built from the anchors above it.

    Raises:
        ConfigError: it is not smaller than the anchor above it.
    """
    if spec.model is not None:
        return StudentSpec(model=spec.model)
    wanted = requested_dimensions(spec, above.dimensions, _chain(inputs, [above]).sizer)
    narrower = (wanted.hidden, wanted.intermediate_size) != (teacher.dimensions.hidden, teacher.dimensions.intermediate_size)
    return StudentSpec(
        layer_map=layer_map("uniform", teacher.dimensions.layers, wanted.layers), pruning_criterion="first",
        hidden=wanted.hidden if narrower else None, intermediate_size=wanted.intermediate_size if narrower else None,
        init="teacher" if inputs.config.chain.mode == "nested" else "random")


# ---------------------------------------------------------------------------------------------------- measuring


def measure(inputs: ChainInputs, anchors: list[Anchor], command: str) -> Chain:
    """Measure every anchor's loss, every swap and the curve, and write the record that makes the folder a chain.

    Raises:
        StopRequested: measuring then begins again at the next call.
    """
    if (inputs.folder.path / FILE).is_file():
        return open_chain(str(inputs.folder.path))
    anchors, points, grid = measure_anchors(inputs, anchors), [], []
    for number in range(len(anchors) - 1):
        pair = load_anchor_pair(_chain(inputs, anchors), number)
        if _chain(inputs, anchors).ends(number) is not None:
            deltas = tuple(round(delta, 5) for delta in swap_deltas(pair, _chain(inputs, anchors)))
            anchors[number + 1], pair = replace(anchors[number + 1], swap_deltas=deltas), replace(pair, swap_deltas=deltas)
            grid += measure_shapes(inputs, anchors, pair)
        points += measure_curve(inputs, replace(_chain(inputs, anchors), grid=tuple(grid)), number, pair)
    write_record(inputs, anchors, points, grid, command)
    return open_chain(str(inputs.folder.path))


def measure_anchors(inputs: ChainInputs, anchors: list[Anchor]) -> list[Anchor]:
    """Return the anchors with their loss on the validation slice."""
    _phase(inputs, "measure anchors")
    chain = _chain(inputs, anchors)
    return [replace(anchor, validation_loss=loss_of(load_anchor(chain, anchor.number), chain)) for anchor in anchors]


def measure_shapes(inputs: ChainInputs, anchors: list[Anchor], pair: AnchorPair) -> list[tuple[Dimensions, float]]:
    """Return the loss of substituted shapes between two anchors, on the slice that shapes are chosen on. Raises StopRequested."""
    selection, losses = read_slice(selection_file(inputs.folder.path)), []
    for shape in _grid(pair.small.dimensions, pair.large.dimensions):
        _phase(inputs, "measure shapes", layers=shape.layers, feed_forward=shape.intermediate_size)
        stop_if_requested(inputs.recorder)
        losses.append((shape, loss_of(substitute(pair, shape), _chain(inputs, anchors), selection)))
    return losses


def measure_curve(inputs: ChainInputs, chain: Chain, number: int, pair: AnchorPair) -> list[Point]:
    """Return the points of the curve between anchor `number` and the next. Raises StopRequested."""
    points = []
    for target in _targets(inputs, chain, number):
        _phase(inputs, "measure curve", parameters=target.parameters)
        stop_if_requested(inputs.recorder)
        points.append(measure_point(chain, target, pair))
    return points


def write_record(inputs: ChainInputs, anchors: Sequence[Anchor], points: Sequence[Point],
                 grid: Sequence[tuple[Dimensions, float]], command: str) -> None:
    """Write what makes the folder a chain."""
    record = {"format": FORMAT, "name": inputs.config.name, "anchors": [as_record(anchor) for anchor in anchors],
              "curve": [as_record(point) for point in points], "grid": [(as_record(shape), round(loss, 5)) for shape, loss in grid],
              "config": inputs.config.to_dict(), "command": command, "versions": versions(), "git_commit": git_commit()}
    inputs.folder.make_once(FILE, lambda partial: partial.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8"))


def _targets(inputs: ChainInputs, chain: Chain, number: int) -> list[Target]:
    """Sizes evenly between two anchors, nearest first to the larger one; those that no shape comes near to are left out."""
    large, small = chain.anchors[number], chain.anchors[number + 1]
    counts = {chain.sizer(shape) for shape in valid_shapes(small.dimensions, large.dimensions, chain.sizer)}
    found: dict[Dimensions, Target] = {}
    for place in range(1, inputs.config.chain.curve_points + 1):
        wanted = large.parameters + (small.parameters - large.parameters) * place / (inputs.config.chain.curve_points + 1)
        target = chain.target(parameters=min(counts, key=lambda count: abs(count - wanted)))
        target = chain.better_nearby(target) or target
        if target.dimensions not in (large.dimensions, small.dimensions):
            found[target.dimensions] = target
    return list(found.values())


# ---------------------------------------------------------------------------------------------------- small things


def _anchor(inputs: ChainInputs, number: int, *, origin: tuple[int, ...], ends: tuple[int, ...]) -> Anchor:
    folder = inputs.folder.path / "anchors" / str(number)
    header = read_model_header(folder)
    return Anchor(number, f"anchors/{number}", header.counts.total, header.dimensions, origin, ends, (), float("nan"))


def _aligned(config: ChainConfig) -> bool:
    """Whether the hidden states of neighbours are aligned, so that blocks can be swapped."""
    return config.losses.w_hidden_mse.start > 0 and config.losses.hidden_layers == "ends"


def _chain(inputs: ChainInputs, anchors: list[Anchor]) -> Chain:
    return Chain(inputs.config.name or "chain", inputs.folder.path, tuple(anchors), (), {})


def _save_slices(inputs: ChainInputs, tokenizer: Any) -> None:
    """Save the slices of the chain: validation, selection and calibration.

    Held-out blocks on which everything is measured, others on which swaps and shapes are chosen, and training blocks for calibration.
    """
    _phase(inputs, "prepare data")
    data = _prepared(inputs, tokenizer)
    validation, selection = _halves(data.validation, inputs.config.evaluation.blocks)
    for name, blocks in ((VALIDATION, validation), (SELECTION, selection), (CALIBRATION, data.train.take(CALIBRATION_BLOCKS))):
        write_slice(inputs.folder.path / name, blocks)


def _prepared(inputs: ChainInputs, tokenizer: Any) -> PreparedData:
    return prepare(inputs.config.data, tokenizer, inputs.config.train.seed, cache_dir())


def _steps_of(inputs: ChainInputs) -> int:
    """Return the optimiser steps of each anchor: all read the same blocks."""
    train = inputs.config.train
    if train.max_steps is not None:
        return train.max_steps
    return total_steps(train, len(_prepared(inputs, tokenizer_from_pretrained(inputs.folder.path / "anchors" / "0")).train))


def _require_room(inputs: ChainInputs, largest: Anchor, sizes: Sequence[Dimensions]) -> None:
    """Check that there is room for every anchor, beside the training of the largest that is trained."""
    counts, config = [_chain(inputs, [largest]).sizer(size) for size in sizes], inputs.config
    header = read_model_header(inputs.folder.path / largest.folder)
    precision = precision_of(config.train.save_precision, header)
    training = run_bytes(counts[1], counts[1], adapters=False, variants=len(variants_of(config)), precision=precision)
    require_room(inputs.folder.path, stored_bytes(precision) * sum(counts) + training, within=inputs.folder.path)


def _phase(inputs: ChainInputs, name: str, **details: Any) -> None:
    inputs.recorder.event(Phase(name, details=details))


def _halves(held_out: Blocks, count: int) -> tuple[Blocks, Blocks]:
    """Two slices that share no block, of `count` blocks or of half of what there is; a single block has to serve as both."""
    size = min(count, len(held_out) // 2) or 1
    rest = replace(held_out, input_ids=held_out.input_ids[size:], weights=held_out.weights[size:])
    return held_out.take(size), rest.take(size) if len(rest) else held_out


def _grid(small: Dimensions, large: Dimensions) -> list[Dimensions]:
    """Every depth at a few inner widths; only where the anchors share their width, since others are fixed by their ratio to it."""
    if small.hidden != large.hidden:
        return []
    step = max(1, (large.intermediate_size - small.intermediate_size) // GRID_WIDTHS)
    widths = sorted({*range(small.intermediate_size, large.intermediate_size, step), large.intermediate_size})
    return [replace(large, layers=layers, intermediate_size=width) for layers in range(small.layers, large.layers + 1) for width in widths]


def _report(inputs: ChainInputs, anchors: Sequence[Anchor], command: str, *, stopped: bool, curve_points: int = 0) -> ChainReport:
    """Return everything known of a chain."""
    tokens, seconds, top = sum(anchor.tokens for anchor in anchors), inputs.folder.seconds, anchors[0]
    return ChainReport(
        str(inputs.folder.path), ModelSummary(inputs.config.teacher.model, top.parameters, top.dimensions.layers),
        tuple(map(_summary, anchors)), curve_points, tokens, round(seconds, 1), round(tokens / seconds, 1), stopped, command)


def _summary(anchor: Anchor) -> AnchorSummary:
    sizes = anchor.dimensions
    return AnchorSummary(anchor.number, anchor.parameters, sizes.layers, sizes.hidden, sizes.heads, sizes.intermediate_size,
                         anchor.validation_loss, anchor.tokens, anchor.seconds)
