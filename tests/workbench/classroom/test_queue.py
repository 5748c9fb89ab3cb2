"""The fair queue: round-robin, equal recipes once, caps, place and waiting time, and what the instructor decides."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from core.config import ExperimentConfig
from core.errors import StillhouseError
from core.recipes import parse_recipe
from tests.pages import examples
from workbench import lessons, settings
from workbench.classroom import queue
from workbench.classroom import store as class_store
from workbench.classroom.records import Item, Participant
from workbench.classroom.store import ClassStore
from workbench.lessons import experiments
from workbench.lessons.blocks import Recipe
from workbench.lessons.parser import Lesson
from workbench.runs import jobs
from workbench.store import Store
from workbench.store.records import Run


@pytest.fixture
def room(home: Path) -> ClassStore:
    return class_store.create("Tuesday")


@pytest.fixture
def store(home: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setattr(jobs, "launch_next", lambda store: [])
    return Store()


def recipe(temperature: float = 2.0, steps: int = 20, layers: int = 2) -> ExperimentConfig:
    return parse_recipe({"name": f"t{temperature:g}", "teacher": {"model": "house-chat"}, "student": {"layers": layers},
                         "losses": {"temperature": temperature}, "train": {"max_steps": steps}})


def join(room: ClassStore, *names: str) -> list[Participant]:
    return [room.join(name, room.code) for name in names]


def item(number: int, participant: str, digest: str, *, first: bool = False) -> Item:
    return Item(number, participant, "l", "r", "", "{}", digest, float(number), "waiting", None, "", first, False, False)


def test_who_came_first_is_first_though_the_clock_was_set_back():
    late = replace(item(2, "b", "y"), submitted=-3600.0)
    assert [each.id for each in queue.order([late, item(1, "a", "x")], {})] == [1, 2]


def test_turns_go_round():
    waiting = [item(1, "a", "1"), item(2, "a", "2"), item(3, "a", "3"), item(4, "b", "4"), item(5, "c", "5"), item(6, "b", "6")]
    assert [each.id for each in queue.order(waiting, {})] == [1, 4, 5, 2, 6, 3]
    assert [each.id for each in queue.order(waiting, {"a": 2})] == [4, 5, 6, 1, 2, 3]


def test_what_was_put_first_goes_first_and_equal_recipes_take_one_turn():
    waiting = [item(1, "a", "same"), item(2, "b", "other"), item(3, "c", "same"), item(4, "d", "last", first=True)]
    assert [each.id for each in queue.order(waiting, {})] == [4, 1, 2]


def test_one_run_is_under_way_and_an_equal_recipe_shares_it(room: ClassStore, store: Store):
    ada, bea, cid = join(room, "Ada", "Bea", "Cid")
    for who, temperature in ((ada, 1.0), (bea, 4.0), (cid, 1.0)):
        queue.submit(room, who.id, "temperature", "r", {"": recipe(temperature)})
    run = queue.dispatch(room, store)
    assert run is not None and run.config.losses.temperature == 1.0
    assert [(each.participant, each.state, each.shared) for each in room.items()] == [
        (ada.id, "placed", False), (bea.id, "waiting", False), (cid.id, "placed", True)]
    assert queue.dispatch(room, store) is None  # one at a time
    place, seconds = queue.places(room, store)[room.items(bea.id)[0].id]
    assert (place, seconds) == (1, queue.USUAL_SECONDS)
    store.request_stop(run.id)
    second = queue.dispatch(room, store)
    assert second is not None and second.config.losses.temperature == 4.0
    # A run that was stopped is not what anybody else gets.
    store.request_stop(second.id)
    queue.submit(room, cid.id, "temperature", "r", {"": recipe(1.0)})
    assert room.items(cid.id)[-1].state == "waiting"


def test_a_finished_run_serves_later_equal_recipes_at_once_unless_they_want_their_own(room: ClassStore, store: Store):
    ada, bea = join(room, "Ada", "Bea")
    queue.submit(room, ada.id, "temperature", "r", {"": recipe()})
    done = examples.finished(store)
    room.place(room.items()[0], done.id)
    queue.submit(room, bea.id, "temperature", "r", {"": recipe()})
    assert (room.items(bea.id)[0].run_id, room.items(bea.id)[0].shared) == (done.id, True)
    queue.submit(room, bea.id, "temperature", "r", {"": recipe()}, fresh=True)
    assert room.items(bea.id)[1].state == "waiting"
    run = queue.dispatch(room, store)
    assert run is not None and run.id != done.id


def test_one_waiting_submission_each(room: ClassStore):
    ada, = join(room, "Ada")
    queue.submit(room, ada.id, "temperature", "r", {"a": recipe(1.0), "b": recipe(4.0)})
    with pytest.raises(StillhouseError, match="still waits"):
        queue.submit(room, ada.id, "temperature", "r", {"": recipe(3.0)})
    room.withdraw(ada.id)
    queue.submit(room, ada.id, "temperature", "r", {"": recipe(3.0)})


@pytest.mark.parametrize("config", [recipe(steps=401), recipe(layers=9), recipe().model_copy(update={
    "train": recipe().train.model_copy(update={"max_steps": None})})])
def test_the_caps_hold_on_the_server(room: ClassStore, config: ExperimentConfig):
    ada, = join(room, "Ada")
    with pytest.raises(StillhouseError, match=r"At most|half"):
        queue.submit(room, ada.id, "temperature", "r", {"": config})
    assert not room.items()


def test_who_is_not_in_the_class_submits_nothing(room: ClassStore):
    with pytest.raises(StillhouseError, match="no longer"):
        queue.submit(room, "somebody", "temperature", "r", {"": recipe()})


def test_seeds_of_their_own_make_recipes_differ(room: ClassStore):
    room.change(own_seeds=True)
    for who in join(room, "Ada", "Bea"):
        queue.submit(room, who.id, "temperature", "r", {"": recipe()})
    assert [json.loads(each.config_json)["train"]["seed"] for each in room.items()] == [queue.FIRST_SEED + 1, queue.FIRST_SEED + 2]
    assert len({each.digest for each in room.items()}) == 2


def test_a_paused_queue_starts_nothing_and_stop_all_ends_all(room: ClassStore, store: Store):
    ada, bea = join(room, "Ada", "Bea")
    queue.submit(room, ada.id, "temperature", "r", {"": recipe(1.0)})
    room.change(paused=True)
    assert queue.dispatch(room, store) is None
    room.change(paused=False)
    run = queue.dispatch(room, store)
    queue.submit(room, bea.id, "temperature", "r", {"": recipe(4.0)})
    assert run is not None and queue.stop_all(room, store) == 1
    assert store.run(run.id).status == "stopped" and not room.items(state="waiting")


def test_a_recipe_that_cannot_start_says_why_and_does_not_hold_the_others(room: ClassStore, store: Store):
    ada, bea = join(room, "Ada", "Bea")
    room.submit(ada.id, "temperature", "r", [("", json.dumps(recipe().to_dict() | {"teacher": {"model": "nothing-here"}}), "d")])
    queue.submit(room, bea.id, "temperature", "r", {"": recipe()})
    assert queue.dispatch(room, store) is not None
    broken, = room.items(ada.id)
    assert broken.state == "failed" and "nothing-here" in broken.message


def test_the_dispatcher_starts_runs_and_survives_the_end_of_the_class(room: ClassStore, store: Store):
    from tests.waiting import wait_until

    ada, = join(room, "Ada")
    queue.submit(room, ada.id, "temperature", "r", {"": recipe()})
    dispatcher = queue.Dispatcher(room.id, store)
    dispatcher.start()
    try:
        wait_until(lambda: room.run_ids(), lambda: "a run")
        class_store.remove_files(room.id)
    finally:
        dispatcher.stop()


LESSON = """---
title: Locked
---
```slider
name: T
label: Temperature
min: 1
max: 8
value: 2
```

```recipe
name: r
recipe: micro
set: {losses.temperature: $T}
```
"""


@pytest.fixture
def with_slider(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lesson:
    """A lesson whose slider sets the temperature of its recipe."""
    (tmp_path / "locked.md").write_text(LESSON)
    (tmp_path / "micro.yaml").write_text("teacher: {model: house-chat}\nstudent: {layers: 2}\ntrain: {max_steps: 20}\n")
    monkeypatch.setenv(settings.LESSONS.variable, str(tmp_path))
    return lessons.lesson("locked")


def test_a_locked_setting_is_refused_by_the_server_and_the_others_pass(room: ClassStore, with_slider: Lesson):
    ada, = join(room, "Ada")
    room.change(locked=("T", "seed"))
    block, = with_slider.of(Recipe)
    moved = experiments.configs(with_slider, block, {"T": 4.0})
    with pytest.raises(StillhouseError, match=r"losses.temperature was given as 4.*fixed it at 2"):
        queue.submit(room, ada.id, "locked", "r", moved)
    with pytest.raises(StillhouseError, match="has no recipe 'another'"):
        queue.submit(room, ada.id, "locked", "another", moved)
    with pytest.raises(StillhouseError, match="no run 'of mine'"):
        queue.submit(room, ada.id, "locked", "r", {"of mine": moved[""]})
    assert not room.items()
    room.change(own_seeds=True)  # the class's seeds are no change of the participant's
    queue.submit(room, ada.id, "locked", "r", experiments.of_lesson(with_slider, "r"))
    assert len(room.items()) == 1


def test_a_class_of_before_locks_has_none(room: ClassStore):
    plain = json.loads(room._one("SELECT settings FROM class")["settings"])
    del plain["locked"]
    room._execute("UPDATE class SET settings = ?", json.dumps(plain))
    assert room.settings().locked == () and room.change(locked=("T",)).locked == ("T",) == room.settings().locked


def test_two_apps_that_hold_a_class_start_each_run_once(room: ClassStore, store: Store, monkeypatch: pytest.MonkeyPatch):
    """The other looks while this one checks the recipe, which takes seconds."""
    ada, = join(room, "Ada")
    queue.submit(room, ada.id, "temperature", "with-control", {"": recipe()})
    submit, others = jobs.submit, []

    def slowly(config: ExperimentConfig, store: Store) -> Run:
        others.append(queue.dispatch(ClassStore(room.id), Store()))
        return submit(config, store)

    monkeypatch.setattr(jobs, "submit", slowly)
    started = queue.dispatch(room, store)
    assert others == [None] and [run.id for run in store.runs()] == [started.id]
    assert [each.run_id for each in room.items(state="placed")] == [started.id]
