"""What a planned run will train with: its models loaded, its data packed. Either may have to be downloaded."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from core.config import BridgeConfig, ExperimentConfig, ReadingConfig
from core.models import compatibility
from core.models.architectures import architecture_of
from core.models.entries import LoadedModel
from core.planning.models import PlannedModels, summary
from core.planning.preflight import PreflightReport
from core.recorder import NullRecorder
from core.system.paths import cache_dir

if TYPE_CHECKING:
    import torch

    from core.data.prepare import PreparedData
    from core.evaluation.objectives import Objective
    from core.methods.steps import TrainingInputs

    Packed = tuple[Any, PreparedData, Objective]  # tokenizer, data, what is predicted

SAMPLE_ROWS = 2000  # rows that stand for the corpus where its vocabulary does not exist yet


def counted(share: float | None) -> str:
    """Return a sentence about the share of tokens that count in the loss; empty where it is not known."""
    if share is None:
        return ""
    percent = f"{share:.0%}" if 0.01 <= share <= 0.99 else f"{share:.1%}"
    return f" {percent} of the tokens count in the loss."


def planned_inputs(config: ExperimentConfig, found: PreflightReport, load: Callable[..., LoadedModel], device: torch.device,
              dtype: torch.dtype) -> TrainingInputs | None:
    """Load and pack what the run will train with; None when something stands in the way."""
    from core.methods.steps import TrainingInputs

    if isinstance(config, BridgeConfig):
        found.tell("text", f"Up to {config.bridge.texts:,} texts, which {config.bridge.model} writes when the run starts.")
        return None
    if isinstance(config, ReadingConfig):
        found.tell("text", f"Up to {config.reading.paragraphs:,} paragraphs, which {config.reading.model} reads when the run starts.")
        check_reading_tasks(config, found, load)
        return None
    spec, reference = config.teacher, config.student.model
    if spec is None and config.student.from_scratch is not None:
        packed = found.take("text", lambda: _sample(config), lambda _: "The vocabulary and the blocks are made when the run starts.")
        return TrainingInputs(config, load, device, dtype, *packed) if packed is not None else None
    if spec is None or spec.address is not None:
        import torch

        assert reference is not None, "without a teacher and an architecture, a model is trained on"
        start = found.take("student", lambda: load(reference, device=device, dtype=torch.float32), lambda loaded: summary(loaded.entry))
        if start is None or not found.take("vocabulary", lambda: compatibility.require_tokenizers(None, start)):
            return None
        packed = _packed(config, found, start)
        if packed is None or spec is None:
            return TrainingInputs(config, load, device, dtype, *packed) if packed is not None else None
        from core.methods.served_teachers import connect

        tokenizer, data, _ = packed
        served = found.take("teacher", lambda: connect(config, tokenizer, start.model, data, NullRecorder()),
                            lambda served: served.describe(data.train.input_ids.size))
        return TrainingInputs(config, load, device, dtype, *packed, served=served) if served is not None else None
    teacher = found.take("teacher", lambda: load(spec.model, device=device, dtype=dtype), lambda loaded: summary(loaded.entry))
    if teacher is None or not found.take("vocabulary", lambda: compatibility.require_tokenizers(
            teacher, load(reference, device="cpu") if reference is not None else None)):
        return None
    packed = _packed(config, found, teacher)
    return TrainingInputs(config, load, device, dtype, *packed, teacher) if packed is not None else None


def check_reading_tasks(config: ReadingConfig, found: PreflightReport, load: Callable[..., LoadedModel]) -> None:
    """Record whether those who are scored can read every item; a task may have to be downloaded."""
    from core.reading.context import readers, require_context
    from core.reading.tasks import load_tasks

    names = config.reading.exam
    found.take("reading tasks", lambda: require_context(names, load_tasks(config.reading, ()), readers(config, load)))


def check_local_reading_tasks(config: ReadingConfig, found: PreflightReport, models: PlannedModels) -> None:
    """Record the same of the tasks that are here, for students whose tokenizer is read without their weights."""
    from core.models.loading import tokenizer_from_pretrained
    from core.reading.context import Reader, local_tasks, new_student, require_context
    from core.reading.tasks import load_tasks

    names, origin = local_tasks(config.reading.exam), models.origin
    spec = config.reading.model_copy(update={"tasks": names})
    if not names or (origin is not None and (origin.path is None or not origin.path.is_dir())):
        return
    found.take("reading tasks", lambda: require_context(names, load_tasks(spec, ()), [
        new_student(config) if origin is None or origin.path is None else
        Reader(origin.name, tokenizer_from_pretrained(origin.path), models.context)]))


def _packed(config: ExperimentConfig, found: PreflightReport, tokenizer_source: LoadedModel) -> Packed | None:
    """Return a model's tokenizer, the data in its vocabulary, and what it is to predict."""
    from core.data.prepare import prepare
    from core.evaluation.objectives import objective_for

    kind, tokenizer = architecture_of(tokenizer_source.model.config).objective, tokenizer_source.tokenizer
    data = found.take("text", lambda: prepare(config.data, tokenizer, config.train.seed, cache_dir(), kind), lambda data: (
        f"{len(data.train):,} training blocks of {config.data.block_length} tokens; {len(data.validation):,} blocks held out."
        f"{counted(data.train.counted_share if kind == 'causal' else None)}"))
    if data is None:
        return None
    objective = found.take("objective", lambda: objective_for(config, kind, tokenizer, data.train),
                           lambda _: compatibility.require_settings_for(config, kind))
    return (tokenizer, data, objective) if objective is not None else None


def _sample(config: ExperimentConfig) -> Packed:
    """Return enough rows to stand for the corpus, with a vocabulary of their own: the real one takes the whole corpus."""
    from core.data.prepare import prepare, rows
    from core.evaluation.objectives import objective_for
    from core.students.from_scratch import objective_from_scratch, tokenizer_from_scratch

    spec, seed, fresh = config.data.model_copy(update={"max_rows": SAMPLE_ROWS}), config.train.seed, config.student.from_scratch
    assert fresh is not None, "only the vocabulary of a model from scratch does not exist yet"
    kind = objective_from_scratch(fresh)
    tokenizer = tokenizer_from_scratch(fresh, rows(spec, "train", seed, kind))
    data = prepare(spec, tokenizer, seed, objective=kind)
    return tokenizer, data, objective_for(config, kind, tokenizer, data.train)
