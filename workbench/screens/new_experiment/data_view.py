"""Which corpus, and what training will see of it: its rows, and one packed block with the tokens that count marked."""

from __future__ import annotations

import html
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import streamlit as st

from core.config import BridgeConfig, DataSpec, ExperimentConfig, ReadingConfig
from core.data import sources
from core.data.formats import known_columns
from core.data.movie_reviews import HOUSE
from core.errors import StillhouseError
from core.system import units
from workbench.screens.new_experiment import wording
from workbench.screens.new_experiment.controls import CONTROLS, bound, draft, helped, keep, section_errors
from workbench.screens.shared import background, state, views
from workbench.screens.shared.uploads import is_upload, upload_button

SHADE, DARKEST = 0.2, 0.5  # opacity of the mark of a token of weight 1, and at most
ROW_CHARACTERS = 240  # of a row that are shown


@dataclass(frozen=True, slots=True)
class DatasetScan:
    """The user's own file, read to its end before anything waits in the queue for it.

    Attributes:
        found: what `workbench.inference.dataset_scan.scan_dataset` returns; None while the file is read, and for other sources.
        waiting: the answer that is awaited.
        problem: why it cannot be used.
    """

    found: Mapping[str, Any] | None = None
    waiting: Future | None = None
    problem: str = ""


def scan(config: ExperimentConfig) -> DatasetScan:
    """Have a file read by the engine process, once for each file and settings."""
    stamp = _stamp(config.data.source)
    if not stamp or isinstance(config, BridgeConfig | ReadingConfig):
        return DatasetScan()
    try:
        teacher = _reader(config)
        here = teacher and state.describe(teacher).present
        question = (config.data.model_dump_json(), state.resolved(teacher) if here else "", config.train.seed, stamp)
        future = background.scan_dataset(*question)
        if not future.done():
            return DatasetScan(waiting=future)
        if future.exception() is not None and not isinstance(future.exception(), StillhouseError):
            background.scan_dataset.clear(*question)
        return DatasetScan(found=future.result())
    except StillhouseError as error:
        return DatasetScan(problem=wording.in_form(error, config.data.source))


def passes(config: ExperimentConfig, found: Mapping[str, Any]) -> str:
    """How many blocks a file gives, and how often the steps go through them; empty where that is not known."""
    if not found.get("blocks"):
        return ""
    train, blocks = config.train, found["blocks"]
    text = f"About {blocks:,} {'block' if blocks == 1 else 'blocks'} of {config.data.block_length} tokens"
    if train.max_steps:
        read = train.max_steps * train.per_device_train_batch_size * train.gradient_accumulation_steps / blocks
        times = f"{read:,.0f}" if read >= 10 else f"{read:.2g}"
        text += f": {train.max_steps:,} steps read them {times} times"
    return f"{text}."


def columns(source: str) -> tuple[str, ...]:
    """Return the columns of a file with a table; empty for anything else."""
    stamp = _stamp(source)
    return _columns(source, stamp) if stamp and Path(source).suffix.lower() != ".txt" else ()


def column_is_ambiguous(source: str) -> bool:
    """Return whether the text column of a file must be chosen by the user."""
    found = columns(source)
    return bool(found) and known_columns(found) is None


@st.cache_data(max_entries=64, show_spinner=False)
def _columns(source: str, stamp: str) -> tuple[str, ...]:
    try:
        return tuple(sources.open_source(DataSpec(source=source)).columns)
    except StillhouseError:
        return ()  # the plan says why


def _stamp(source: str) -> str:
    """Return a stamp that changes with a file; empty for what is no file here."""
    path = Path(os.path.expanduser(source))
    if source in ("", HOUSE) or not os.path.isfile(path):
        return ""
    about = path.stat()
    return f"{about.st_mtime_ns} {about.st_size}"


def _reader(config: ExperimentConfig) -> str:
    """Return the model whose tokenizer cuts the text: the teacher, or the student of one at an address; empty for none."""
    if config.teacher is None:
        return ""
    return config.teacher.model if config.teacher.address is None else config.student.model or ""


def preview(config: ExperimentConfig | None, errors: Mapping[str, str]) -> None:
    """Show an expander that requests the preview when it is opened."""
    if config is None or config.teacher is None or any(path.split(".")[0] == "data" for path in errors):
        return  # the vocabulary that cuts the text into tokens does not exist yet, or the form says already what is wrong
    with st.expander("Preview the data", icon=":material/visibility:", key="data preview", on_change="rerun") as expander:
        if not expander.open:
            return
        try:
            teacher = state.describe(_reader(config))
            if not teacher.present:
                st.caption("The tokens are shown here once the teacher, which cuts them, is on this machine.")
                return
            found = background.answer(background.preview, config.data.model_dump_json(), state.resolved(_reader(config)),
                                      meanwhile="Reading the corpus and cutting it into tokens …")
            if found is not None:
                _found(found, masked=teacher.task == "masked")
        except StillhouseError as error:
            st.error(views.no_images(wording.in_form(error, config.data.source)), icon=":material/error:")


def _found(found: Mapping[str, Any], *, masked: bool) -> None:
    facts = [found["format"], found["column"] and f"from {found['column']}", found["total_rows"] and f"{found['total_rows']:,} rows",
             found["size"] and units.format_bytes(found["size"]), found["note"]]
    st.caption("  ·  ".join(filter(None, facts)))
    rows = [[row_text(each["row"]), f"{each['tokens']:,}", f"{each['counted']:,}"] for each in found["rows"]]
    views.text_table(["First rows", "Tokens", "Can be masked" if masked else "Counted"], rows, label="First rows of the corpus")
    block = found["block"]
    counted = "can be masked and are shaded" if masked else "count in the loss and are shaded, the darker the more"
    st.caption(f"{found['counted_share']:.0%} of the tokens of the first rows {'can be masked' if masked else 'count in the loss'}.")
    st.caption(f"The first packed block: {block['counted']:,} of {block['length']:,} tokens {counted}; {block['padding']:,} are padding.")
    st.html(marked(block["tokens"]))


def row_text(row: Mapping[str, Any]) -> str:
    """Return the beginning of a row as one text: its turns by role, its prompt and completion, or its text."""
    if "messages" in row:
        text = "\n".join(f"{turn['role']}: {turn['content']}" for turn in row["messages"])
    elif "prompt" in row:
        text = f"{row['prompt']}\n→ {row['completion']}"
    else:
        text = row["text"]
    return text if len(text) <= ROW_CHARACTERS else f"{text[:ROW_CHARACTERS].rstrip()} …"


def marked(tokens: Sequence[Mapping[str, Any]]) -> str:
    """Return the tokens as HTML; those that count have a background, the stronger the more weight they have."""
    spans = []
    for token in tokens:
        text = html.escape(token["text"]).replace("\n", "⏎<br>")
        if token["counted"]:
            shade = f"rgba(15,128,119,{min(SHADE * token['weight'] ** 0.5, DARKEST):.2f})"
            spans.append(f'<mark title="weight {token["weight"]:g}" style="background:{shade};color:inherit">{text}</mark>')
        else:
            spans.append(f'<span style="opacity:0.55">{text}</span>')
    return f'<div style="max-height:260px;overflow-y:auto;line-height:1.7;overflow-wrap:anywhere">{"".join(spans)}</div>'


def corpus(errors: dict[str, str], *, keys: bool = False) -> None:
    """Draw the choice of the house corpus, an upload, or any other source by its name."""
    source = draft()["data.source"]
    kind = "house" if source == HOUSE else "other"
    st.segmented_control(CONTROLS["data.source"].label, ("house", "other"), required=True, help=helped("data.source", keys),
                         format_func={"house": "Film reviews (house)", "other": "My own data"}.__getitem__,
                         **bound("corpus kind", kind, _set_corpus_kind))
    if kind == "other":
        st.text_input("File or hub dataset", placeholder="a path, or an id as owner/name",
                      **bound("field.data.source", "" if is_upload(source) else source, _set_source))
        upload_button("Upload", "data file", source, _set_source, "Text, or rows with text, messages, or prompt and completion.")
        if not keys and (draft()["data.column"] or column_is_ambiguous(source)):
            _column(source)
    section_errors(errors, "data", "data.source", "data.column")


def _set_corpus_kind(kind: str) -> None:
    draft()["data.source"] = HOUSE if kind == "house" else ""


def _column(source: str) -> None:
    """Select the text column of a table whose column names are ambiguous."""
    chosen, found = draft()["data.column"], columns(source)
    st.selectbox(CONTROLS["data.column"].label, found if chosen is None or chosen in found else [chosen, *found], index=None,
                 placeholder="Choose the column with the text", help=helped("data.column", keys=False),
                 **bound("simple.column", chosen, keep, "data.column"))


def _set_source(text: str) -> None:
    draft()["data.source"] = text.strip()
    if draft()["data.column"] not in columns(text.strip()):
        draft()["data.column"] = None
