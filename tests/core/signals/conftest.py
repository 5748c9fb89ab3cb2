"""What tests of served teachers share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from core.models import catalog
from core.models.entries import LoadedModel
from tests.core.chat_models import save_chat_model
from tests.core.signals.stand_in import StandIn, standing_in


@pytest.fixture(scope="session")
def served_model(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    """A tiny teacher."""
    folder: Path = save_chat_model(tmp_path_factory.mktemp("served") / "teacher", layers=2, positions=64)
    return catalog.load(str(folder), dtype=torch.float32)


@pytest.fixture
def stand_in(served_model: LoadedModel) -> Iterator[StandIn]:
    """A server that a test may spoil."""
    with standing_in(served_model) as own:
        yield own
