"""What the form says of a model that was chosen: that it cannot be used, or that the run fetches it first."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from core.errors import StillhouseError
from core.system import units
from workbench.screens.new_experiment import wording
from workbench.screens.shared import state

if TYPE_CHECKING:
    from core.models.entries import ModelEntry


def described(reference: str, *, reported: bool = False) -> ModelEntry | None:
    """Return the entry of a model, and draw what there is to say of it; None where it cannot be described.

    Args:
        reported: whether what is wrong with it stands on the page already.
    """
    try:
        entry = state.describe(reference)
    except StillhouseError as error:
        if not reported:
            st.error(wording.in_form(error), icon=":material/error:")
        return None
    if not entry.present:
        st.caption(f":material/cloud_download: {units.format_bytes(entry.size_bytes)} will be downloaded when the run starts.")
        st.page_link(state.MODELS, label="Fetch it now on the Models page", icon=":material/arrow_forward:", query_params={"house": "1"})
    return entry
