"""What every test gets: a home of its own, no hub, none of the user's settings, one thread a process."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

# Before torch or a tokenizer is imported: tiny models run fastest on one thread, and tests ask no other host.
os.environ.update(OMP_NUM_THREADS="1", TOKENIZERS_PARALLELISM="false", HF_HUB_OFFLINE="1", HF_HUB_DISABLE_TELEMETRY="1")
for variable in ("PORT", "STILLHOUSE_HOST", "STILLHOUSE_PASSWORD"):
    os.environ.pop(variable, None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Browser tests last: Playwright keeps an event loop running in this thread until the session ends."""
    items.sort(key=lambda item: "e2e" in item.path.parts)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty STILLHOUSE_HOME; nothing of the user's own is seen or touched."""
    path = tmp_path / "home"
    monkeypatch.setenv("STILLHOUSE_HOME", str(path))
    return path


@pytest.fixture(autouse=True)
def main_module() -> Iterator[None]:
    """`__main__` is pytest again afterwards: AppTest puts its script there, and processes that are spawned import it."""
    kept = sys.modules["__main__"]
    yield
    sys.modules["__main__"] = kept


@pytest.fixture(scope="session")
def tiny_chain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a chain of tiny models; nobody changes it."""
    from tests.tiny_chains import build_tiny_chain

    return build_tiny_chain(tmp_path_factory.mktemp("chain"))


@pytest.fixture
def fresh_streamlit_caches() -> None:
    """Empty caches: AppTest runs of one process share them."""
    import streamlit as st

    st.cache_data.clear()
    st.cache_resource.clear()
