"""A live figure in a real browser: what the component promises beyond what Python can see."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, Route, expect

from tests.app_process import ROOT
from tests.e2e.conftest import SETTLED, measure_overflow, settled, widest_overflow
from tests.waiting import PATIENCE
from workbench.serve import listen

PAGE = """
import plotly.graph_objects as go
import streamlit as st

from workbench.screens.shared.live_plotly import live_plotly


@st.fragment(run_every=0.25)
def curve():
    st.session_state.points = st.session_state.get("points", 50) + 1
    points = range(st.session_state.points)
    live_plotly(go.Figure(go.Scatter(x=list(points), y=[1 / (1 + x) for x in points])), key="loss", label="loss by step")


curve()
tab, = st.tabs(["first", "second"])[1:]
with tab:
    live_plotly(go.Figure(go.Scatter(y=[1, 2])), key="hidden", label="in a closed tab")
st.write("Below the figures")
"""
APP = """
import streamlit as st

from workbench.screens.shared.live_plotly import script_route

app = st.App("page.py", routes=[script_route()])
"""
FIGURE = ".live-plotly"
COMPONENT_SCRIPT = re.compile(r"/static/js/BidiComponent\.")


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server with one page that adds a point to its figure four times a second."""
    folder = tmp_path_factory.mktemp("figure")
    (folder / "page.py").write_text(PAGE)
    (folder / "one_page.py").write_text(APP)
    shutil.copytree(ROOT / "workbench" / ".streamlit", folder / ".streamlit")
    with listen("127.0.0.1", 0) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        command = [sys.executable, "-m", "uvicorn", "one_page:app", "--fd", str(listener.fileno()), "--log-level", "error"]
        process = subprocess.Popen(command, cwd=folder, pass_fds=[listener.fileno()], env={"PYTHONPATH": str(ROOT), "HOME": str(folder)})
        try:
            urllib.request.urlopen(f"{url}/_stcore/health", timeout=PATIENCE).close()  # waits in the listener's queue until it answers
            yield url
        finally:
            process.kill()
            process.wait()


def test_a_figure_that_was_drawn_in_a_closed_tab_has_the_width_of_the_page(address: str, page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    measure_overflow(page)
    page.goto(address)
    settled(page)
    hidden = page.get_by_label("in a closed tab")
    expect(hidden).to_be_hidden()
    page.get_by_role("tab", name="second").click()
    expect(hidden).to_be_visible()
    settled(page)
    assert hidden.evaluate("figure => figure._fullLayout.width") < 390
    assert widest_overflow(page) <= 1


def test_what_stands_below_a_figure_has_its_place_before_the_figure_is_there(address: str, page: Page) -> None:
    waiting: list[Route] = []
    page.route(COMPONENT_SCRIPT, lambda route: waiting.append(route))
    page.goto(address, wait_until="commit")
    page.wait_for_selector(SETTLED)
    below = page.get_by_text("Below the figures")
    expect(below).to_be_visible()
    before = below.bounding_box()
    assert waiting, "the figures were held back"
    for route in waiting:
        route.continue_()
    page.unroute(COMPONENT_SCRIPT)
    expect(page.locator(f"{FIGURE} .xtick").first).to_be_visible()
    settled(page)
    assert below.bounding_box() == before


def points(page: Page) -> int:
    return page.locator(FIGURE).first.evaluate("figure => figure.data[0].x.length")


def shown_range(page: Page) -> list[float]:
    return page.locator(FIGURE).first.evaluate("figure => figure.layout.xaxis.range.slice()")


def draws_more(page: Page, count: int = 4) -> None:
    wanted = points(page) + count
    page.wait_for_function(f"() => document.querySelector('{FIGURE}').data[0].x.length >= {wanted}")


def test_zoom_and_node_stay_while_points_arrive(address: str, page: Page) -> None:
    page.goto(address)
    settled(page)
    area = page.locator(f"{FIGURE} .nsewdrag").first
    expect(area).to_be_visible()
    page.locator(FIGURE).first.evaluate("figure => { figure.mark = 'the same node'; }")
    before = shown_range(page)
    draws_more(page)
    assert shown_range(page)[1] > before[1], "without a zoom the figure grows with its data"

    box = area.bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.3, box["y"] + box["height"] * 0.5)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + box["height"] * 0.5, steps=5)
    page.mouse.up()
    page.wait_for_function(f"() => document.querySelector('{FIGURE}').layout.xaxis.autorange === false")
    zoomed = shown_range(page)
    assert zoomed[1] - zoomed[0] < 0.5 * (before[1] - before[0])

    draws_more(page)
    assert shown_range(page) == zoomed
    assert page.locator(FIGURE).first.evaluate("figure => figure.mark") == "the same node"


@pytest.mark.parametrize(("scheme", "colour"), [("light", "rgb(29, 37, 39)"), ("dark", "rgb(228, 233, 233)")])
def test_text_follows_the_theme(address: str, page: Page, scheme: str, colour: str) -> None:
    page.emulate_media(color_scheme=scheme)
    page.goto(address)
    expect(page.locator(f"{FIGURE} .xtick text").first).to_have_css("fill", colour)


def test_it_has_a_name_and_asks_no_other_host(address: str, page: Page) -> None:
    hosts = set()
    page.on("request", lambda request: hosts.add(request.url.split("/")[2]))
    page.goto(address)
    expect(page.get_by_role("figure", name="loss by step")).to_be_visible()
    expect(page.locator(f"{FIGURE} .xtick").first).to_be_visible()
    assert {host.partition(":")[0] for host in hosts} == {"127.0.0.1"}
