"""What every trainer shares: arguments, checkpoints, terms as points of curves, stops, and the clock."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from core.config import LossSpec, TrainSpec
from core.errors import NonFiniteLossError
from core.recorder import STUDENT, ListRecorder
from core.training.base_trainer import EXTRA_STATE, BaseTrainer, training_arguments
from core.training.checkpoint_folders import latest_checkpoint

CPU = torch.device("cpu")
SPEC = TrainSpec(max_steps=4, device="cpu", precision="fp32", learning_rate=0.1, warmup_ratio=0.0, weight_decay=0.0, save_steps=2,
                 per_device_train_batch_size=2, lr_scheduler_type="constant_with_warmup", logging_steps=1)


class Line(nn.Module):
    """One weight, which is to become 3."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))


class LineTrainer(BaseTrainer):
    """Squared distance of the weight from 3, as a term that counts two positions."""

    def compute_loss(self, model: Line, inputs: dict[str, Tensor], return_outputs: bool = False, **_: Any) -> Tensor:
        raw = (model.weight - 3).square().sum()
        weight = self.current_loss_weights()["hard"]
        self.add_term("hard", weight, 2 * raw.detach(), torch.tensor(2.0))
        self.add_term("kd", 1.0, raw.detach(), torch.tensor(1.0))  # takes no part: its weight is 0
        return weight * raw


def trainer(folder: Path, recorder: ListRecorder, spec: TrainSpec = SPEC, losses: LossSpec | None = None,
            eval_steps: int = 99) -> LineTrainer:
    data = [{"input_ids": torch.ones(3, dtype=torch.long)}] * 8
    arguments = training_arguments(spec, folder, CPU, eval_steps=eval_steps)
    return LineTrainer(Line(), losses or LossSpec(w_kd=0, w_hard=0.5), data, lambda items: {"input_ids": torch.stack(
        [item["input_ids"] for item in items])}, arguments, variant=STUDENT, recorder=recorder, dtype=torch.float32,
        evaluate=lambda step: {"eval/accuracy": step / 10})


def test_arguments_are_those_of_the_recipe(tmp_path: Path) -> None:
    arguments = training_arguments(SPEC.model_copy(update={"warmup_ratio": 0.25, "gradient_accumulation_steps": 3}), tmp_path, CPU,
                                   eval_steps=7, run_name="mine-student")
    assert (arguments.max_steps, arguments.eval_steps, arguments.save_steps, arguments.logging_steps) == (4, 7, 2, 1)
    assert (arguments.learning_rate, arguments.gradient_accumulation_steps, arguments.run_name) == (0.1, 3, "mine-student")
    assert arguments.get_warmup_steps(100) == 25 and arguments.device == CPU
    epochs = training_arguments(SPEC.model_copy(update={"max_steps": None, "num_train_epochs": 2.5}), tmp_path, CPU, eval_steps=7)
    assert epochs.max_steps == -1 and epochs.num_train_epochs == 2.5


def test_a_warm_up_of_all_steps_is_a_share_and_not_one_step(tmp_path: Path) -> None:
    arguments = training_arguments(SPEC.model_copy(update={"warmup_ratio": 1.0}), tmp_path, CPU, eval_steps=7)
    assert arguments.get_warmup_steps(200) == 200


def test_each_step_logs_its_terms_over_what_they_were_summed_over(tmp_path: Path) -> None:
    recorder = ListRecorder()
    made = trainer(tmp_path, recorder, eval_steps=2)
    made.train_from(None)
    raw = recorder.series(STUDENT, "raw/hard")
    assert list(raw) == [1, 2, 3, 4] and raw[1] == pytest.approx(9.0) and raw[4] < raw[1]
    for step, value in raw.items():
        assert recorder.series(STUDENT, "loss/hard")[step] == recorder.series(STUDENT, "loss")[step] == pytest.approx(value / 2)
        assert recorder.series(STUDENT, "tokens")[step] == 6 * step
    assert not recorder.series(STUDENT, "raw/kd") and not recorder.series(STUDENT, "epoch")
    assert recorder.series(STUDENT, "eval/accuracy") == {2: 0.2, 4: 0.4}
    assert made.clock.tokens_per_second(made.state) > 0


def test_points_between_logs_are_means_of_their_steps(tmp_path: Path) -> None:
    every, second = ListRecorder(), ListRecorder()
    trainer(tmp_path / "a", every).train_from(None)
    trainer(tmp_path / "b", second, SPEC.model_copy(update={"logging_steps": 2})).train_from(None)
    ones = every.series(STUDENT, "raw/hard")
    assert second.series(STUDENT, "raw/hard") == pytest.approx({2: (ones[1] + ones[2]) / 2, 4: (ones[3] + ones[4]) / 2})


def test_a_weight_moves_from_its_first_step_to_its_last(tmp_path: Path) -> None:
    losses = LossSpec(w_kd=0, w_hard={"start": 0.0, "end": 1.5})
    made = trainer(tmp_path, ListRecorder(), losses=losses)
    assert made.uses("hard") and not made.uses("kd")
    made.state.max_steps = 4
    for step, weight in ((0, 0.0), (1, 0.5), (3, 1.5)):
        made.state.global_step = step
        assert made.current_loss_weights()["hard"] == pytest.approx(weight)
    made.state.max_steps = 1  # a single step has the first weight
    made.state.global_step = 0
    assert made.current_loss_weights()["hard"] == 0.0


def test_a_stop_finishes_its_step_and_a_resumed_training_ends_the_same(tmp_path: Path) -> None:
    whole = trainer(tmp_path / "whole", ListRecorder())
    whole.train_from(None)
    stopped = trainer(tmp_path / "cut", ListRecorder(stop_after=1))
    stopped.train_from(None)
    assert stopped.state.global_step < 4
    checkpoint = latest_checkpoint(tmp_path / "cut")
    assert checkpoint is not None and checkpoint.name == f"checkpoint-{stopped.state.global_step}" and (checkpoint / EXTRA_STATE).is_file()
    recorder = ListRecorder()
    resumed = trainer(tmp_path / "cut", recorder)
    resumed.train_from(checkpoint)
    assert resumed.state.global_step == 4 and torch.equal(resumed.model.weight, whole.model.weight)
    assert stopped.state.global_step not in recorder.series(STUDENT, "loss")


def test_a_checkpoint_of_the_last_step_takes_no_step_more(tmp_path: Path) -> None:
    first = trainer(tmp_path, ListRecorder())
    first.train_from(None)
    recorder = ListRecorder()
    again = trainer(tmp_path, recorder)
    again.train_from(latest_checkpoint(tmp_path))
    assert again.state.global_step == 4 and torch.equal(again.model.weight, first.model.weight) and not recorder.rows


def test_sums_that_were_not_logged_are_part_of_a_checkpoint(tmp_path: Path) -> None:
    made = trainer(tmp_path, ListRecorder())
    for _ in range(2):
        made.add_term("hard", 0.5, torch.tensor(6.0), torch.tensor(2.0))
    assert {name: total.tolist() for name, total in made.extra_state().items()} == {"sums.hard": [12.0, 6.0, 4.0]}
    other = trainer(tmp_path, ListRecorder())
    other.load_extra_state({**made.extra_state(), "sums.old": torch.zeros(2), "projections": torch.zeros(3)})
    assert {name: total.tolist() for name, total in other.extra_state().items()} == {"sums.hard": [12.0, 6.0, 4.0]}
    other.load_extra_state({})  # a checkpoint of an earlier release
    assert other.extra_state() == {}


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_ends_training(tmp_path: Path, value: float) -> None:
    recorder = ListRecorder()
    made = trainer(tmp_path, recorder)
    made.model.weight.data.fill_(value)
    with pytest.raises(NonFiniteLossError, match=r"'student'.*step 1"):
        made.train_from(None)
    assert not recorder.rows


def test_the_clock_stops_after_the_step_was_waited_for(tmp_path: Path) -> None:
    """The first look at a loss waits for the GPU; a clock that stops before it measures how fast work is queued."""
    order = [type(callback).__name__ for callback in trainer(tmp_path, ListRecorder()).callback_handler.callbacks]
    assert order.index("_StopCallback") < order.index("ThroughputCallback")
