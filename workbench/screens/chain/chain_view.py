"""The page of one chain: which one, how far it is, its lineage, its sizes, what it cost."""

from __future__ import annotations

from contextlib import suppress

import streamlit as st

from core.chains.folder import Chain
from core.config import BridgeConfig, ChainConfig
from core.errors import ConfigError
from core.events import BridgeCorpus
from core.recipe_keys import upgraded
from core.system import units
from workbench.errors import RunNotFoundError
from workbench.screens.chain import created_view, curve_analysis, figures, pictures, recovery_view, size_view
from workbench.screens.shared import fragments, links, results, state, views
from workbench.screens.shared.live_plotly import live_plotly
from workbench.store import Store, chains
from workbench.store.chains import ChainPlace
from workbench.store.records import Run

POLL_SECONDS = 2.0
PICKED = "chain.picked"  # in the session state
MOST_SIZES = 12  # of the cost figure
LESSON = "any-size"


def pick(known: list[ChainPlace]) -> ChainPlace | None:
    """Draw the picker, in step with ``?chain=``, and return the chain; None when there is none at all. Raises ModelNotFoundError."""
    linked, names = st.query_params.get("chain"), [place.name for place in known]
    place = chains.place(linked, state.store()) if linked else None
    if place is not None and place.name not in names:
        known, names = [*known, place], [*names, place.name]  # a folder
    if not known:
        return None
    default = next((each.name for each in known if each.complete), names[0])
    links.follow(PICKED, "chain", default, lambda _: place and place.name)
    if st.session_state[PICKED] not in names:
        st.session_state[PICKED] = default
    if len(known) > 1:  # the address holds a size of the chain that was shown so far
        st.selectbox("Chain", names, key=PICKED, width=320, label_visibility="collapsed",
                     on_change=_forget_size)
    name = st.session_state[PICKED]
    links.keep(PICKED, "chain", name)
    return known[names.index(name)]


def _forget_size() -> None:
    st.query_params.pop("size", None)


def show(place: ChainPlace) -> None:
    """Everything about one chain. Raises CorruptModelError for a damaged one."""
    if not place.complete:
        _unfinished(place)
        return
    chain = _opened(str(place.path), place.name, place.built, _place=place)
    _summary(place, chain)
    teacher = (chain.record.get("config") or {}).get("teacher") or {}
    st.markdown(pictures.lineage(chain, teacher.get("model", "teacher"), chains.created(place), bridge_of(place, state.store())),
                unsafe_allow_html=True)
    size_view.sizes(place, chain)
    created_view.created_models(place, chain)
    recovery_view.recoveries(place, chain)
    _costs(chain)


def bridge_of(place: ChainPlace, store: Store) -> str:
    """Return the source of the texts that the largest anchor was trained on, if it was made by bridge distillation; else an empty text."""
    for parent in place.run.parents.values() if place.run is not None else ():
        with suppress(RunNotFoundError, ConfigError):
            run = store.run(parent.partition(":")[0])
            if isinstance(run.config, BridgeConfig):
                events = store.events(run.id, kind=BridgeCorpus.kind)
                texts = BridgeCorpus.from_dict(events[-1].payload).kept if events else run.config.bridge.texts
                return f"{run.config.bridge.model.rstrip('/').rpartition('/')[2]} wrote {texts:,} texts"
    return ""


@st.cache_resource(max_entries=8, show_spinner=False)
def _opened(path: str, name: str, built: float, _place: ChainPlace) -> Chain:
    return _place.open()


def _summary(place: ChainPlace, chain: Chain) -> None:
    spec = upgraded(chain.record.get("config") or {}).get("chain") or {}
    depths = " → ".join(str(anchor.dimensions.layers) for anchor in chain.anchors)
    teachers = {"predecessor": "each distilled from its predecessor", "largest": "all distilled from the largest"}
    aligned = "hidden states aligned" if chain.aligned else "hidden states not aligned"
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(views.plain("  ·  ".join(filter(None, (
            f"{len(chain.anchors)} anchors of {depths} blocks",
            f"{units.count(chain.anchors[-1].parameters)} to {units.count(chain.anchors[0].parameters)} parameters",
            spec.get("mode", ""), teachers.get(spec.get("teacher", ""), ""), aligned)))), width="content")
        if place.run is not None:
            st.page_link(state.RUN, label="Open run", query_params={"run": place.run.id}, icon=":material/show_chart:")


def lesson() -> None:
    """Draw the way to the lesson on what works and what does not."""
    st.page_link(state.LEARN, label="What works and what does not: a lesson", icon=":material/school:", query_params={"lesson": LESSON})


# ------------------------------------------------------------------------------------------------ unfinished chains


def _unfinished(place: ChainPlace) -> None:
    if place.run is None:
        views.empty_state("This folder holds no finished chain.", "link_off")
        return
    lives = state.lives(place.run)
    fragments.fragment(_progress, run_every=POLL_SECONDS if lives else None)(place.run.id, lives)


def _progress(run_id: str, was_live: bool) -> None:
    with views.errors_shown():
        run = state.store().run(run_id)
        if was_live != state.lives(run):
            st.rerun()
        with st.container(border=True):
            with st.container(horizontal=True, vertical_alignment="center"):
                st.markdown(f"**{run.name}**", width="content")
                views.status_badge(run)
            st.markdown(_how_far(run))
            if was_live:
                share = run.progress.step / run.progress.total if run.progress.total else 0.0
                st.progress(min(share, 1.0), text=results.progress_text(run, state.store().events(run.id, kind="phase")))
            elif run.message:
                st.caption(views.no_images(f"{run.message} {run.hint or ''}"))
            st.page_link(state.RUN, label="Open run", query_params={"run": run.id}, icon=":material/show_chart:")


def _how_far(run: Run) -> str:
    there = len(chains.anchors(ChainPlace(run.name, run.directory, run)))
    wanted = 1 + len(run.config.chain.anchors if isinstance(run.config, ChainConfig) else ())
    then = "Models can be created once all anchors are trained and evaluated."
    return f"{there} of {wanted} anchors are ready. {then}" if state.lives(run) else (
        f"This chain is not finished: {there} of {wanted} anchors are ready. Resume its run to continue from the last checkpoint.")


# ------------------------------------------------------------------------------------------------ costs


def _costs(chain: Chain) -> None:
    spent = curve_analysis.costs(chain)
    if spent is None:
        return
    st.subheader("Training cost", anchor=False)
    st.markdown(curve_analysis.describe_costs(spent, MOST_SIZES))
    for column, unit in zip(st.columns(2, gap="large"), ("tokens", "seconds"), strict=True):
        with column:
            live_plotly(figures.ledger(spent, unit, MOST_SIZES), key=f"ledger.{unit}", label=f"Cost in {unit} over the number of sizes")
    st.caption("The chain's costs are measured. A direct distillation is estimated at the mean cost of one anchor of this chain; it would "
               "train a model at its size, whereas a model created on demand has no training of its own. The teacher processes every "
               "token that the student processes.")
