"""The models created from a chain: their losses, and the actions on them."""

from __future__ import annotations

import io
import math
import shlex
import zipfile
from pathlib import Path

import streamlit as st

from core.chains.folder import Chain
from core.system import units
from workbench.screens.chain import curve_analysis, recovery_view, size_view
from workbench.screens.shared import panes, state, views
from workbench.screens.shared.downloads import download
from workbench.store import chains
from workbench.store.chains import BinnedModel, ChainPlace, CreatedModel

BINNED = "chain.binned"  # in the session state: the folder of the model that went into the bin last
# Rows of the table, in this order; {large} and {small} are the numbers of the anchors.
WHO = {"this": "this model", "larger_anchor": "anchor {large}, the larger one", "smaller_anchor": "anchor {small}, the smaller one",
       "alpha_0": "anchor {large} pruned to this size", "alpha_1": "anchor {small} expanded to this size",
       "copied": "anchor {small} expanded by duplicating its blocks",
       "random": "random initialisation of this shape"}


def created_models(place: ChainPlace, chain: Chain) -> None:
    """Draw one frame per model, the latest one open; then the bin."""
    models, binned = chains.created(place), chains.binned_created(place)
    if models or binned:
        st.subheader("Models created from this chain", anchor=False)
    _undo_offer(binned)
    _models(place, chain, models)
    _bin(binned)


def _undo_offer(binned: list[BinnedModel]) -> None:
    """Draw a notice after a removal, with a button that undoes it."""
    last = next((each for each in binned if str(each.model.folder) == st.session_state.get(BINNED)), None)
    if last is None:
        return
    with st.container(horizontal=True, vertical_alignment="center", border=True):
        st.markdown(f":material/delete: **{views.plain(last.model.name)}** is in the bin.", width="stretch")
        if st.button("Undo", key="undo.created", icon=":material/undo:"):
            _restore(last)


def _restore(binned: BinnedModel) -> None:
    with views.errors_shown():
        chains.restore_created(binned)
        st.session_state[size_view.CREATED_LAST] = binned.model.name
        state.forget_models()
        st.rerun()


def _bin(binned: list[BinnedModel]) -> None:
    """Draw the removed models, each to be restored or permanently deleted."""
    if not binned:
        return
    with st.expander(f"Bin ({len(binned)})", icon=":material/delete:", key="bin.created"):
        for each in binned:
            stamp = each.model.folder.parent.name
            with st.container(horizontal=True, vertical_alignment="center"):
                st.markdown(f"**{views.plain(each.model.name)}**  :gray[removed {views.ago(each.deleted)}]", width="stretch")
                if st.button("Restore", key=f"restore.{stamp}", icon=":material/undo:"):
                    _restore(each)
                if st.button("Delete permanently", key=f"purge.{stamp}", icon=":material/delete_forever:",
                             help="Deletes the model folder."):
                    with views.errors_shown():
                        chains.delete_created(each)
                        st.rerun()


def _models(place: ChainPlace, chain: Chain, models: list[CreatedModel]) -> None:
    if not models:
        return
    last = st.session_state.get(size_view.CREATED_LAST, models[0].name)
    for model in models:
        sizes = model.target.dimensions
        loss = f", loss {model.losses['this']:.3f}" if model.losses else ""
        label = f"**{views.plain(model.name)}**  ·  {sizes.layers} blocks × {sizes.hidden} × {sizes.intermediate_size}{loss}"
        with st.expander(label, expanded=model.name == last, key=f"created.{model.name}"):
            _model(place, chain, model)


def _model(place: ChainPlace, chain: Chain, model: CreatedModel) -> None:
    large, small = curve_analysis.anchors_around(chain, model.target)
    if chains.outdated(model, place):
        st.warning("The chain was rebuilt after this model was created.", icon=":material/history:")
    else:
        losses = size_view.measured(place, chain, model)
        if losses is not None:
            rows = table(losses, chain, model)
            views.text_table(["On the chain's held-out text", "Parameters", "Loss (nats/token)", "Perplexity"], rows, numbers=True,
                             label=f"Losses of {model.name} and its baselines")
    with st.container(horizontal=True):
        if st.button("Chat with this model and its anchors", key=f"chat.{model.name}", type="primary", icon=":material/forum:"):
            panes.open_with([f"{place.name}:{large.number}", model.name, f"{place.name}:{small.number}"])
        with st.popover("Recovery training", icon=":material/healing:", key=f"recover.{model.name}"):
            recovery_view.form(place, chain, model)
        download("Export", lambda: zipped(model.folder), file_name=f"{model.name}.zip", mime="application/zip",
                 key=f"export.{model.name}", help="The model folder as a zip file, loadable with Transformers.")
        if st.button("Remove", key=f"remove.{model.name}", icon=":material/delete:", help="Moves it to the bin."):
            with views.errors_shown():
                st.session_state[BINNED] = str(chains.bin_created(model).model.folder)
                state.forget_models()
                st.rerun()
    st.caption("Model folder, and the command that recreates it:")
    st.code(str(model.folder), language=None, wrap_lines=True)
    st.code(command(place, model), language="bash", wrap_lines=True)


def table(losses: dict[str, float], chain: Chain, model: CreatedModel) -> list[list[str]]:
    """Return the rows of a created model's table: itself, both anchors, the baselines of its size."""
    large, small = curve_analysis.anchors_around(chain, model.target)
    counts = {"larger_anchor": large.parameters, "smaller_anchor": small.parameters}
    return [[label.format(large=large.number, small=small.number), units.count(counts.get(who, model.target.parameters)),
             f"{losses[who]:.3f}", f"{math.exp(losses[who]):,.1f}" if losses[who] < 20 else "–"]
            for who, label in WHO.items() if who in losses]


def command(place: ChainPlace, model: CreatedModel) -> str:
    """Return the command that recreates it."""
    way = [] if model.alpha is None else ["--alpha", f"{model.alpha:.6g}"]
    size = ["--params", str(model.requested_size)]
    return shlex.join(["python", "-m", "workbench", "interpolate", place.name, *size, *way, "--out", model.name])


def zipped(folder: Path) -> bytes:
    """Return a model folder as an uncompressed zip archive: weights do not compress."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED, strict_timestamps=False) as file:
        for path in sorted(folder.iterdir()):
            file.write(path, f"{folder.name}/{path.name}")
    return archive.getvalue()
