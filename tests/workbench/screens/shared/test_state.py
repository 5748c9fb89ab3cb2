"""What a session keeps of the curves, and how it reads on."""

from __future__ import annotations

import pytest

from core.config import DistillConfig
from core.errors import ModelNotFoundError
from workbench.screens.shared import state
from workbench.screens.shared.state import Curves
from workbench.store import Store
from workbench.store.records import Run


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def run(store: Store) -> Run:
    return store.create_run(DistillConfig())


def log(store: Store, run: Run, steps: range, value: float, variant: str = "student") -> None:
    store.log_metrics(run.id, [(variant, step, "loss", value) for step in steps])


def curve(curves: Curves, store: Store, run: Run, variant: str = "student") -> dict[int, float]:
    table = curves.fetch(store, run.id)
    chosen = table[table["arm"] == variant]
    return dict(zip(chosen["step"], chosen["value"], strict=True))


def test_only_new_rows_are_read(store: Store, run: Run, monkeypatch: pytest.MonkeyPatch):
    curves, reads = Curves(), []
    read = store.metrics
    monkeypatch.setattr(store, "metrics", lambda run_id, **options: reads.append(read(run_id, **options)) or reads[-1])
    assert curve(curves, store, run) == {}
    log(store, run, range(1, 101), 1.0)
    curve(curves, store, run)
    log(store, run, range(101, 104), 2.0)
    assert curve(curves, store, run) == dict.fromkeys(range(1, 101), 1.0) | {101: 2.0, 102: 2.0, 103: 2.0}
    assert [len(each) for each in reads] == [0, 100, 3]


def test_steps_repeated_after_a_resume_replace_the_old_ones(store: Store, run: Run):
    curves = Curves()
    log(store, run, range(1, 8), 1.0)
    curve(curves, store, run)
    log(store, run, range(5, 7), 2.0)
    expected = {1: 1.0, 2: 1.0, 3: 1.0, 4: 1.0, 5: 2.0, 6: 2.0, 7: 1.0}
    assert list(curve(curves, store, run).items()) == list(expected.items())
    assert list(curve(Curves(), store, run).items()) == list(expected.items())  # a page opened later sees the same


def test_a_control_that_begins_later_leaves_the_student_alone(store: Store, run: Run):
    curves = Curves()
    log(store, run, range(1, 6), 1.0)
    curve(curves, store, run)
    log(store, run, range(1, 3), 3.0, variant="control")
    assert len(curve(curves, store, run)) == 5
    assert curve(curves, store, run, "control") == {1: 3.0, 2: 3.0}


def test_a_model_that_is_not_there_is_looked_up_once(monkeypatch: pytest.MonkeyPatch, fresh_streamlit_caches: None):
    calls = []

    def describe(reference: str, store: Store):
        calls.append(reference)
        raise ModelNotFoundError(f"There is no '{reference}'.")

    monkeypatch.setattr(state.references, "describe", describe)
    for _ in range(2):
        with pytest.raises(ModelNotFoundError, match="There is no 'nothing'"):
            state.describe("nothing")
    assert calls == ["nothing"]
