"""Taking a model along: its zip file, its ONNX export, and the lines that load them elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlencode

import streamlit as st

from core.errors import StillhouseError
from core.models.checkpoints import Task
from core.system.units import format_bytes
from workbench.mounts import download_path
from workbench.screens.shared import background, views
from workbench.store.exports import FORM, export_folder, folder_name

if TYPE_CHECKING:
    from core.models.entries import ModelEntry

# task -> its pipeline, an input, whether Transformers.js runs its export (it asks text generation for a key-value cache)
PIPELINES: dict[Task, tuple[str, str, bool]] = {
    "causal": ("text-generation", '"The film was"', False), "masked": ("fill-mask", '"A [MASK] film."', True),
    "classification": ("text-classification", '"A joy from the first scene to the last."', True),
    "question_answering": ("question-answering", 'question="Who directed it?", context="It was directed by Agnès Varda."', False)}
REQUESTED = "take home.requested"  # in the session state: the models whose export was requested


def downloads(entry: ModelEntry) -> None:
    """Draw what can be taken of a model, and how it is loaded elsewhere; nothing for one that is no folder here."""
    if entry.path is None or not entry.path.is_dir():
        return
    name = folder_name(entry.name)
    st.link_button(f"Download (zip, {format_bytes(entry.size_bytes)})", _address(entry.name, "folder"), icon=":material/download:",
                   help="The Transformers folder: weights, tokenizer, configuration and card. Nothing is uploaded anywhere.")
    if entry.task == "image_classification":
        st.caption("A multilayer perceptron of this project: `config.json` has its sizes, `model.safetensors` its weights.")
        return
    if not entry.heads:
        st.caption("A deep averaging network of this project: importing `core.models.word_average` makes Transformers know it.")
        return
    pipeline, example, in_javascript = PIPELINES[entry.task]
    st.caption("Python: `pip install transformers torch`, unzip, then")
    st.code(python_lines(entry.task, name), language="python")
    if not in_javascript:
        return
    if _onnx(entry):
        st.caption("JavaScript: `npm i @huggingface/transformers`, unzip, then")
        st.code(f'import {{ env, pipeline }} from "@huggingface/transformers";\nenv.localModelPath = "./";\n'
                f'console.log(await (await pipeline("{pipeline}", "{name}", {{ dtype: "q8", local_files_only: true }}))({example}));',
                language="javascript")


def python_lines(task: Task, name: str) -> str:
    """Return the three lines that load the unzipped folder with Transformers and use it once."""
    pipeline, example, _ = PIPELINES[task]
    mask = '.replace("[MASK]", model.tokenizer.mask_token)' if task == "masked" else ""
    return f'from transformers import pipeline\nmodel = pipeline("{pipeline}", model="./{name}")\nprint(model({example}{mask}))'


def _onnx(entry: ModelEntry) -> bool:
    """Draw the download of the ONNX export, or what makes it; return whether it is there."""
    assert entry.path is not None
    folder = export_folder(entry.name, entry.path)
    requested: set[str] = st.session_state.setdefault(REQUESTED, set())
    if folder.is_dir():
        requested.discard(entry.name)
        size = sum(path.stat().st_size for path in folder.glob("*.onnx"))
        st.link_button(f"Download ONNX int8 (zip, {format_bytes(size)})", _address(entry.name, FORM), icon=":material/download:",
                       help="Runs in browsers and on phones, by onnxruntime and Transformers.js.")
        return True
    if entry.name not in requested:
        if st.button("Export to ONNX int8", key=f"onnx.{entry.name}", icon=":material/ios_share:", help=(
                "Writes the graph, quantises it and compares it with PyTorch on held-out film reviews: some seconds for a house model, "
                "a minute for BERT's size.")):
            requested.add(entry.name)
            st.rerun()
        return False
    question = (entry.name, FORM, str(folder))
    try:
        if background.answer(background.exported, *question, meanwhile=f"Exporting {views.plain(entry.name)} …") is not None:
            background.exported.clear(*question)  # the folder answers from now on
            st.rerun()
    except StillhouseError as error:
        requested.discard(entry.name)  # the next click requests it again
        views.problem(error)
    return False


def _address(name: str, form: str) -> str:
    return f"{download_path()}?{urlencode({'model': name, 'form': form})}"
