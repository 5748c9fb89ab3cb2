"""The trainer: the same gradient however a step is cut, terms logged as they are, stops and bad losses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from core.config import LossSpec, StudentSpec, TrainSpec
from core.data.packing import Blocks
from core.errors import CompatibilityError, NonFiniteLossError
from core.evaluation.language import evaluate_language
from core.loss_terms import LOSS_TERMS, LossTerm
from core.models.vocabulary import unpadded_width
from core.recorder import STUDENT, ListRecorder
from core.signals.source import LocalTeacher
from core.students.build import build_student
from core.training.base_trainer import training_arguments
from core.training.checkpoint_folders import latest_checkpoint
from core.training.distillation_trainer import DistillationSetup, DistillationTrainer
from tests.core.chat_models import chat_model, chat_tokenizer
from tests.core.tiny import VOCABULARY, tiny_model
from tests.ranks import run_ranks

LENGTH = 12
# Every term with a weight of its own.
EVERYTHING = LossSpec(temperature=2.0, **{term.key: 1.0 / number for number, term in enumerate(LOSS_TERMS, 1)})


def make_blocks(count: int = 8) -> Blocks:
    """Blocks with very different numbers of counted positions, so that a mean of means would show."""
    rng = np.random.default_rng(0)
    weights = rng.choice([0.0, 1.0, 5.0], size=(count, LENGTH)).astype(np.float32)
    weights[::2, 3:] = 0.0
    return Blocks(rng.integers(2, VOCABULARY, (count, LENGTH)).astype(np.int32), weights, count, count * LENGTH)


def make_trainer(directory: Path, spec: TrainSpec, losses: LossSpec = EVERYTHING, recorder: ListRecorder | None = None,
                 blocks: Blocks | None = None, lora: dict[str, int] | None = None, hidden: int | None = None) -> DistillationTrainer:
    teacher = tiny_model("llama", layers=4)
    torch.manual_seed(0)  # projections between two widths are drawn
    student = build_student(teacher, StudentSpec(layers=2, lora=lora, hidden=hidden, pruning_criterion="first"), seed=1)
    arguments = training_arguments(spec, directory, torch.device("cpu"), eval_steps=1000)
    setup = DistillationSetup(losses, LocalTeacher(teacher) if losses.needs_teacher() else None, student.layer_map)
    return DistillationTrainer(student.model, setup, blocks or make_blocks(), arguments, variant=STUDENT,
                               recorder=recorder or ListRecorder(), dtype=torch.float32, evaluate=lambda step: {"eval/cross_entropy": 0.0})


def spec(**changes: object) -> TrainSpec:
    return TrainSpec(**{"max_steps": 1, "device": "cpu", "precision": "fp32", "learning_rate": 1e-3, "warmup_ratio": 0.0,
                        "lr_scheduler_type": "constant_with_warmup", "per_device_train_batch_size": 8, **changes})


def gradients(directory: Path, batch: int, accumulation: int) -> dict[str, torch.Tensor]:
    trainer = make_trainer(directory, spec(per_device_train_batch_size=batch, gradient_accumulation_steps=accumulation, max_grad_norm=1e9))
    seen: dict[str, torch.Tensor] = {}

    def keep(*_: object) -> None:
        seen.update({name: parameter.grad.clone() for name, parameter in trainer.model.named_parameters() if parameter.grad is not None})

    trainer.create_optimizer().register_step_pre_hook(keep)
    trainer.train()
    return seen


@pytest.mark.parametrize(("batch", "accumulation"), [(4, 2), (2, 4), (1, 8)])
def test_gradient_does_not_depend_on_how_a_step_is_cut(tmp_path, batch, accumulation):
    whole, cut = gradients(tmp_path / "whole", 8, 1), gradients(tmp_path / "cut", batch, accumulation)
    assert whole.keys() == cut.keys() and len(whole) > 10
    for name, gradient in whole.items():
        torch.testing.assert_close(cut[name], gradient, rtol=1e-4, atol=1e-6, msg=lambda text, name=name: f"{name}: {text}")


PROJECTED = {"losses": LossSpec(w_hidden_mse=1.0), "hidden": 16}  # a narrower student, with projections to the teacher's width


def train_two_steps(directory: Path, changes: dict[str, object]) -> None:
    """Two steps of which the second has a single row, which cannot be shared out; the weights are saved by rank 0."""
    trainer = make_trainer(directory, spec(max_steps=2), blocks=make_blocks(9), **changes)
    trainer.train()
    if trainer.is_world_process_zero():
        torch.save(trainer.accelerator.unwrap_model(trainer.model).state_dict(), f"{directory}.pt")
        Path(f"{directory}.tokens").write_text(str(trainer.state.num_input_tokens_seen))


@pytest.mark.parametrize("changes", [{}, PROJECTED], ids=["plain", "projected"])
def test_two_processes_train_as_one(tmp_path: Path, changes: dict[str, object]) -> None:
    """Two CPU processes (gloo) end with the same weights as one process."""
    train_two_steps(tmp_path / "alone", changes)
    codes = run_ranks(2, train_two_steps, tmp_path / "together", changes, log=tmp_path / "log")
    assert codes == [0, 0], [Path(f"{tmp_path}/log.{rank}").read_text()[-2000:] for rank in (0, 1)]
    alone, together = (torch.load(tmp_path / f"{name}.pt", weights_only=True) for name in ("alone", "together"))
    for name, weights in alone.items():
        torch.testing.assert_close(together[name], weights, rtol=1e-4, atol=1e-5)
    assert any(name.startswith("layer_match.") for name in together) == bool(changes)
    assert (tmp_path / "together.tokens").read_text() == (tmp_path / "alone.tokens").read_text() == str(9 * LENGTH)


def test_every_term_is_logged_raw_and_weighted(tmp_path):
    recorder = ListRecorder()
    make_trainer(tmp_path, spec(max_steps=2), recorder=recorder).train()
    value = {name: value for _, step, name, value in recorder.rows if step == 1}
    factors = {term.name: EVERYTHING.weights()[term.name].start * (2.0**2 if term.softened else 1.0) for term in LOSS_TERMS}
    for term, factor in factors.items():
        assert value[f"raw/{term}"] != 0  # an entropy that is rewarded is negative
        assert value[f"loss/{term}"] == pytest.approx(factor * value[f"raw/{term}"], rel=1e-5)
    assert value["loss"] == pytest.approx(sum(value[f"loss/{term}"] for term in factors), rel=1e-5)
    assert value["tokens"] == 8 * LENGTH


@pytest.mark.parametrize("term", LOSS_TERMS, ids=lambda term: term.name)
def test_a_term_alone_is_trained_and_logged(term: LossTerm, tmp_path: Path) -> None:
    recorder = ListRecorder()
    losses = LossSpec(**{**dict.fromkeys((each.key for each in LOSS_TERMS), 0.0), term.key: 1.0})
    trainer = make_trainer(tmp_path, spec(max_steps=12, learning_rate=1e-2), losses, recorder)
    trainer.train()
    curve = recorder.series(STUDENT, f"raw/{term.name}")
    assert min(curve.values()) < curve[1], f"core/training/distillation_trainer.py has no gradient of {term.name}"
    assert {name for _, _, name, _ in recorder.rows if name.startswith("raw/")} == {f"raw/{term.name}"}


@pytest.mark.parametrize("init", ["teacher", "random"])
def test_training_and_evaluation_agree_about_a_padded_model(tmp_path, init):
    """Rows beyond the tokenizer are no tokens: the losses logged at the first step equal what evaluation finds on the same blocks."""
    tokenizer, recorder, blocks = chat_tokenizer(), ListRecorder(), make_blocks()
    blocks.weights[blocks.weights > 0] = 1.0  # evaluation counts positions, training weighs them
    teacher = chat_model(layers=4, width=len(tokenizer) + 20)
    student = build_student(teacher, StudentSpec(layers=2, init=init), seed=1).model
    measured = evaluate_language(student, blocks, teacher, tokenizer=tokenizer, batch_size=8, device="cpu")
    padding = student.get_output_embeddings().weight[len(tokenizer):].detach().clone()
    setup = DistillationSetup(LossSpec(w_kd=1.0, w_hard=0.5, temperature=1.0), LocalTeacher(teacher),
                               vocabulary=unpadded_width(tokenizer, student, teacher))
    DistillationTrainer(student, setup, blocks, training_arguments(spec(weight_decay=0.0), tmp_path, torch.device("cpu"), eval_steps=99),
                        variant=STUDENT, recorder=recorder, dtype=torch.float32, evaluate=lambda step: {"eval/cross_entropy": 0.0}).train()
    assert recorder.series(STUDENT, "raw/hard")[1] == pytest.approx(measured["cross_entropy"], rel=1e-5)
    assert recorder.series(STUDENT, "raw/kd")[1] == pytest.approx(measured["kl_to_teacher"], rel=1e-4)
    assert torch.equal(student.get_output_embeddings().weight[len(tokenizer):], padding)


def test_weights_move_along_their_ramp(tmp_path):
    recorder = ListRecorder()
    losses = LossSpec(w_kd={"start": 1.0, "end": 0.0}, w_hard={"start": 0.0, "end": 2.0}, temperature=1.0)
    make_trainer(tmp_path, spec(max_steps=3), losses, recorder).train()
    shares = [recorder.series(STUDENT, "loss/hard")[step] / recorder.series(STUDENT, "raw/hard")[step] for step in (1, 2, 3)]
    assert shares == pytest.approx([0.0, 1.0, 2.0])
    assert recorder.series(STUDENT, "loss/kd")[3] == 0.0
    assert all(value > 0 for value in recorder.series(STUDENT, "raw/kd").values())  # the term itself has no weight


@pytest.mark.parametrize("lora", [None, {"rank": 2}])
def test_training_lowers_the_loss_and_moves_what_is_trainable(tmp_path, lora):
    recorder = ListRecorder()
    trainer = make_trainer(tmp_path, spec(max_steps=15, learning_rate=1e-2), recorder=recorder, lora=lora)
    before = {name: parameter.detach().clone() for name, parameter in trainer.model.named_parameters()}
    trainer.train()
    loss = recorder.series(STUDENT, "loss")
    assert loss[15] < loss[1]
    for name, parameter in trainer.model.named_parameters():
        assert torch.equal(parameter, before[name]) != parameter.requires_grad, name


def test_without_a_teacher_only_hard_labels_count(tmp_path):
    recorder = ListRecorder()
    make_trainer(tmp_path, spec(), LossSpec(w_kd=0.0, w_hard=1.0), recorder).train()
    assert {name for _, _, name, _ in recorder.rows if name.startswith(("raw/", "loss/"))} == {"raw/hard", "loss/hard"}


def test_stop_finishes_the_step_and_leaves_a_checkpoint(tmp_path):
    make_trainer(tmp_path, spec(max_steps=9), recorder=ListRecorder(stop_after=3)).train()
    checkpoint = latest_checkpoint(tmp_path)
    assert json.loads((checkpoint / "trainer_state.json").read_text())["global_step"] == 4


@pytest.mark.parametrize("layer_map", [(0,), (0, 1, 2, 3, 4)])
def test_matched_layers_without_a_pair_are_refused(tmp_path, layer_map):
    """A single block that came from the teacher's first has no counterpart; a deeper student asks for blocks that are not there."""
    teacher, student = tiny_model("llama", layers=4), tiny_model("llama", layers=len(layer_map))
    arguments = training_arguments(spec(), tmp_path, torch.device("cpu"), eval_steps=9)
    with pytest.raises(CompatibilityError, match="w_hidden_mse"):
        DistillationTrainer(student, DistillationSetup(LossSpec(w_hidden_mse=1.0), LocalTeacher(teacher), layer_map), make_blocks(),
                            arguments, variant=STUDENT, recorder=ListRecorder(), dtype=torch.float32, evaluate=lambda step: {})


def test_a_loss_that_is_no_number_ends_training(tmp_path):
    trainer = make_trainer(tmp_path, spec(max_steps=3))
    with torch.no_grad():
        next(trainer.model.parameters()).fill_(float("nan"))
    with pytest.raises(NonFiniteLossError, match="step 1"):
        trainer.train()
