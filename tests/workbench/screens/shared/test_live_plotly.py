from __future__ import annotations

import json

import numpy as np
import plotly.graph_objects as go
import pytest
from streamlit.testing.v1 import AppTest

from workbench.screens.shared import charts
from workbench.screens.shared.live_plotly import draw
from workbench.screens.shared.theme import PLOTLY_TEMPLATE


def figure() -> go.Figure:
    made = go.Figure(go.Scatter(x=[1, 2, 3], y=[0.5, np.nan, 0.25], name="loss"))
    return made.update_layout(title="Loss", yaxis_title="nats/token")


def test_the_figure_is_whole_and_has_the_projects_template() -> None:
    spec = json.loads(draw(figure(), "loss").json)
    assert spec["data"][0]["y"] == [0.5, None, 0.25]  # a gap, as plotly.js reads it
    assert spec["layout"]["template"] == PLOTLY_TEMPLATE
    assert spec["layout"]["yaxis"]["title"]["text"] == "nats/token"


def test_the_view_is_kept_under_the_key_unless_the_figure_says_otherwise() -> None:
    made = figure()
    assert json.loads(draw(made, "loss").json)["layout"]["uirevision"] == "loss"
    made.update_layout(uirevision="run-7")
    assert json.loads(draw(made, "loss").json)["layout"]["uirevision"] == "run-7"


def test_drawing_changes_neither_the_figure_nor_the_template() -> None:
    made, before = figure(), json.dumps(PLOTLY_TEMPLATE)
    plain = made.to_json()
    draw(made, "loss")
    assert made.to_json() == plain
    assert json.dumps(PLOTLY_TEMPLATE) == before


def drawn(values: list[float]) -> charts.Plain:
    return charts.single({("student", "grad_norm"): charts.Curve(np.arange(len(values)), np.array(values))}, "grad_norm")


def test_plain_data_give_the_figure_that_plotly_checks() -> None:
    plain = drawn([0.5, np.nan, 0.25])
    assert json.loads(draw(plain, "norm").json) == json.loads(draw(plain.checked(), "norm").json)
    assert draw(plain, "norm").version == draw(drawn([0.5, np.nan, 0.25]), "norm").version
    assert len({draw(drawn(values), "norm").version for values in ([0.5, np.nan, 0.25], [0.5, 0.125, 0.25], [0.5, np.nan])}) == 3


def test_new_points_are_found_without_the_whole_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    before = draw(drawn([0.5, np.nan, 0.25]), "norm")
    monkeypatch.setattr(charts.Plain, "checked", lambda _plain: pytest.fail("the whole figure is made"))
    assert draw(drawn([0.5, np.nan, 0.25, 0.125]), "norm").since(before) == [(3, [3], [0.125])]


def page() -> None:
    import plotly.graph_objects as go

    from workbench.screens.shared.live_plotly import live_plotly

    live_plotly(go.Figure(go.Scatter(y=[1, 2])).update_layout(height=200), key="a", label="two points")
    live_plotly(go.Figure(layout={"title": "Loss"}), key="b")


def test_a_page_mounts_it_with_its_height_and_its_name() -> None:
    app = AppTest.from_function(page).run()
    assert not app.exception
    first, second = (json.loads(element.proto.json) for element in app.get("bidi_component"))
    assert (first["height"], first["label"]) == (200, "two points")
    assert second["label"] == "Loss"
    assert first["plotly"].startswith("/assets/plotly.min.js?")
    assert json.loads(first["figure"])["data"][0]["y"] == [1, 2]
