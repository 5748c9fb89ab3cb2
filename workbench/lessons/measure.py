"""Measure what a lesson's recipe comes to over seeds: ``python -m workbench.lessons.measure [NAME ...]``.

Each result file of a lesson's figures is one recipe block, trained once for each of its runs and each seed, with the seed alone changed.
The files are assets/results/lessons/NAME.json; a lesson of one's own may name one as well.

Seconds are those of the processor, which other work on the machine does not lengthen, from the call that starts a run, in a process
that has its libraries and has seen the data once.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.config import ExperimentConfig
from core.events import CONTROL, STUDENT_AFTER, Event
from core.system.files import write_json
from core.system.paths import ASSETS
from workbench import lessons
from workbench.errors import LessonError
from workbench.lessons import experiments
from workbench.lessons.blocks import Figure, Recipe
from workbench.lessons.experiments import SINGLE
from workbench.lessons.parser import Lesson

if TYPE_CHECKING:
    from core.models.entries import LoadedModel

SEEDS = (42, 43, 44, 45, 46)


class Stopwatch:
    """A recorder that notes when the first loss came, in seconds of the processor."""

    def __init__(self) -> None:
        self.began = time.process_time()
        self.first_loss: float | None = None

    def log(self, variant: str, step: int, metrics: Mapping[str, float]) -> None:
        """Note the time of the first loss."""
        if self.first_loss is None and "loss" in metrics:
            self.first_loss = time.process_time() - self.began

    def event(self, event: Event) -> None:
        """Drop the event."""

    def should_stop(self) -> bool:
        """Never request a stop."""
        return False


def sources() -> dict[str, tuple[Lesson, Recipe]]:
    """Return the lesson and the recipe block of each result that a figure shows: the last recipe block before the figure."""
    found: dict[str, tuple[Lesson, Recipe]] = {}
    for lesson in lessons.listed()[0]:
        last = None
        for part in lesson.parts:
            block = getattr(part, "block", None)
            if isinstance(block, Recipe):
                last = block
            elif isinstance(block, Figure) and block.show == "results" and last is not None:
                found.setdefault(block.results, (lesson, last))
    return found


def measure(lesson: Lesson, block: Recipe, seeds: Sequence[int] = SEEDS) -> dict[str, Any]:
    """Train each run of a recipe block with each seed, and return what the result file holds."""
    import torch

    values: dict[str, dict[str, dict[str, float]]] = {}
    firsts, wholes = [], []
    configs = experiments.of_lesson(lesson, block.name)
    train(next(iter(configs.values())))  # what is read once is read before anything is timed
    for seed in seeds:
        for label, config in configs.items():
            seeded = config.model_copy(update={"train": config.train.model_copy(update={"seed": seed})})
            metrics, first, whole = train(seeded)
            firsts.append(first)
            wholes.append(whole)
            subjects = {"with the teacher": STUDENT_AFTER, "the control": CONTROL} if label == SINGLE else {label: STUDENT_AFTER}
            for name, subject in subjects.items():
                for metric, value in (metrics.get(subject) or {}).items():
                    if f"eval/{metric}" in block.measure:
                        values.setdefault(f"eval/{metric}", {}).setdefault(name, {})[str(seed)] = value
            print(f"{lesson.slug} {block.name} {label} seed {seed}: first loss {first:.1f} s, {whole:.1f} s", file=sys.stderr, flush=True)
    return {"lesson": lesson.slug, "recipe": block.name, "date": time.strftime("%Y-%m-%d"), "threads": torch.get_num_threads(),
            "digests": {label: config.digest() for label, config in configs.items()},
            "seconds": {"first_loss": round(statistics.median(firsts), 2), "run": round(statistics.median(wholes), 2)}, "values": values}


def train(config: ExperimentConfig) -> tuple[dict[str, Any], float, float]:
    """Train once; returns what was measured, the seconds to the first loss, and those of the whole run."""
    from core.methods import run_experiment

    with tempfile.TemporaryDirectory() as folder:
        recorder = Stopwatch()
        report: Any = run_experiment(config, recorder, Path(folder) / "run", load=_load)
    return dict(report.metrics), recorder.first_loss or 0.0, time.process_time() - recorder.began


def _load(reference: str, **options: Any) -> LoadedModel:
    """Load a model as the catalogue does, or an anchor of a chain that ships."""
    from core.chains.folder import anchor_folder
    from core.models import catalog

    return catalog.load(str(anchor_folder(reference) or reference), **options)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure the named results, or all. Raises LessonError for a name that no figure shows."""
    known = sources()
    parser = argparse.ArgumentParser(description="Measure what lessons' recipes come to over seeds.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(known)} (default: all)")
    for name in parser.parse_args(arguments).names or known:
        if name not in known:
            raise LessonError(f"No lesson shows results called '{name}'.", f"Names are: {', '.join(known)}.")
        write_json(ASSETS / "results" / "lessons" / f"{name}.json", measure(*known[name]))


if __name__ == "__main__":
    main()
