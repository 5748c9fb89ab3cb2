from __future__ import annotations

from pathlib import Path

import pytest

from workbench.store import Store

pytest.importorskip("playwright.sync_api", reason="the benchmarks of the app drive a browser")


def test_the_benchmark_of_a_refresh_draws_a_page_and_logs_steps(home: Path):
    from tests.benchmarks import app

    assert app.refresh_milliseconds(home, steps=20) > 0
    curve = Store().metrics(Store().runs()[0].id, "student", ["loss"])
    assert curve.step.max() == 20 + app.REFRESHES
