"""Query a teacher once for every block of a recipe, ahead of the runs that learn from its answers.

A build that is stopped or killed continues where it was: blocks that are kept are not queried again.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from core.config import ExperimentConfig
from core.errors import ConfigError, SetField
from core.methods.run_folder import RunFolder
from core.methods.steps import Load, TrainingInputs, load_inputs
from core.methods.teacher_signals import open_cache, require_keepable
from core.models import catalog
from core.recorder import Recorder, stop_if_requested
from core.signals.cache import block_keys, remove_unlisted
from core.signals.cached import CachedTeacher
from core.signals.fidelity import Fidelity, measure_fidelity
from core.signals.source import EnsembleTeacher, LocalTeacher, local_teacher
from core.system.files import require_free_disk

Report = Callable[[int, int], None]  # blocks that are kept, blocks in all


@dataclass(frozen=True)
class SignalsBuild:
    """What a build came to.

    Attributes:
        cache: its key.
        folder: where it is.
        form: of the answers.
        blocks: distinct blocks of the recipe's training text, all kept now.
        queried: how many of them this call had to query.
        bytes: of the cache on disk.
        seconds: that the teacher took in this call.
        error: the measured difference from the live teacher; None for one at an address, which would be paid for the same answers again.
        server: what was requested of the teacher's server; None for a teacher in memory.
    """

    cache: str
    folder: Path
    form: str
    blocks: int
    queried: int
    bytes: int
    seconds: float
    error: Fidelity | None
    server: dict[str, Any] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the record that the command line prints."""
        return asdict(self) | {"folder": str(self.folder), "seconds": round(self.seconds, 2)}


def build_signals(config: ExperimentConfig, recorder: Recorder, report: Report, *, load: Load = catalog.load) -> SignalsBuild:
    """Keep the teacher's answers to every training block of a recipe, then measure how far they are from those of a live teacher.

    Args:
        recorder: receives the phases of loading; polled for stop requests after every batch.
        report: called as blocks are kept.
        load: loads the model of a reference.

    Raises:
        StopRequested: what was answered so far is kept.
        StillhouseError: whatever the user can fix.
    """
    if config.teacher is None or config.kind != "distill":
        raise ConfigError(f"A recipe of the kind {config.kind} was given.", "The recipe of a distillation was expected.",
                          "Name a recipe with a teacher, as assets/recipes/quickstart.yaml.", field="kind")
    if config.teacher.signals.form == "live":
        raise ConfigError("teacher.signals.form is live.", "A form in which answers are kept was expected.", "Keep hidden states.",
                          suggestion=SetField("teacher.signals.form", "hidden"))
    with tempfile.TemporaryDirectory() as nowhere:
        inputs = load_inputs(config, RunFolder(Path(nowhere)), recorder, load)
    train, source, live = inputs.data.train, *_sources(config, inputs)
    cache, form = source.cache, source.stored
    distinct = list({key: place for place, key in enumerate(block_keys(torch.from_numpy(train.input_ids)))}.values())
    missing = [distinct[place] for place in cache.missing(block_keys(torch.from_numpy(train.input_ids[distinct])))]
    width = live.model.config.get_text_config().hidden_size if live is not None else 0  # a server's answers hold no states
    require_free_disk(cache.folder, round(len(missing) * train.input_ids.shape[1] * form.bytes_per_token(width, cache.key.vocabulary)))
    kept, size = len(distinct) - len(missing), config.train.per_device_train_batch_size
    if inputs.served is not None:
        size = max(size, config.teacher.server.concurrency)
    report(kept, len(distinct))
    try:
        for start in range(0, len(missing), size):
            stop_if_requested(recorder)
            part = missing[start:start + size]
            source.fill(torch.from_numpy(train.input_ids[part]).long().to(inputs.device))
            kept += len(part)
            report(kept, len(distinct))
    finally:
        source.flush()
    remove_unlisted(cache.folder)
    error = None
    if live is not None:
        error = measure_fidelity(cache, form, live, config.losses.temperature)
        cache.note_error(asdict(error))
    return SignalsBuild(cache.key.digest, cache.folder, cache.key.form["form"], len(distinct), source.queried, cache.manifest.size,
                        source.seconds, error, inputs.served.client.use.to_dict() if inputs.served is not None else None)


def _sources(config: ExperimentConfig, inputs: TrainingInputs) -> tuple[CachedTeacher, LocalTeacher | EnsembleTeacher | None]:
    """Return the cache with the source that fills it, and that source where it is in memory."""
    if inputs.served is not None:
        return inputs.served.training, None
    assert inputs.teacher is not None, "the recipe names one"
    require_keepable(config, inputs.teacher)
    live = local_teacher(inputs.teacher.model, config.losses.temperature)
    cache, form = open_cache(config, inputs.teacher, inputs.tokenizer, inputs.data.train)
    return CachedTeacher(cache, form, live), live
