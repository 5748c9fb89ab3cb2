"""The address that the page of claims had in release 0.1.0."""

import streamlit as st

from workbench.screens.shared import state

st.switch_page(state.CLAIMS)
