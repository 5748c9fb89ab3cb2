"""The form that starts a run of specialists, from the project's recipe with a few keys changed."""

from __future__ import annotations

from typing import Any

import streamlit as st

from core.config import SpecialistsConfig
from core.config.fields import describe
from core.recipes import parse_recipe, read_recipe
from core.system.paths import ASSETS
from workbench.screens.shared import views

RECIPE = ASSETS / "recipes" / "specialists.yaml"
SOURCES = {"planted": "Planted confusions (texts)", "digits": "Handwritten digits", "file": "Texts with labels, from a file"}
NOTES = {"planted": "The texts are planted: drawn so that the classes of a topic are confused. They show the mechanism.",
         "digits": "So small a data set rarely has groups that are confused; expect little.",
         "file": "A column of texts and one of labels, found by their names."}
GUARDS = {"early_stopping": "Early stopping", "soft_targets": "Soft targets for other classes"}
# What suits the digits: few items, few classes, a hidden layer.
DIGITS: dict[str, Any] = {"clusters": 3, "size": 4, "hidden": [8], "student_hidden": [16], "student_embedding": None}


def draw(*, expanded: bool) -> None:
    """Draw the button that starts the recipe, and what can be changed before."""
    recipe = read_recipe(str(RECIPE), [])
    assert isinstance(recipe, SpecialistsConfig), "the project's recipe is of this kind"
    spec = recipe.specialists
    with st.expander("Train specialists", icon=":material/diversity_3:", expanded=expanded):
        left, middle, right = st.columns(3, gap="medium")
        source = left.selectbox("Data", list(SOURCES), format_func=SOURCES.__getitem__, key="specialists.source",
                                help=describe("specialists.source"))
        path = left.text_input("File", key="specialists.file", placeholder="/path/to/intents.csv") if source == "file" else ""
        usual = DIGITS if source == "digits" else spec.model_dump()
        model = left.text_input("Encoder", key="specialists.model", placeholder="a new small network",
                                help=describe("specialists.model")) if source != "digits" else ""
        clusters = middle.number_input("Clusters", 1, value=usual["clusters"], key=f"specialists.clusters.{source}",
                                       help=describe("specialists.clusters"))
        size = middle.number_input("Classes of each specialist", 2, value=usual["size"], placeholder="as clustered",
                                   key=f"specialists.size.{source}", help=describe("specialists.size"))
        guard = right.selectbox("Against overfitting", list(GUARDS), format_func=GUARDS.__getitem__, key="specialists.guard",
                                help=describe("specialists.guard"))
        seeds = right.number_input("Seeds", 1, value=spec.seeds, key="specialists.seeds", help=describe("specialists.seeds"))
        distil = st.toggle("Distil back into one network", value=True, key="specialists.distil", help=describe("specialists.distil"))
        st.caption(NOTES[source])
        missing = source == "file" and not path
        if st.button("Train", type="primary", icon=":material/play_arrow:", key="specialists.start", disabled=missing):
            with views.errors_shown():
                changes = {"source": path.strip() if source == "file" else source, "clusters": int(clusters),
                           "guard": guard, "model": model.strip() or None, "size": None if size is None else int(size),
                           "seeds": int(seeds), "distil": distil}
                views.start_run(configured(recipe, source, changes))


def configured(recipe: SpecialistsConfig, source: str, changes: dict[str, Any]) -> SpecialistsConfig:
    """Return the recipe with other keys of its section. Raises ConfigError for what cannot be."""
    plain = recipe.to_dict()
    own = plain["specialists"] | (DIGITS if source == "digits" else {}) | changes
    if not changes["distil"]:
        own |= {"student_embedding": None, "student_hidden": None}
    found = parse_recipe({**plain, "specialists": own})
    assert isinstance(found, SpecialistsConfig), "the kind stays"
    return found
