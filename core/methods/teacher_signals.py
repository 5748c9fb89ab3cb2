"""Which source a run's teacher answers from, and what the answers cost and saved.

    teacher_signals    the source for a run: the teacher itself, or its kept answers
    open_cache         the cache of a teacher for a recipe, whether it is there or not
    summary            what the report says
"""

from __future__ import annotations

import hashlib
import json
import time
from typing import Any

import torch

from core.config import ExperimentConfig
from core.data.packing import Blocks
from core.errors import CompatibilityError, SetField
from core.methods.run_folder import RunFolder
from core.models.architectures import architecture_of
from core.models.ensembles import members_of
from core.models.entries import LoadedModel
from core.models.vocabulary import unpadded_width
from core.models.weight_digests import loaded_hash
from core.reports.run_report import SignalsSummary
from core.signals.cache import SignalCache, block_keys
from core.signals.cached import CachedTeacher
from core.signals.forms import StoredForm, stored_form
from core.signals.manifest import Key, list_caches
from core.signals.source import TeacherSignals, local_teacher
from core.system.paths import signals_dir
from core.training.sharding import is_sharded

PAIRS = 3  # answers that are timed, from the cache and from the live teacher in turns


def teacher_signals(config: ExperimentConfig, teacher: LoadedModel, tokenizer: Any, train: Blocks, folder: RunFolder) -> TeacherSignals:
    """Return what a run's student learns from. A resumed run keeps the source that it began with.

    Raises:
        CompatibilityError: answers are to be kept where they cannot be.
        CorruptSignalsError: a cache that cannot be used.
    """
    local, form = local_teacher(teacher.model, config.losses.temperature), _form(config, teacher)
    began = folder.progress.signals
    if is_sharded(teacher.model):
        folder.progress.signals = began = "live"
    if form == "live" or began == "live":
        return local
    if form != "auto":
        require_keepable(config, teacher)
    elif architecture_of(teacher.model.config).objective == "masked":
        return local
    if form == "auto" and not began and not _may_be_kept(train):
        folder.progress.signals = "live"
        return local
    cache, stored = open_cache(config, teacher, tokenizer, train)
    if form == "auto" and not began and cache.missing(block_keys(torch.from_numpy(train.input_ids))):
        folder.progress.signals = "live"
        return local
    folder.progress.signals = cache.key.digest
    return CachedTeacher(cache, stored, local)


def require_keepable(config: ExperimentConfig, teacher: LoadedModel) -> None:
    """Raise CompatibilityError if no answer of a teacher would be read twice."""
    if architecture_of(teacher.model.config).objective == "masked":
        assert config.teacher is not None, "answers are a teacher's"
        raise CompatibilityError(f"teacher.signals.form is {config.teacher.signals.form}, and the teacher predicts masked tokens.",
                                 "Masks are drawn again at every step, so that no answer would be read twice.",
                                 "Let the teacher answer at every step.", suggestion=SetField("teacher.signals.form", "live"))


def open_cache(config: ExperimentConfig, teacher: LoadedModel, tokenizer: Any, train: Blocks) -> tuple[SignalCache, StoredForm]:
    """Return the cache of a teacher's answers to blocks of a recipe, and the form in which they are kept. Raises CorruptSignalsError."""
    assert config.teacher is not None, "answers are a teacher's"
    form = stored_form(config.teacher.signals, config.losses.temperature)
    key = Key(teacher.entry.name, loaded_hash(teacher.model), tokenizer_digest(tokenizer), form.describe(),
              str(teacher.model.dtype).removeprefix("torch."), train.input_ids.shape[1], unpadded_width(tokenizer, teacher.model))
    return SignalCache(signals_dir() / key.digest, key), form


def summary(source: TeacherSignals, student_parameters: int, teacher: LoadedModel, train: Blocks, *, batch: int, tokens_per_step: int,
            tokens_per_second: float, device: torch.device) -> SignalsSummary | None:
    """Return what the report says of kept answers; None for a live teacher.

    Where nothing had to be queried, the live run's speed is estimated: the live teacher is timed beside the cache, in turns, and what it
    takes longer is added to a step.

    Args:
        batch: blocks of a forward pass; tokens_per_step: of an optimiser step, all its passes together.
    """
    if not isinstance(source, CachedTeacher):
        return None
    ratio, live = student_parameters / teacher.entry.parameters, None
    queried, reused = source.queried, source.reused  # timing counts too
    if not queried and tokens_per_second:
        kept = [place for place, block in enumerate(block_keys(torch.from_numpy(train.input_ids))) if block in source.cache][:batch]
        ids = torch.from_numpy(train.input_ids[kept]).long().to(device)
        more = _slower(source, local_teacher(teacher.model, 1.0), ids) * tokens_per_step / ids.numel()
        live = round(tokens_per_step / (tokens_per_step / tokens_per_second + more), 1)
    return SignalsSummary(form=source.cache.key.form["form"], cache=source.cache.key.digest, queried=queried, reused=reused,
                          bytes=source.cache.manifest.size, seconds=round(source.seconds, 2), ratio=round(ratio, 4),
                          bound=round((1 + 3 * ratio) / (3 * ratio), 4), tokens_per_second=round(tokens_per_second, 1),
                          live_tokens_per_second=live)


def _slower(cached: CachedTeacher, live: TeacherSignals, ids: torch.Tensor) -> float:
    """Return the median seconds that the live teacher takes longer for a batch (B, T)."""
    everywhere, took = torch.ones_like(ids, dtype=torch.bool), []
    for _ in range(PAIRS):
        started = time.perf_counter()
        cached.answer(ids, None, everywhere)
        between = time.perf_counter()
        live.answer(ids, None, everywhere)
        took.append(time.perf_counter() - between - (between - started))
    return sorted(took)[PAIRS // 2]


def _form(config: ExperimentConfig, teacher: LoadedModel) -> str:
    assert config.teacher is not None, "answers are a teacher's"
    form = config.teacher.signals.form
    if members_of(teacher.model) and form in ("auto", "hidden"):
        if form == "auto":
            return "live"
        raise CompatibilityError("teacher.signals.form is hidden, and the teacher is an ensemble.",
                                 "The states of several models are as large as all of them together.",
                                 "Keep its likeliest tokens.", suggestion=SetField("teacher.signals.form", "top_k"))
    return "live" if form == "auto" and config.losses.uses("hidden_mse") else form  # inner states are not kept


def _may_be_kept(train: Blocks) -> bool:
    """Return whether any cache of hidden states could hold these blocks: the teacher's weights are hashed only then."""
    most = max((manifest.blocks for _, manifest in list_caches(signals_dir())
                if manifest.key.form["form"] == "hidden" and manifest.key.block_length == train.input_ids.shape[1]), default=0)
    return most > 0 and most >= len(set(block_keys(torch.from_numpy(train.input_ids))))


def tokenizer_digest(tokenizer: Any) -> str:
    """Return what answers are kept under: twelve hexadecimal digits over a vocabulary."""
    vocabulary = tokenizer.backend_tokenizer.to_str() if tokenizer.is_fast else json.dumps(tokenizer.get_vocab(), sort_keys=True)
    return hashlib.sha256(vocabulary.encode()).hexdigest()[:12]
