"""The form of a sweep: which recipe, which keys with which values, how many seeds, what it takes, and the start."""

from __future__ import annotations

import json
import shlex
from typing import Any

import streamlit as st

from core.config import ChainConfig, ExperimentConfig
from core.config.fields import describe, flattened
from core.errors import ConfigError, StillhouseError
from core.studies.seeds import SEEDS_HELP
from core.studies.sweeps.axes import SEED, parse_axes
from core.studies.sweeps.cells import SweepSpec, seeds_from
from core.system import units
from workbench.launch import settings
from workbench.launch.launcher import SlurmSpec
from workbench.runs import sweeps
from workbench.runs.sweep_estimate import SweepTime, expected_time
from workbench.runs.sweeps import PlannedSweep
from workbench.screens.new_experiment import starting_points
from workbench.screens.new_experiment.controls import CONTROLS
from workbench.screens.new_experiment.starting_points import StartingPoint
from workbench.screens.shared import background, launch_view, share, state, views
from workbench.store import references
from workbench.store.sweeps import Sweep

GRID, RANDOM = "Grid", "Random search"
UNSWEPT = ("kind", "name", "description", SEED)
MEASURING = "measured sweep"  # in the session state: the setting to time
FIRST_KEYS = ("losses.temperature", "train.learning_rate")  # offered first, the first one that the recipe has
STATIC_SECONDS = 60  # lifetime of a cached plan: a file may be fixed meanwhile
MOST_LISTED = 12  # settings that are named below the form


def show() -> None:
    """Draw the form, and start what it describes."""
    with st.container(border=True, key="sweep form"):
        start = _starting_point()
        if start is None:
            return
        keys, texts, search, budget = _axes(start.config)
        with st.container(horizontal=True, vertical_alignment="bottom"):
            seeds = st.number_input("Seeds", value=3, step=1, key="sweep.seeds", width=140,
                                    help=f"Of each setting, from the recipe's own seed on; {SEEDS_HELP}.")
            name = st.text_input("Name", placeholder=f"{start.config.name or 'run'}-sweep", key="sweep.name", width=280)
            skip = st.toggle("Leave out invalid settings", key="sweep.skip",
                             help="Off: where one setting cannot be trained, none is started.")
        if missing := [key for key in keys if not texts[key].strip()]:
            st.caption(f":material/info: Enter the values of {', '.join(map(views.plain, missing))}, separated by commas.")
            return
        try:
            spec = SweepSpec(start.config, parse_axes([f"{key}={texts[key]}" for key in keys]), seeds_from(start.config.train.seed, seeds),
                             "random" if search == RANDOM else "grid", budget)
            planned = _planned(json.dumps(spec.to_dict()), skip, str(state.store().path), elsewhere=launch_view.elsewhere())
            if isinstance(planned, StillhouseError):
                raise planned
            for cell in planned.cells:
                if cell.config is not None:
                    share.require_allowed(cell.config)
        except StillhouseError as error:
            views.problem(error)
            return
        _needs(planned)
        place = launch_view.launcher(planned.cells[0].config)
        line = command(spec, start, skip=skip, name=name.strip(), cluster=place is not None)
        pressed = st.button("Start", type="primary", icon=":material/play_arrow:", key="sweep.start", disabled=place == "wrong")
        if pressed and place != "wrong":
            with views.errors_shown():
                _start(spec, skip=skip, name=name.strip() or None, line=line, place=place)
        st.code(line, language="bash", wrap_lines=True)


def command(spec: SweepSpec, start: StartingPoint, *, skip: bool, name: str, cluster: bool) -> str:
    """Return the command that does the same in a terminal; on a cluster, with the settings that were last kept."""
    words = ["python", "-m", "workbench", "sweep", str(start.recipe or f"{start.config.name or 'experiment'}.yaml")]
    words += [word for axis in spec.axes for word in ("--grid", str(axis))] + ["--seeds", str(len(spec.seeds))]
    words += [] if spec.budget is None else ["--random", str(spec.budget)]
    words += [*(["--skip-invalid"] if skip else []), *(["--name", name] if name else []), *(["--launcher", "slurm"] if cluster else [])]
    return shlex.join(words)


def _starting_point() -> StartingPoint | None:
    linked, recipes = st.query_params.get("from"), list(starting_points.shipped())
    given = None
    if linked:
        with views.errors_shown():
            given = starting_points.from_run(linked, state.store())
    options = [*([given.label] if given else []), *recipes]
    wanted = st.query_params.get("recipe")
    label = st.selectbox("Recipe", options, key=f"sweep.recipe.{linked}", width=360,
                         index=options.index(wanted) if wanted in options else 0,
                         help="What all settings share. A run's recipe is swept from its page.")
    start = given if given is not None and label == given.label else starting_points.from_recipe(label)
    if isinstance(start.config, ChainConfig):
        views.problem(ConfigError("The recipe builds a chain.", "A recipe of one student was expected.", "Choose another one."))
        return None
    if start.config.description:
        st.caption(views.plain(start.config.description))
    return start


def _axes(config: ExperimentConfig) -> tuple[list[str], dict[str, str], str, int | None]:
    """Draw the keys and their values; return both, the search, and its budget."""
    present = {key: value for key, value in flattened(config.to_dict()).items() if key not in UNSWEPT and _described(key)}
    first = [key for key in FIRST_KEYS if key in present][:1]
    keys = st.multiselect("Keys", list(present), default=first, key="sweep.keys", format_func=label,
                          help="Each gets several values; every other key stays as it is in the recipe.")
    search = st.segmented_control("Search", (GRID, RANDOM), default=GRID, required=True, key="sweep.search", label_visibility="collapsed")
    texts = {}
    for key, column in zip(keys, st.columns(min(max(len(keys), 1), 3)) * len(keys), strict=False):
        now = json.dumps(present[key]).strip('"')
        ranges = " Or a range to draw from, as 1..8, or 1e-4..1e-2:log on a logarithmic scale." if search == RANDOM else ""
        texts[key] = column.text_input(label(key), value="1, 2, 4" if key == FIRST_KEYS[0] else "", placeholder=f"values, now {now}",
                                       key=f"sweep.values.{key}",
                                       help=f"{describe(key)}.{ranges}\n\nIn recipes: `{key}`, now {views.plain(now)}")
    budget = None
    if search == RANDOM:
        budget = int(st.number_input("Settings to draw", value=8, step=1, key="sweep.budget", width=180,
                                     help="Random search finds good settings sooner than a grid where few of the keys matter "
                                          "(Bergstra and Bengio 2012)."))
    return keys, texts, search, budget


def label(key: str) -> str:
    """Return what a key is called in the form: as in New experiment, with its name in recipes."""
    known = CONTROLS.get(key)
    return f"{known.label} ({key})" if known else key


def _described(key: str) -> bool:
    try:
        return bool(describe(key))
    except KeyError:  # an entry of a list, or a part of a ramp
        return False


@st.cache_resource(ttl=STATIC_SECONDS, max_entries=20, show_spinner="Checking every setting …")
def _planned(spec_json: str, skip: bool, _store: str, *, elsewhere: bool) -> PlannedSweep | StillhouseError:
    place = settings.kept(state.store().home) if elsewhere else None  # the job's own are checked at the start
    try:
        return sweeps.plan_sweep(SweepSpec.from_dict(json.loads(spec_json)), state.store(), skip_invalid=skip, place=place)
    except StillhouseError as error:
        return error  # cached too: the form asks for it again at every change


def _needs(planned: PlannedSweep) -> None:
    """Draw what the sweep takes: runs, time, disk; and which settings are left out."""
    numbers = st.container(horizontal=True)
    store = state.store()
    first = planned.cells[0].config
    assert first is not None, "only settings that can be trained are planned"
    question = json.dumps(references.resolved(first.model_copy(update={"name": None, "description": ""}), store).to_dict())
    time, measured = expected_time(planned, store), None
    if st.session_state.get(MEASURING) == question:
        try:
            measured = background.answer(background.measured_plan, question, meanwhile="Loading the models and training a few steps …")
        except StillhouseError as error:
            del st.session_state[MEASURING]
            views.problem(error)
    elif time.seconds is None and st.button("Measure on this machine", icon=":material/timer:", key="sweep.measure", help=(
            "Loads the models of the first setting and trains a few steps, which are discarded.")):
        st.session_state[MEASURING] = question
        st.rerun()
    if measured is not None:
        time = expected_time(planned, store, measured.get("seconds"))
        for check in measured["checks"]:
            if not check["ok"]:
                st.error(views.plain(f"{check['message']} {check['fix']}"), icon=":material/error:")
    with numbers:
        st.metric("Settings", f"{len(planned.cells):,}")
        st.metric("Runs", f"{planned.runs:,}", help="Settings × seeds.")
        st.metric("Time", "–" if time.seconds is None else units.duration(time.seconds), help=_time_help(time))
        st.metric("Disk", units.format_gib(planned.disk_bytes), help="Checkpoints and models of all runs, at most.")
    listed = [views.plain(cell.label) for cell in planned.cells[:MOST_LISTED]]
    more = f" … and {len(planned.cells) - MOST_LISTED} more" if len(planned.cells) > MOST_LISTED else ""
    st.caption(f"{'; '.join(listed)}{more}.")
    left_out(planned.left_out)


def _time_help(time: SweepTime) -> str:
    if time.seconds is None:
        return "Not known yet: measure a few steps, or start. It is known once the first run has ended."
    source = {"earlier run": "From an earlier run of this recipe", "measured": "From a few real steps of the first setting"}[time.source]
    queue = f", after {time.ahead} runs that wait or train already" if time.ahead else ""
    return f"{source}, carried over by the work of each setting; {time.at_once} at a time{queue}."


def left_out(found: list[dict[str, Any]]) -> None:
    """Say which settings are not trained, and why."""
    if found:
        lines = "\n".join(f"- {views.plain(each['cell'])}: {views.plain(' '.join(filter(None, (each['given'], each['expected']))))}"
                          for each in found)
        words = "settings are" if len(found) > 1 else "setting is"
        st.warning(views.no_images(f"**{len(found)} {words} left out.**\n\n{lines}"), icon=":material/warning:")


def _start(spec: SweepSpec, *, skip: bool, name: str | None, line: str, place: SlurmSpec | None) -> None:
    planned = sweeps.plan_sweep(spec, state.store(), skip_invalid=skip, place=place)
    if place is not None:
        settings.keep(state.store().home, place)
    made: Sweep = sweeps.start_sweep(planned, state.store(), name=name, command=line)
    st.session_state.pop(MEASURING, None)
    st.switch_page(state.SWEEP, query_params={"sweep": made.id})
