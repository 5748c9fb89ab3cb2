"""The buttons that open a local tracker on a run's page."""

from __future__ import annotations

import pytest

from tests.pages.conftest import Open, button, fault_free
from tests.waiting import wait_until
from tests.workbench.runs.test_tracker_servers import installed, run
from workbench.runs import tracker_servers
from workbench.screens.shared import state
from workbench.store import Store

__all__ = ["installed"]  # a fixture: trackers that are there, as scripts


def test_the_page_of_a_run_opens_and_closes_it(open_page: Open, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state, "visitor_is_here", lambda: True)
    tracked = run(store, "tensorboard")
    store.finish(tracked.id, "finished")
    page = open_page("run", run=tracked.id)
    page = fault_free(button(page, "Open TensorBoard").click().run())
    server = tracker_servers.opened("tensorboard", [tracked])
    assert server is not None
    wait_until(lambda: server.address)
    page = fault_free(page.run())
    assert [each.proto.url for each in page.get("link_button")] == ["http://localhost:6006"]
    page = fault_free(button(page, "Close TensorBoard").click().run())
    assert server.ended
    assert [each.label for each in page.button if each.label == "Open TensorBoard"]
