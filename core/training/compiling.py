"""Blocks of a student, compiled: torch writes code for a block's forward and backward pass that reads and writes memory less often.

Each block is compiled by itself, and those of one shape share the code: compiling the whole model takes four times as long for little
more speed. Code is kept between runs in the cache folder. Names, checkpoints and whatever else computes with the model (evaluation,
generation) see the blocks as they were: only the forward passes of training are compiled, of batches as large as the first.

Whether it pays, ``auto`` reads from the arithmetic of the run alone, never from a clock: a recipe computes the same whenever it runs.
"""

from __future__ import annotations

import os
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import nn

from core.config import TrainSpec
from core.events import RunWarning
from core.models.architectures import blocks as blocks_of
from core.recorder import Recorder
from core.system.paths import cache_dir

# At the house shape on one core (docs/speed.md): what compiling a kind of block costs, in what a core computes in these 25 s, and the
# share of a block's time that is saved.
COST_FLOP = 25 * 50e9
SAVED = 0.2
MARGIN = 2.0  # the saving has to be worth that many times the cost: other processors and shapes save less
BACKEND: str | Callable[..., Any] = "inductor"
OPTIONS: dict[str, Any] = {"fallback_random": True, "compile_threads": 1}  # dropout draws as uncompiled; no processes of its own
COLLECTS = "output_capturing_hook"  # what Transformers calls its hooks
Result = TypeVar("Result")


class CompiledBlocks:
    """The blocks of a model, compiled for the forward passes of its training.

    Args:
        model: in wrappers or not.
    """

    def __init__(self, model: nn.Module, recorder: Recorder) -> None:
        os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache_dir() / "compiled"))
        self._recorder = recorder
        self._shape: torch.Size | None = None
        options = OPTIONS if BACKEND == "inductor" else None
        with _quiet():
            self._compiled = {block: _uninterrupted(block, torch.compile(block.forward, backend=BACKEND, dynamic=False, options=options))
                              for block in blocks_of(model)}

    def run(self, shape: torch.Size, compute: Callable[[], Result]) -> Result:
        """Return what `compute` returns, a forward pass of a batch of that shape.

        Where code cannot be made, it is computed as it would be without, from then on.
        """
        self._shape = self._shape or shape
        if not self._compiled or shape != self._shape:
            return compute()
        try:
            with self._in_place(), _quiet():
                return compute()
        except torch._dynamo.exc.TorchDynamoException as error:
            said = " ".join(str(error).split())[:200]
            self._recorder.event(RunWarning(f"train.compile is off: the blocks of this model cannot be compiled here ({said})."))
            self._compiled.clear()
            return compute()

    @contextmanager
    def _in_place(self) -> Iterator[None]:
        before = {block: vars(block).get("forward") for block in self._compiled}
        for block, compiled in self._compiled.items():
            vars(block)["forward"] = compiled
        try:
            yield
        finally:
            for block, own in before.items():
                if own is None:
                    del vars(block)["forward"]
                else:
                    vars(block)["forward"] = own


@contextmanager
def _quiet() -> Iterator[None]:
    """Leave out what torch warns of itself as it compiles: it reads gradients that are not there, and imports what it deprecates."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The .grad attribute of a Tensor that is not a leaf")
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


def _uninterrupted(block: nn.Module, compiled: Callable[..., Any]) -> Callable[..., Any]:
    """Return a block's compiled forward pass without the hooks inside it that collect attention maps: torch would compile up to each.

    Nobody collects them in training. Hooks of the block itself, which collect hidden states, are outside what is compiled.
    """
    inner = [module for module in block.modules() if module is not block]

    def forward(*given: Any, **named: Any) -> Any:
        kept = [(module, module._forward_hooks) for module in inner if module._forward_hooks and all(
            getattr(hook, "__name__", "") == COLLECTS for hook in module._forward_hooks.values())]
        for module, _ in kept:
            module._forward_hooks = OrderedDict()
        try:
            return compiled(*given, **named)
        finally:
            for module, hooks in kept:
                module._forward_hooks = hooks

    return forward


def compiled_blocks(model: nn.Module, spec: TrainSpec, tokens: int, device: torch.device, recorder: Recorder) -> CompiledBlocks | None:
    """Return a student's blocks, compiled where the recipe asks for it and this machine can; None where they are left as they are.

    Args:
        tokens: of the whole training, padding included.
    """
    if spec.compile == "false" or (spec.compile == "auto" and (device.type != "cpu" or not pays(model, tokens))):
        return None
    if device.type == "cpu" and (missing := _missing_compiler()):
        recorder.event(RunWarning(f"train.compile is off: {missing}"))
        return None
    return CompiledBlocks(model, recorder)


def pays(model: nn.Module, tokens: int) -> bool:
    """Return whether compiled blocks save more than compiling costs.

        saved = SAVED 6 N tokens    >=    MARGIN COST_FLOP kinds

    with N the weights of all blocks, and blocks of one kind of one shape.
    """
    shapes = [tuple((name, weight.shape) for name, weight in block.named_parameters()) for block in blocks_of(model)]
    weights = sum(weight.numel() for block in blocks_of(model) for weight in block.parameters())
    return SAVED * 6 * weights * tokens >= MARGIN * COST_FLOP * len(set(shapes))


def _missing_compiler() -> str:
    """Return what is missing to compile for the processor; nothing where all is there."""
    from torch._inductor.cpp_builder import get_cpp_compiler
    from torch._inductor.exc import InvalidCxxCompiler

    try:
        get_cpp_compiler()
    except (InvalidCxxCompiler, RuntimeError):
        return "there is no C++ compiler here, which torch compiles with. Install one, as g++ or clang++, to train faster."
    return ""
