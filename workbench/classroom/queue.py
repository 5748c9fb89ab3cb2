"""The fair queue of a class: round-robin over participants, equal recipes once, within the caps.

A participant has at most one submission waiting. Turns go to whoever has had the fewest runs started, then to who waits longest; what the
instructor put first goes before all. One run of a class is trained at a time, as on any device of the run store.
"""

from __future__ import annotations

import json
import logging
import statistics
import threading
from collections import Counter
from collections.abc import Mapping, Sequence

from core.config import ExperimentConfig
from core.errors import StillhouseError
from core.recipes import parse_recipe
from workbench import lessons
from workbench.classroom import store as class_store
from workbench.classroom.records import Item, Settings
from workbench.classroom.store import ClassStore
from workbench.errors import ClassError, RunNotFoundError
from workbench.lessons import experiments
from workbench.runs import jobs
from workbench.sharing import restrictions
from workbench.sharing.restrictions import Restrictions
from workbench.store import Store
from workbench.store.records import Run

LOGGER = logging.getLogger(__name__)
USUAL_SECONDS = 20.0  # of a run, before one has ended
FIRST_SEED = 1000  # of participant 0, where everybody has a seed of their own
LOOK_SECONDS = 0.4
ENDED_WITHOUT = ("failed", "lost", "stopped")


def submit(room: ClassStore, participant_id: str, lesson: str, recipe: str, runs: Mapping[str, ExperimentConfig], *,
           fresh: bool = False) -> None:
    """Add a participant's runs to the queue.

    Raises:
        ClassError: who is not in the class, or has something waiting.
        LinkError: a run beyond the caps of the class, or with a setting that the class has locked.
        LessonError: settings are locked, and the lesson or its recipe is not there to compare with.
    """
    participant, settings = room.participant(participant_id), room.settings()
    prepared = []
    fixed = experiments.of_lesson(lessons.lesson(lesson), recipe) if settings.locked else {}
    for label, config in runs.items():
        if settings.locked:
            if label not in fixed:
                raise ClassError(f"The lesson's recipe has no run '{label}'.", "", "Open the lesson again.")
            restrictions.check(config, Restrictions(settings.locked), fixed[label])
        if settings.own_seeds:
            seed = FIRST_SEED + participant.number
            config = config.model_copy(update={"train": config.train.model_copy(update={"seed": seed})})
        restrictions.check(config, caps(settings))
        prepared.append((label, json.dumps(config.to_dict()), config.digest()))
    room.submit(participant_id, lesson, recipe, prepared, fresh=fresh)


def caps(settings: Settings) -> Restrictions:
    """Return the caps of a class as restrictions; what it locks depends on the lesson."""
    return Restrictions(most_steps=settings.most_steps, most_layers=settings.most_layers)


def order(waiting: Sequence[Item], served: Mapping[str, int]) -> list[Item]:
    """Return waiting items in the order in which they will be started.

    Args:
        served: participant -> runs that were started for them.
    """
    left, counts, found = list(waiting), Counter(served), []
    while left:
        item = min(left, key=lambda each: (not each.first, counts[each.participant], each.id))
        left.remove(item)
        counts[item.participant] += 1
        found.append(item)
        left = [each for each in left if each.fresh or each.digest != item.digest]  # served by the same run
    return found


def served(room: ClassStore) -> Counter[str]:
    """Return participant -> runs that were started for them; those shared with others do not count."""
    return Counter(item.participant for item in room.items(state="placed") if not item.shared)


def places(room: ClassStore, store: Store) -> dict[int, tuple[int, float]]:
    """Return for each waiting item its place, from 1, and the seconds until its turn, as far as runs so far tell."""
    waiting = room.items(state="waiting")
    if not waiting:
        return {}
    runs = class_runs(room, store)
    times = [seconds for run in runs if run.status == "finished" and (seconds := run.seconds) is not None]
    each = statistics.median(times) if times else USUAL_SECONDS
    busy = sum(run.active or run.status == "queued" for run in runs)
    ordered = order(waiting, served(room))
    by_digest = {item.digest: place for place, item in enumerate(ordered, 1)}
    by_id = {item.id: place for place, item in enumerate(ordered, 1)}
    return {item.id: (place := by_id.get(item.id, by_digest.get(item.digest, len(ordered))), (place - 1 + busy) * each) for item in waiting}


def class_runs(room: ClassStore, store: Store) -> list[Run]:
    """Return the runs of a class that are still in the store."""
    ids = set(room.run_ids())
    return [run for run in store.runs(include_deleted=True) if run.id in ids] if ids else []


def dispatch(room: ClassStore, store: Store) -> Run | None:
    """Start the next run if none of the class is under way, unless another app is about to; returns it."""
    with class_store.alone(room.id) as mine:
        return _dispatch(room, store) if mine else None


def _dispatch(room: ClassStore, store: Store) -> Run | None:
    runs = class_runs(room, store)
    for run in runs:
        if run.status in ENDED_WITHOUT:
            room.forget_run(run.id)
    if room.settings().paused or any(run.active or run.status == "queued" for run in runs):
        return None
    for item in order(room.items(state="waiting"), served(room)):
        if room.share_known(item):
            continue
        try:
            run = jobs.submit(parse_recipe(json.loads(item.config_json)), store)
        except StillhouseError as error:
            room.fail(item, str(error))
            continue
        room.place(item, run.id)
        return run
    return None


def stop_all(room: ClassStore, store: Store) -> int:
    """Stop what runs and withdraw what waits; returns how many runs were stopped."""
    for item in room.items(state="waiting"):
        room.withdraw(item.participant)
    stopped = 0
    for run in class_runs(room, store):
        if run.active or run.status == "queued":
            try:
                store.request_stop(run.id)
                stopped += 1
            except StillhouseError as error:  # it ended in the meantime
                LOGGER.info("The run %s was not stopped: %s", run.id, error)
    return stopped


def delete_runs(room: ClassStore, store: Store) -> None:
    """End and remove every run of a class, with its folder."""
    for run_id in room.run_ids():
        try:
            run = store.run(run_id)
            if run.active:
                jobs.force_stop(run.id, store)
            store.purge(store.delete(run.id).id)
        except RunNotFoundError:
            continue


class Dispatcher:
    """A thread that starts the runs of a class, for as long as the app runs."""

    def __init__(self, class_id: str, store: Store) -> None:
        self._class_id, self._store = class_id, store
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="class queue", daemon=True)

    def start(self) -> None:
        """Begin to look after the queue."""
        self._thread.start()

    def stop(self) -> None:
        """Stop looking after it; no run is touched."""
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        problem = ""
        while not self._done.wait(LOOK_SECONDS):
            try:
                dispatch(ClassStore(self._class_id), self._store)
                problem = ""
            except Exception as error:  # the disk may have room again at the next look; a class that is over stays so
                if str(error) != problem:
                    LOGGER.warning("The queue of the class could not be looked after: %s", error)
                problem = str(error)
