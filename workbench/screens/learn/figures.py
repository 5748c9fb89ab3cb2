"""The figures of a lesson, each with its numbers in words or in a table beside it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import streamlit as st

from core.errors import StillhouseError
from core.evaluation.statistics import mean_interval
from core.students.layer_maps import layer_map
from core.system.files import read_json
from core.system.paths import ASSETS
from workbench.lessons.blocks import Figure
from workbench.lessons.experiments import number
from workbench.screens.new_experiment import pictures
from workbench.screens.new_experiment.layer_picture import describe_map, layer_picture
from workbench.screens.shared import background, charts, state, views
from workbench.screens.shared.live_plotly import live_plotly
from workbench.screens.shared.theme import TEAL

RESULTS = ASSETS / "results" / "lessons"


def figure(block: Figure, sliders: Mapping[str, float], key: str) -> None:
    """Draw a figure block."""
    if block.show == "temperature":
        _temperature(block, number(block.temperature, sliders), key)
    elif block.show == "layers":
        _layers(block, round(number(block.student_layers, sliders)))
    else:
        results(block.results, block.metric, key)
    if block.caption:
        st.caption(views.no_images(block.caption))


def _temperature(block: Figure, value: float, key: str) -> None:
    try:
        answer = background.answer(background.next_token, state.resolved(block.model), block.prompt,
                                   meanwhile="Computing the model's distribution over the next token …")
    except StillhouseError as error:
        views.problem(error)
        return
    if answer is None:
        return
    tokens, entropies = pictures.softened(answer["tokens"], np.asarray(answer["logits"]), value)
    live_plotly(charts.temperature(tokens, value), key=f"figure.{key}",
                label=f"Distribution over the next token at T = 1 and T = {value:g}")
    st.caption(f"{views.plain(block.model)}, first token of its answer to “{views.first_line(block.prompt)}” "
               f"Entropy {entropies[0]:.2f} nats at T = 1, {entropies[1]:.2f} at T = {value:g}.")
    with st.expander("The same as a table", key=f"table.{key}"):
        rows = [[str(token), f"{plain:.2%}", f"{soft:.2%}"]
                for token, plain, soft in zip(tokens["token"], tokens["plain"], tokens["softened"], strict=True)]
        views.text_table(["Token", "T = 1", f"T = {value:g}"], rows, numbers=True, label="Distribution over the next token")


def _layers(block: Figure, depth: int) -> None:
    depth = min(max(depth, 1), block.teacher_layers)
    chosen = layer_map(block.layer_map, block.teacher_layers, depth)
    st.markdown(layer_picture(block.teacher_layers, depth, chosen), unsafe_allow_html=True)
    st.caption(describe_map(block.teacher_layers, depth, chosen))


def results(name: str, metric: str, key: str) -> None:
    """Draw what a lesson's recipe came to over seeds: mean and interval of each variant, and the paired differences."""
    kept = read_json(RESULTS / f"{name}.json") or {}
    values = kept.get("values", {}).get(metric)
    if not values:
        views.empty_state(f"No results of this lesson yet: `python -m workbench.lessons.measure {views.plain(name)}` measures them.",
                          "science")
        return
    rows, points = [], []
    for label, seeds in values.items():
        found = mean_interval(list(seeds.values()))
        margin = found.margin or 0.0
        points.append({"label": label, "series": "mean", "value": found.value, "low": found.value - margin, "high": found.value + margin})
        rows.append([label, f"{found.value:.4g} ± {margin:.2g}", ", ".join(f"{value:.4g}" for value in seeds.values())])
    live_plotly(charts.intervals(pd.DataFrame(points), x_title=charts.axis_label(metric), colours={"mean": TEAL}), key=f"figure.{key}",
                label=f"{charts.axis_label(metric)} over {len(next(iter(values.values())))} seeds")
    views.text_table(["", "Mean ± 95% CI", "Each seed"], rows, label="Over seeds")
    first, *others = values
    for other in others:
        paired = [values[other][seed] - values[first][seed] for seed in values[first] if seed in values[other]]
        change = mean_interval(paired)
        margin = change.margin or 0.0
        noise = "" if abs(change.value) > margin else " The interval includes 0: at this size the difference is noise."
        st.caption(f"{views.plain(other)} minus {views.plain(first)}, within each seed: {change.value:+.3g} ± {margin:.2g} "
                   f"(95% CI, Student's t, {len(paired)} seeds).{noise}")
    seconds = kept["seconds"]
    st.caption(f"Measured {kept['date']}: the first loss takes {seconds['first_loss']:.1f} s of one core, a whole run "
               f"{seconds['run']:.0f} s (median over seeds; libraries loaded, data packed before).")
