"""Export a model: make the files, check them against torch, and only then give the folder its name."""

from __future__ import annotations

import json
import math
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import CompatibilityError, ConfigError, CorruptModelError, ExportError
from core.export import FORMS, Form
from core.export.agreement import Agreement
from core.models import catalog
from core.models.vocabulary import require_tokenizer_fits
from core.system.files import atomic_directory
from core.system.provenance import git_commit, versions
from core.system.threads import torch_threads

if TYPE_CHECKING:
    from core.export.sessions import OnnxModel
    from core.models.entries import LoadedModel, ModelEntry

FILES = {"onnx": "model.onnx", "onnx-int8": "model.int8.onnx"}
RECORD = "export.json"
TOLERANCE = 1e-3  # logits; float32 in another order of operations differs by about 1e-5
COPIED = ("*.json", "*.safetensors", "*.model", "*.txt", "*.jinja", "*.md", "LICENSE*", "*.yaml")  # of a model folder; never a pickle

ProgressCallback = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Measured:
    """One form of a model.

    Attributes:
        bytes: the weights' file or files.
        milliseconds: median for one text of at most 32 tokens, on one thread of this machine; all forms timed in turns.
        agreement: with torch on held-out film reviews; None for torch itself.
    """

    bytes: int
    milliseconds: float
    agreement: Agreement | None


@dataclass(frozen=True, slots=True)
class Exported:
    """What an export came to; `export.json` in its folder.

    Attributes:
        model: the reference.
        form: what it was exported as.
        file: name of the ONNX file; None for a folder.
        task, architecture, parameters, weights: of the model; `weights` are 12 hexadecimal digits.
        context: tokens; the longest text.
        forms: ``torch``, ``onnx`` and, if requested, ``onnx-int8`` -> what was measured; empty for a folder.
        versions, git_commit: what it was made with.
    """

    model: str
    form: Form
    file: str | None
    task: str
    architecture: str
    parameters: int
    weights: str
    context: int
    forms: dict[str, Measured]
    versions: dict[str, str]
    git_commit: str | None


def export(reference: str, form: Form, out: Path, *, name: str | None = None, say: ProgressCallback = lambda text: None) -> Exported:
    """Write a model in another form into the new folder `out`.

    Args:
        reference: as `core.models.catalog` knows it.
        name: what it is called in the record (default: the reference).
        say: called with what is done now.

    Raises:
        ConfigError: a folder that is there already.
        ExportError: it cannot be written as ONNX, or what was written does not say what the model says; nothing is left behind.
        ModelError, NetworkError, DiskFullError: as `core.models.catalog.load` does.
        CompatibilityError: a masked-language model whose tokenizer has no mask token.
    """
    if form not in FORMS:
        raise ConfigError(f"The format '{form}' was given.", f"One of {', '.join(FORMS)} was expected.")
    out = Path(os.path.expanduser(out)).absolute()
    if out.exists():
        raise ConfigError(f"'{out}' is there already.", "A folder that does not exist yet was expected.", "Give another one.")
    name = name or reference
    if form == "folder":
        return _copy(reference, out, name)
    return _export_onnx(_load(reference, say), form, out, name, say)


def onnx_models(loaded: LoadedModel, work: Path, *, threads: int = 1, say: ProgressCallback = lambda text: None) -> dict[str, OnnxModel]:
    """Return a model as ``onnx`` and ``onnx-int8``, checked against torch and ready to be called and timed.

    Args:
        loaded: on the processor, in float32.
        work: an existing folder; the two files stay there for as long as the models are used.
        threads: that each computes with.

    Returns:
        Form -> ``model(input_ids, attention_mask[, token_type_ids]) -> logits``; ``model.bytes`` is the file's size.

    Raises:
        As `export` does.
    """
    return _make(_with_mask(loaded), work, ("onnx", "onnx-int8"), say, threads)[1]


def read_exported(folder: Path) -> Exported:
    """Return the record of an export. Raises CorruptModelError when the folder holds none."""
    try:
        plain = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        forms = {form: Measured(measured["bytes"], measured["milliseconds"], measured["agreement"] and Agreement(**measured["agreement"]))
                 for form, measured in plain["forms"].items()}
        return Exported(**{**plain, "forms": forms})
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CorruptModelError(f"'{folder}' holds no export.", f"A readable file {RECORD} was expected.",
                                "Remove that folder, and export the model again.") from error


# ---------------------------------------------------------------------------------------------------- ONNX


def _load(reference: str, say: ProgressCallback) -> LoadedModel:
    import torch

    say("Loading the model")
    loaded = catalog.load(reference, dtype=torch.float32)
    require_tokenizer_fits(loaded.tokenizer, loaded.model, loaded.entry.name)
    return _with_mask(loaded)


def _with_mask(loaded: LoadedModel) -> LoadedModel:
    if loaded.entry.task == "masked" and loaded.tokenizer.mask_token_id is None:
        raise CompatibilityError(f"The tokenizer of '{loaded.entry.name}' has no mask token.",
                                 "A masked-language model's tokenizer was expected.",
                                 "Save the tokenizer that the model was trained with into its folder.")
    return loaded


def _export_onnx(loaded: LoadedModel, form: Form, out: Path, name: str, say: ProgressCallback) -> Exported:
    made = ("onnx",) if form == "onnx" else ("onnx", "onnx-int8")
    with atomic_directory(out, _room(loaded.entry, made)) as folder, _scratch(out) as scratch:
        forms, _ = _make(loaded, scratch, made, say)
        shutil.move(scratch / FILES[form], folder / FILES[form])
        loaded.model.config.save_pretrained(folder)
        loaded.tokenizer.save_pretrained(folder)
        _copy_files(loaded.entry, folder, ("README.md", "LICENSE*"))
        exported = replace(_record(loaded.entry, name, form), file=FILES[form], forms=forms)
        _write_record(exported, folder)
    return exported


def _make(loaded: LoadedModel, work: Path, forms: tuple[str, ...], say: ProgressCallback,
          threads: int = 1) -> tuple[dict[str, Measured], dict[str, OnnxModel]]:
    """Return the files of these forms in `work`: what was measured, of torch as well, and the models that answer from them."""
    from core.export import agreement, graph, quantisation
    from core.export.sessions import OnnxModel

    model, entry = loaded.model, loaded.entry
    say("Writing the graph")
    proto = graph.to_onnx(model, entry.task, graph.input_names(model))
    (work / FILES["onnx"]).write_bytes(proto.SerializeToString())
    if "onnx-int8" in forms:
        say("Quantising")
        quantisation.quantise(work / FILES["onnx"], work / FILES["onnx-int8"])
    say("Comparing with torch")
    try:
        models = {form: OnnxModel(work / FILES[form], threads) for form in forms}
    except CorruptModelError as error:  # an operator that is written and that onnxruntime does not have
        raise ExportError(f"The ONNX graph of a {type(model).__name__} cannot be run: {error.given}",
                          "A model whose every operator onnxruntime has was expected.",
                          "Export it as a folder: --format folder") from error
    reference = agreement.torch_predict(model)
    given = list(agreement.batches(loaded.tokenizer, entry.task, entry.context))
    found = dict(zip(forms, agreement.compare(reference, list(models.values()), entry.task, given), strict=True))
    _check(found, type(model).__name__)
    with torch_threads(threads):
        times = agreement.milliseconds([reference, *models.values()], given[0])
    measured = {form: Measured(answering.bytes, taken, found[form])
                for (form, answering), taken in zip(models.items(), times[1:], strict=True)}
    return {"torch": Measured(entry.size_bytes, times[0], None), **measured}, models


def _check(found: dict[str, Agreement], model: str) -> None:
    difference = found["onnx"].logit_difference
    if not difference < TOLERANCE:  # not a number is refused too
        raise ExportError(f"The ONNX form of {model} does not say what the model says: its logits differ by {difference:.2g}.",
                          f"At most {TOLERANCE:g} was expected on {found['onnx'].positions} positions of real text.",
                          "Export it as a folder: --format folder")
    if not all(math.isfinite(measured.logit_difference) for measured in found.values()):
        raise ExportError(f"The int8 form of {model} gives no numbers.", "", "Export it in float32: --format onnx")


@contextmanager
def _scratch(out: Path) -> Iterator[Path]:
    """Provide a folder on the same disk that vanishes: the float32 file is made on the way to int8."""
    with tempfile.TemporaryDirectory(prefix=f".{out.name}.work.", dir=out.parent) as name:
        yield Path(name)


def _room(entry: ModelEntry, forms: tuple[str, ...]) -> int:
    """Return the bytes at the peak: the float32 file twice (onnxruntime writes one of its own while it quantises), and the int8 one."""
    return entry.parameters * (4 if forms == ("onnx",) else 2 * 4 + 1)


# ---------------------------------------------------------------------------------------------------- folder


def _copy(reference: str, out: Path, name: str) -> Exported:
    import torch

    entry = catalog.fetch(reference)
    with atomic_directory(out, entry.size_bytes) as folder:
        if entry.kind == "gguf":  # one file, which becomes an ordinary folder in 16 bits
            loaded = catalog.load(reference, dtype=torch.float16)
            loaded.model.save_pretrained(folder)
            loaded.tokenizer.save_pretrained(folder)
        else:
            _copy_files(entry, folder, COPIED)
        exported = _record(entry, name, "folder")
        _write_record(exported, folder)
    return exported


def _copy_files(entry: ModelEntry, folder: Path, patterns: tuple[str, ...]) -> None:
    if entry.path is None or not entry.path.is_dir():
        return
    for pattern in patterns:
        for path in entry.path.glob(pattern):
            if path.is_file():
                shutil.copyfile(path, folder / path.name)


def _record(entry: ModelEntry, name: str, form: Form) -> Exported:
    from core.models.weight_digests import weights_hash

    weights = weights_hash(entry.path) if entry.path is not None and entry.path.is_dir() else ""
    return Exported(model=name, form=form, file=None, task=entry.task, architecture=entry.architecture, parameters=entry.parameters,
                    weights=weights, context=entry.context, forms={}, versions=versions(), git_commit=git_commit())


def _write_record(exported: Exported, folder: Path) -> None:
    plain: dict[str, Any] = asdict(exported)
    text = json.dumps(plain, indent=2, ensure_ascii=False) + "\n"
    (folder / RECORD).write_text(text, encoding="utf-8")
