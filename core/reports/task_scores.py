"""How a model is scored on a labelled task, for the retention card.

    encoders        fine-tuned on the task with each seed, then measured on its held-out items (`core.tasks`)
    causal models   prompted, without training: the label with the higher log-probability (`core.evaluation.sentiment`)

A task is named by its source: ``imdb`` and ``rt`` (the house reviews), a file, or a hub dataset with its subset behind a colon, as
``nyu-mll/glue:sst2``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from core.config import RetentionSpec, TrainSpec
from core.data import movie_reviews
from core.errors import ConfigError
from core.models import catalog
from core.models.entries import LoadedModel
from core.recorder import NullRecorder, Recorder
from core.reports.retention_card import Score
from core.tasks.data import headline_metric, task_spec

if TYPE_CHECKING:
    import torch

    from core.tasks.data import TaskData

Load = Callable[..., LoadedModel]
FEW = 4  # items of a rehearsal
PROMPTED = ("imdb", "rt")  # tasks that a causal model can be prompted for


@dataclass(frozen=True, slots=True)
class Scoring:
    """How the models of a card are scored.

    Attributes:
        score: (model reference, task, seed) -> what it reached; raises `core.recorder.StopRequested` soon after a stop is requested.
        seeds: for each of which every model is scored; one where nothing is drawn.
        tuned: whether the models are fine-tuned on the tasks.
        rehearse: scores a model on a few items of every task, and raises what would stop a task.
    """

    score: Callable[[str, str, int], Score]
    seeds: tuple[int, ...]
    tuned: bool = True
    rehearse: Callable[[LoadedModel], None] = lambda _: None


def scoring(spec: RetentionSpec, objective: Literal["causal", "masked"], recorder: Recorder, *, seed: int,
            device: torch.device | str, load: Load = catalog.load) -> Scoring:
    """Return how models of this objective are scored; reads the tasks, so that a mistake shows before anything is trained.

    Args:
        recorder: queried for a stop; gets nothing of the fine-tunings, whose curves are not the run's.
        seed: the first of the seeds.

    Raises:
        ConfigError: a task that a causal model cannot be prompted for.
        DataError, NetworkError: a task that cannot be read.
    """
    check_tasks(spec, objective)
    if objective == "causal":
        return _prompted(spec, seed, device, load)
    from core.tasks.data import load_task

    tasks = {name: load_task(task_spec(name, spec.train_items)) for name in spec.tasks}
    tuned = _FineTuned(spec, tasks, NullRecorder(recorder.should_stop), device, load)
    return Scoring(tuned, tuple(range(seed, seed + spec.seeds)), rehearse=tuned.rehearse)


def check_tasks(spec: RetentionSpec, objective: Literal["causal", "masked"]) -> None:
    """Check that the tasks of a card exist and suit such models: names and local files alone, nothing of the hub.

    Raises:
        ConfigError: a task that a causal model cannot be prompted for.
        DataError: a file that is not there or cannot be read.
    """
    unknown = [task for task in spec.tasks if task not in PROMPTED]
    if objective == "causal" and unknown:
        raise ConfigError(f"evaluation.retention.tasks names {', '.join(unknown)}.",
                          f"A causal model is prompted, without fine-tuning, about: {', '.join(PROMPTED)}.",
                          "Keep these, or set evaluation.retention.tasks to [] for size and speed alone.",
                          field="evaluation.retention.tasks")
    from core.tasks.data import look

    for task in spec.tasks:
        look(task_spec(task, spec.train_items))


class _FineTuned:
    def __init__(self, spec: RetentionSpec, tasks: Mapping[str, TaskData], recorder: Recorder, device: torch.device | str,
                 load: Load) -> None:
        self.spec, self.tasks, self.recorder, self.device, self.load = spec, tasks, recorder, device, load

    def __call__(self, reference: str, task: str, seed: int) -> Score:
        import torch

        from core.tasks.fine_tuning import DEFAULT_FINE_TUNING

        train = DEFAULT_FINE_TUNING.model_copy(update={"learning_rate": self.spec.learning_rate, "num_train_epochs": self.spec.epochs})
        return self._score(self.load(reference, device=self.device, dtype=torch.float32), self.tasks[task], seed, train)

    def rehearse(self, small: LoadedModel) -> None:
        from core.tasks.fine_tuning import DEFAULT_FINE_TUNING

        once = DEFAULT_FINE_TUNING.model_copy(update={"max_steps": 1, "per_device_train_batch_size": FEW})
        for task in self.tasks.values():
            self._score(small, replace(task, train=task.train[:FEW], validation=task.validation[:FEW]), 0, once)

    def _score(self, start: LoadedModel, task: TaskData, seed: int, train: TrainSpec) -> Score:
        from core.tasks.fine_tuning import fine_tune_and_evaluate

        _, metrics = fine_tune_and_evaluate(start, task, seed=seed, spec=train, recorder=self.recorder)
        metric = headline_metric(task)
        return Score(metrics[metric], len(task.validation), metric)


def _prompted(spec: RetentionSpec, seed: int, device: torch.device | str, load: Load) -> Scoring:
    import torch

    from core.evaluation.sentiment import evaluate_sentiment

    reviews = {task: [review for review in movie_reviews.held_out("validation") if review.source == task] for task in spec.tasks}

    def score(reference: str, task: str, _seed: int) -> Score:
        loaded = load(reference, device=device, dtype=torch.float32)
        measured = evaluate_sentiment(loaded.model, loaded.tokenizer, reviews[task], device)
        return Score(measured["sentiment_accuracy"], int(measured["sentiment_items"]))

    def rehearse(small: LoadedModel) -> None:
        for some in reviews.values():
            evaluate_sentiment(small.model, small.tokenizer, some[:FEW], device)

    return Scoring(score, (seed,), tuned=False, rehearse=rehearse)
