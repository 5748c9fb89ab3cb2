"""The instructor's lesson with participants in real browsers: join, guess, run, board, blind vote, hand-outs, and the end.

Two take part, in a class that has the result of its recipe; five with STILLHOUSE_TEST_CLASS=1, and the recipe is trained.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, WebSocketRoute, expect
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

from tests.app_process import COMMAND, AppProcess, end_runs, running_app
from tests.e2e.conftest import TWICE, outside, settled
from tests.pages import examples
from tests.waiting import wait_until
from workbench.classroom.store import ClassStore
from workbench.lessons import experiments
from workbench.lessons.blocks import Recipe
from workbench.lessons.parser import Lesson, read_lesson
from workbench.store import Store

PASSWORD = "copper kettle"
WHOLE = "STILLHOUSE_TEST_CLASS" in os.environ
NAMES = ["Ada", "Bea", "Cid", "Dan", "Eve"][:5 if WHOLE else 2]
FORBIDDEN = [("GET", "/runs"), ("GET", "/new"), ("GET", "/classroom"), ("GET", "/chat/"), ("GET", "/sessions"),
             ("GET", "/download/model.zip?model=house-chat&form=folder"), ("PUT", "/_stcore/upload_file/a/b"),
             ("POST", "/chat/gradio_api/queue/join")]
LESSON = """---
title: Short
order: 1
---
```question
name: who
text: Who is better after two steps?
options: [the student, the control]
outcome: {recipe: both, metric: eval/perplexity, best: lowest}
```

```recipe
name: both
recipe: short
label: Train
after: [who]
```
"""
RECIPE = """
teacher: {model: house-chat}
student: {layers: 1}
data: {source: house, max_rows: 60, block_length: 32}
train: {max_steps: 2, per_device_train_batch_size: 2, logging_steps: 1, save_steps: 2}
evaluation: {blocks: 2, eval_steps: 2, prompts: [], sentiment_items: 0}
control: true
"""


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AppProcess]:
    """The app with a class whose lesson is short."""
    folder = tmp_path_factory.mktemp("room")
    lessons = folder / "lessons"
    lessons.mkdir()
    (lessons / "temperature.md").write_text(LESSON)
    (lessons / "short.yaml").write_text(RECIPE)
    with running_app(folder / "app", command=(*COMMAND, "classroom", "--name", "Tuesday"), STILLHOUSE_PASSWORD=PASSWORD,
                     STILLHOUSE_LESSONS=str(lessons)) as app:
        yield app
    end_runs(app.home)


def compute_once(room: AppProcess, lesson: Lesson) -> None:
    """Put a finished run of the lesson's recipe into the class, as somebody's who has left."""
    classes, store = ClassStore(next((room.home / "classes").glob("*.sqlite")).stem), Store(room.home / "store.sqlite")
    config = experiments.configs(lesson, lesson.of(Recipe)[0], {})[experiments.SINGLE]
    first = classes.join("First", classes.code)
    run = examples.finished(store, config.name)
    # At once: what waits, if only for a moment, the app may start.
    classes._execute("INSERT INTO items (participant, lesson, recipe, label, config, digest, submitted, state, run_id)"
                     " VALUES (?, ?, 'both', '', ?, ?, 0, 'placed', ?)",
                     first.id, lesson.slug, json.dumps(config.to_dict()), config.digest(), run.id)
    classes.remove(first.id)


def join(page: Page, room: AppProcess, name: str) -> None:
    code = re.search(r"code ([A-Z0-9]{6})", room.log.read_text())
    assert code is not None
    page.goto(f"{room.url}/join?code={code[1]}")
    page.get_by_label("Nickname").fill(name)
    page.get_by_role("button", name="Join").click()
    expect(page.get_by_role("heading", name="Short")).to_be_visible()
    settled(page)


class BusyServer:
    """A server that is slow to send, to one page: Streamlit drops what it has not sent of a fragment that runs again meanwhile.

    Attributes:
        slow: of the next whole script, the fragments' part is dropped, as it would be then.
        fragment_runs: how often a fragment ran since.
    """

    def __init__(self, page: Page) -> None:
        self.slow, self.dropping, self.fragment_runs, self.dropped = False, False, 0, 0
        page.route_web_socket(re.compile("_stcore/stream"), self._between)

    def _between(self, browser: WebSocketRoute) -> None:
        server = browser.connect_to_server()

        def forward(raw: str | bytes) -> None:
            message = ForwardMsg.FromString(raw if isinstance(raw, bytes) else raw.encode())
            if message.WhichOneof("type") == "new_session":
                whole = not message.metadata.run.fragment_ids
                self.dropping, self.slow = self.slow and whole, self.slow and not whole
                self.fragment_runs += self.dropped > 0 and not whole
            if self.dropping and message.delta.fragment_id:
                self.dropped += 1
                return
            browser.send(raw)

        server.on_message(forward)


def test_a_page_stays_whole_while_the_server_is_slow_to_send(room: AppProcess, people: Callable[[], Page]) -> None:
    page = people()
    busy = BusyServer(page)
    join(page, room, "Zoe")
    busy.slow = True
    page.get_by_text("Train mine even if").click()
    wait_until(lambda: (page.wait_for_timeout(50), busy.fragment_runs > 1)[1], lambda: f"two runs of the polling fragment: {vars(busy)}")
    settled(page)
    expect(page.get_by_text("you are Zoe")).to_be_visible()
    expect(page.get_by_role("heading", name="Short")).to_be_visible()
    page.goto(f"{room.url}/mine")
    page.get_by_role("button", name="Leave the class on this browser").click()


def test_fifty_minutes_in_short(room: AppProcess, people: Callable[[], Page], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STILLHOUSE_HOME", str(room.home))
    if not WHOLE:
        compute_once(room, read_lesson(room.home.parents[1] / "lessons" / "temperature.md"))
    instructor = people()
    instructor.goto(f"{room.url}/classroom")
    instructor.get_by_label("Password").fill(PASSWORD)
    instructor.get_by_role("button", name="Log in").click()
    expect(instructor.get_by_role("heading", name="Tuesday")).to_be_visible()
    participants = [people() for _ in NAMES]
    for page, name in zip(participants, NAMES, strict=True):
        join(page, room, name)
    expect(instructor.get_by_role("heading", name=f"{len(NAMES) + 1} here")).to_be_visible()

    # Everybody guesses before anything is shown, and runs; the recipe is the same, so it is computed once.
    for number, page in enumerate(participants):
        page.get_by_role("radiogroup").get_by_text("the student" if number else "the control", exact=True).click()
        page.get_by_role("button", name="Commit this guess").click()
        expect(page.get_by_text("Committed.")).to_be_visible()
        page.get_by_role("button", name="Train", exact=True).click()
    for page in participants:
        expect(page.get_by_text("finished")).to_be_visible()
        expect(page.get_by_text("Committed.")).to_have_count(0)  # the outcome stands beside the guess
    assert len(Store(room.home / "store.sqlite").runs()) == 1

    # The board, by name and without.
    instructor.goto(f"{room.url}/board?projector=1")
    expect(instructor.get_by_role("img", name=f"the student: {len(NAMES) - 1}; the control: 1")).to_be_visible()
    leaders = instructor.get_by_role("table", name="Leaderboard")
    expect(leaders).to_contain_text("Ada")
    instructor.goto(f"{room.url}/classroom")
    instructor.get_by_role("button", name="Hide names").click()
    participants[0].goto(f"{room.url}/board")
    expect(participants[0].get_by_role("table", name="Leaderboard")).not_to_contain_text("Ada")

    # A blind vote.
    instructor.get_by_role("button", name="Let them answer, and open the vote").click()
    expect(instructor.get_by_role("table", name="Blind vote")).to_be_visible()
    for page in participants:
        page.goto(f"{room.url}/vote")
        page.get_by_role("button", name="Vote for A").click()
        expect(page.get_by_role("button", name="My vote A")).to_be_visible()
        expect(page.get_by_text("house-chat")).to_have_count(0)
    expect(instructor.get_by_role("table", name="Blind vote").get_by_role("cell", name=str(len(NAMES)), exact=True)).to_be_visible()
    instructor.get_by_role("button", name="Close the vote and reveal").click()
    expect(participants[0].get_by_text("house-chat").first).to_be_visible()

    # Hand-outs, of the class and of one's own.
    with instructor.expect_download() as download:
        instructor.get_by_role("link", name="Class (HTML)").click()
    assert f"the student: {len(NAMES) - 1}" in Path(download.value.path()).read_text()
    participants[1].goto(f"{room.url}/mine")
    with participants[1].expect_download() as download:
        participants[1].get_by_role("link", name="Take my results along (HTML)").click()
    assert "My guess: the student" in Path(download.value.path()).read_text()

    # Twice as large, nothing of the class's pages is out of reach.
    for page, names in ((participants[0], ("lesson", "board", "vote", "ask", "mine")), (instructor, ("classroom", "board"))):
        page.set_viewport_size(TWICE)
        for name in names:
            page.goto(f"{room.url}/{name}")
            settled(page)
            assert not outside(page), name

    # What a participant may not do is refused by the server.
    for method, path in FORBIDDEN:
        assert participants[-1].request.fetch(room.url + path, method=method).status == 403, path

    # One switch deletes it all, and everybody is out.
    instructor.goto(f"{room.url}/classroom")
    instructor.get_by_text("End the class").click()
    instructor.get_by_label("Type the name of the class to confirm").fill("Tuesday")
    instructor.keyboard.press("Enter")
    instructor.get_by_role("button", name="Delete the class").click()
    expect(instructor.get_by_text("This app holds no class")).to_be_visible()
    assert not list((room.home / "classes").iterdir()) and not Store(room.home / "store.sqlite").runs()
    participants[-1].goto(f"{room.url}/lesson")
    expect(participants[-1]).to_have_url(re.compile("/login"))
