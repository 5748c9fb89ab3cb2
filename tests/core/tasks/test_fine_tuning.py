"""Fine-tuning: heads of every family, one loss however a step is cut, a teacher's answers, adapters, stops and refusals."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from core.config import LoraSpec, LossSpec, TaskSpec, TrainSpec
from core.data.tokenizers import train_masked_tokenizer
from core.errors import CompatibilityError
from core.events import RunWarning
from core.models import catalog
from core.models.forward import max_positions
from core.recorder import STUDENT, ListRecorder
from core.tasks.data import TaskData, load_task
from core.tasks.encoding import encode
from core.tasks.fine_tuning import DISTILBERT_LOSSES, LABELS_ONLY, StopRequested, answers, evaluate_task, fine_tune, fine_tune_and_evaluate
from core.tasks.heads import label_order, with_head
from core.tasks.trainer import Collator, TaskTrainer
from core.training.base_trainer import training_arguments
from tests.core.tasks.encoders import encoder, questions, sentiment, tokenizer
from tests.core.tiny import ENCODERS, tiny_model

SPEC = TrainSpec(learning_rate=5e-3, per_device_train_batch_size=8, max_steps=60, lr_scheduler_type="linear", warmup_ratio=0.1,
                 precision="fp32", device="cpu", logging_steps=1, seed=1)
ONE = SPEC.model_copy(update={"max_steps": 1})


# ---------------------------------------------------------------------------------------------------- heads


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize("make", [sentiment, questions])
def test_every_family_gets_a_head_and_keeps_its_encoder(tmp_path, name, make) -> None:
    start, task = encoder(tmp_path / name, name), make()
    model = with_head(start, task, seed=3)
    theirs, ours = start.model.base_model.state_dict(), model.base_model.state_dict()
    assert {each for each in ours if each not in theirs} <= {each for each in ours if each.startswith("pooler.")}
    assert all(torch.equal(ours[each], theirs[each]) for each in theirs if each in ours)
    again, other = with_head(start, task, seed=3), with_head(start, task, seed=4)
    weights, same, different = (each.state_dict() for each in (model, again, other))
    assert all(torch.equal(weights[each], same[each]) for each in weights)
    assert any(not torch.equal(weights[each], different[each]) for each in weights)
    # What is saved is read back by anybody's class, labels included.
    model.save_pretrained(tmp_path / "tuned")
    tokenizer().save_pretrained(tmp_path / "tuned")
    loaded = catalog.load(str(tmp_path / "tuned"), dtype=torch.float32)
    assert loaded.entry.task == task.kind
    if task.labels:
        assert loaded.model.config.id2label == {0: "negative", 1: "positive"}
    tuned = fine_tune(start, task, train=ONE)
    assert tuned.steps == 1


def test_modernbert_keeps_the_transform_that_it_was_trained_with(tmp_path) -> None:
    start = encoder(tmp_path / "m", "modernbert")
    assert torch.equal(with_head(start, sentiment(), seed=0).head.dense.weight, start.model.head.dense.weight)


def test_a_fine_tuned_model_keeps_its_head(tmp_path) -> None:
    made, _ = fine_tune_and_evaluate(encoder(tmp_path / "b"), sentiment(), seed=1, spec=ONE)
    assert torch.equal(with_head(made, sentiment(), seed=9).classifier.weight, made.model.classifier.weight)


@pytest.mark.parametrize("name", ENCODERS)
def test_a_head_is_kept_where_it_names_the_same_labels(tmp_path, name) -> None:
    start, task = encoder(tmp_path / name, name), sentiment()
    made, _ = fine_tune_and_evaluate(start, task, seed=1, spec=ONE)
    features = encode(task.validation, task, tokenizer(), 64)
    own = answers(made.model, features, tokenizer(), torch.float32)
    # The same labels in another order: the rows move with their labels.
    turned = with_head(made, replace(task, labels=("positive", "negative")), seed=9).eval()
    assert turned.config.id2label == {0: "positive", 1: "negative"}
    for mine, theirs in zip(answers(turned, features, tokenizer(), torch.float32), own, strict=True):
        assert mine == pytest.approx(theirs[::-1], abs=1e-5)
    # Other labels, as many of them: nothing of the old head says anything about them.
    strange = with_head(made, replace(task, labels=("no", "yes")), seed=9).state_dict()
    fresh = with_head(start, replace(task, labels=("no", "yes")), seed=9).state_dict()
    output = "classifier.out_proj.weight" if "classifier.out_proj.weight" in fresh else "classifier.weight"
    assert torch.equal(strange[output], fresh[output])


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize("labels", [("a", "b"), ("a", "b", "c")])
def test_questions_after_a_classifier_get_a_head_of_their_own(tmp_path, name, labels) -> None:
    start, task = encoder(tmp_path / name, name), questions()
    classifier = replace(start, model=with_head(start, sentiment(labels=labels), seed=1),
                         entry=replace(start.entry, task="classification"))
    made, _ = fine_tune_and_evaluate(classifier, task, seed=2, spec=ONE)
    assert made.model.config.num_labels == 2 and made.model.config.id2label == {0: "LABEL_0", 1: "LABEL_1"}
    after, fresh = with_head(classifier, task, seed=2).state_dict(), with_head(start, task, seed=2).state_dict()
    output = "qa_outputs.weight" if "qa_outputs.weight" in fresh else "classifier.weight"
    assert torch.equal(after[output], fresh[output])
    again = with_head(made, task, seed=5).state_dict()
    assert torch.equal(again[output], made.model.state_dict()[output]), "a question answering model keeps its head"


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


def test_labels_are_matched_by_name(tmp_path) -> None:
    task = sentiment()
    made, _ = fine_tune_and_evaluate(encoder(tmp_path / "t"), task, seed=1, spec=ONE)
    made.model.config.id2label = {0: "Positive", 1: "negative"}
    assert label_order(made, task) == [1, 0]
    made.model.config.id2label = {0: "LABEL_0", 1: "LABEL_1"}
    assert label_order(made, task) == [0, 1]
    made.model.config.id2label = {0: "dog", 1: "cat"}
    with pytest.raises(CompatibilityError, match=r"tells apart dog, cat.*negative, positive"):
        label_order(made, task)


def test_a_teacher_without_the_head(tmp_path) -> None:
    start = encoder(tmp_path / "b")
    with pytest.raises(CompatibilityError, match=r"is a masked model.*fine-tuned for classification"):
        fine_tune_and_evaluate(start, sentiment(), seed=1, spec=ONE, teacher=start)


def test_teacher_and_student_have_one_tokenizer(tmp_path) -> None:
    made, _ = fine_tune_and_evaluate(encoder(tmp_path / "t"), sentiment(), seed=1, spec=ONE)
    other = train_masked_tokenizer(({"text": text} for text in ("dogs and cats", "green trees") * 9), 97, 64)
    with pytest.raises(CompatibilityError, match="tokenizers differ"):
        fine_tune_and_evaluate(encoder(tmp_path / "s"), sentiment(), seed=1, spec=ONE, teacher=replace(made, tokenizer=other))


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
    whole = fine_tune(start, sentiment(), train=SPEC.model_copy(update={"max_steps": 8}), directory=tmp_path / "whole", eval_steps=4)
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
