"""Carry out an ablation: every variant of a recipe with every seed, then the differences. It resumes where it was stopped."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import TYPE_CHECKING

from core.config import ExperimentConfig
from core.errors import ConfigError
from core.events import AblationPart
from core.models import catalog
from core.recorder import Recorder, stop_if_requested
from core.reports.run_report import RunReport
from core.studies.ablation.results import MEASURED, RESULT, Ablation, folder_of, name_of, save_request
from core.studies.ablation.variants import trained, variants, with_seed
from core.system.files import write_json
from core.system.provenance import git_commit, versions

if TYPE_CHECKING:
    from core.methods.steps import Load


def run_ablation(config: ExperimentConfig, seeds: tuple[int, ...], recorder: Recorder, *, load: Load = catalog.load) -> Ablation:
    """Train every variant with every seed, or resume, and measure what each part is worth.

    Args:
        recorder: gets ``ablation`` (variant, seed, done, total) before each training, then what
            `core.methods.distillation.distill` reports; queried for a stop.

    Raises:
        StopRequested: the user requested a stop; finished trainings are kept.
        ConfigError: seeds that are not different, or a recipe of which nothing can be left out.
        StillhouseError: whatever stops a training.
    """
    made, folder = variants(config), folder_of(config)
    if not seeds or len(set(seeds)) != len(seeds):
        raise ConfigError(f"The seeds {list(seeds)} were given.", "One or more different numbers were expected.")
    save_request(config, len(seeds))
    total, reports = len(seeds) * len(made), dict[tuple[int, str], RunReport]()
    for seed in seeds:
        for variant, each in made.items():
            stop_if_requested(recorder)
            recorder.event(AblationPart(variant, seed, len(reports), total))
            reports[seed, variant] = trained(with_seed(each, seed), recorder, load=load)
        result = _result(config, tuple(made), reports)
        write_json(folder / RESULT, result.to_dict())  # seed by seed, so that the page can show what is known so far
    return result


def _result(config: ExperimentConfig, names: tuple[str, ...], reports: Mapping[tuple[int, str], RunReport]) -> Ablation:
    seeds = tuple(dict.fromkeys(seed for seed, _ in reports))
    after = {key: report.student_after for key, report in reports.items()}
    metrics = [metric for metric in MEASURED if all(metric in measured for measured in after.values())]
    values = {name: {metric: tuple(after[seed, name][metric] for seed in seeds) for metric in metrics} for name in names}
    return Ablation(name_of(config), config.to_dict(), seeds, values, {"versions": versions(), "git_commit": git_commit()},
                    datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
                    round(sum(report.seconds for report in reports.values()), 1))
