"""The server: Streamlit's pages, the two panes, the assets and the job runner, behind one guard on one port.

`workbench.serve` runs it; `streamlit run workbench/app.py` and `uvicorn workbench.app:app` work too.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:  # under `streamlit run` only this folder is on the path
    sys.path.insert(0, str(ROOT))

import streamlit as st  # noqa: E402
from starlette.middleware import Middleware  # noqa: E402
from starlette.routing import Mount  # noqa: E402
from streamlit import config, runtime  # noqa: E402
from streamlit.runtime.stats import CacheStat  # noqa: E402

from core.system import reach  # noqa: E402
from workbench import auth, paths, settings  # noqa: E402
from workbench.chat.mount import ChatMount  # noqa: E402
from workbench.classroom.gate import ClassGate  # noqa: E402
from workbench.classroom.queue import Dispatcher  # noqa: E402
from workbench.classroom.routes import handouts  # noqa: E402
from workbench.downloads import mount as downloads  # noqa: E402
from workbench.inference import client  # noqa: E402
from workbench.mounts import base_path, chat_path, on_device_path  # noqa: E402
from workbench.on_device.mount import pane  # noqa: E402
from workbench.runs.jobs import Runner, ready_worker  # noqa: E402
from workbench.screens.run.feed import Feed  # noqa: E402
from workbench.screens.shared.downloads import offer_route  # noqa: E402
from workbench.screens.shared.live import feed_script_route  # noqa: E402
from workbench.screens.shared.live_plotly import script_route  # noqa: E402
from workbench.store import Store  # noqa: E402
from workbench.store.records import Run  # noqa: E402
from workbench.web.headers import internal_error  # noqa: E402
from workbench.web.uploads import UploadLimits, megabytes  # noqa: E402

SCRIPT = Path(__file__).with_name("ui.py")

st.App(SCRIPT)  # the first one pins the folder whose .streamlit/config.toml is read; the routes below depend on it
if settings.PASSWORD.read():
    os.environ.update(reach.limited_to(paths.visitors_folders()))
config.set_option("server.maxUploadSize", megabytes(settings.UPLOAD))


def held_uploads() -> int:
    """Return the bytes of uploads that Streamlit holds in memory, over all sessions."""
    families = runtime.get_instance().uploaded_file_mgr.get_stats() if runtime.exists() else {}
    return sum(stat.byte_length for stats in families.values() for stat in stats if isinstance(stat, CacheStat))


def make_room(run: Run) -> None:
    """Unload the idle models of the GPU that a run begins to train on."""
    if (run.device or "").startswith("cuda"):
        client.release()


store = Store(paths.store_path())
runner = Runner(store, begun=make_room, ready=ready_worker(store, megabytes(settings.READY, least=0) * 2**20))
chat = ChatMount()
dispatcher = Dispatcher(settings.CLASS.read(), store) if settings.CLASS.read() else None
of_class = [handouts(settings.CLASS.read(), store)] if settings.CLASS.read() else []
gate = [Middleware(ClassGate, class_id=settings.CLASS.read(), base_path=base_path())] if settings.CLASS.read() else []


@contextlib.asynccontextmanager
async def lifespan(_app: st.App) -> AsyncIterator[dict[str, Any]]:
    """Everything that runs beside the pages for as long as the server runs."""
    runner.start()
    if dispatcher is not None:
        dispatcher.start()
    try:
        async with chat.running():
            yield {}
    finally:
        await asyncio.to_thread(client.close)
        if dispatcher is not None:
            dispatcher.stop()
        runner.stop()


app = st.App(
    SCRIPT,
    lifespan=lifespan,
    routes=[script_route(), feed_script_route(), Feed(store).route(), downloads.route(store), offer_route(), *of_class,
            Mount(chat_path(), app=chat), Mount(on_device_path(), app=pane())],
    middleware=[*auth.auth_middleware(paths.home() / "gate.key", base_path(), gate),
                Middleware(UploadLimits, base_path=base_path(), held=held_uploads)],
    exception_handlers={Exception: internal_error},
)
