"""Teachers' answers on disk: a table with the measured error of each cache, and deletion with an undo."""

from __future__ import annotations

import streamlit as st

from core.signals.manager import StoredCache, delete_cache, purge_cache, restore_cache, stored_caches
from core.system.paths import signals_dir
from core.system.units import duration, format_bytes
from workbench.screens.shared import state, views
from workbench.store.kept_answers import uses

UNDO = "deleted answers"  # the key of the cache that this session deleted last
FORMS = {"hidden": "hidden states", "top_k": "likeliest tokens", "sampled": "tokens drawn"}
HEAD = ("Teacher", "Form", "Blocks", "Size", "KL to the live teacher", "Same likeliest token", "Teacher's time", "Runs")


def listing() -> None:
    """Draw what is kept, and what can be done with it."""
    found = stored_caches(signals_dir())
    if not found:
        views.empty_state("No answers are kept yet. In New experiment, Advanced, Loss, choose a form of them: the first run "
                          "keeps them, later ones learn from them.", "database")
        st.page_link(state.NEW, label="New experiment", icon=":material/add:")
        return
    used = uses(state.store())
    views.text_table(HEAD, [_row(cache, used.get(cache.name, [])) for cache in found], label="Kept answers")
    st.caption("KL and the share of positions with the same likeliest token: kept against live answers at 1,000 positions, measured when a "
               "cache is built with `python -m workbench signals build RECIPE`; a dash where a run filled it. Of hidden states the KL is "
               "that of all logits, of likeliest tokens that of them and their tail, of tokens drawn that of one draw.")
    st.subheader("Delete", anchor=False)
    for cache in found:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"`{cache.name}`  {views.plain(cache.manifest.key.teacher)}, {describe(cache)}", width="stretch")
            if st.button("Move to the bin", key=f"bin.{cache.name}", icon=":material/delete:", help="Can be undone."):
                delete_cache(signals_dir(), cache.name)
                st.session_state[UNDO] = cache.name
                st.rerun()


def undo_offer() -> None:
    """Draw a notice after a deletion, with a button that undoes it."""
    key = st.session_state.get(UNDO)
    if key is None or not any(cache.deleted and cache.name == key for cache in stored_caches(signals_dir(), deleted=True)):
        return
    with st.container(horizontal=True, vertical_alignment="center", border=True):
        st.markdown(f":material/delete: The answers `{key}` are in the bin.", width="stretch")
        if st.button("Undo", key="undo answers", icon=":material/undo:"):
            restore_cache(signals_dir(), key)
            st.rerun()


def bin_contents() -> None:
    """Draw what was deleted, to be restored or permanently deleted."""
    deleted = [cache for cache in stored_caches(signals_dir(), deleted=True) if cache.deleted]
    if not deleted:
        return
    with st.expander(f"Bin ({len(deleted)})", icon=":material/delete:"):
        for cache in deleted:
            with st.container(horizontal=True, vertical_alignment="center"):
                st.markdown(f"`{cache.name}`  {views.plain(cache.manifest.key.teacher)}, {describe(cache)}", width="stretch")
                if st.button("Restore", key=f"restore.{cache.name}", icon=":material/undo:"):
                    restore_cache(signals_dir(), cache.name)
                    st.rerun()
                if st.button("Delete permanently", key=f"purge.{cache.name}", icon=":material/delete_forever:",
                             help="Deletes the files; the teacher can be queried again."):
                    purge_cache(signals_dir(), cache.name)
                    st.rerun()


def describe(cache: StoredCache) -> str:
    """Return the form, the number of blocks and the size of a cache in words."""
    return f"{form_words(cache)}, {cache.manifest.blocks:,} blocks, {format_bytes(cache.manifest.size)}"


def form_words(cache: StoredCache) -> str:
    """Return the form of a cache with its parameters."""
    form = cache.manifest.key.form
    details = [f"{label} {form[name]:g}" for name, label in (("k", "k"), ("samples", "N"), ("temperature", "T")) if name in form]
    return ", ".join([FORMS[form["form"]], *details])


def _row(cache: StoredCache, runs: list[str]) -> list[str]:
    manifest, error = cache.manifest, cache.manifest.error or {}
    return [manifest.key.teacher, form_words(cache), f"{manifest.blocks:,}", format_bytes(manifest.size),
            f"{error['kl']:.2g} nats" if "kl" in error else "–", f"{error['agreement']:.1%}" if "agreement" in error else "–",
            duration(manifest.seconds), ", ".join(runs) or "none yet"]


def reading_link() -> None:
    """Draw the way to teachers that answer in words."""
    st.page_link(state.READING, label="Reading: a teacher's notes on a text", icon=":material/menu_book:")
