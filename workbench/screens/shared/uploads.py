"""Corpora given through the browser, kept in the home folder under names that say what is in them."""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Callable
from pathlib import Path

import streamlit as st

from core.system.files import unique_suffix
from workbench import paths
from workbench.errors import StoreUnavailableError
from workbench.screens.shared import views

DATA_TYPES = ("txt", "jsonl", "json", "csv", "tsv", "parquet")


def upload_button(label: str, key: str, source: str, set_source: Callable[[str], None], help: str | None = None) -> None:
    """Draw the upload of a data file, and the name of the one that is chosen.

    Args:
        source: what is chosen now, an upload or not.
        set_source: receives the path of a new upload, after which the page is drawn again.
    """
    handled = f"{key} handled"  # in the session state: a removed file does not come back with the next rerun
    file = st.file_uploader(label, type=list(DATA_TYPES), key=key, help=help)
    if file is not None and st.session_state.get(handled) != file.file_id:
        set_source(str(save_upload(file.name, file.getvalue())))
        st.session_state[handled] = file.file_id
        st.rerun()
    if is_upload(source):
        show_upload(source)


def show_upload(source: str) -> None:
    """Draw the name of an uploaded file."""
    st.caption(f":material/description: {views.plain(shown_name(source))}")


def is_upload(source: str) -> bool:
    """Whether a corpus came through the browser."""
    return Path(source).parent == paths.uploads_dir()


def shown_name(source: str) -> str:
    """Return a corpus's name for users: an upload's file name, anything else as it was given."""
    return re.sub(r"-[0-9a-f]{10}(?=\.\w+$)", "", Path(source).name) if is_upload(source) else source


def save_upload(name: str, content: bytes) -> Path:
    """Keep a file; the same content is kept once. Raises StoreUnavailableError when it cannot be written."""
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", Path(name).stem)[:60].strip("-.") or "data"
    path = paths.uploads_dir() / f"{stem}-{hashlib.sha256(content).hexdigest()[:10]}{Path(name).suffix.lower()}"
    if path.exists():
        return path
    partial = path.with_suffix(f".{unique_suffix()}.partial")  # two may upload the same at once
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(content)
        partial.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise StoreUnavailableError(f"'{name}' cannot be kept in {path.parent}: {(error.strerror or str(error)).lower()}.",
                                    "A folder that can be written, with free space, was expected.",
                                    "Free some space and upload it again.") from error
    return path
