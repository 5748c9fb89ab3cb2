"""The form that builds a chain: teacher, anchors, steps; the rest is that of the house chain's recipe.

A link may name the teacher, ``?teacher=``, or a chain's run of which everything is taken, ``?from=``.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import streamlit as st

from core.config import AnchorSpec, ChainConfig, ExperimentConfig
from core.config.fields import describe
from core.errors import CompatibilityError, ConfigError, ModelError, NetworkError
from core.models import compatibility
from core.models.dimensions import Dimensions
from core.recipes import parse_recipe, read_recipe
from core.system import units
from core.system.paths import ASSETS
from workbench.screens.shared import state, views
from workbench.store import references

if TYPE_CHECKING:
    from core.models.entries import ModelEntry
    from core.models.header import ModelHeader

RECIPE = ASSETS / "recipes" / "house-chain.yaml"
LINKED = "build.linked"  # in the session state: the link that the form was filled in by
MOST_ANCHORS = 4
INNER_SHARES = (0.75, 0.5)  # of the teacher's inner width, for the first anchor and the others


def linked() -> bool:
    """Return whether the page's address requests this form."""
    return any(name in st.query_params for name in ("teacher", "from"))


def form(*, opened: bool) -> None:
    """Draw the whole form, folded away unless `opened`."""
    with st.expander("Build a chain", icon=":material/add_link:", expanded=opened, key="build"), views.errors_shown():
        st.caption("Each anchor is distilled from the one before it, each of its blocks aligned with a span of the teacher's. "
                   "The chain is built in the background.")
        st.page_link(state.NEW, label="Teacher with another vocabulary? Bridge to one of your models first", icon=":material/translate:",
                     query_params={"recipe": "house-bridge"})
        base, source = beginning()
        if source:
            st.info(f"Filled in from the run **{views.plain(source)}**.", icon=":material/content_copy:")
        entry = _teacher(base)
        if entry is None or entry.header is None:  # no header: no model is here
            return
        left, right = st.columns([3, 2], gap="large")
        with left:
            sizes = _anchors(entry.name, entry.header, base)
        with right:
            steps = st.number_input("Steps per anchor", 1, 1_000_000, base.train.max_steps or 1000, step=100,
                                    key=f"build.steps.{source}", help=describe("train.max_steps"))
            seed = st.number_input("Seed", 0, 2**32 - 1, base.train.seed, key=f"build.seed.{source}", help=describe("train.seed"))
            name = st.text_input("Name", placeholder=f"{entry.name.partition(':')[0].rpartition('/')[2]}-chain", key="build.name")
        config = recipe(entry.name, sizes, steps, seed, name.strip(), base)
        problem = "" if sizes is None else shrinking_problem(entry.header.dimensions, sizes)
        if problem:
            st.caption(f":red[:material/error: {problem}]")
        _out(config, steps, disabled=bool(problem))


def beginning() -> tuple[ChainConfig, str]:
    """Return the form's first configuration and the name of its run; the house chain's recipe where no link names one."""
    reference = st.query_params.get("from")
    if reference is not None:
        with views.errors_shown():
            run = state.store().run(reference)
            if not run.builds_chain:
                raise ConfigError(f"The run '{run.name}' builds no chain.", "The run of a chain was expected.")
            copied = references.duplicate(run, state.store())
            assert isinstance(copied, ChainConfig)
            return copied, run.name
    shipped = read_recipe(RECIPE)
    assert isinstance(shipped, ChainConfig)
    return shipped, ""


def _teacher(base: ChainConfig) -> ModelEntry | None:
    entries = {entry.name: entry for entry in state.models() if entry.task == "causal"
               and entry.dimensions is not None and entry.layers > 1 and entry.path is not None and entry.path.is_dir()}
    wanted = st.query_params.get("teacher") or base.teacher.model
    if wanted not in entries:
        with suppress(ModelError, NetworkError):  # a folder or a hub model; where it is gone, the first of the others takes its place
            entry = _described(wanted)
            if entry is not None and entry.dimensions is not None and entry.path is not None and entry.path.is_dir():
                entries[wanted] = entry
    if not entries:
        views.empty_state("No model on this machine can be the teacher.", "school")
        return None
    linked = (st.query_params.get("teacher"), st.query_params.get("from"))
    if wanted in entries and st.session_state.get(LINKED, (None, None)) != linked:  # a link was followed
        st.session_state["build.teacher"] = wanted
    st.session_state[LINKED] = linked
    chosen = st.selectbox("Teacher (the largest anchor)", list(entries), key="build.teacher", width=420, help=(
        "Any causal language model on this machine with at least two blocks."), format_func=lambda name: (
        f"{name}, {entries[name].layers} blocks, {units.count(entries[name].parameters)} parameters"))
    return entries[chosen]


def _described(reference: str) -> ModelEntry | None:
    """Describe a model named by a link; None after showing why no chain can start from it."""
    try:
        return compatibility.require_causal_lm(state.describe(reference), "chain")
    except CompatibilityError as error:
        views.problem(error)
        return None


def _anchors(name: str, header: ModelHeader, base: ChainConfig) -> list[Dimensions] | None:
    """Draw depth and intermediate size of every anchor, with the parameters that they give, and return the anchors.

    None for a chain whose anchors have other sizes than these, or are checkpoints: they are shown, and stay as they are.
    """
    there, sizer = header.dimensions, header.parameter_counter()
    own = anchors_of(base, there) if "from" in st.query_params else defaults(there, 2)
    if own is None:
        st.caption("Anchors of this run, kept unchanged by this form:")
        views.text_table(["Anchor", "Given by"], [[str(number), given_by(anchor)] for number, anchor in enumerate(base.chain.anchors, 1)],
                         label="Anchors of the chain")
        return None
    most = min(MOST_ANCHORS, there.layers - 1)
    count = min(len(own), most)
    if most > 1:
        count = st.segmented_control("Anchors below the teacher", range(1, most + 1), default=count, required=True,
                                     key=f"build.count.{most}.{st.query_params.get('from', '')}")
    sizes = []
    for number, suggested in enumerate(own if len(own) == count else defaults(there, count), 1):
        key = f"build.{name}.{count}.{number}.{st.query_params.get('from', '')}"
        depth, width, count_place = st.columns([2, 2, 2], vertical_alignment="bottom")
        layers = depth.number_input(f"Anchor {number}: blocks", 1, there.layers, min(suggested.layers, there.layers), key=f"{key}.layers")
        largest = max(there.intermediate_size, 8)
        neurons = width.number_input("Inner width", 8, largest, min(suggested.intermediate_size, largest), step=8,
                                     key=f"{key}.neurons", help=describe("student.intermediate_size"))
        sizes.append(Dimensions(layers, there.hidden, there.heads, there.key_value_heads, there.head_size, neurons))
        count_place.metric("Parameters", units.count(sizer(sizes[-1])))
    return sizes


def anchors_of(base: ChainConfig, teacher: Dimensions) -> list[Dimensions] | None:
    """Return the anchors of a recipe where depth and intermediate size say everything about them."""
    sizes, above = [], teacher
    for anchor in base.chain.anchors:
        if anchor.model or anchor.parameters or anchor.hidden or base.chain.mode != "nested":
            return None
        above = replace(above, layers=anchor.layers or above.layers, intermediate_size=anchor.intermediate_size or above.intermediate_size)
        sizes.append(above)
    return sizes if len(sizes) <= MOST_ANCHORS else None


def given_by(anchor: AnchorSpec) -> str:
    """Return an anchor in words."""
    given = {key: value for key, value in anchor.model_dump().items() if value is not None}
    return ", ".join(f"{key.replace('_', ' ')} {value:,}" if isinstance(value, int) else f"{key} {value}" for key, value in given.items())


def defaults(teacher: Dimensions, count: int) -> list[Dimensions]:
    """Half of the depth, a quarter of it and so on, at three quarters and then half of the inner width."""
    suggested, depth = [], teacher.layers
    for number in range(count):
        depth = max(1, min(depth // 2, depth - 1))
        share = INNER_SHARES[min(number, len(INNER_SHARES) - 1)]
        neurons = max(8, round(share * teacher.intermediate_size / 8) * 8)
        suggested.append(Dimensions(depth, teacher.hidden, teacher.heads, teacher.key_value_heads, teacher.head_size, neurons))
    return suggested


def shrinking_problem(teacher: Dimensions, sizes: list[Dimensions]) -> str:
    """Return the errors in the order of the anchors; empty when each is smaller than the one above it."""
    for number, (above, below) in enumerate(zip([teacher, *sizes], sizes, strict=False), 1):
        if below == above or below.layers > above.layers or below.intermediate_size > above.intermediate_size:
            return f"Anchor {number} must have no more blocks and neurons than the one above it, and fewer of one of them."
    return ""


def recipe(teacher: str, sizes: list[Dimensions] | None, steps: int, seed: int, name: str,
           base: ExperimentConfig | None = None) -> ExperimentConfig:
    """Return the recipe of `base`, or the house chain's, with these anchors or its own. Raises ConfigError for an impossible name."""
    plain = (base or read_recipe(RECIPE)).to_dict()
    plain |= {"name": name or None, "description": "", "teacher": {"model": teacher}}
    if sizes is not None:
        plain["chain"]["anchors"] = [{"layers": each.layers, "intermediate_size": each.intermediate_size} for each in sizes]
    plain["train"] |= {"max_steps": steps, "seed": seed}
    return parse_recipe(plain)


def _out(config: ExperimentConfig, steps: int, *, disabled: bool) -> None:
    tokens = steps * config.train.per_device_train_batch_size * config.data.block_length
    with st.container(horizontal=True, vertical_alignment="center"):
        start = st.button("Build chain", type="primary", icon=":material/play_arrow:", key="build.start", disabled=disabled)
        st.caption(f"{units.count(tokens)} tokens per anchor, then the curve is measured.", width="content")
    if start:
        views.start_run(config)
    file = f"{config.name or 'chain'}.yaml"
    st.caption("Command line, with this recipe:")
    st.code(f"python -m workbench chain {file}", language="bash")
    st.code(config.to_yaml(), language="yaml", height=220)
    st.download_button("Download the YAML", config.to_yaml(), file_name=file, mime="application/yaml", icon=":material/download:",
                       key="build.yaml", on_click="ignore")
