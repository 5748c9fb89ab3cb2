"""The files of release 0.1.0 in a home folder of one's own."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

RELEASE = Path(__file__).parent / "release_0_1_0"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--record-json-shapes", action="store_true", help="write tests/compatibility/json_shapes/ from this code's output")


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Packed blocks for all tests: they need the same few."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def release_home(home: Path, shared_cache: Path) -> Path:
    """A copy of the home folder that release 0.1.0 left, in place of the empty one."""
    shutil.copytree(RELEASE / "home", home)
    (home / "cache").symlink_to(shared_cache)
    return home
