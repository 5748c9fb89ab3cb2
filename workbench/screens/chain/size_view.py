"""Any size between the anchors: the slider, the solver's answer, its place on the curve, and the button that creates the model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from core.chains.folder import Chain, Target
from core.errors import StillhouseError
from core.system import units
from workbench.inference import client
from workbench.screens.chain import curve_analysis, figures, pictures
from workbench.screens.chain.curve_analysis import INTERPOLATION, SUBSTITUTION
from workbench.screens.shared import background, fragments, links, state, views
from workbench.screens.shared.live_plotly import live_plotly
from workbench.store import chains
from workbench.store.chains import ChainPlace

if TYPE_CHECKING:
    from core.chains.on_demand import Method

CREATED_LAST = "chain.created last"  # in the session state
METHODS: dict[Method, str] = {SUBSTITUTION: "Substitution", INTERPOLATION: "Interpolation"}


def sizes(place: ChainPlace, chain: Chain) -> None:
    """Draw the section; moving the slider redraws only this part."""
    background.warmed(chain.folder(len(chain.anchors) - 1))  # the first size then does not wait for torch
    st.subheader("Any size between the anchors", anchor=False)
    fragments.fragment(_sizes)(place, chain)


def _sizes(place: ChainPlace, chain: Chain) -> None:
    with views.errors_shown():
        requested = _slider(chain, place, _selectable_sizes(str(place.path), place.built, _chain=chain))
        target = target_of(chain, place, requested)
        left, right = st.columns([5, 7], gap="large")
        with left:
            method, alpha = _answer(chain, target)
            _nearby(chain, target)
            _make(place, chain, target, requested, method, alpha)
        with right:
            _figures(place, chain, target, method)


def target_of(chain: Chain, place: ChainPlace, parameters: int) -> Target:
    """`Chain.target`, remembered: it searches every valid shape."""
    return _target(str(place.path), place.built, parameters, _chain=chain)


@st.cache_resource(max_entries=2000, show_spinner=False)
def _target(path: str, built: float, parameters: int, _chain: Chain) -> Target:
    return _chain.target(parameters=parameters)


@st.cache_resource(max_entries=8, show_spinner=False)
def _selectable_sizes(path: str, built: float, _chain: Chain) -> list[int]:
    return curve_analysis.selectable_sizes(_chain)


def _slider(chain: Chain, place: ChainPlace, options: list[int]) -> int:
    """Return the requested parameter count, which the page's address carries."""
    def existing(parameters: int) -> int:
        low, high = options[0], options[-1]
        return target_of(chain, place, min(max(parameters, low), high)).parameters

    key = f"size.{chain.reference}"
    links.follow(key, "size", curve_analysis.nearest(options, _beginning(chain)),
                 lambda text: existing(int(text)) if text.isdecimal() else None)
    st.session_state[key] = existing(st.session_state[key])  # the chain may have been rebuilt
    # A size from a link or an offer may stand between the slider's.
    requested = st.select_slider("Parameters", sorted({*options, st.session_state[key]}), key=key, format_func=units.count,
                                 help="From the smallest to the largest anchor; every step is a size that exists.")
    links.keep(key, "size", requested, str(requested))
    return requested


def _beginning(chain: Chain) -> int:
    """Half-way between the two largest anchors: a size that is neither."""
    return (chain.anchors[0].parameters + chain.anchors[1].parameters) // 2


# ---------------------------------------------------------------------------------------------------- the answer


def _answer(chain: Chain, target: Target) -> tuple[Method, float | None]:
    """Show the resolved shape and the method; return the method and alpha."""
    shape, anchor = target.dimensions, curve_analysis.anchor_at(chain, target)
    large, small = curve_analysis.anchors_around(chain, target)
    facts: dict[str, int | str] = {"Blocks": shape.layers, "Width": shape.hidden, "Inner width": shape.intermediate_size,
             "Parameters": units.count(target.parameters), "In 16 bit": units.format_bytes(2 * target.parameters)}
    with st.container(horizontal=True, gap="small", key="answer"):
        for label, value in facts.items():
            st.metric(label, value, width="content")
    if anchor is not None:
        st.markdown(f"This is **anchor {anchor.number}** itself.")
        return (SUBSTITUTION if chain.aligned else INTERPOLATION), None if chain.aligned else chain.default_alpha(target)
    st.caption(f"Between anchor {large.number} ({units.count(large.parameters)}, {large.dimensions.layers} blocks) and anchor "
               f"{small.number} ({units.count(small.parameters)}, {small.dimensions.layers} blocks); {shape.heads} heads of "
               f"{shape.head_size} channels.")
    picture = st.container()
    method, alpha = _method(chain, target)
    with picture:
        if alpha is None:  # substitution averages nothing
            st.markdown(pictures.composition(chain, target), unsafe_allow_html=True)
            st.caption(pictures.describe(chain, target))
        else:
            st.latex(rf"\theta = {alpha:.2f}\,\mathrm{{Trans}}(\theta_{{\mathrm{{anchor\ {small.number}}}}}) + "
                     rf"{1 - alpha:.2f}\,\mathrm{{Trans}}(\theta_{{\mathrm{{anchor\ {large.number}}}}})")
    return method, alpha


def _nearby(chain: Chain, target: Target) -> None:
    """Say which sizes lie beside this one, and offer one within 3% that is expected to be better."""
    below, above = chain.neighbours(target)
    beside = " and ".join(f"{count:,}" for count in (below, above) if count is not None)
    st.caption(f"Next sizes: {beside} parameters.")
    better = chain.better_nearby(target)
    if better is None:
        return
    there, here = chain.attained(better), chain.attained(target)
    st.caption(f"{better.parameters:,} parameters, within 3% of this size, are expected to be better: {there:.3f} in place of {here:.3f} "
               "nats/token, estimated from measured shapes.")
    st.button(f"Use {better.parameters:,} instead", key="better", icon=":material/trending_down:", type="tertiary",
              on_click=_request, args=(chain, better.parameters))


def _request(chain: Chain, parameters: int) -> None:
    st.session_state[f"size.{chain.reference}"] = parameters


def _method(chain: Chain, target: Target) -> tuple[Method, float | None]:
    offered: list[Method] = [SUBSTITUTION, INTERPOLATION] if chain.ends(target.larger_anchor) is not None else [INTERPOLATION]
    default = round(chain.default_alpha(target), 2)
    with st.expander("Method", icon=":material/tune:", expanded=len(offered) == 1):
        method = st.segmented_control("Method", offered, default=offered[0], required=True, key="chain.method",
                                      format_func=METHODS.__getitem__, label_visibility="collapsed")
        if method == SUBSTITUTION:
            st.caption("Blocks of the smaller anchor are replaced by the teacher layers they were aligned with; no weights are "
                       "averaged. At one width this is Boomerang distillation ([2510.05064](https://arxiv.org/abs/2510.05064)).")
            return method, None
        st.caption("The weights of both anchors, resized to this shape, are averaged "
                   "([2605.07783](https://arxiv.org/abs/2605.07783), equation 3).")
        own = st.toggle("Set alpha manually", key="chain.own alpha", help="Off: from the relative distance in parameters.")
        alpha = st.slider("alpha: share of the smaller anchor", 0.0, 1.0, default, 0.01, key=f"alpha.{target.parameters}", disabled=not own)
    return method, alpha if own else chain.default_alpha(target)


# ---------------------------------------------------------------------------------------------------- creating the model


def _make(place: ChainPlace, chain: Chain, target: Target, requested: int, method: Method, alpha: float | None) -> None:
    name = chains.created_name(place, target, method, alpha)
    model = chains.read_created(place.generated_dir / name)
    there = model is not None and not chains.outdated(model, place)
    if there:
        st.success(f"Created: **{views.plain(name)}**. Its metrics are shown below.", icon=":material/check_circle:")
        return
    anchor = curve_analysis.anchor_at(chain, target)
    about = "Built from the two anchors, without training." if anchor is None else f"Anchor {anchor.number} already has this size."
    if st.button("Create model", type="primary", icon=":material/bolt:", key="make", help=about, disabled=anchor is not None):
        with views.errors_shown():
            make(place, chain, target, requested, method, alpha)
            st.rerun()


def make(place: ChainPlace, chain: Chain, target: Target, requested: int, method: Method, alpha: float | None) -> None:
    """Create a model in the engine process and select it on the page. Raises what the engine raises."""
    name = chains.created_name(place, target, method, alpha)
    folder = place.generated_dir / name
    model = chains.read_created(folder)
    if model is not None and chains.outdated(model, place):
        chains.bin_created(model)
    with st.spinner("Creating the model …", show_time=True):
        client.engine().make_size(chain, target, folder, method=method, alpha=alpha)
    chains.update_record(folder, requested_size=requested)
    background.measured_size.clear()  # an earlier model may have had the same folder
    state.forget_models()
    st.session_state[CREATED_LAST] = name


def measured(place: ChainPlace, chain: Chain, model: chains.CreatedModel) -> dict[str, float] | None:
    """Return its losses and its baselines'; None while they are being measured."""
    if model.losses:
        return model.losses
    try:
        losses = background.answer(background.measured_size, str(place.path), chain.reference, str(model.folder), model.target,
                                   meanwhile="Evaluating the model and its baselines on held-out text …")
    except StillhouseError as error:
        views.problem(error)
        return None
    if losses is not None:
        chains.update_record(model.folder, losses=losses)
        st.rerun()  # the lineage and the curve stand above
    return None


# ---------------------------------------------------------------------------------------------------- the curve


def _figures(place: ChainPlace, chain: Chain, target: Target, method: str) -> None:
    if not chain.curve:
        views.empty_state("No curve was measured for this chain: chain.curve_points was 0.", "show_chart")
        return
    draw = {"Size and quality": lambda: _curve(place, chain, target, method), "Alpha": lambda: _sweep(chain, target)}
    for tab, name in zip(st.tabs(list(draw), key="chain.figures", on_change="rerun"), draw, strict=True):
        if tab.open:  # a figure in a hidden tab would be sized wrongly
            with tab:
                draw[name]()


def _sweep(chain: Chain, target: Target) -> None:
    point = curve_analysis.nearest_point(chain, target)
    if point is None or not point.alphas:
        views.empty_state("No alpha sweep was run between these anchors.", "show_chart")
        return
    live_plotly(figures.alpha_sweep(chain, point), key=f"sweep.{chain.reference}", label="Validation loss over alpha")
    st.markdown(curve_analysis.describe_sweep(chain, point))


def _curve(place: ChainPlace, chain: Chain, target: Target, method: str) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        logarithmic = st.toggle("Logarithmic", key="chain.logarithmic")
        everything = st.toggle("All methods and baselines", key="chain.everything",
                               help="Off: the chosen method, the nearest anchor unchanged, and the anchors.")
    expected = curve_analysis.expected_loss(chain, target.parameters, method)
    created = {model.name: (model.target.parameters, model.losses["this"]) for model in chains.created(place) if model.losses}
    live_plotly(figures.size_quality(chain, size=target.parameters, expected=expected, created=created,
                                     method=method, logarithmic=logarithmic, everything=everything),
                key=f"curve.{chain.reference}.{logarithmic}", label=f"Validation loss over parameters of the chain {chain.reference}")
    level = figures.random_level(chain)
    if expected is not None and curve_analysis.anchor_at(chain, target) is None:
        large, small = curve_analysis.anchors_around(chain, target)
        st.markdown(f"Expected loss with {method}: about **{expected:.2f} nats/token**, interpolated between measured sizes; "
                    f"anchor {large.number} has {large.validation_loss:.2f} and anchor {small.number} {small.validation_loss:.2f}. "
                    f"{curve_analysis.advice(chain, target, expected)}")
    if level is not None:
        st.caption(f"Only the anchors are trained. Randomly initialised models of the same shapes have a loss of {level:.2f} nats/token, "
                   "off the scale of this figure.")
