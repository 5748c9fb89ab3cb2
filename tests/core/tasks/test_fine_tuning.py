"""Fine-tuning: what is learnt, a teacher's answers, adapters, stops and refusals."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from core.config import LoraSpec, LossSpec, TaskSpec, TrainSpec
from core.errors import CompatibilityError
from core.events import RunWarning
from core.models.forward import max_positions
from core.recorder import STUDENT, ListRecorder
from core.tasks.data import TaskData, load_task
from core.tasks.encoding import encode
from core.tasks.fine_tuning import LABELS_ONLY, StopRequested, evaluate_task, fine_tune, fine_tune_and_evaluate
from core.tasks.heads import with_head
from tests.core.tasks.encoders import encoder, questions, sentiment, tokenizer
from tests.core.tiny import ENCODERS, tiny_model

SPEC = TrainSpec(learning_rate=5e-3, per_device_train_batch_size=8, max_steps=60, lr_scheduler_type="linear", warmup_ratio=0.1,
                 precision="fp32", device="cpu", logging_steps=1, seed=1)
ONE = SPEC.model_copy(update={"max_steps": 1})


def test_roberta_counts_positions_from_behind_its_padding(tmp_path) -> None:
    start = encoder(tmp_path / "r", "roberta")
    assert max_positions(start.model) == 63 - tokenizer().pad_token_id
    evaluate_task(fine_tune_and_evaluate(start, sentiment(max_length=512), seed=1, spec=ONE)[0], sentiment(max_length=512))


# ---------------------------------------------------------------------------------------------------- learning


@pytest.mark.parametrize("name", ["bert", "distilbert"])
def test_a_task_is_learnt(tmp_path, name) -> None:
    start = encoder(tmp_path / name, name)
    before = {each: tensor.clone() for each, tensor in start.model.state_dict().items()}
    recorder = ListRecorder()
    made, metrics = fine_tune_and_evaluate(start, sentiment(), seed=1, spec=SPEC, recorder=recorder)
    assert metrics["accuracy"] > 0.9 and metrics["items"] == 16 and metrics["majority_share"] == 0.5
    assert metrics == evaluate_task(made, sentiment())
    losses = recorder.series(STUDENT, "loss/hard")
    assert losses[60] < losses[1] / 3 and losses == recorder.series(STUDENT, "loss")
    assert all(torch.equal(tensor, before[each]) for each, tensor in start.model.state_dict().items())


def test_questions_are_learnt(tmp_path) -> None:
    _, metrics = fine_tune_and_evaluate(encoder(tmp_path / "b"), questions(), seed=1, spec=SPEC)
    assert metrics["exact_match"] > 0.8 and metrics["answer_f1"] >= metrics["exact_match"]


def test_a_seed_gives_the_same_model_and_another_seed_another(tmp_path) -> None:
    start, short = encoder(tmp_path / "b"), SPEC.model_copy(update={"max_steps": 3})
    first, again, other = (fine_tune_and_evaluate(start, sentiment(), seed=seed, spec=short)[0].model.state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(first[each], again[each]) for each in first)
    assert any(not torch.equal(first[each], other[each]) for each in first)


# ---------------------------------------------------------------------------------------------------- a teacher


@pytest.mark.parametrize("make", [sentiment, questions])
def test_the_first_step_tells_the_loss_of_its_definition(tmp_path, make) -> None:
    """w_hard CE + w_kd T^2 KL, from the logits of one batch, spans cut to their own tokens."""
    task = make(train=8, held_out=2)
    start, teacher = encoder(tmp_path / "s"), encoder(tmp_path / "t", layers=3, seed=5)
    teacher = replace(teacher, model=with_head(teacher, task, 7).eval(), entry=replace(teacher.entry, task=task.kind))
    with torch.no_grad():  # new heads hardly say anything
        (teacher.model.classifier if task.labels else teacher.model.qa_outputs).weight.mul_(50)
    losses = LossSpec(w_kd=0.7, w_hard=0.4, temperature=3.0)
    student = with_head(start, task, SPEC.seed)
    for module in student.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    features = encode(task.train, task, tokenizer(), 64)
    kd, hard = [], []
    for feature in features:
        rows = []
        for model in (student, teacher.model):
            with torch.no_grad():
                outputs = model.eval()(input_ids=torch.from_numpy(feature.input_ids).long()[None],
                                       token_type_ids=(torch.arange(len(feature)) >= feature.second).long()[None])
            rows.append(outputs.logits if task.labels else torch.cat([outputs.start_logits, outputs.end_logits]))
        z, v = rows
        for number, target in enumerate(feature.targets):
            p = torch.softmax(v[number] / 3, -1)
            kd.append(float((p * (p.log() - torch.log_softmax(z[number] / 3, -1))).sum()))
            hard.append(float(F.cross_entropy(z[number], torch.tensor(target))))
    recorder = ListRecorder()
    with_no_dropout = replace(start, model=_without_dropout(start.model))
    fine_tune(with_no_dropout, task, train=ONE.model_copy(update={"per_device_train_batch_size": len(features)}), losses=losses,
              teacher=teacher, recorder=recorder)
    logged = {name: value for _, step, name, value in recorder.rows if step == 1}
    assert logged["raw/kd"] == pytest.approx(sum(kd) / len(kd), rel=1e-4, abs=1e-7)
    assert logged["raw/hard"] == pytest.approx(sum(hard) / len(hard), rel=1e-4)
    assert logged["loss/kd"] == pytest.approx(0.7 * 9 * logged["raw/kd"], rel=1e-5)
    assert logged["loss"] == pytest.approx(logged["loss/kd"] + 0.4 * logged["raw/hard"], rel=1e-5)


def _without_dropout(model):
    model.config.hidden_dropout_prob = model.config.attention_probs_dropout_prob = 0.0
    return model


def test_a_student_follows_its_teacher_against_the_labels(tmp_path) -> None:
    task = sentiment()
    teacher, _ = fine_tune_and_evaluate(encoder(tmp_path / "t", layers=3), task, seed=1, spec=SPEC)
    turned = replace(task, train=tuple(replace(item, label=1 - item.label) for item in task.train))
    _, metrics = fine_tune_and_evaluate(encoder(tmp_path / "s", seed=2), turned, seed=1, spec=SPEC, teacher=teacher,
                                losses=LossSpec(w_kd=1.0, w_hard=0.0))
    assert metrics["accuracy"] > 0.9  # the held-out labels are the teacher's


# ---------------------------------------------------------------------------------------------------- adapters, stops, refusals


@pytest.mark.parametrize("name", ENCODERS)
def test_adapters_leave_the_blocks_alone_and_are_merged(tmp_path, name) -> None:
    start = encoder(tmp_path / name, name)
    tuned = fine_tune(start, sentiment(), train=SPEC.model_copy(update={"max_steps": 5}), lora=LoraSpec(rank=2))
    whole = with_head(start, sentiment(), SPEC.seed)
    assert tuned.model.state_dict().keys() == whole.state_dict().keys()
    moved = {each for each, tensor in tuned.model.state_dict().items() if not torch.equal(tensor, whole.state_dict()[each])}
    assert any("classifier" in each for each in moved) and not any("embedding" in each or "norm" in each.lower() for each in moved
                                                                   if not each.startswith("head."))
    assert len(moved) > 5


def test_a_stop_without_a_directory_and_one_with_it(tmp_path) -> None:
    start = encoder(tmp_path / "b")
    with pytest.raises(StopRequested):
        fine_tune_and_evaluate(start, sentiment(), seed=1, spec=SPEC, recorder=ListRecorder(stop_after=2))
    whole = fine_tune(start, sentiment(), train=SPEC.model_copy(update={"max_steps": 8}), directory=tmp_path / "whole",
                      eval_steps=lambda steps: steps // 2)
    spec = SPEC.model_copy(update={"max_steps": 8})
    with pytest.raises(StopRequested):
        fine_tune(start, sentiment(), train=spec, directory=tmp_path / "cut", recorder=ListRecorder(stop_after=3))
    resumed = fine_tune(start, sentiment(), train=spec, directory=tmp_path / "cut")
    assert resumed.steps == 8
    for name, tensor in whole.model.state_dict().items():
        torch.testing.assert_close(resumed.model.state_dict()[name], tensor, rtol=1e-5, atol=1e-7)


def test_a_stop_while_the_teacher_runs(tmp_path) -> None:
    teacher, _ = fine_tune_and_evaluate(encoder(tmp_path / "t"), sentiment(), seed=1, spec=ONE)

    class Impatient(ListRecorder):
        def should_stop(self) -> bool:
            return True

    with pytest.raises(StopRequested):
        fine_tune_and_evaluate(encoder(tmp_path / "s"), sentiment(), seed=1, spec=SPEC, teacher=teacher, recorder=Impatient())


def test_no_encoder(tmp_path: Path) -> None:
    tiny_model("gpt2").save_pretrained(tmp_path / "gpt2")
    tokenizer().save_pretrained(tmp_path / "gpt2")
    with pytest.raises(CompatibilityError, match=r"is a gpt2 model: it predicts the next token.*An encoder was expected"):
        fine_tune_and_evaluate(tmp_path / "gpt2", sentiment(), seed=1, spec=ONE)


def test_items_longer_than_the_context_are_reported(tmp_path) -> None:
    recorder = ListRecorder()
    fine_tune(encoder(tmp_path / "b"), sentiment(max_length=500), train=ONE, recorder=recorder)
    assert RunWarning("task.max_length is 500 tokens; the models read 64.") in recorder.events


def test_real_reviews(tmp_path) -> None:
    task: TaskData = load_task(TaskSpec(source="rt", max_train_items=64, max_items=32, max_length=24))
    recorder = ListRecorder()
    _, metrics = fine_tune_and_evaluate(encoder(tmp_path / "b"), task, seed=1, spec=SPEC.model_copy(update={"max_steps": 6}),
                                        recorder=recorder)
    assert metrics["items"] == 32 and 0 <= metrics["accuracy"] <= 1 and {"recall_positive", "recall_negative"} <= metrics.keys()
    assert recorder.series(STUDENT, "loss").keys() == set(range(1, 7)) and LABELS_ONLY.w_hard.start == 1
