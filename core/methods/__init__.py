"""The methods of the papers, one module each, and which of them carries out an experiment (papers: docs/references.md)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from core.config import (
    BridgeConfig,
    ChainConfig,
    DistillConfig,
    EnsembleConfig,
    ExperimentConfig,
    FineTuneConfig,
    ReadingConfig,
    SpecialistsConfig,
)
from core.events import Event
from core.methods.orders import dismiss
from core.recorder import Recorder, StopRequested
from core.reports.run_report import ChainReport, Report, RunReport
from core.system import ranks

if TYPE_CHECKING:
    from core.methods.steps import Load


def method_for(config: ExperimentConfig) -> Callable[..., Report]:
    """Return the method that carries out an experiment.

    It builds a chain, crosses a bridge, fine-tunes on a task, trains on notes, distils an ensemble, trains specialists, or distils one
    student, which is compared over seeds where the recipe asks for it. All have the signature of `core.methods.distillation.distill`.
    """
    if isinstance(config, ChainConfig):
        from core.methods.chain import build_chain

        return build_chain
    if isinstance(config, BridgeConfig):
        from core.methods.bridge import bridge_distill

        return bridge_distill
    if isinstance(config, ReadingConfig):
        from core.methods.reading import read_and_train

        return read_and_train
    if isinstance(config, FineTuneConfig):
        from core.methods.fine_tuning import tune

        return tune
    if isinstance(config, SpecialistsConfig):
        from core.methods.specialists import train_specialists

        return train_specialists
    if isinstance(config, EnsembleConfig):
        from core.methods.ensemble import distill_ensemble

        return distill_ensemble
    if isinstance(config, DistillConfig) and config.evaluation.ensemble_seeds is not None:
        from core.methods.ensemble_comparison import distill_and_compare

        return distill_and_compare
    from core.methods.distillation import distill

    return distill


def run_experiment(config: ExperimentConfig, recorder: Recorder, directory: Path, *, load: Load, command: str = "") -> Report:
    """Carry out an experiment, or resume it.

    Of several processes that were started together, rank 0 does, and the others train with it; they neither record nor write.

    Args:
        recorder: of rank 0; the others' are not used.

    Returns:
        The report of the method, in every process; where the user requested a stop, of what is known so far, with ``stopped`` set.

    Raises:
        StillhouseError: whatever the user can fix.
    """
    ranks.join(config.train.device)
    if ranks.rank():
        from core.methods.following import follow

        return follow(load)
    report: Event | None
    try:
        report = method_for(config)(config, recorder, directory, load=load, command=command)
    except StopRequested as stop:
        report = stop.report
    assert isinstance(report, RunReport | ChainReport), "every method attaches its report to a stop"
    dismiss(report.to_dict())
    if ranks.world() > 1:
        from core.training.sharding import release_all

        release_all()
    return report
