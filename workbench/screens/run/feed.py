"""The server's side of a live page: one look at a run for everybody who watches it, and to each only what is new to them.

    /live?run=ID     a websocket

    browser: {name: version, ...}              what the page shows, whenever that changes; names are those of `moment.NAMES`
    server:  {name: {"version": ..., ...}}     what is newer; beside it, for a figure, the points to be added to an earlier version
                                               ("since", "tails") or the whole ("figure"), and for a line of text the "text"

A name without more than a version belongs to a fragment of the script, which reruns and reports the version that it then shows. It is
said once until then, so that a server that is behind is not given more to do.

The route lies behind the authentication and the check of origins that guard all others (`workbench.auth`, `workbench.web.origins`).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from core.errors import StillhouseError
from workbench.errors import RunNotFoundError, StoreUnavailableError
from workbench.mounts import live_path
from workbench.screens.run.moment import FIGURES, NAMES, STATE, TERMS, Moment, look
from workbench.screens.shared.live_plotly import Drawn
from workbench.store import Store

LOGGER = logging.getLogger(__name__)
LOOK_SECONDS, QUIET_LOOK_SECONDS = 0.75, 1.5  # between two looks at a run: right after a change, and after a while without any
QUIET_AFTER = 10.0  # seconds
RERUN_SECONDS = 1.4  # between two reruns of a fragment, at the least: at every second look
RERUNS_PER_SECOND = 25  # of all watchers of a run together: with more of them each waits longer
SAY_AGAIN = 15.0  # seconds after which a rerun that was not heard of is requested once more
LONGEST_MESSAGE = 4096  # characters from a browser
KEPT_VERSIONS = 3  # of a figure: those who are not further behind get the new points only
REFUSED_BY_POLICY, TOO_LONG = 1008, 1009  # websocket close codes


@dataclass
class Value:
    """What a name stands for now, and what came before."""

    version: str
    content: Drawn | str | None = None
    before: list[Drawn] = field(default_factory=list)
    _news: dict[str, dict[str, Any]] = field(default_factory=dict)  # by the version that is shown

    def news(self, shown: str) -> dict[str, Any]:
        """Return what to send to somebody who shows another version."""
        if shown not in self._news:
            self._news[shown] = {"version": self.version} | self._content(shown)
        return self._news[shown]

    def _content(self, shown: str) -> dict[str, Any]:
        if isinstance(self.content, str):
            return {"text": self.content}
        if self.content is None:
            return {}
        earlier = next((drawn for drawn in self.before if drawn.version == shown), None)
        tails = self.content.since(earlier) if earlier is not None else None
        return {"figure": self.content.json} if tails is None else {"since": shown, "tails": tails}


class Watcher:
    """One page that follows a run."""

    def __init__(self) -> None:
        self.shown: dict[str, str] = {}
        self.changed = asyncio.Event()  # there may be something to say
        self._called: dict[str, tuple[str, float]] = {}  # name of a fragment -> the version that it showed at its last call to rerun, when

    def reported(self, message: str) -> None:
        """Take what the page says that it shows. Raises ValueError for anything else."""
        given = json.loads(message)
        if not isinstance(given, dict) or not all(isinstance(version, str) for version in given.values()):
            raise ValueError("names with versions were expected")
        self.shown = {name: version for name, version in given.items() if name in NAMES}
        self.changed.set()

    def news(self, values: dict[str, Value], pace: float, now: float) -> dict[str, Any]:
        """Return what is newer than what the page shows; it counts as sent."""
        found = {}
        for name, shown in list(self.shown.items()):
            value = values.get(name)
            if value is None or value.version == shown:
                continue
            if value.content is None:
                version, when = self._called.get(name, ("", -SAY_AGAIN))
                if now - when < (SAY_AGAIN if version == shown else pace):
                    continue
                self._called[name] = shown, now
            else:
                self.shown[name] = value.version
            found[name] = value.news(shown)
        return found


class Channel:
    """One run that is watched: looks at it as long as anybody does.

    Args:
        see: the run as it is now; called in a thread.
    """

    def __init__(self, see: Callable[[], Moment]) -> None:
        self.watchers: set[Watcher] = set()
        self.values: dict[str, Value] = {}
        self._see = see
        self._last_change = time.monotonic()
        self._waiting = asyncio.Event()  # for a watcher with a name that nobody followed before

    async def run(self) -> None:
        """Look and spread the news until cancelled."""
        while True:
            self._waiting.clear()
            names = {name for watcher in self.watchers for name in watcher.shown}
            try:
                values = await asyncio.to_thread(self._look, names)
            except RunNotFoundError:
                values = {STATE: Value("gone")}  # the page is drawn again, and says so
            except StoreUnavailableError:
                values = self.values  # it may be there again at the next look
            except Exception:
                LOGGER.exception("A run that is watched could not be looked at; trying again.")
                values = self.values
            if any(value is not self.values.get(name) for name, value in values.items()):
                self._last_change = time.monotonic()
            self.values = values
            for watcher in self.watchers:
                watcher.changed.set()
            quiet = time.monotonic() - self._last_change > QUIET_AFTER
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._waiting.wait(), QUIET_LOOK_SECONDS if quiet else LOOK_SECONDS)

    def missing(self, names: Iterable[str]) -> None:
        """Look at once if there is a name that was not looked at."""
        if any(name not in self.values for name in names):
            self._waiting.set()

    @property
    def pace(self) -> float:
        """Seconds between two reruns of a fragment of one page."""
        return max(RERUN_SECONDS, len(self.watchers) / RERUNS_PER_SECOND)

    def _look(self, names: set[str]) -> dict[str, Value]:
        moment = self._see()
        return {name: self._value(moment, name) for name in names}

    def _value(self, moment: Moment, name: str) -> Value:
        """Return the value of a name: the same object as long as nothing changed."""
        known = self.values.get(name)
        if name in FIGURES:
            drawn = moment.figure(name)
            if known is not None and known.version == drawn.version:
                return known
            before = [known.content, *known.before] if known is not None and isinstance(known.content, Drawn) else []
            return Value(drawn.version, drawn, before[:KEPT_VERSIONS])
        content = moment.terms if name == TERMS else None
        version = moment.version(name) if content is None else content
        return known if known is not None and known.version == version else Value(version, content)


class Feed:
    """The websockets of all pages that follow a run.

    Args:
        store: the store of the runs.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._channels: dict[str, tuple[Channel, asyncio.Task[None]]] = {}

    def route(self) -> WebSocketRoute:
        """Return the server's route to it."""
        return WebSocketRoute(live_path(), self._serve)

    async def _serve(self, websocket: WebSocket) -> None:
        try:
            run = await asyncio.to_thread(self._store.run, websocket.query_params.get("run", ""))
        except StillhouseError:
            await websocket.close(REFUSED_BY_POLICY)
            return
        await websocket.accept()
        watcher = Watcher()
        with self._watching(run.id, watcher) as channel:
            telling = asyncio.create_task(_tell(websocket, watcher, channel))
            try:
                while True:
                    message = await websocket.receive_text()
                    if len(message) > LONGEST_MESSAGE:
                        await websocket.close(TOO_LONG)
                        return
                    watcher.reported(message)
                    channel.missing(watcher.shown)
            except WebSocketDisconnect:
                pass
            except (ValueError, KeyError):  # no JSON, or bytes in place of text
                await websocket.close(REFUSED_BY_POLICY)
            finally:
                telling.cancel()
                await asyncio.gather(telling, return_exceptions=True)

    @contextlib.contextmanager
    def _watching(self, run_id: str, watcher: Watcher) -> Iterator[Channel]:
        """Yield the run's channel, which is there from its first watcher to its last."""
        if run_id not in self._channels:
            channel = Channel(lambda: look(self._store, run_id))
            self._channels[run_id] = channel, asyncio.create_task(channel.run(), name=f"feed of {run_id}")
        channel, task = self._channels[run_id]
        channel.watchers.add(watcher)
        try:
            yield channel
        finally:
            channel.watchers.discard(watcher)
            if not channel.watchers:
                del self._channels[run_id]
                task.cancel()


async def _tell(websocket: WebSocket, watcher: Watcher, channel: Channel) -> None:
    """Send a page what is new to it, as fast as it takes it."""
    with contextlib.suppress(WebSocketDisconnect):
        while True:
            await watcher.changed.wait()
            watcher.changed.clear()
            if news := watcher.news(channel.values, channel.pace, time.monotonic()):
                await websocket.send_text(json.dumps(news, separators=(",", ":")))
