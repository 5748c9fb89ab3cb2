"""Transformers models made from a configuration or read from a folder, one at a time in a process.

While Transformers makes or reads a model it exchanges functions of its own classes (`tie_weights`), torch's initialisers and the
default dtype of the whole process, and afterwards puts back what it found. Two threads at once put back each other's
replacements, and from then on no model of that process ties its embeddings. Whoever makes or reads a model does it here; torch's
exporter, which keeps what it traces in a state of the process that Transformers' initialisers pass through, waits in the same line,
and so a model may wait some seconds for an export's graph.

Other threads keep computing meanwhile. Tensors that they make must name their dtype: the default may be another one's.
"""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import CorruptModelError, OutOfMemoryError
from core.models.checkpoints import Task
from core.models.model_files import AGAIN, refuse_damaged
from core.models.tokenizer_growth import require_modest
from core.system import devices, machine
from core.system.units import GIB, format_gib

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

MODEL_INIT_LOCK = threading.Lock()
SMALL = 1_000_000  # parameters that cost nothing to draw, as those of a head that the files lack


def model_from_config(config: PreTrainedConfig, task: Task, dtype: torch.dtype, seed: int | None = None) -> PreTrainedModel:
    """Return a model with new weights, in training mode.

    Args:
        task: what its head is for.
        seed: of the weights, the same for the same seed as long as no other thread draws; torch's generator is then left as it
            was. None draws them from that generator.
    """
    import torch

    with MODEL_INIT_LOCK, contextlib.ExitStack() as stack:
        if seed is not None:
            stack.enter_context(torch.random.fork_rng(devices=[]))
            torch.manual_seed(seed)
        return _auto_class(task).from_config(config, dtype=dtype)


def model_from_pretrained(folder: Path, task: Task, dtype: torch.dtype, **options: Any) -> Any:
    """Return what `from_pretrained` gives for that folder and these options.

    It is a model in evaluation mode, with its loading report if one is requested.

    Raises:
        CorruptModelError: whatever Transformers, safetensors or torch find wrong with the files.
    """
    with MODEL_INIT_LOCK, refuse_damaged(f"The model in '{folder}'"):
        return _auto_class(task).from_pretrained(folder, dtype=dtype, **options)


def require_size(folder: Path, task: Task, held: int, what: str, **options: Any) -> None:
    """Check, without memory for a weight, that a configuration describes a model about as large as its files.

    Weights that the files lack are drawn again when a model is loaded, before anything says that they are lacking.

    Args:
        held: parameters in the files.
        what: names the model in messages.
        options: of `AutoConfig.from_pretrained`.

    Raises:
        CorruptModelError: a model more than twice as large, or a configuration that describes none.
    """
    import torch
    from transformers import AutoConfig
    from transformers.initialization import no_init_weights

    with MODEL_INIT_LOCK, refuse_damaged(f"The configuration of '{what}'"), torch.device("meta"), no_init_weights():
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False, **options)
        described = sum(parameter.numel() for parameter in _auto_class(task).from_config(config).parameters())
    if described > 2 * held + SMALL:
        raise CorruptModelError(f"The configuration of '{what}' describes {described:,} parameters.", f"Its files hold {held:,}.", AGAIN)


def require_memory(parameters: int, dtype: torch.dtype, device: torch.device, what: str) -> None:
    """Check that a model's weights fit into the memory that is free. What the system ends for lack of it can say nothing any more.

    Args:
        what: names the model in messages.

    Raises:
        OutOfMemoryError: the weights alone take more.
    """
    needed, available = parameters * dtype.itemsize, devices.memory_available(device) * GIB
    if needed > available:
        limit = machine.memory_limit() if device.type == "cpu" else None
        within = f" of the {format_gib(limit)} that may be used here" if limit is not None else ""
        raise OutOfMemoryError(f"The weights of '{what}' take {format_gib(needed)} in {str(dtype).removeprefix('torch.')}.",
                               f"{format_gib(available)}{within} are free on {device}.", "Choose a smaller model, or close other programs.")


def tokenizer_from_pretrained(folder: Path) -> PreTrainedTokenizerBase:
    """Return the tokenizer of a folder. Raises CorruptModelError for whatever its library finds wrong with the files."""
    from transformers import AutoTokenizer

    what = f"The tokenizer of '{folder}'"
    require_modest(folder / "tokenizer.json", what)
    with refuse_damaged(what):
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        if not tokenizer.get_vocab():
            raise ValueError("it knows no tokens")
        tokenizer("a")  # some settings are looked at only when a text is tokenised
        return tokenizer


def _auto_class(task: Task) -> Any:
    import transformers

    if task == "image_classification":
        from core.models import image_mlp  # noqa: F401 -- registers the architecture
    if task == "classification":
        from core.models import word_average  # noqa: F401 -- registers the architecture

    return {"causal": transformers.AutoModelForCausalLM, "masked": transformers.AutoModelForMaskedLM,
            "classification": transformers.AutoModelForSequenceClassification,
            "question_answering": transformers.AutoModelForQuestionAnswering,
            "image_classification": transformers.AutoModelForImageClassification}[task]
