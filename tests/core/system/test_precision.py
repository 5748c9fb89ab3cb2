import itertools
import json

import pytest
import torch

from core.system import precision
from core.system.paths import cache_dir


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch):
    """Let bf16 be measured as so many times faster; holds what was measured so far."""
    found: list[float] = []

    def pretend(speedup: float) -> list[float]:
        precision.bf16_pays.cache_clear()  # as a new process
        monkeypatch.setattr(precision, "bf16_speedup", lambda seconds: found.append(speedup) or speedup)
        return found

    yield pretend
    precision.bf16_pays.cache_clear()


def test_the_processor_is_measured_once_and_the_finding_kept(measured) -> None:
    assert len(measured(3.0)) == 0
    assert precision.bf16_pays()
    assert precision.bf16_pays()
    found = measured(0.2)
    assert precision.bf16_pays()
    assert found == [3.0]


@pytest.mark.parametrize(("speedup", "pays"), [(0.2, False), (1.0, False), (1.09, False), (1.11, True), (8.0, True)])
def test_bf16_has_to_be_worth_its_rounding(measured, speedup: float, pays: bool) -> None:
    measured(speedup)
    assert precision.bf16_pays() == pays


def test_another_processor_or_torch_is_measured_again(measured, monkeypatch: pytest.MonkeyPatch) -> None:
    measured(3.0)
    assert precision.bf16_pays()
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})
    found = measured(0.5)
    assert not precision.bf16_pays()
    assert found == [3.0, 0.5]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"speedup": "fast"}'])
def test_a_damaged_finding_is_measured_again(measured, text: str) -> None:
    measured(3.0)
    assert precision.bf16_pays()
    path, = (cache_dir() / "precision").iterdir()
    path.write_text(text)
    measured(0.5)
    assert not precision.bf16_pays()
    assert json.loads(path.read_text())["speedup"] == 0.5


@pytest.mark.parametrize(("bf16", "pairs"), [(0.2, precision.FEWEST), (5.0, precision.FEWEST)])
def test_a_clear_difference_ends_the_measurement(bf16: float, pairs: int) -> None:
    calls = []

    def seconds(rounded: bool) -> float:
        calls.append(rounded)
        return 0.01 * (bf16 if rounded else 1.0)

    assert precision.bf16_speedup(seconds) == pytest.approx(1 / bf16)
    assert calls == [False, True] * (1 + pairs)


def test_a_small_difference_is_the_median_of_a_second() -> None:
    exact = itertools.chain([9.0], itertools.cycle([0.01, 0.012, 0.5]))  # one in three was disturbed

    def seconds(rounded: bool) -> float:
        return 0.01 if rounded else next(exact)

    assert precision.bf16_speedup(seconds) == pytest.approx(1.2)


def test_the_work_of_both_formats_is_timed() -> None:
    assert 0 < precision.layer_seconds(False) < 60
    assert 0 < precision.layer_seconds(True) < 60
