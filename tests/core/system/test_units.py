from __future__ import annotations

import pytest

from core.system import units


@pytest.mark.parametrize(("value", "text"), [
    (None, "–"), (12, "12"), (65_700, "65.7k"), (4_330_000, "4.33M"), (134_515_008, "135M"), (1_500_000_000, "1.5B")])
def test_counts(value: float | None, text: str) -> None:
    assert units.count(value) == text


def test_sizes_of_files() -> None:
    assert [units.format_bytes(value) for value in (None, 12, 8_670_000, 2_890_000_000)] == ["–", "12 B", "8.67 MB", "2.89 GB"]


def test_room_in_memory_and_on_disk() -> None:
    assert [units.format_gib(value) for value in (3 * 2**20, 2**30, 1536 * 2**30)] == ["3 MiB", "1.0 GiB", "1,536.0 GiB"]


@pytest.mark.parametrize(("seconds", "text"), [(-3, "0 s"), (59.6, "60 s"), (600, "10 min"), (5400, "1 h 30 min"), (7260, "2 h 1 min")])
def test_durations(seconds: float, text: str) -> None:
    assert units.duration(seconds) == text
