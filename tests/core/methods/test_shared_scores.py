"""Scores of a card by two processes: each unit once, those of the other as they come, and a stop that reaches it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.config import DistillConfig
from core.methods import shared_scores
from core.methods.shared_scores import STOPPING, share_scores, take_share
from core.models import catalog
from core.recipes import parse_recipe
from core.recorder import NullRecorder, Recorder, StopRequested
from core.reports.retention_card import Score
from core.reports.retention_run import Unit
from core.reports.task_scores import Scoring
from core.system import ranks
from tests.ranks import run_ranks
from tests.waiting import wait_until

UNITS: list[Unit] = [(who, task, 5) for task in ("imdb", "rt", "films") for who in ("teacher", "student")][:5]


def value(reference: str, task: str) -> float:
    return len(reference) + len(task) / 100


def in_each(folder: Path) -> None:
    """In each of two processes: a card that is scored, and one whose first score is stopped."""
    ranks.join("cpu")
    taken: list[list[Any]] = []
    config = parse_recipe({"evaluation": {"retention": {}}})
    assert isinstance(config, DistillConfig)

    def share(name: str, score: Callable[[Unit], Score]) -> list[list[Any]]:
        models = {"teacher": "a long name", "student": "short"}
        found = share_scores(UNITS, score, config=config, objective="causal", folder=folder / name, models=models, recorder=NullRecorder())
        return [[*unit, reached.value] for unit, reached in found]

    def of_unit(unit: Unit) -> Score:
        taken.append(list(unit))
        return Score(value({"teacher": "a long name", "student": "short"}[unit[0]], unit[1]), 10)

    def stop(unit: Unit) -> Score:
        wait_until((folder / "begun").exists)
        raise StopRequested

    if ranks.rank() == 0:
        found = share("whole", of_unit)
        with pytest.raises(StopRequested):
            share("stopped", stop)
        (folder / "0.json").write_text(json.dumps({"found": found, "taken": taken}))
        return

    def scoring(spec: object, objective: str, recorder: Recorder, **_: Any) -> Scoring:
        def score(reference: str, task: str, seed: int) -> Score:
            taken.append([reference, task, seed])
            if len(taken) > 2:  # of the second card: as a fine-tuning, which polls while it trains
                (folder / "begun").touch()
                wait_until(recorder.should_stop)
                raise StopRequested
            return Score(value(reference, task), 10)

        return Scoring(score, (5,))

    shared_scores.scoring = scoring
    for _ in range(2):
        take_share(ranks.receive()["score"], catalog.load)
    (folder / "1.json").write_text(json.dumps({"taken": taken}))


def test_two_processes_take_each_score_once_and_both_hear_a_stop(tmp_path: Path) -> None:
    codes = run_ranks(2, in_each, tmp_path, log=tmp_path / "log")
    assert codes == [0, 0], [Path(f"{tmp_path / 'log'}.{rank}").read_text()[-3000:] for rank in (0, 1)]
    first, second = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1))
    names = {"teacher": "a long name", "student": "short"}
    assert sorted(first["found"]) == sorted([*unit, value(names[unit[0]], unit[1])] for unit in UNITS)
    # Teacher and student take turns in the units, and the processes in both.
    assert first["taken"] == [list(UNITS[place]) for place in (0, 3, 4)]
    assert second["taken"][:2] == [[names[UNITS[place][0]], *UNITS[place][1:]] for place in (1, 2)] and len(second["taken"]) == 3
    assert not (tmp_path / "whole").exists() and [path.name for path in (tmp_path / "stopped").iterdir()] == [STOPPING]
