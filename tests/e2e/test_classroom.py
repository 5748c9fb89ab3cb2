"""The instructor's lesson with five participants in real browsers: join, guess, run, board, blind vote, hand-outs, and the end."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.app_process import COMMAND, AppProcess, end_runs, running_app
from tests.e2e.conftest import settled

PASSWORD = "copper kettle"
NAMES = ["Ada", "Bea", "Cid", "Dan", "Eve"]
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


@pytest.fixture
def room(tmp_path: Path) -> Iterator[AppProcess]:
    """The app with a class whose lesson is short."""
    lessons = tmp_path / "lessons"
    lessons.mkdir()
    (lessons / "temperature.md").write_text(LESSON)
    (lessons / "short.yaml").write_text(RECIPE)
    with running_app(tmp_path / "app", command=(*COMMAND, "classroom", "--name", "Tuesday"), STILLHOUSE_PASSWORD=PASSWORD,
                     STILLHOUSE_LESSONS=str(lessons)) as app:
        yield app
    end_runs(app.home)


def join(page: Page, room: AppProcess, name: str, code: str) -> None:
    page.goto(f"{room.url}/join?code={code}")
    page.get_by_label("Nickname").fill(name)
    page.get_by_role("button", name="Join").click()
    expect(page.get_by_role("heading", name="Short")).to_be_visible()
    settled(page)


@pytest.mark.skipif("STILLHOUSE_TEST_CLASS" not in os.environ, reason="six browsers at once want a quiet machine: STILLHOUSE_TEST_CLASS=1")
def test_fifty_minutes_in_short(room: AppProcess, people: Callable[[], Page]) -> None:
    instructor = people()
    instructor.goto(f"{room.url}/classroom")
    instructor.get_by_label("Password").fill(PASSWORD)
    instructor.get_by_role("button", name="Log in").click()
    expect(instructor.get_by_role("heading", name="Tuesday")).to_be_visible()
    code = re.search(r"code ([A-Z0-9]{6})", room.log.read_text())
    assert code is not None
    participants = [people() for _ in NAMES]
    for page, name in zip(participants, NAMES, strict=True):
        join(page, room, name, code[1])
    expect(instructor.get_by_role("heading", name="5 here")).to_be_visible()

    # Everybody guesses before anything is shown, and runs; the recipe is the same, so it is computed once.
    for number, page in enumerate(participants):
        page.get_by_role("radiogroup").get_by_text("the student" if number else "the control", exact=True).click()
        page.get_by_role("button", name="Commit this guess").click()
        expect(page.get_by_text("Committed.")).to_be_visible()
        page.get_by_role("button", name="Train", exact=True).click()
    for page in participants:
        expect(page.get_by_text("finished")).to_be_visible()
        expect(page.get_by_text("Committed.")).to_have_count(0)  # the outcome stands beside the guess
    assert len(list((room.home / "runs").iterdir())) == 1

    # The board, by name and without.
    instructor.goto(f"{room.url}/board?projector=1")
    expect(instructor.get_by_role("img", name="the student: 4; the control: 1")).to_be_visible()
    leaders = instructor.get_by_role("table", name="Leaderboard")
    expect(leaders).to_contain_text("Ada")
    instructor.goto(f"{room.url}/classroom")
    instructor.get_by_role("button", name="Hide names").click()
    participants[0].goto(f"{room.url}/board")
    expect(participants[0].get_by_role("table", name="Leaderboard")).not_to_contain_text("Ada")

    # A blind vote.
    instructor.get_by_role("button", name="Let them answer, and open the vote").click()
    expect(instructor.get_by_role("table", name="Blind vote")).to_be_visible()
    for page in participants[:3]:
        page.goto(f"{room.url}/vote")
        page.get_by_role("button", name="Vote for A").click()
        expect(page.get_by_role("button", name="My vote A")).to_be_visible()
        expect(page.get_by_text("house-chat")).to_have_count(0)
    expect(instructor.get_by_role("table", name="Blind vote").get_by_role("cell", name="3", exact=True)).to_be_visible()
    instructor.get_by_role("button", name="Close the vote and reveal").click()
    expect(participants[0].get_by_text("house-chat").first).to_be_visible()

    # Hand-outs, of the class and of one's own.
    with instructor.expect_download() as download:
        instructor.get_by_role("button", name="Class (HTML)").click()
    assert "the student: 4" in Path(download.value.path()).read_text()
    participants[1].goto(f"{room.url}/mine")
    with participants[1].expect_download() as download:
        participants[1].get_by_role("button", name="Take my results along (HTML)").click()
    assert "My guess: the student" in Path(download.value.path()).read_text()

    # What a participant may not do is refused by the server.
    for method, path in FORBIDDEN:
        assert participants[2].request.fetch(room.url + path, method=method).status == 403, path

    # One switch deletes it all, and everybody is out.
    instructor.get_by_text("End the class").click()
    instructor.get_by_label("Type the name of the class to confirm").fill("Tuesday")
    instructor.keyboard.press("Enter")
    instructor.get_by_role("button", name="Delete the class").click()
    expect(instructor.get_by_text("This app holds no class")).to_be_visible()
    assert not list((room.home / "classes").iterdir()) and not list((room.home / "runs").iterdir())
    participants[3].goto(f"{room.url}/lesson")
    expect(participants[3]).to_have_url(re.compile("/login"))
