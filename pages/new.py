"""A new experiment: begin from a recipe, change what matters, see what it means, start."""

import streamlit as st

from workbench.screens.new_experiment import advanced_form, experiment_form, forms, plan_view
from workbench.screens.new_experiment.controls import draft
from workbench.screens.shared import views

with views.errors_shown():
    with st.container(horizontal=True, vertical_alignment="center"):
        st.title("New experiment", anchor=False, width="content")
        st.space("stretch")
        mode = st.segmented_control("Form", experiment_form.MODES, default=experiment_form.SIMPLE, required=True, key="form",
                                    bind="query-params", label_visibility="collapsed")
    start = experiment_form.begin()
    experiment_form.starting_point(start)
    config, errors = forms.check(draft())
    plan = plan_view.static(config) if config else None
    if plan is not None:
        errors |= plan_view.failures(plan)
    if mode == experiment_form.SIMPLE:
        experiment_form.simple(config, plan, errors)
    else:
        advanced_form.advanced(config, plan, errors)
    if config is not None:
        plan_view.plan(config, plan)
    experiment_form.start_button(config, start, errors)
    if config is not None:
        experiment_form.terminal(config, start)
