"""Models on the Hugging Face hub: what one is before it is downloaded, and its download into the hub's own cache.

HF_HOME, HF_TOKEN and HF_HUB_OFFLINE mean here what they mean everywhere. Only configuration, tokenizer, model card and
safetensors are ever requested: no pickle, and no code.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import CorruptModelError, ModelError, ModelNotFoundError, NetworkError
from core.models.checkpoints import INDEX, PICKLE_SUFFIXES, TOKENIZER_FILES, WEIGHTS, check_config, unsafe_weights_error, weight_files
from core.models.model_files import read_json

ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)

_BESIDE_THE_WEIGHTS = ("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "tokenizer.model",
                       "spiece.model", "sentencepiece.bpe.model", "spm.model", "vocab.txt", "vocab.json", "merges.txt",
                       "special_tokens_map.json", "added_tokens.json",
                       "chat_template.jinja", "README.md")


@dataclass(frozen=True, slots=True)
class RemoteModel:
    """What the hub says of a model before its weights are downloaded.

    Attributes:
        config: the plain data of its ``config.json``.
        shapes: the tensors' shapes by name.
        files: the files that a download brings, with their sizes in bytes.
        licence: as the model card names it; may be empty.
    """

    config: dict[str, Any]
    shapes: dict[str, tuple[int, ...]]
    files: dict[str, int]
    licence: str


def cached(repository: str) -> Path | None:
    """Return the folder of a model that was downloaded before, complete; None if there is none."""
    from huggingface_hub import try_to_load_from_cache

    config = try_to_load_from_cache(repository, "config.json")
    if not isinstance(config, str):
        return None
    folder = Path(config).parent
    try:
        weight_files(folder)
    except ModelError:
        return None
    # A client that wanted the weights alone leaves such a snapshot.
    return folder if any((folder / name).is_file() for name in TOKENIZER_FILES) else None


def inspect(repository: str) -> RemoteModel:
    """Ask the hub for everything but the weights.

    Raises:
        ModelNotFoundError: no such model, or a private one.
        ModelError: access has to be requested.
        UnsafeModelError: the weights are there as pickle only.
        UnsupportedModelError: an architecture that is not described.
        NetworkError: the hub cannot be reached.
    """
    from huggingface_hub import HfApi, hf_hub_download

    with _explained(repository):
        api = HfApi()
        info = api.model_info(repository, files_metadata=True)
        files = _wanted({file.rfilename: file.size or 0 for file in info.siblings or ()}, repository)
        config = read_json(Path(hf_hub_download(repository, "config.json")))
        check_config(config, repository)
        metadata = api.get_safetensors_metadata(repository)
    shapes = {name: tuple(tensor.shape) for file in metadata.files_metadata.values() for name, tensor in file.tensors.items()}
    licence = getattr(info.card_data, "license", None)
    return RemoteModel(config, shapes, files, licence if isinstance(licence, str) else "")


def download(repository: str, progress: Callable[[int, int], None] | None = None) -> Path:
    """Return the folder of the downloaded model; raises as `inspect` does.

    Args:
        progress: called with the bytes downloaded so far and in all, after each file.
    """
    from huggingface_hub import hf_hub_download

    files = inspect(repository).files
    done, total = 0, sum(files.values())
    with _explained(repository):
        for name, size in files.items():
            path = Path(hf_hub_download(repository, name))
            done += size
            if progress:
                progress(done, total)
    return path.parent


def _wanted(files: dict[str, int], repository: str) -> dict[str, int]:
    if WEIGHTS in files:
        weights = [WEIGHTS]
    elif INDEX in files:
        weights = [INDEX, *(name for name in files if re.fullmatch(r"model-\d+-of-\d+\.safetensors", name))]
    elif any(name.endswith(PICKLE_SUFFIXES) for name in files):
        raise unsafe_weights_error(f"'{repository}' offers its weights as pickle files only.")
    else:
        raise ModelError(f"'{repository}' offers no weights in Transformers' own layout.", f"A file {WEIGHTS} was expected.",
                         "If it offers GGUF files, download one and give its path." if any(n.endswith(".gguf") for n in files) else "")
    if not any(name in files for name in TOKENIZER_FILES):
        raise ModelError(f"'{repository}' offers no tokenizer.", f"One of {', '.join(TOKENIZER_FILES)} was expected.",
                         "Use another model, or download it and save a tokenizer into the same folder.")
    return {name: files[name] for name in (*_BESIDE_THE_WEIGHTS, *weights) if name in files}


@contextmanager
def _explained(repository: str) -> Iterator[None]:
    from huggingface_hub import errors

    try:
        yield
    except errors.GatedRepoError as error:
        raise ModelError(f"Access to '{repository}' has to be requested.", "",
                         "Accept its terms on its hub page, then set HF_TOKEN.") from error
    except (errors.RepositoryNotFoundError, errors.HFValidationError) as error:
        raise ModelNotFoundError(f"The hub has no model '{repository}', or only a private one.", "",
                                 "Check the spelling; set HF_TOKEN for a private model.") from error
    except (errors.HTTPError, errors.LocalEntryNotFoundError, errors.FileMetadataError, ConnectionError, TimeoutError) as error:
        if isinstance(error, errors.RemoteEntryNotFoundError):
            raise _incomplete(repository, error) from error
        raise NetworkError(f"'{repository}' is not on this machine, and the hub cannot be reached.", "",
                           "Connect to the network (and unset HF_HUB_OFFLINE), or use a house model or a local folder.") from error
    except (errors.NotASafetensorsRepoError, errors.SafetensorsParsingError) as error:
        raise _incomplete(repository, error) from error


def _incomplete(repository: str, error: Exception) -> CorruptModelError:
    return CorruptModelError(f"'{repository}' is incomplete on the hub: {str(error).splitlines()[0]}", "", "Use another model.")
