"""Where models come from, and how a reference becomes a model.

    reference                  kind      kept in
    house-chat                 house     assets/models/, shipped with the project
    smollm2-135m-instruct      package   downloaded once from the package index, converted, in the home folder
    ./folder                   folder    any folder that a Transformers model was saved to, trained students included
    ./model.gguf               gguf      converted once into the home folder
    owner/name                 hub       the hub's own cache
    arithmetic(a, b)           ensemble  where its members are; also geometric(0.7 a, 0.3 b), see `core.models.ensembles`

Only safetensors and GGUF are read, never a pickle, and no code that comes with a model is ever run.
"""

from __future__ import annotations

import difflib
import hashlib
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from core.errors import CompatibilityError, CorruptModelError, ModelError, ModelNotFoundError
from core.models import checkpoints, gguf, hub, image_networks, pypi, text_networks
from core.models.architectures import ArchitectureSpec, architecture_of, label_names
from core.models.ensembles import EnsembleReference, ensemble_model, parse_ensemble, require_one_kind, require_same_tokens
from core.models.entries import Kind, LoadedModel, ModelEntry
from core.models.folder_documents import licence_and_description, trained_length
from core.models.header import ModelHeader, read_model_header
from core.models.loading import model_from_pretrained, require_memory, require_size, tokenizer_from_pretrained
from core.models.model_files import refuse_damaged
from core.system import reach
from core.system.devices import resolve_precision
from core.system.files import atomic_directory
from core.system.paths import HOUSE_MODELS, models_dir

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def entries() -> list[ModelEntry]:
    """Return the house models, then the packaged ones, downloaded or not; without those that are broken, as `describe` explains."""
    found = []
    for name in names():
        try:
            found.append(describe(name))
        except ModelError:
            continue
    return found


def names() -> tuple[str, ...]:
    """Return the names of house models and packaged ones, which no run can take; nothing is read."""
    return (*_house_folders(), *pypi.PACKAGES)


def describe(reference: str) -> ModelEntry:
    """Return everything about a model short of its weights; asks the network only about a hub model that is not here.

    Raises:
        ModelNotFoundError: nothing answers to that reference (similar names are given).
        CorruptModelError, UnsafeModelError, UnsupportedModelError, ModelError: it is there, and cannot be used.
        NetworkError: a hub model that is not here, and no network.
    """
    if reference in _house_folders():
        return _house(reference)
    if reference in pypi.PACKAGES:
        return _packaged(pypi.PACKAGES[reference])
    # Unlike their namesakes in pathlib, these answer to anything that was typed, as to names that are too long.
    if ensemble := parse_ensemble(reference):
        return _ensemble(ensemble, reference)
    path = os.path.expanduser(reference)
    if outside := reach.refusal(reference):
        raise ModelNotFoundError(*outside)
    if os.path.isdir(path):
        if snapshots := _snapshots(Path(path)):
            raise ModelNotFoundError(f"'{reference}' is the hub cache's folder of a model.", "The folder of one snapshot was expected.",
                                     f"Give {' or '.join(map(str, snapshots))}")
        return _folder(Path(path), reference, "folder")
    if os.path.isfile(path):
        return _file(Path(path), reference)
    if hub.ID.fullmatch(reference):
        return _hub(reference)
    raise _not_found(reference)


def fetch(reference: str, progress: Callable[[int, int], None] | None = None) -> ModelEntry:
    """Bring a model onto this machine in the form in which it is loaded; nothing happens if it is there.

    Args:
        progress: called with the bytes so far and in all while something is downloaded.

    Raises:
        NetworkError: it could not be downloaded.
        DiskFullError: too little room.
        ModelError: as `describe` does.
    """
    entry = describe(reference)
    if ensemble := parse_ensemble(reference):
        for member in ensemble.members:
            fetch(member, progress)
    if entry.kind == "package":
        pypi.fetch(pypi.PACKAGES[entry.name], progress)
    elif entry.kind == "hub" and not entry.present:
        hub.download(reference, progress)
    elif entry.kind == "gguf":
        assert entry.path is not None, "a GGUF file is described from its path"
        _converted(entry, entry.path)
    return describe(reference)


def load(reference: str, device: torch.device | str = "cpu", dtype: torch.dtype | None = None, *, needs_head: bool = True) -> LoadedModel:
    """Load a model in evaluation mode, with its tokenizer; fetched or converted first if need be.

    Args:
        dtype: of the weights; by default the format that the device computes fastest (see `core.system.devices`).
        needs_head: whether an encoder without a masked-language head is refused; a new one takes its place otherwise.

    Raises:
        ModelError, NetworkError, DiskFullError: as `fetch` does; also CorruptModelError for weights that do not fit the architecture.
        OutOfMemoryError: less memory is free than the weights take.
    """
    import torch

    if ensemble := parse_ensemble(reference):
        return _loaded_ensemble(ensemble, reference, device, dtype)
    device = torch.device(device)
    dtype = dtype or resolve_precision("auto", device)
    require_memory(describe(reference).parameters, dtype, device, reference)
    entry = fetch(reference)
    assert entry.path is not None, "what was fetched is present"
    if entry.architecture in (image_networks.MODEL_TYPE, text_networks.MODEL_TYPE):
        return _loaded_small_network(entry, device)
    folder = _converted(entry, entry.path) if entry.kind == "gguf" else entry.path
    require_size(folder, entry.task, entry.parameters, reference)
    model, report = model_from_pretrained(
        folder, entry.task, dtype, use_safetensors=True, trust_remote_code=False,
        local_files_only=True, ignore_mismatched_sizes=True, output_loading_info=True)
    wrong = sorted({*report["missing_keys"], *(key for key, *_ in report["mismatched_keys"])})
    architecture = architecture_of(model.config)
    of_head = tuple(f"{part}." for part in (*architecture.non_base_modules, architecture.head))
    lacks_head = bool(wrong) and entry.task == "masked" and all(key.startswith(of_head) for key in wrong)
    if lacks_head and needs_head:
        raise no_language_head_error(reference, architecture)
    if wrong and not lacks_head:
        raise CorruptModelError(f"'{reference}' lacks {len(wrong)} weights of the right shape, as {wrong[0]}.",
                                f"The architecture {entry.architecture} needs them.", "Download or export the model again.")
    model = model.to(device).eval()
    _require_computes(model, reference)
    return LoadedModel(model, tokenizer_from_pretrained(folder), entry, frozenset(wrong))


def _loaded_small_network(entry: ModelEntry, device: torch.device) -> LoadedModel:
    """Load a network for images or a deep averaging network.

    One for images has no tokenizer: whatever reads texts refuses its task before it looks for one.
    """
    import torch

    assert entry.path is not None, "a small network is a folder"
    model = model_from_pretrained(entry.path, entry.task, torch.float32, use_safetensors=True, local_files_only=True)
    tokenizer = None if entry.task == "image_classification" else tokenizer_from_pretrained(entry.path)
    return LoadedModel(model.to(device).eval(), cast("PreTrainedTokenizerBase", tokenizer), entry)


def no_language_head_error(reference: str, architecture: ArchitectureSpec) -> CompatibilityError:
    """Return the error for an encoder without the head that it was trained with (of sentence-transformers, an ELECTRA discriminator)."""
    return CompatibilityError(f"'{reference}' has no masked-language head: it cannot fill a blank.",
                              "A checkpoint with the head that its encoder was trained with was expected.",
                              "Choose one that was saved as a masked-language model; fine-tuning on a labelled task needs no such head."
                              f" {architecture.head_advice}".rstrip())


# ---------------------------------------------------------------------------------------------------- one kind each


def _house_folders() -> dict[str, Path]:
    return {path.parent.name: path.parent for path in sorted(HOUSE_MODELS.glob("*/config.json"))}


def _house(name: str) -> ModelEntry:
    return replace(_folder(_house_folders()[name], name, "house"), source="shipped with Stillhouse")


def _snapshots(folder: Path) -> list[Path]:
    """Return the model folders in a folder of the hub's cache (``models--owner--name/snapshots/HASH``), or in its snapshots."""
    if (folder / "config.json").exists():
        return []
    return sorted(path.parent for pattern in ("snapshots/*/config.json", "*/config.json") if "snapshots" in (folder / pattern).parts
                  for path in folder.glob(pattern))[:3]


def _packaged(model: pypi.PackagedModel) -> ModelEntry:
    entry = ModelEntry(
        name=model.name, kind="package", architecture=model.architecture, layers=len(model.counts.blocks), hidden=model.hidden,
        heads=model.heads, parameters=model.counts.total, vocabulary=model.vocabulary, context=model.context, licence=model.licence,
        source=f"package {model.distribution} {model.version}", size_bytes=model.size_bytes, present=False, path=None,
        description=model.description, counts=model.counts)
    if not model.folder.is_dir():
        return entry
    here = _folder(model.folder, model.name, "package")
    return replace(here, licence=entry.licence, source=entry.source, description=entry.description)


def _folder(path: Path, name: str, kind: Kind) -> ModelEntry:
    licence, description = licence_and_description(path)
    if image_networks.is_image_network(path):
        return _image_network(path, name=name, kind=kind, licence=licence, description=description)
    if text_networks.is_text_network(path):
        return _with_tokenizer(_text_network(path, name=name, kind=kind, licence=licence, description=description), path)
    entry = _entry(read_model_header(path), name=name, kind=kind, licence=licence, source=str(path), present=True, path=path,
                   description=description, trained_length=trained_length(path))
    return _with_tokenizer(entry, path)


def _with_tokenizer(entry: ModelEntry, path: Path) -> ModelEntry:
    """Return the entry of a folder. Raises CorruptModelError where no tokenizer lies beside the weights."""
    if not any((path / file).is_file() for file in checkpoints.TOKENIZER_FILES):
        raise CorruptModelError(f"'{path}' has no tokenizer.", f"One of {', '.join(checkpoints.TOKENIZER_FILES)} was expected.",
                                "Save the tokenizer into the same folder.")
    return entry


def _image_network(path: Path, *, name: str, kind: Kind, licence: str, description: str) -> ModelEntry:
    """Return the entry of a network for images, which has no vocabulary, no heads and no sequence."""
    sizes = image_networks.read_sizes(path)
    return ModelEntry(
        name=name, kind=kind, architecture=image_networks.MODEL_TYPE, layers=len(sizes.hidden), hidden=max(sizes.hidden, default=0),
        heads=0, parameters=sizes.counts.total, vocabulary=0, context=0, licence=licence, source=str(path), size_bytes=sizes.size_bytes,
        present=True, path=path, description=description, counts=sizes.counts, task="image_classification")


def _ensemble(ensemble: EnsembleReference, reference: str) -> ModelEntry:
    """Return the entry of an ensemble: that of its first member, with the sizes of all together."""
    members = [describe(member) for member in ensemble.members]
    require_one_kind(ensemble.members, [member.task for member in members], [member.vocabulary for member in members])
    return replace(members[0], name=reference, kind="ensemble", parameters=sum(member.parameters for member in members),
                   context=min(member.context for member in members), size_bytes=sum(member.size_bytes for member in members),
                   present=all(member.present for member in members), source=f"{ensemble.mean} mean of {len(members)} models", path=None,
                   description="")


def _loaded_ensemble(ensemble: EnsembleReference, reference: str, device: torch.device | str, dtype: torch.dtype | None) -> LoadedModel:
    """Load the members of an ensemble as one model. Raises CompatibilityError for members with different tokens or labels."""
    entry = _ensemble(ensemble, reference)
    members = [load(member, device, dtype) for member in ensemble.members]
    for name, member in zip(ensemble.members[1:], members[1:], strict=True):
        require_same_tokens(ensemble.members[0], members[0].tokenizer.get_vocab(), name, member.tokenizer.get_vocab())
        if entry.task == "classification" and label_names(member.model.config) != label_names(members[0].model.config):
            raise CompatibilityError(f"'{name}' tells apart {', '.join(label_names(member.model.config))}.",
                                     f"'{ensemble.members[0]}' tells apart {', '.join(label_names(members[0].model.config))}.",
                                     "Choose members that were fine-tuned on the same labels.")
    return LoadedModel(ensemble_model([member.model for member in members], ensemble), members[0].tokenizer, entry)


def _text_network(path: Path, *, name: str, kind: Kind, licence: str, description: str) -> ModelEntry:
    """Return the entry of a deep averaging network, which has no heads."""
    sizes = text_networks.read_sizes(path)
    return ModelEntry(
        name=name, kind=kind, architecture=text_networks.MODEL_TYPE, layers=len(sizes.hidden), hidden=sizes.embedding, heads=0,
        parameters=sizes.counts.total, vocabulary=sizes.vocabulary, context=sizes.context, licence=licence, source=str(path),
        size_bytes=sizes.size_bytes, present=True, path=path, description=description, counts=sizes.counts, task="classification")


def _file(path: Path, name: str) -> ModelEntry:
    if path.suffix in checkpoints.PICKLE_SUFFIXES:
        raise checkpoints.unsafe_weights_error(f"'{path}' is a pickle file.")
    if path.suffix != ".gguf":
        raise ModelNotFoundError(f"'{path}' is a file.", "A model's folder or a .gguf file was expected.",
                                 f"Give its folder: {path.parent}" if path.suffix == ".safetensors" else "")
    header = read_model_header(path)
    return _entry(header, name=name, kind="gguf", licence=str(header.metadata.get("general.license", "")), source=str(path), present=True,
                  path=path, description=str(header.metadata.get("general.name", "")))


def _hub(repository: str) -> ModelEntry:
    folder = hub.cached(repository)
    if folder is not None:
        return replace(_folder(folder, repository, "hub"), source="hub")
    remote = hub.inspect(repository)
    header = ModelHeader(remote.config, remote.shapes, sum(remote.files.values()))
    return _entry(header, name=repository, kind="hub", licence=remote.licence, source="hub", present=False, path=None, description="")


def _entry(header: ModelHeader, **known: Any) -> ModelEntry:
    architecture = header.architecture
    return ModelEntry(
        architecture=architecture.model_type, layers=len(header.counts.blocks),
        hidden=architecture.dimension(header.config, architecture.width_key),
        heads=architecture.dimension(header.config, architecture.heads_key), parameters=header.counts.total,
        vocabulary=header.vocabulary, context=header.context, size_bytes=header.size_bytes, counts=header.counts,
        dimensions=header.dimensions, task=header.task, header=header, **known)


def _not_found(reference: str) -> ModelNotFoundError:
    known = [entry.name for entry in entries()]
    near = difflib.get_close_matches(reference, known, n=2, cutoff=0.5)
    return ModelNotFoundError(
        f"There is no model '{reference}'.",
        f"One of {', '.join(known)}, a run, a model's folder, a .gguf file or a hub id like owner/name was expected.",
        f"Did you mean {' or '.join(near)}?" if near else "")


def _converted(entry: ModelEntry, file: Path) -> Path:
    """Return the folder made from a GGUF file, made now if it is not there; a file that changed is converted again."""
    path = file.resolve()
    state = path.stat()
    mark = hashlib.sha256(f"{path} {state.st_size} {state.st_mtime_ns}".encode()).hexdigest()[:12]
    folder = models_dir() / f"gguf-{path.stem}-{mark}"
    if not folder.is_dir():
        with atomic_directory(folder, 2 * entry.parameters) as partial:
            gguf.convert(path, partial)
    return folder


def _require_computes(model: PreTrainedModel, reference: str) -> None:
    """Run a model over two tokens: a configuration may be read, and yet describe what cannot be computed.

    Raises:
        CorruptModelError: it fails.
    """
    import torch

    with refuse_damaged(f"The model '{reference}' computes nothing from two tokens, so its files"), torch.inference_mode():
        model(input_ids=torch.zeros(1, 2, dtype=torch.long, device=model.device))
