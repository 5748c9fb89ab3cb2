"""The list of runs in a browser, whose table keeps what is ticked on its own side too."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from tests.app_process import AppProcess
from tests.e2e.conftest import settled
from tests.pages import examples
from workbench.store import Store

ROW = 35  # pixels of a row of the table, its head included
BOX = 18  # pixels from the table's left edge to the middle of the boxes


def tick(page: Page, row: int) -> None:
    """Click the box of a row, counted from 0."""
    page.get_by_test_id("stDataFrame").locator(".dvn-scroller").click(position={"x": BOX, "y": ROW * (row + 1.5)})


def test_after_a_bin_nothing_is_ticked_and_a_later_bin_takes_what_was_chosen(server: AppProcess, page: Page) -> None:
    store = Store(server.home / "store.sqlite")
    third, second, first = (examples.finished(store, f"{place}-listed") for place in ("third", "second", "first"))
    page.goto(f"{server.url}/runs?search=listed")
    settled(page)
    tick(page, 0)
    page.get_by_role("button", name="Move to the bin").click()
    expect(page.get_by_text("is in the bin.")).to_be_visible()
    settled(page)
    expect(page.get_by_text("Click a name to open a run")).to_be_visible()

    tick(page, 1)
    page.get_by_role("button", name="Move to the bin").click()
    expect(page.get_by_text("third-listed is in the bin.")).to_be_visible()
    assert [store.run(run.id).deleted is not None for run in (first, second, third)] == [True, False, True]
    store.delete(second.id)
    for run in (first, second, third):
        store.purge(run.id)
