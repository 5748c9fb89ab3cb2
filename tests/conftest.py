"""What every test gets: a home of its own, no hub, none of the user's settings, one thread a process.

`make test` runs the files of tests in as many processes as there are cores (pytest-xdist); what is expensive and never changed is built
once for all of them.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from filelock import FileLock
from hypothesis import HealthCheck, settings

from core.system.machine import memory_available
from core.system.paths import home as home_folder

WORKER_BYTES = 1_500_000_000  # of a process with torch, its models, and the processes that its tests start
BROWSER_SECONDS = 1200  # for one test with a browser, an app and its engine
MOST_WORKERS = 16  # more would only import torch once more each
# The browser's files that take longest, begun first: the last file of all should be a short one, since only one process runs it.
LONGEST = ("test_accessibility.py", "test_chat.py", "test_main_path.py", "test_shell.py", "test_device.py", "test_classroom.py")
FOREIGN = ("torch", "transformers.trainer", "datasets", "peft", "streamlit.testing.v1", "plotly.graph_objects")  # seconds to import

# Before torch, a tokenizer or the hub's client is imported: tiny models run fastest on one thread, and tests ask no other host and leave
# nothing in the user's cache.
os.environ.update(OMP_NUM_THREADS="1", TOKENIZERS_PARALLELISM="false", HF_HUB_OFFLINE="1", HF_HUB_DISABLE_TELEMETRY="1",
                  HF_HOME=tempfile.mkdtemp(prefix="stillhouse-tests-"), STILLHOUSE_READY_WORKER_MB="0")
atexit.register(shutil.rmtree, os.environ["HF_HOME"], ignore_errors=True)
for variable in ("PORT", "STILLHOUSE_HOST", "STILLHOUSE_PASSWORD", "STILLHOUSE_PROXIES", "STILLHOUSE_UPLOAD_MB",
                 "STILLHOUSE_VISITOR_UPLOAD_MB", "STILLHOUSE_FOLDERS", "STILLHOUSE_REACH", "STILLHOUSE_HOSTS"):
    os.environ.pop(variable, None)

settings.register_profile("stillhouse", deadline=None, suppress_health_check=[HealthCheck.too_slow])  # a busy machine is slow, not wrong
settings.load_profile("stillhouse")


def pytest_xdist_auto_num_workers() -> int:
    """Return the processes of ``-n auto``: one for each core that this one may use, as far as the memory goes."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cores, memory_available() // WORKER_BYTES, MOST_WORKERS))


def pytest_configure(config: pytest.Config) -> None:
    """Stop what pytest-cov measures in a worker before it knows that it is one: it would trace on where tests are not measured.

    What is large and not ours is imported meanwhile: traced, it takes half as long again.
    """
    cov = config.pluginmanager.getplugin("_cov")
    if hasattr(config, "workerinput") and cov is not None and cov.cov_controller is not None:
        cov.cov_controller.cov.stop()
        for name in FOREIGN:
            importlib.import_module(name)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put browser tests last, since Playwright keeps an event loop running in this thread until the session ends; they may take longer."""
    places = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: (_part(item) == "e2e") * (1 + places.get(item.path.name, len(LONGEST))))
    for item in items:
        if _part(item) == "e2e":
            item.add_marker(pytest.mark.timeout(BROWSER_SECONDS))


def _part(item: pytest.Item) -> str:
    """The folder of tests/ that a test lies in."""
    return item.path.relative_to(Path(__file__).parent).parts[0]


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[object]:
    """Measure a test and what prepares it, or neither of them.

    The coverage of core/ is that of tests/core: tracing doubles what other tests cost, and nearly all that they run of core/ is in
    processes of its own, which it does not see. The mark `no_cover` alone would pause no fixture.
    """
    controller = getattr(item.config.pluginmanager.getplugin("_cov"), "cov_controller", None)
    if controller is not None:
        measured = _part(item) == "core" and item.get_closest_marker("no_cover") is None
        if measured != controller.started:
            controller.resume() if measured else controller.pause()
    return (yield)


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """Take what the imports left, half a million objects, out of every later garbage collection: each training asks for one."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="module", autouse=True)
def collected() -> Iterator[None]:
    """Take out what a file of tests left, too: what it imported and what is kept for later files soon are four times as many objects."""
    yield
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def user_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The user's own home folder; what modules and sessions set up sees another one, as tests do."""
    own = home_folder()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STILLHOUSE_HOME", str(tmp_path_factory.mktemp("home")))
        yield own


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
def built_once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Callable[[Path], object]], Path]:
    """Return a folder that all processes of this session share: ``built_once(name, build)`` lets the first that needs it fill it.

    Nobody changes it afterwards.
    """
    own = tmp_path_factory.getbasetemp()
    root = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own  # each worker's base is a folder of the session's

    def built(name: str, build: Callable[[Path], object]) -> Path:
        folder, complete = root / name, root / f"{name}.complete"
        with FileLock(root / f"{name}.lock"):
            if not complete.exists():
                shutil.rmtree(folder, ignore_errors=True)  # another worker failed half-way
                build(folder)
                complete.touch()
        return folder

    return built


@pytest.fixture(scope="session")
def tiny_chain(built_once: Callable[[str, Callable[[Path], object]], Path]) -> Path:
    """The folder of a chain of tiny models; nobody changes it."""
    from tests.tiny_chains import build_tiny_chain

    return built_once("shared-chain", build_tiny_chain) / "tiny-chain"


@pytest.fixture
def fresh_streamlit_caches() -> None:
    """Empty caches: AppTest runs of one process share them."""
    import streamlit as st

    st.cache_data.clear()
    st.cache_resource.clear()
