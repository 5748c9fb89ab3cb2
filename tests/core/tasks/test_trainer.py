"""One loss however a step of a task is cut into batches, and how items become batches."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from core.config import LossSpec, TrainSpec
from core.errors import ConfigError
from core.loss_terms import LOSS_TERMS, LossTerm
from core.recorder import STUDENT, ListRecorder
from core.tasks.encoding import Feature, encode
from core.tasks.fine_tuning import DISTILBERT_LOSSES, answers
from core.tasks.heads import with_head
from core.tasks.trainer import Collator, TaskTrainer, logits_of
from core.training.base_trainer import training_arguments
from tests.core.tasks.encoders import encoder, questions, sentiment, tokenizer

SPEC = TrainSpec(learning_rate=5e-3, per_device_train_batch_size=8, max_steps=60, lr_scheduler_type="linear", warmup_ratio=0.1,
                 precision="fp32", device="cpu", logging_steps=1, seed=1)

ONE = SPEC.model_copy(update={"max_steps": 1})


@pytest.mark.parametrize("make", [sentiment, questions])
@pytest.mark.parametrize(("batch", "accumulation"), [(4, 2), (2, 4)])
def test_the_gradient_does_not_depend_on_how_a_step_is_cut(tmp_path, make, batch, accumulation) -> None:
    task, start = make(train=8), encoder(tmp_path / "b")
    features = encode(task.train, task, tokenizer(), 64)[:8]

    def gradients(size: int, steps: int) -> dict[str, torch.Tensor]:
        seen: dict[str, torch.Tensor] = {}
        model = with_head(start, task, 1)
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        teacher_logits = answers(with_head(start, task, 2), features, tokenizer(), torch.float32)
        spec = ONE.model_copy(update={"per_device_train_batch_size": size, "gradient_accumulation_steps": steps, "max_grad_norm": 1e9})
        trainer = TaskTrainer(model, DISTILBERT_LOSSES, list(zip(features, teacher_logits, strict=True)), Collator(0, True),
                              training_arguments(spec, tmp_path / f"{size}", torch.device("cpu"), eval_steps=9), variant=STUDENT,
                              recorder=ListRecorder(), dtype=torch.float32, evaluate=lambda step: {})
        trainer.create_optimizer().register_step_pre_hook(lambda *_: seen.update(
            {each: parameter.grad.clone() for each, parameter in model.named_parameters() if parameter.grad is not None}))
        trainer.train()
        return seen

    whole, cut = gradients(8, 1), gradients(batch, accumulation)
    assert whole.keys() == cut.keys() and len(whole) > 10
    for name, gradient in whole.items():
        torch.testing.assert_close(cut[name], gradient, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("term", LOSS_TERMS, ids=lambda term: term.name)
def test_a_term_is_trained_and_logged_or_refused(tmp_path: Path, term: LossTerm) -> None:
    """A weight that a task has no use for ends in an error, and not in training without it."""
    task, start = sentiment(train=8), encoder(tmp_path / "b")
    features = encode(task.train, task, tokenizer(), 64)[:8]
    logits = answers(with_head(start, task, 2), features, tokenizer(), torch.float32) if term.needs_teacher else [None] * len(features)
    losses = LossSpec(**{**dict.fromkeys((each.key for each in LOSS_TERMS), 0.0), term.key: {"start": 0.0, "end": 1.0}})
    recorder = ListRecorder()

    def make() -> TaskTrainer:
        return TaskTrainer(with_head(start, task, 1), losses, list(zip(features, logits, strict=True)), Collator(0, True),
                           training_arguments(SPEC.model_copy(update={"max_steps": 3}), tmp_path, torch.device("cpu"), eval_steps=9),
                           variant=STUDENT, recorder=recorder, dtype=torch.float32, evaluate=lambda step: {})

    if term.on == "states":
        with pytest.raises(ConfigError, match="from 0 to 1") as caught:
            make()
        assert caught.value.field == f"losses.{term.key}"
    else:
        make().train()
        assert recorder.series(STUDENT, f"loss/{term.name}")[3] == pytest.approx(
            recorder.series(STUDENT, f"raw/{term.name}")[3] * (losses.temperature**2 if term.softened else 1.0))


def feature(length: int, targets: tuple[int, ...], second: int | None = None) -> Feature:
    return Feature(np.arange(1, length + 1, dtype=np.int32), length if second is None else second, targets, 0)


def test_classes_are_one_row_an_item() -> None:
    items = [(feature(3, (1,)), np.array([0.5, -0.5], np.float32)), (feature(2, (0,)), np.array([2.0, 1.0], np.float32))]
    batch = Collator(9, token_types=False)(items)
    assert batch["input_ids"].tolist() == [[1, 2, 3], [1, 2, 9]] and batch["attention_mask"].tolist() == [[1, 1, 1], [1, 1, 0]]
    assert batch["targets"].tolist() == [1, 0]
    assert batch["teacher_logits"].tolist() == [[0.5, -0.5], [2.0, 1.0]]
    assert "token_type_ids" not in batch


def test_spans_are_rows_of_beginnings_and_then_of_ends() -> None:
    long, short = (np.stack([np.full(length, value, np.float32), np.full(length, -value, np.float32)])
                   for length, value in ((3, 1.0), (2, 2.0)))
    batch = Collator(0, token_types=True)([(feature(3, (1, 2), second=2), long), (feature(2, (0, 1)), short)])
    assert batch["targets"].tolist() == [1, 0, 2, 1]
    assert batch["teacher_logits"].tolist() == [[1, 1, 1], [2, 2, 0], [-1, -1, -1], [-2, -2, 0]]
    assert batch["token_type_ids"].tolist() == [[0, 0, 1], [0, 0, 0]]


def test_without_a_teacher_there_are_no_logits_of_one() -> None:
    assert "teacher_logits" not in Collator(0, token_types=False)([(feature(2, (0,)), None)])
    with pytest.raises(AssertionError, match="all items or none"):
        Collator(0, token_types=False)([(feature(2, (0,)), None), (feature(2, (1,)), np.zeros(2, np.float32))])


class Outputs(dict):
    """Outputs of a model, as keys and as attributes."""

    __getattr__ = dict.__getitem__


def test_rows_of_logits() -> None:
    begin, end, classes = torch.zeros(2, 3), torch.ones(2, 3), torch.full((2, 4), 5.0)
    assert torch.equal(logits_of(lambda **_: Outputs(start_logits=begin, end_logits=end), {}), torch.cat([begin, end]))
    assert torch.equal(logits_of(lambda **_: Outputs(logits=classes), {}), classes)
