"""A new experiment: start from a recipe, change settings, check the plan, start."""

import streamlit as st

from workbench.screens.new_experiment import advanced_form, data_view, error_focus, experiment_form, forms, plan_view, submission
from workbench.screens.new_experiment.controls import SHOWN_ERRORS, draft
from workbench.screens.new_experiment.data_view import DatasetScan
from workbench.screens.shared import launch_view, views

with views.errors_shown():
    with st.container(horizontal=True, vertical_alignment="center"):
        st.title("New experiment", anchor=False, width="content")
        st.space("stretch")
        mode = st.segmented_control("Form", experiment_form.modes(), default=experiment_form.SIMPLE, required=True, key="form",
                                    bind="query-params", label_visibility="collapsed")
    start = experiment_form.begin()
    experiment_form.starting_point(start)
    forms.follow_start(draft(), start.config)
    config, errors = forms.check(draft())
    plan, failed = plan_view.static(config, elsewhere=launch_view.elsewhere()) if config else (None, {})
    errors |= failed
    scan = data_view.scan(config) if config and not failed else DatasetScan()
    if scan.problem:
        errors["data.source"] = scan.problem
    st.session_state[SHOWN_ERRORS] = set()
    drawn = experiment_form.drawable(config, plan, errors)
    if mode == experiment_form.SIMPLE:
        experiment_form.simple(drawn, errors)
    else:
        advanced_form.advanced(drawn, errors)
    if drawn is not None:
        plan_view.plan(drawn.config, drawn.plan, partial=drawn.config is not config and set(errors) != {"name"}, ready=not errors,
                       note=data_view.passes(drawn.config, scan.found or {}))
    launch = launch_view.launcher(config)
    submission.start_button(config, start, errors, scan, launch)
    error_focus.summary(errors)
    error_focus.focus(errors)
    if config is not None:
        submission.sharing(config, start)
