"""What tests of the workbench share."""

from __future__ import annotations

import pytest

from tests.workbench.auth_app import PASSWORD
from workbench import settings


@pytest.fixture
def with_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(settings.PASSWORD.variable, PASSWORD)
