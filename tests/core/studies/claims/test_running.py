"""Running a claim: numbers, resuming, stopping, what is kept and which outcome is shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import ConfigError
from core.events import ClaimPart
from core.recorder import ListRecorder, StopRequested
from core.studies.claims import outcomes, registry, rules, running
from core.studies.claims.claim import AllSeeds
from core.studies.claims.running import outstanding, run_claim
from tests.core.studies.claims.fake_claims import Scale, fake, put_in_place, walk


@pytest.fixture(autouse=True)
def claim(monkeypatch: pytest.MonkeyPatch) -> None:
    put_in_place(monkeypatch, fake())


def seeds_walked(recorder: ListRecorder) -> list[int]:
    return [part.seed for part in recorder.of(ClaimPart)]


def test_an_outcome_says_everything() -> None:
    outcome = run_claim("x1")
    assert (outcome.claim, outcome.verdict, outcome.seeds) == ("X1", "pass", (42, 43, 44, 45, 46))
    assert outcome.numbers["gain"].values == (1.0, 1.1, 1.2, 1.0, 1.1)
    assert outcome.numbers["gain"].mean == pytest.approx(1.08)
    assert outcome.numbers["gain"].standard_error == pytest.approx(0.0374166)
    assert outcome.numbers["gain"].interval.interval_words == "95% CI, Student's t over 5 seeds"
    assert (outcome.rules_version, outcome.rejudged) == (rules.VERSION, None)
    assert outcome.environment["versions"]["torch"] and outcome.environment["processor"] and outcome.environment["threads"] >= 1
    assert outcome.date.endswith("+00:00") and outcome.seconds >= 0
    assert outcome.setting == {"steps": 5, "fails_at": None}


def test_seeds_that_ended_are_not_run_again_after_a_crash(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    put_in_place(monkeypatch, fake(setting=Scale(fails_at=43)))
    with pytest.raises(FloatingPointError):
        run_claim("X1")
    recorder = ListRecorder()
    with pytest.raises(FloatingPointError):
        run_claim("X1", recorder=recorder)
    assert seeds_walked(recorder) == [43]
    assert len(list((home / "claims" / "X1" / "seeds").iterdir())) == 1


def test_numbers_of_another_setting_or_protocol_are_not_mixed_in(monkeypatch: pytest.MonkeyPatch) -> None:
    for changes in ({"setting": Scale(steps=6, fails_at=43)}, {"setting": Scale(fails_at=43), "version": 2}):
        put_in_place(monkeypatch, fake(setting=Scale(fails_at=43)))
        with pytest.raises(FloatingPointError):
            run_claim("X1")
        put_in_place(monkeypatch, fake(**changes))
        recorder = ListRecorder()
        with pytest.raises(FloatingPointError):
            run_claim("X1", recorder=recorder)
        assert seeds_walked(recorder) == [42, 43]


def test_a_stop_keeps_what_ended() -> None:
    class StopsAtTheSecond(ListRecorder):
        def should_stop(self) -> bool:
            return len(seeds_walked(self)) == 2

    with pytest.raises(StopRequested):
        run_claim("X1", recorder=StopsAtTheSecond())
    recorder = ListRecorder()
    assert run_claim("X1", recorder=recorder).numbers["gain"].values == (1.0, 1.1, 1.2, 1.0, 1.1)
    assert seeds_walked(recorder) == [43, 44, 45, 46]


def test_a_finished_check_is_measured_again() -> None:
    run_claim("X1")
    recorder = ListRecorder()
    run_claim("X1", recorder=recorder)
    assert seeds_walked(recorder) == [42, 43, 44, 45, 46]


def test_another_scale_is_reported_and_not_kept() -> None:
    outcome = run_claim("X1", setting=Scale(steps=2))
    assert outcome.numbers["steps"].mean == 2
    assert outcomes.latest(registry.find("X1")) is None


def test_too_few_seeds_give_no_verdict() -> None:
    outcome = run_claim("X1", (7,))
    assert outcome.verdict == "inconclusive" and outcome.numbers["gain"].standard_error is None


@pytest.mark.parametrize("seeds", [(), (1, 1)])
def test_seeds_that_make_no_sense_are_refused(seeds: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match="different numbers"):
        run_claim("X1", seeds)


def test_a_protocol_of_all_seeds_is_called_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def together(seeds, setting, recorder):
        calls.append(seeds)
        return {seed: walk(seed, setting, recorder) for seed in seeds}

    put_in_place(monkeypatch, fake(protocol=AllSeeds(together)))
    assert run_claim("X1").numbers["gain"].values == (1.0, 1.1, 1.2, 1.0, 1.1)
    assert calls == [(42, 43, 44, 45, 46)]


def test_outstanding_are_those_without_an_outcome_of_so_many_seeds_here(monkeypatch: pytest.MonkeyPatch) -> None:
    put_in_place(monkeypatch, fake("X1"), fake("X2"))
    assert [claim.name for claim in outstanding(3)] == ["X1", "X2"]
    run_claim("X1", (42, 43, 44))
    assert [claim.name for claim in outstanding(3)] == ["X2"] and [claim.name for claim in outstanding(5)] == ["X1", "X2"]
    put_in_place(monkeypatch, fake("X1", version=2), fake("X2"))
    assert [claim.name for claim in outstanding(3)] == ["X1", "X2"]
    put_in_place(monkeypatch, fake("X1", first_seed=47), fake("X2"))
    assert [claim.name for claim in outstanding(3)] == ["X1", "X2"]


def test_working_time_is_the_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    used = iter(range(0, 60, 3))
    monkeypatch.setattr(running.time, "process_time", lambda: next(used))
    assert run_claim("X1").seconds == 15.0  # three at each of five seeds
