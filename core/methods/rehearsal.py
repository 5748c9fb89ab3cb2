"""Try in small, before the first step, what a run does after its last one.

A tokenizer that is another one once it is saved, settings that cannot be written, a disk that is too small, a card that cannot be
made or a labelled task that the student cannot learn would else come to light when everything is trained. What a chain does between
its anchors is tried by `core.methods.chain_rehearsal`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from transformers import AutoConfig, PreTrainedModel

from core.config import ExperimentConfig
from core.errors import CompatibilityError, ExportError, UnsupportedModelError
from core.events import STUDENT_AFTER, STUDENT_BEFORE, TEACHER, RunWarning
from core.methods.evaluator import TRAINED
from core.models.architectures import on_device, with_blocks
from core.models.entries import LoadedModel
from core.models.loading import model_from_config, tokenizer_from_pretrained
from core.models.model_files import refuse_damaged
from core.recorder import Recorder
from core.reports.model_card import write_folder_documents
from core.reports.retention_card import KINDS
from core.reports.run_report import RunReport

SAMPLE = ("A quiet film, and it's well acted.", "She said: \"No!\"\n\n  Two spaces, 12.5%, naïve 映画.")
RESAVE = "Load it with AutoTokenizer, save it into its folder again, and look whether it still reads text as the model's did."


def rehearse_saving(folder: Path, tokenizer: Any, model: PreTrainedModel | None = None, texts: Sequence[str] = ()) -> None:
    """Write what lies beside a model's weights, and read it back.

    Args:
        folder: of the run; nothing stays there.
        model: its configuration and generation settings are written too, where it is known already.
        texts: of the run, which the tokenizer must read as before.

    Raises:
        CorruptModelError: something cannot be written, or not be read again.
        CompatibilityError: the tokenizer reads otherwise than before.
    """
    with _work(folder) as work:
        with refuse_damaged("What belongs to the student beside its weights", "saved"):
            tokenizer.save_pretrained(work)
            if model is not None:
                model.config.save_pretrained(work)
                if model.can_generate() and model.generation_config is not None:
                    model.generation_config.save_pretrained(work)
                AutoConfig.from_pretrained(work, local_files_only=True, trust_remote_code=False)
        again = tokenizer_from_pretrained(work)
    for text in (*SAMPLE, *texts):
        before, after = tokenizer(text).input_ids, again(text).input_ids
        if before != after:
            raise CompatibilityError(f"The tokenizer reads '{text[:60]}' as {len(before)} tokens, and as others once it is saved.",
                                     "The student's tokenizer must be its teacher's.", RESAVE)


def rehearse_documents(folder: Path, config: ExperimentConfig, report: RunReport, variants: Sequence[str],
                       measured: Mapping[str, float] | None = None) -> None:
    """Write the documents of every variant as if every model had been measured like the untrained student; nothing stays.

    Args:
        measured: of the student before its first step, on as few items as may be (default: what the report has of it).
    """
    measured = report.metrics[STUDENT_BEFORE] if measured is None else measured
    assert measured is not None, "the untrained student was measured"
    subjects = (STUDENT_BEFORE, STUDENT_AFTER, *(TRAINED[variant] for variant in variants), *([TEACHER] if report.teacher else []))
    finished = replace(report, metrics={**report.metrics, **{subject: dict(measured) for subject in subjects}})
    for variant in variants:
        with _work(folder) as work:
            write_folder_documents(work, config, finished, variant=variant)


def one_block(loaded: LoadedModel, model: PreTrainedModel, name: str) -> LoadedModel:
    """Return a model of the first block of another one, with new weights.

    Args:
        loaded: of the same tokenizer and task.
        model: whose block it is.
    """
    made = model_from_config(with_blocks(model.config, (0,)), loaded.entry.task, torch.float32, seed=0)
    entry = replace(loaded.entry, name=name, architecture=made.config.model_type, layers=1)
    return LoadedModel(on_device(made, model.device).eval(), loaded.tokenizer, entry)


def rehearse_exports(models: Mapping[str, LoadedModel], small: Mapping[str, LoadedModel], recorder: Recorder) -> None:
    """Write the graph of models of one block. The recorder gets a warning for one that cannot be exported.

    Args:
        models: who -> the whole model, whose size alone is looked at.
        small: who -> `one_block` of it.
    """
    from core.export import graph, quantisation, sessions  # noqa: F401 - what is needed later must be there

    for who, loaded in small.items():
        try:
            graph.require_exportable(models[who].model, loaded.entry.task)
            graph.to_onnx(loaded.model.cpu(), loaded.entry.task, graph.input_names(loaded.model))
        except (ExportError, UnsupportedModelError) as error:
            recorder.event(RunWarning(f"The card will have no exports of the {KINDS[who].lower()}: {error}"))


@contextmanager
def _work(folder: Path) -> Iterator[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder, prefix="rehearsal-") as work:
        yield Path(work)
