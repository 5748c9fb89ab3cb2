"""The models that were made from a chain: how good each is, and what can be done with it."""

from __future__ import annotations

import io
import math
import shlex
import zipfile
from pathlib import Path

import streamlit as st

from core import quantities
from core.chains import Chain
from workbench.screens.chain import findings, size_view
from workbench.screens.shared import state, views
from workbench.store import chains
from workbench.store.chains import ChainPlace, MadeModel

RECOVERY_STEPS = 200
# Who is in the table, in this order; {large} and {small} are the numbers of the anchors.
WHO = {"this": "this model", "larger_anchor": "anchor {large}, the larger one", "smaller_anchor": "anchor {small}, the smaller one",
       "alpha_0": "anchor {large} cut down to this size", "alpha_1": "anchor {small} expanded to this size",
       "copied": "anchor {small} expanded by copies of its blocks",
       "random": "new weights of this shape"}


def made_models(place: ChainPlace, chain: Chain) -> None:
    """One frame a model, the one made last open."""
    models = chains.made(place)
    if not models:
        return
    st.subheader("Made from this chain", anchor=False)
    last = st.session_state.get(size_view.MADE_LAST, models[0].name)
    for model in models:
        sizes = model.target.dimensions
        loss = f", loss {model.losses['this']:.3f}" if model.losses else ""
        label = f"**{views.plain(model.name)}**  ·  {sizes.layers} blocks × {sizes.hidden} × {sizes.neurons}{loss}"
        with st.expander(label, expanded=model.name == last, key=f"made.{model.name}"):
            _model(place, chain, model)


def _model(place: ChainPlace, chain: Chain, model: MadeModel) -> None:
    large, small = findings.bracket(chain, model.target)
    if chains.outdated(model, place):
        st.warning("The chain was built anew since this was made from it.", icon=":material/history:")
    else:
        losses = size_view.measured(place, chain, model)
        if losses is not None:
            rows = table(losses, chain, model)
            views.text_table(["On the chain's held-out text", "Parameters", "Loss (nats/token)", "Perplexity"], rows, numbers=True,
                             label=f"Losses of {model.name} and what it is held against")
    with st.container(horizontal=True):
        if st.button("Chat with it beside its neighbours", key=f"chat.{model.name}", type="primary", icon=":material/forum:"):
            st.switch_page(state.COMPARE, query_params={"models": ",".join(
                (f"{place.name}:{large.number}", model.name, f"{place.name}:{small.number}"))})
        if st.button("Recover it", key=f"recover.{model.name}", icon=":material/healing:",
                     help=f"A short distillation from anchor {large.number}, with a control: opens the form, filled in."):
            st.switch_page(state.NEW, query_params={"recipe": "quickstart", "set": recovery(place, model, large.number)})
        st.download_button("Export", lambda: zipped(model.folder), file_name=f"{model.name}.zip", mime="application/zip",
                           key=f"export.{model.name}", icon=":material/download:", on_click="ignore",
                           help="The model folder as a zip; Transformers loads it.")
        with st.popover("Remove", icon=":material/delete:", key=f"remove.{model.name}"):
            st.markdown(f"Removes the folder of **{views.plain(model.name)}**. It can be made again.")
            if st.button("Remove for good", key=f"removed.{model.name}", icon=":material/delete_forever:"):
                chains.remove_made(model)
                state.forget_models()
                st.rerun()
    st.caption("Its folder, and the line that makes it again:")
    st.code(str(model.folder), language=None, wrap_lines=True)
    st.code(command(place, model), language="bash", wrap_lines=True)


def table(losses: dict[str, float], chain: Chain, model: MadeModel) -> list[list[str]]:
    """The rows of a made model's table: itself, both anchors, the baselines of its size."""
    large, small = findings.bracket(chain, model.target)
    counts = {"larger_anchor": large.parameters, "smaller_anchor": small.parameters}
    return [[label.format(large=large.number, small=small.number), quantities.count(counts.get(who, model.target.parameters)),
             f"{losses[who]:.3f}", f"{math.exp(losses[who]):,.1f}" if losses[who] < 20 else "–"]
            for who, label in WHO.items() if who in losses]


def recovery(place: ChainPlace, model: MadeModel, teacher: int) -> list[str]:
    """What a link sets in the form of a new experiment to train a made model on: a short run from the larger anchor."""
    return [f"name={model.name}-recovered", f"teacher.model={place.name}:{teacher}", f"student.model={model.folder}", "student.layers=null",
            f"train.max_steps={RECOVERY_STEPS}", "control=true"]


def command(place: ChainPlace, model: MadeModel) -> str:
    """The line that makes it again."""
    way = [] if model.alpha is None else ["--alpha", f"{model.alpha:.6g}"]
    return shlex.join(["python", "-m", "workbench", "interpolate", place.name, "--params", str(model.asked), *way, "--out", model.name])


def zipped(folder: Path) -> bytes:
    """A model folder as a zip archive; weights do not compress, so nothing is."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as file:
        for path in sorted(folder.iterdir()):
            file.write(path, f"{folder.name}/{path.name}")
    return archive.getvalue()
