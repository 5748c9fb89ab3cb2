"""The end of the form of a new experiment: its name, its seeds, the start, and what shares it."""

from __future__ import annotations

from typing import Literal

import streamlit as st

from core.config import ExperimentConfig
from core.studies.seeds import SEEDS_HELP
from core.studies.sweeps.cells import SweepSpec, seeds_from
from workbench.launch import settings
from workbench.launch.launcher import SlurmSpec
from workbench.runs import jobs, sweeps
from workbench.screens.new_experiment import forms
from workbench.screens.new_experiment.controls import bound, draft, section_errors
from workbench.screens.new_experiment.data_view import DatasetScan
from workbench.screens.new_experiment.experiment_form import Errors
from workbench.screens.new_experiment.starting_points import StartingPoint
from workbench.screens.shared import background, share, state, views
from workbench.screens.shared.uploads import shown_name
from workbench.store.store import default_name


def start_button(config: ExperimentConfig | None, start: StartingPoint, errors: Errors, scan: DatasetScan,
                 launch: SlurmSpec | Literal["wrong"] | None) -> None:
    """Name and start; the run's page opens at once. Nothing starts while something is wrong, or before a file was read.

    Args:
        launch: where it is carried out, as `launch_view.launcher` gives it.
    """
    with st.container(horizontal=True, vertical_alignment="bottom"):
        made = "generated from the settings" if config is None else default_name(config)
        st.text_input("Name", placeholder=made, width=280, **bound("start.name", draft()["name"] or "", _set_name))
        seeds = st.number_input("Seeds", value=1, step=1, width=120, key="start.seeds", disabled=bool(draft()["chain"]), help=(
            "More than 1: the same experiment with as many seeds, from its own on, and a mean with its interval in place of one number. "
            f"{SEEDS_HELP[0].upper()}{SEEDS_HELP[1:]}."))
        if st.button("Start", type="primary", icon=":material/play_arrow:", key="start",
                     disabled=config is None or bool(errors) or scan.waiting is not None or launch == "wrong"
                     ) and config is not None and launch != "wrong":
            with views.errors_shown():
                share.require_allowed(config)
                config = _named(config, start)
                command = forms.command(config, start.config, start.recipe) if start.recipe else None
                if launch is not None:
                    settings.keep(state.store().home, launch)
                if seeds != 1:
                    _start_seeds(config, seeds, launch)
                run = jobs.submit(config, state.store(), command, launch)
                st.switch_page(state.RUN, query_params={"run": run.id})
    section_errors(errors, "name")
    if config is not None and scan.waiting is not None:
        background.wait(scan.waiting, f"Reading {views.plain(shown_name(config.data.source))} to its end before the start …")


def _start_seeds(config: ExperimentConfig, seeds: int, place: SlurmSpec | None) -> None:
    """Queue the experiment once a seed, and open the page of all of them. Raises StillhouseError as `sweeps.plan_sweep`."""
    planned = sweeps.plan_sweep(SweepSpec(config, (), seeds_from(config.train.seed, seeds)), state.store(), place=place)
    name = f"{(config.name or default_name(config))[:70]}-seeds"
    st.switch_page(state.SWEEP, query_params={"sweep": sweeps.start_sweep(planned, state.store(), name=name).id})


def sharing(config: ExperimentConfig, start: StartingPoint) -> None:
    """Draw the ways to share the same experiment: link, command, recipe, script and notebook."""
    with st.expander("Share", icon=":material/share:", key="share"):
        named = _named(config, start)
        share.share(named, forms.command(named, start.config, start.recipe), "new")


def _named(config: ExperimentConfig, start: StartingPoint) -> ExperimentConfig:
    """Return the configuration with the name that its run gets, where it left out that of the recipe: a command would take the file's."""
    return config.model_copy(update={"name": default_name(config)}) if config.name is None and start.config.name else config


def _set_name(text: str) -> None:
    draft()["name"] = text.strip() or None
