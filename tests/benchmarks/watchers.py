"""Many browsers on the page of one run that is training: how soon they have it, how late its refreshes are, what they cost the server.

The watchers are real websocket connections in this process that speak Streamlit's protocol as the browser does: they ask for the page,
rerun a fragment when its timer or the live channel says so, and read the steps out of the figure that they are sent. The app is a process
of its own, and so is the writer, which appends rows to the store as a worker does, without training anything.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import math
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import websockets
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

from tests.app_process import ROOT, running_app
from tests.benchmarks.table import Figure
from tests.pages import examples
from workbench.processes import Process
from workbench.store import Store
from workbench.store.records import Progress

STEPS_BEFORE, STEPS_A_FLUSH, FLUSH_SECONDS, EVALUATION_FLUSHES = 2_000, 2, 1.0, 20
TOTAL_STEPS = 100_000
CROWD, FIRST_PAGE_WITHIN, WATCHED_SECONDS = 30, 60.0, 20.0
LOSS_FIGURE = "Loss terms over the steps"
STEP_IN_TEXT = re.compile(r"step ([\d,]+) of")


# ------------------------------------------------------------------------------------------------ writer


def write(home: Path) -> None:
    """Log steps of a run until killed, and print each batch's last step and the time at which the store had it."""
    store, me = Store(home / "store.sqlite"), Process.current()
    run = examples.running(store, steps=STEPS_BEFORE, process=me)
    print(run.id, flush=True)
    step, flushes, began = STEPS_BEFORE, 0, time.monotonic()
    while True:
        flushes += 1
        time.sleep(max(0.0, began + flushes * FLUSH_SECONDS - time.monotonic()))
        rows, events = [], []
        for _ in range(STEPS_A_FLUSH):
            step += 1
            kd, hard = 0.3 + 0.1 * math.sin(step), 3.2 + 0.2 * math.sin(step / 7)
            values = {"loss": 4 * kd + 0.5 * hard, "loss/kd": 4 * kd, "loss/hard": 0.5 * hard, "raw/kd": kd, "raw/hard": hard,
                      "learning_rate": 3e-4, "grad_norm": 1.0, "tokens": 2048.0 * step, "tokens_per_second": 1900.0 + step % 60,
                      "memory_gib": 1.1}
            rows += [("student", step, name, value) for name, value in values.items()]
        if flushes % EVALUATION_FLUSHES == 0:
            rows += [("student", step, f"eval/{name}", value) for name, value in examples.measured(0.3).items() if name in examples.NAMES]
        store.record(run.id, me, rows, events, Progress("steps", "student", step, TOTAL_STEPS))
        print(step, repr(time.time()), flush=True)


@contextlib.contextmanager
def running_writer(home: Path, log: Path) -> Iterator[str]:
    """A process that trains nothing and logs as if it did; the id of its run."""
    with log.open("wb") as output:
        process = subprocess.Popen([sys.executable, "-m", "tests.benchmarks.watchers", str(home)], cwd=ROOT, stdout=output)
    try:
        while b"\n" not in log.read_bytes():
            assert process.poll() is None, "the writer ended"
            time.sleep(0.1)
        yield log.read_text().split()[0]
    finally:
        process.kill()
        process.wait()


def committed(log: Path) -> list[tuple[int, float]]:
    """Each batch's last step, and the time in seconds since 1970 at which the store had it."""
    lines = [line.split() for line in log.read_text().splitlines()[1:]]
    return [(int(line[0]), float(line[1])) for line in lines if len(line) == 2]


# ------------------------------------------------------------------------------------------------ watchers


@dataclass
class Piece:
    """What follows the feed on a page: its version, the fragment in which it stands, and of the loss figure the points of each trace."""

    version: str
    fragment: str
    steps: list[list[float]] | None = None


@dataclass
class Watcher:
    """One browser tab on the run's page, without the browser.

    Attributes:
        opened: when it opened the page, on the clock of `time.time`; `complete`: when the whole page had arrived.
        drawn: (last step of the loss figure, when it arrived), in the order of arrival; `words`: the same of the progress text.
        received: bytes of all messages.
    """

    url: str
    run: str
    opened: float = 0.0
    complete: float | None = None
    drawn: list[tuple[int, float]] = field(default_factory=list)
    words: list[tuple[int, float]] = field(default_factory=list)
    received: int = 0
    _page: str = ""
    _hashes: set[str] = field(default_factory=set)
    _timers: dict[str, asyncio.Task] = field(default_factory=dict)
    _pieces: dict[str, Piece] = field(default_factory=dict)
    _feed: asyncio.Task | None = None
    _shown: asyncio.Event = field(default_factory=asyncio.Event)

    async def watch(self) -> None:
        """Stay on the page until cancelled."""
        self.opened = time.time()
        try:
            async with websockets.connect(f"{self.url.replace('http', 'ws', 1)}/_stcore/stream", origin=self.url, max_size=None,
                                          subprotocols=["streamlit"], open_timeout=FIRST_PAGE_WITHIN, ping_timeout=None) as self._socket:
                await self._rerun()
                async for message in self._socket:
                    self.received += len(message)
                    self._read(ForwardMsg.FromString(message))
        finally:
            self._stop_timers()
            if self._feed is not None:
                self._feed.cancel()

    async def _rerun(self, fragment: str = "", *, timed: bool = False) -> None:
        message = BackMsg()
        state = message.rerun_script
        state.query_string, state.page_name, state.page_script_hash = f"run={self.run}", "run", self._page
        state.fragment_id, state.is_auto_rerun = fragment, timed
        state.cached_message_hashes.extend(self._hashes)
        state.context_info.url, state.context_info.timezone, state.context_info.locale = f"{self.url}/run?run={self.run}", "UTC", "en"
        await self._socket.send(message.SerializeToString())

    def _read(self, message: ForwardMsg) -> None:
        if message.metadata.cacheable:
            self._hashes.add(message.hash)
        match message.WhichOneof("type"):
            case "new_session":
                self._page = message.new_session.page_script_hash
                if not message.metadata.run.fragment_ids:
                    self._stop_timers()
            case "auto_rerun":
                self._start_timer(message.auto_rerun.fragment_id, message.auto_rerun.interval)
            case "stop_auto_rerun":
                self._stop_timers()
            case "delta" if message.delta.WhichOneof("type") == "new_element":
                self._read_element(message.delta.new_element, message.delta.fragment_id)
            case "script_finished" if (message.script_finished == ForwardMsg.FINISHED_SUCCESSFULLY and self.drawn
                                       and self.complete is None):
                self.complete = time.time()

    def _read_element(self, element: Any, fragment: str) -> None:
        if element.HasField("progress") and (found := STEP_IN_TEXT.search(element.progress.text)):
            self.words.append((int(found[1].replace(",", "")), time.time()))
        elif element.HasField("bidi_component"):
            data, steps = json.loads(element.bidi_component.json), None
            if data.get("label") == LOSS_FIGURE:
                steps = steps_of(data["figure"])
                self._see(steps)
            if data.get("live"):
                self._pieces[data["live"]["name"]] = Piece(data["live"]["version"], fragment, steps)
                self._shown.set()
                if self._feed is None:
                    self._feed = asyncio.create_task(self._follow(data["live"]["address"]))

    async def _follow(self, address: str) -> None:
        """Follow the feed, as live_feed.js does: say which versions are shown, take what is newer, rerun the fragments that are older."""
        async with websockets.connect(f"{self.url.replace('http', 'ws', 1)}{address}", origin=self.url, max_size=None,
                                      open_timeout=FIRST_PAGE_WITHIN, ping_timeout=None) as feed:
            async def report() -> None:
                while True:
                    await self._shown.wait()
                    await asyncio.sleep(0.03)
                    self._shown.clear()
                    await feed.send(json.dumps({name: piece.version for name, piece in self._pieces.items()}))

            reporting = asyncio.create_task(report())
            try:
                async for message in feed:
                    self.received += len(message)
                    for name, news in json.loads(message).items():
                        await self._take(self._pieces[name], news)
            finally:
                reporting.cancel()

    async def _take(self, piece: Piece, news: dict[str, Any]) -> None:
        if not news.keys() & {"text", "figure", "tails"}:
            await self._rerun(piece.fragment)
            return
        if "tails" in news and news["since"] != piece.version:
            piece.version = piece.version if news["version"] == piece.version else ""
            self._shown.set()
            return
        piece.version = news["version"]
        if piece.steps is not None:
            piece.steps = steps_of(news["figure"]) if "figure" in news else [
                [*steps[:stay], *map(as_step, x)] for steps, (stay, x, _y) in zip(piece.steps, news["tails"], strict=True)]
            self._see(piece.steps)

    def _see(self, steps: list[list[float]]) -> None:
        self.drawn.append((int(max(step for each in steps for step in each[-2:] if math.isfinite(step))), time.time()))

    def _start_timer(self, fragment: str, seconds: float) -> None:
        async def tick() -> None:
            while True:
                await asyncio.sleep(seconds)
                await self._rerun(fragment, timed=True)

        if fragment in self._timers:
            self._timers.pop(fragment).cancel()
        self._timers[fragment] = asyncio.create_task(tick())

    def _stop_timers(self) -> None:
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()


def steps_of(figure: str) -> list[list[float]]:
    """The steps of each trace of a figure; NaN where a curve has a gap."""
    return [[as_step(step) for step in numbers(trace["x"])] for trace in json.loads(figure)["data"]]


def as_step(given: float | None) -> float:
    """A step as it stands in JSON, where a gap is null."""
    return math.nan if given is None else float(given)


def numbers(values: Sequence | dict) -> Sequence:
    """A trace's numbers, as plotly.js reads them: a list, or the bytes of an array."""
    return np.frombuffer(base64.b64decode(values["bdata"]), values["dtype"]) if isinstance(values, dict) else values


# ------------------------------------------------------------------------------------------------ measuring


@dataclass(frozen=True)
class Watched:
    """What a number of watchers saw.

    Attributes:
        pages: seconds to the first complete page of those that got it in time.
        delays: for every batch and watcher, seconds from the store to the figure; infinite where it never came.
        texts: the same to the progress text.
        processor: share of one core that the app's process used while they watched.
        load: the machine's load average of the last minute, at the end.
        kilobytes: received by a watcher in a second, on average.
        opening: seconds of a processor that the app's process used for one first page, also where others kept it from the processor.
    """

    watchers: int
    pages: list[float]
    delays: list[float]
    texts: list[float]
    processor: float
    load: float
    kilobytes: float
    opening: float

    def __str__(self) -> str:
        def pair(values: list[float]) -> str:
            return f"{statistics.median(values):.2f} / {np.quantile(values, 0.95, method='higher'):.2f} s" if values else "none"

        return (f"{self.watchers} watchers: first page {pair(self.pages)} ({len(self.pages)} got it, {self.opening:.2f} s of a core each), "
                f"figure late {pair(self.delays)}, text late {pair(self.texts)}, {self.processor:.1%} of a core, "
                f"{self.kilobytes:.1f} KB/s each, load {self.load:.1f}")


async def observe(count: int, url: str, run: str, server: psutil.Process, log: Path) -> Watched:
    """Let `count` watchers open the page at once, then watch for a while."""
    watchers = [Watcher(url, run) for _ in range(count)]
    tasks = [asyncio.create_task(watcher.watch()) for watcher in watchers]
    deadline, idle = time.monotonic() + FIRST_PAGE_WITHIN, _processor_seconds(server)
    while time.monotonic() < deadline and not all(watcher.complete for watcher in watchers):
        await asyncio.sleep(0.05)
    opening = (_processor_seconds(server) - idle) / count
    await asyncio.sleep(3)  # what the first pages left to be done
    for watcher in watchers:
        watcher.received = 0
    used, began, since = _processor_seconds(server), time.monotonic(), time.time()
    await asyncio.sleep(WATCHED_SECONDS)
    share = (_processor_seconds(server) - used) / (time.monotonic() - began)
    until = time.time()
    received = sum(watcher.received for watcher in watchers) / count / WATCHED_SECONDS / 1000
    await asyncio.sleep(5)  # for refreshes of the last rows
    for task in tasks:
        task.cancel()
    for outcome in await asyncio.gather(*tasks, return_exceptions=True):
        if not isinstance(outcome, asyncio.CancelledError):
            print(f"a watcher ended early: {outcome!r}", file=sys.stderr)
    batches = [(step, when) for step, when in committed(log) if since <= when <= until]

    def lateness(seen: list[tuple[int, float]]) -> list[float]:
        return [next((at - when for reached, at in seen if reached >= step), math.inf) for step, when in batches]

    return Watched(count, sorted(watcher.complete - watcher.opened for watcher in watchers if watcher.complete),
                   [late for watcher in watchers for late in lateness(watcher.drawn)],
                   [late for watcher in watchers for late in lateness(watcher.words)], share, os.getloadavg()[0], received, opening)


def _processor_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def measure(counts: Sequence[int] = (1, CROWD)) -> list[Watched]:
    """Watch one app with each number of watchers in turn."""
    with tempfile.TemporaryDirectory() as folder, running_app(Path(folder)) as app:
        log = Path(folder) / "writer.log"
        with running_writer(app.home, log) as run:
            server = psutil.Process(app.process.pid)
            asyncio.run(_warm(app.url, run))
            return [asyncio.run(observe(count, app.url, run, server, log)) for count in counts]


async def _warm(url: str, run: str) -> None:
    """The first page that a server draws imports what pages need, and the chat pane is built beside it: wait for both."""
    await asyncio.to_thread(lambda: urllib.request.urlopen(f"{url}/chat/", timeout=FIRST_PAGE_WITHIN).close())
    watcher = Watcher(url, run)
    task = asyncio.create_task(watcher.watch())
    while watcher.complete is None and not task.done():
        await asyncio.sleep(0.05)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def figures() -> list[Figure]:
    """The watchers' rows of the table."""
    rows = []
    for watched in measure():
        page = statistics.median(watched.pages) if watched.pages else math.inf
        late = float(np.quantile(watched.delays, 0.95, method="higher"))
        share, aim = watched.processor, 0.05 if watched.watchers == 1 else 0.5
        who = f"{watched.watchers} watcher{'s' if watched.watchers > 1 else ''} of a run"
        rows += [Figure(f"{who}: first complete page, median", page, "s", "< 3 s", page < 3, str(watched)),
                 Figure(f"{who}: a refresh is late, 95th percentile", late, "s", "< 2 s", late < 2, ""),
                 Figure(f"{who}: processor of the web process", share, "cores", f"< {aim}", share < aim, "")]
    return rows


if __name__ == "__main__":
    write(Path(sys.argv[1]))
