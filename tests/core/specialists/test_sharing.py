"""Specialists and members that two processes train at once: the same numbers as alone, each a share, and a stop that all hear."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from core.events import TrainingNetwork
from core.methods import run_experiment
from core.models import catalog
from core.recipes import check_recipe, parse_recipe
from core.recorder import ListRecorder
from core.reports.run_report import RunReport
from core.specialists.helping import Helper
from core.specialists.sharing import STOPPING, places
from core.system import ranks
from tests.ranks import run_ranks

QUICK: dict[str, Any] = {
    "kind": "specialists", "name": "digits",
    "specialists": {"source": "digits", "train_items": 300, "test_items": 120, "hidden": [8], "clusters": 3, "size": 4, "epochs": 1.0,
                    "seeds": 1, "student_hidden": [6]},
    "train": {"num_train_epochs": 3.0, "per_device_train_batch_size": 32, "learning_rate": 0.02, "device": "cpu", "seed": 0}}


class _Stops(ListRecorder):
    """Stops once the first specialist was begun, if at all."""

    def __init__(self, stops: bool) -> None:
        super().__init__()
        self._stops = stops

    def should_stop(self) -> bool:
        return self._stops and any(each.network.startswith("specialist") for each in self.of(TrainingNetwork))


def carry_out(directory: Path, stops: bool) -> None:
    """Run the recipe; rank 0, or the only process, leaves what it trained itself and the report beside the folder."""
    torch.set_num_threads(1)
    recorder = _Stops(stops)
    report = run_experiment(parse_recipe(QUICK), recorder, directory, load=catalog.load)
    assert isinstance(report, RunReport) and report.stopped == stops
    if ranks.rank() == 0:
        trained = [each.network for each in recorder.of(TrainingNetwork)]
        Path(f"{directory}.json").write_text(json.dumps({"trained": trained, "report": report.to_dict()}))
    else:
        assert not recorder.events, "the others record nothing"


def recorded(directory: Path) -> dict[str, Any]:
    return json.loads(Path(f"{directory}.json").read_text())


def in_two(directory: Path, stops: bool) -> dict[str, Any]:
    codes = run_ranks(2, carry_out, directory, stops, log=directory.with_suffix(".log"))
    assert codes == [0, 0], [Path(f"{directory.with_suffix('.log')}.{rank}").read_text()[-3000:] for rank in (0, 1)]
    return recorded(directory)


def test_two_processes_train_what_one_does_also_after_a_stop(tmp_path: Path) -> None:
    threads = torch.get_num_threads()
    carry_out(tmp_path / "alone", stops=False)
    torch.set_num_threads(threads)
    alone = recorded(tmp_path / "alone")
    stopped = in_two(tmp_path / "together", stops=True)
    assert stopped["report"]["stopped"] and "specialists" not in stopped["report"]
    ended = in_two(tmp_path / "together", stops=False)
    repetitions, expected = (found["report"]["specialists"]["repetitions"][0] for found in (ended, alone))
    assert repetitions["sets"] == expected["sets"] and repetitions["items"] == expected["items"]
    names = [path.name for path in (tmp_path / "alone" / "repetitions" / "0").iterdir()]
    assert {"specialist-1", "specialist-2", "member-2"} <= set(names)
    for name in (each for each in names if each.startswith(("specialist", "member", "student"))):
        mine, theirs = (load_file(tmp_path / run / "repetitions" / "0" / name / "model.safetensors") for run in ("alone", "together"))
        assert all(torch.allclose(mine[key], theirs[key], atol=1e-5) for key in mine), name
    by_first = {*stopped["trained"], *ended["trained"]}
    assert "specialist 2" in alone["trained"] and "specialist 2" not in by_first and "specialist 1" in by_first, "the other's share"


def test_shares_are_disjoint_and_cover_all(monkeypatch: pytest.MonkeyPatch) -> None:
    assert list(places(3)) == [0, 1, 2], "alone"
    monkeypatch.setattr(ranks, "world", lambda: 2)
    shares = []
    for rank in range(2):
        monkeypatch.setattr(ranks, "rank", lambda rank=rank: rank)
        shares.append(list(places(5)))
    assert shares == [[0, 2, 4], [1, 3]]


def test_a_helper_that_hears_of_a_stop_trains_nothing(tmp_path: Path) -> None:
    (tmp_path / STOPPING).touch()
    Helper(catalog.load).train({"config": parse_recipe(QUICK).to_dict(), "seed": 0, "folder": str(tmp_path), "names": ["specialist-1"],
                                "details": {"sets": [[0, 1]]}})
    assert [path.name for path in tmp_path.iterdir()] == [STOPPING]


def test_specialists_may_have_several_processes_and_ensembles_of_images_not() -> None:
    assert parse_recipe({"kind": "specialists", "train": {"processes": 2}}).train.processes == 2
    found, errors = check_recipe({"kind": "ensemble", "train": {"processes": 2}})
    assert found is None and "one after the other" in " ".join(map(str, errors))
