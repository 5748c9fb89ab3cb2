"""What training will see: rows of the corpus, and one packed block with the tokens that count marked."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from core import quantities
from core.config import ExperimentConfig
from core.errors import StillhouseError
from workbench.screens.shared import background, state, views

SHADE, DARKEST = 0.2, 0.5  # opacity of the mark of a token of weight 1, and at most
ROW_CHARACTERS = 240  # of a row that are shown


def preview(config: ExperimentConfig) -> None:
    """An expander that asks for the preview when it is opened."""
    if config.teacher is None:
        return  # the vocabulary that cuts the text into tokens does not exist yet
    with st.expander("Preview the data", icon=":material/visibility:", key="data preview", on_change="rerun") as expander:
        if not expander.open:
            return
        try:
            if not state.describe(config.teacher.model).present:
                st.caption("The tokens are shown here once the teacher, which cuts them, is on this machine.")
                return
            found = background.answer(background.preview, config.data.model_dump_json(), state.resolved(config.teacher.model),
                                      meanwhile="Reading the corpus and cutting it into tokens …")
            if found is not None:
                _found(found)
        except StillhouseError as error:
            views.problem(error)


def _found(found: Mapping[str, Any]) -> None:
    facts = [found["format"], found["column"] and f"from {found['column']}", found["total_rows"] and f"{found['total_rows']:,} rows",
             found["size"] and quantities.size(found["size"])]
    st.caption("  ·  ".join(filter(None, facts)))
    rows = [[row_text(each["row"]), f"{each['tokens']:,}", f"{each['counted']:,}"] for each in found["rows"]]
    views.text_table(["First rows", "Tokens", "Counted"], rows, label="First rows of the corpus")
    block = found["block"]
    st.caption(f"The first packed block: {block['counted']:,} of {block['length']:,} tokens count in the loss and are shaded, "
               f"the darker the more; {block['padding']:,} are padding.")
    st.html(marked(block["tokens"]))


def row_text(row: Mapping[str, Any]) -> str:
    """The beginning of a row as one text: its turns by role, its prompt and completion, or its text."""
    if "messages" in row:
        text = "\n".join(f"{turn['role']}: {turn['content']}" for turn in row["messages"])
    elif "prompt" in row:
        text = f"{row['prompt']}\n→ {row['completion']}"
    else:
        text = row["text"]
    return text if len(text) <= ROW_CHARACTERS else f"{text[:ROW_CHARACTERS].rstrip()} …"


def marked(tokens: Sequence[Mapping[str, Any]]) -> str:
    """The tokens as HTML; those that count have a background, the stronger the more weight they have."""
    spans = []
    for token in tokens:
        text = html.escape(token["text"]).replace("\n", "⏎<br>")
        if token["counted"]:
            shade = f"rgba(15,128,119,{min(SHADE * token['weight'] ** 0.5, DARKEST):.2f})"
            spans.append(f'<mark title="weight {token["weight"]:g}" style="background:{shade};color:inherit">{text}</mark>')
        else:
            spans.append(f'<span style="opacity:0.55">{text}</span>')
    return f'<div style="max-height:260px;overflow-y:auto;line-height:1.7;overflow-wrap:anywhere">{"".join(spans)}</div>'
