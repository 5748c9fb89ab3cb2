"""Compiled blocks train the same model under the same names, and whatever cannot be compiled is computed as it was."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import torch._dynamo
import torch._inductor.cpp_builder

from core.config import TrainSpec
from core.events import RunWarning
from core.models.architectures import blocks as blocks_of
from core.recorder import ListRecorder
from core.system.paths import cache_dir
from core.training import compiling
from core.training.compiling import CompiledBlocks, compiled_blocks, pays
from core.training.distillation_trainer import DistillationTrainer
from tests.core.tiny import tiny_model
from tests.core.training.test_distillation_trainer import PROJECTED, make_blocks, make_trainer, spec
from tests.ranks import run_ranks

CPU = torch.device("cpu")


class Backend:
    """Runs the graphs that torch traced as they are, and counts them."""

    def __init__(self) -> None:
        self.graphs = self.calls = 0

    def __call__(self, graph: Any, _inputs: Any) -> Any:
        self.graphs += 1

        def call(*arguments: Any) -> Any:
            self.calls += 1
            return graph.forward(*arguments)

        return call


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> Backend:
    counting = Backend()
    monkeypatch.setattr(compiling, "BACKEND", counting)
    torch._dynamo.reset()
    return counting


def trained(trainer: DistillationTrainer, compiled: bool) -> dict[str, torch.Tensor]:
    """Weights after training, by the names of the checkpoint that a run would save."""
    assert trainer.model is not None
    before = list(trainer.model.state_dict())
    if compiled:
        trainer.compiled = CompiledBlocks(trainer.model, trainer.recorder)
    trainer.train()
    assert list(trainer.model.state_dict()) == before
    assert not any("forward" in vars(block) for block in blocks_of(trainer.model))
    return trainer.model.state_dict()


@pytest.mark.parametrize("changes", [{}, {"lora": {"rank": 2}}, PROJECTED], ids=["plain", "lora", "projected"])
def test_compiled_blocks_train_the_same_model(tmp_path: Path, backend: Backend, changes: dict[str, Any]) -> None:
    plain = trained(make_trainer(tmp_path / "plain", spec(max_steps=3), **changes), compiled=False)
    assert backend.calls == 0
    compiled = trained(make_trainer(tmp_path / "compiled", spec(max_steps=3), **changes), compiled=True)
    assert backend.calls == 3 * 2  # two blocks
    assert 1 <= backend.graphs <= 2
    for name, weights in plain.items():
        torch.testing.assert_close(compiled[name], weights, rtol=1e-4, atol=1e-6)


def test_a_batch_of_another_size_is_computed_as_it_was(tmp_path: Path, backend: Backend) -> None:
    trained(make_trainer(tmp_path, spec(max_steps=2), blocks=make_blocks(9)), compiled=True)  # the second step has one row
    assert backend.calls == 2


def test_what_cannot_be_compiled_is_trained_as_it_was_and_said_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> Any:
        raise RuntimeError("the compiler has ended")

    plain = trained(make_trainer(tmp_path / "plain", spec(max_steps=3)), compiled=False)
    torch._dynamo.reset()
    monkeypatch.setattr(compiling, "BACKEND", broken)
    recorder = ListRecorder()
    compiled = trained(make_trainer(tmp_path / "compiled", spec(max_steps=3), recorder=recorder), compiled=True)
    warning, = recorder.of(RunWarning)
    assert "train.compile is off" in warning.message and "the compiler has ended" in warning.message
    for name, weights in plain.items():
        assert torch.equal(compiled[name], weights)


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch compiles with a C++ compiler")
def test_code_is_made_and_kept_in_the_cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)
    torch._dynamo.reset()
    recorder = ListRecorder()
    plain = trained(make_trainer(tmp_path / "plain", spec(max_steps=2)), compiled=False)
    compiled = trained(make_trainer(tmp_path / "compiled", spec(max_steps=2), recorder=recorder), compiled=True)
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR")
    assert not recorder.of(RunWarning)
    assert list((cache_dir() / "compiled").rglob("*.so"))
    for name, weights in plain.items():
        torch.testing.assert_close(compiled[name], weights, rtol=1e-4, atol=1e-5)


def two_steps(directory: Path, compiled: bool) -> None:
    compiling.BACKEND = "eager"
    trainer = make_trainer(directory, spec(max_steps=2), blocks=make_blocks(9))
    trained(trainer, compiled)
    if trainer.is_world_process_zero():
        torch.save(trainer.accelerator.unwrap_model(trainer.model).state_dict(), f"{directory}.pt")


def test_two_processes_compile_and_train_as_one(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path / "alone", spec(max_steps=2), blocks=make_blocks(9))
    alone = trained(trainer, compiled=False)
    codes = run_ranks(2, two_steps, tmp_path / "together", True, log=tmp_path / "log")
    assert codes == [0, 0], [Path(f"{tmp_path}/log.{rank}").read_text()[-2000:] for rank in (0, 1)]
    together = torch.load(tmp_path / "together.pt", weights_only=True)
    for name, weights in alone.items():
        torch.testing.assert_close(together[name], weights, rtol=1e-4, atol=1e-5)


def chosen(compile_: str, tokens: int, recorder: ListRecorder | None = None, device: torch.device = CPU) -> bool:
    model = tiny_model("llama", layers=2)
    return compiled_blocks(model, TrainSpec(compile=compile_), tokens, device, recorder or ListRecorder()) is not None


def test_auto_compiles_on_the_processor_where_the_run_is_long_enough(backend: Backend) -> None:
    model = tiny_model("llama", layers=2)
    weights = sum(weight.numel() for block in blocks_of(model) for weight in block.parameters())
    enough = int(compiling.MARGIN * compiling.COST_FLOP / (compiling.SAVED * 6 * weights)) + 1
    assert pays(model, enough) and not pays(model, enough - 2)
    assert chosen("auto", enough) and not chosen("auto", enough - 2)
    assert not chosen("auto", enough, device=torch.device("cuda", 0))
    assert chosen("true", 1)
    assert not chosen("false", enough)


def test_blocks_of_two_shapes_cost_twice() -> None:
    model = tiny_model("llama", layers=2)
    tokens = 10**12
    assert pays(model, tokens)
    fewest = next(tokens for tokens in (2**power for power in range(60)) if pays(model, tokens))
    first = blocks_of(model)[0].mlp.up_proj
    first.bias = torch.nn.Parameter(torch.zeros(first.out_features))
    assert not pays(model, fewest // 2) and pays(model, fewest * 2)
    threshold = compiling.MARGIN * compiling.COST_FLOP / (
        compiling.SAVED * 6 * sum(weight.numel() for block in blocks_of(model) for weight in block.parameters()))
    assert not pays(model, int(1.9 * threshold)) and pays(model, int(2.1 * threshold))


def test_without_a_compiler_it_is_off_with_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    from torch._inductor.exc import InvalidCxxCompiler

    def missing() -> str:
        raise InvalidCxxCompiler

    monkeypatch.setattr(torch._inductor.cpp_builder, "get_cpp_compiler", missing)
    recorder = ListRecorder()
    assert not chosen("true", 1, recorder)
    warning, = recorder.of(RunWarning)
    assert "there is no C++ compiler here" in warning.message
