"""The hand-outs of a class by request: each to whom it belongs, and to nobody else."""

from __future__ import annotations

from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from workbench.auth import PARTICIPANT_HEADER
from workbench.classroom import routes
from workbench.classroom import store as class_store
from workbench.classroom.store import ClassStore
from workbench.mounts import handout_path
from workbench.store import Store


@pytest.fixture
def room(home: Path) -> ClassStore:
    return class_store.create("Tuesday Ä")


@pytest.fixture
def client(room: ClassStore) -> TestClient:
    return TestClient(Starlette(routes=[routes.handouts(room.id, Store())]))


def test_the_instructor_gets_the_class(client: TestClient, room: ClassStore):
    ada = room.join("Ada", room.code)
    room.commit(ada.id, "temperature", "which-temperature", "T = 4")
    page, table = client.get(handout_path("class.html")), client.get(handout_path("class.csv"))
    assert page.status_code == 200 and page.headers["content-type"].startswith("text/html") and "Tuesday Ä" in page.text
    assert page.headers["content-disposition"] == "attachment; filename*=utf-8''Tuesday%20%C3%84.html"
    assert table.status_code == 200 and "Ada" in table.text and table.headers["cache-control"] == "private, no-store"


def test_a_participant_gets_their_own_and_no_other(client: TestClient, room: ClassStore):
    ada, bea = (room.join(name, room.code) for name in ("Ada", "Bea"))
    answer = client.get(handout_path("mine.html"), headers={PARTICIPANT_HEADER: ada.id})
    assert answer.status_code == 200 and "Ada" in answer.text and "Bea" not in answer.text
    for name in ("class.html", "class.csv", "mine.csv", "other.html"):
        refused = client.get(handout_path(name), headers={PARTICIPANT_HEADER: bea.id})
        assert refused.status_code == 404 and "There is no hand-out" in refused.text, name
    assert client.get(handout_path("mine.html")).status_code == 404  # the instructor has none


def test_a_class_that_is_over_says_so(client: TestClient, room: ClassStore):
    class_store.remove_files(room.id)
    assert "This class is over" in client.get(handout_path("class.html")).text
