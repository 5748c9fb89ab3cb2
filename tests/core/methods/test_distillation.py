"""A whole experiment on a tiny teacher and a small text: its files, its curves, what repeats exactly, what is refused."""

from __future__ import annotations

import copy
import json
import os
import shutil
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

from core.errors import CompatibilityError, ConfigError, DataError, DeviceError
from core.events import Evaluation, Headway, Sample
from core.methods import distillation, distillation_schedule, evaluator, schedule, steps, variant_training
from core.methods.distillation import distill
from core.methods.first_measurements import BEFORE
from core.models.header import read_model_header
from core.recipes import parse_recipe
from core.recorder import CONTROL, STUDENT, ListRecorder, StopRequested
from core.students import from_scratch
from core.training import distillation_trainer
from tests.core.chat_models import chat_model, chat_tokenizer, save_chat_model
from tests.core.masked_models import masked_model, masked_tokenizer, save
from tests.core.methods.distillations import RETENTION, STEPS, experiment


def test_an_experiment_leaves_a_student_that_anybody_can_load(teacher, corpus, tmp_path):
    recorder = ListRecorder()
    report = distill(experiment(teacher, corpus, control=True), recorder, tmp_path / "run", command="the command")
    assert not report.stopped and report.command == "the command"
    assert report.student.layers == 2 and report.student.layer_map == (0, 2)
    assert set(report.metrics) == {"teacher", "student_before", "student_after", "control"}
    assert report.metrics["teacher"]["kl_to_teacher"] == 0
    assert report.student_after["kl_to_teacher"] < report.student_before["kl_to_teacher"]
    for variant in (STUDENT, CONTROL):
        folder = tmp_path / "run" / variant
        model = AutoModelForCausalLM.from_pretrained(folder)
        assert model.config.num_hidden_layers == 2 and AutoTokenizer.from_pretrained(folder).chat_template
        assert json.loads((folder / "stillhouse.json").read_text())["config"]["student"]["layers"] == 2
        assert (folder / "README.md").read_text().startswith("---")
        assert set(recorder.series(variant, "loss")) == set(range(1, STEPS + 1))
        assert {0, 3, STEPS} <= set(recorder.series(variant, "eval/perplexity"))
    assert not (tmp_path / "run" / "checkpoints").exists()
    assert {sample.variant for sample in recorder.of(Sample)} == {STUDENT, CONTROL}


@pytest.fixture
def film_reviews(monkeypatch: pytest.MonkeyPatch) -> None:
    """The corpus counts as film reviews, which packing the house corpus for would take long."""
    monkeypatch.setattr(evaluator, "reads_reviews", lambda config: True)


def test_the_curves_end_with_what_the_report_says(teacher, corpus, tmp_path, film_reviews):
    """The saved student is rounded to bf16 here, so that an evaluation before it was saved would measure something else."""
    recorder = ListRecorder()
    config = experiment(teacher, corpus, control=True, train={"save_precision": "bf16"}, evaluation={"sentiment_items": 6})
    report = distill(config, recorder, tmp_path / "run")
    for variant, who in ((STUDENT, "student_after"), (CONTROL, "control")):
        for name in ("cross_entropy", "kl_to_teacher", "sentiment_accuracy"):
            assert recorder.series(variant, f"eval/{name}")[STEPS] == report.metrics[who][name]
        answers = [sample for sample in recorder.of(Sample) if (sample.variant, sample.step) == (variant, STEPS)]
        assert len(answers) == 1


@pytest.mark.parametrize(("requested", "expected"), [("auto", "BF16"), ("fp32", "F32"), ("fp16", "F16")])
def test_a_student_is_saved_in_its_teachers_precision_unless_another_is_requested(corpus, tmp_path, requested, expected):
    chat_model(layers=3).bfloat16().save_pretrained(tmp_path / "teacher")
    chat_tokenizer().save_pretrained(tmp_path / "teacher")
    config = experiment(tmp_path / "teacher", corpus, train={"save_precision": requested})
    distill(config, ListRecorder(), tmp_path / "run")
    assert read_model_header(tmp_path / "run" / STUDENT).dtype == expected


def test_both_variants_learn_from_the_tokens_alone(corpus, tmp_path, monkeypatch):
    tokenizer, setups = chat_tokenizer(), []
    chat_model(layers=3, width=len(tokenizer) + 20).save_pretrained(tmp_path / "padded")
    tokenizer.save_pretrained(tmp_path / "padded")

    class Spy(variant_training.DistillationTrainer):
        def __init__(self, model, setup, *others, **more):
            setups.append(setup)
            super().__init__(model, setup, *others, **more)

    monkeypatch.setattr(variant_training, "DistillationTrainer", Spy)
    distill(experiment(tmp_path / "padded", corpus, control=True), ListRecorder(), tmp_path / "run")
    assert [setup.vocabulary for setup in setups] == [len(tokenizer)] * 2


def test_the_control_starts_from_the_same_weights(teacher, corpus, tmp_path):
    """Both variants see the same blocks in the same order from the same start: their hard-label losses are equal at step 1."""
    recorder = ListRecorder()
    distill(experiment(teacher, corpus, control=True), recorder, tmp_path / "run")
    assert recorder.series(STUDENT, "raw/hard")[1] == pytest.approx(recorder.series(CONTROL, "raw/hard")[1], rel=1e-6)
    assert "raw/kd" not in {name for variant, _, name, _ in recorder.rows if variant == CONTROL}


def test_hard_labels_alone_do_not_run_the_teacher(teacher, corpus, tmp_path, monkeypatch):
    """Evaluation still compares with it."""
    forwarded, forward = [], distillation_trainer.forward
    monkeypatch.setattr(distillation_trainer, "forward",
                        lambda model, *given, **more: (forwarded.append(model), forward(model, *given, **more))[1])
    config = experiment(teacher, corpus, losses={"w_kd": 0, "w_hard": 1, "w_hidden": 0}, train={"max_steps": 2}, evaluation={"prompts": []})
    report = distill(config, ListRecorder(), tmp_path / "run")
    assert len(forwarded) == 2 and forwarded[0] is forwarded[1]
    assert report.student_after["kl_to_teacher"] > 0


def test_the_first_loss_comes_before_the_first_measurements_unless_another_run_made_them(teacher, corpus, tmp_path):
    class Order(ListRecorder):
        def log(self, variant, step, metrics):
            super().log(variant, step, metrics)
            self.events.append((variant, step, sorted(metrics)[0]))

        def place(self, wanted):
            return next(place for place, event in enumerate(self.events) if wanted(event))

    config = experiment(teacher, corpus)
    first, second, other = Order(), Order(), Order()
    reports = [distill(config, recorder, tmp_path / name) for name, recorder in (("first", first), ("second", second))]
    reports.append(distill(experiment(teacher, corpus, student={"layers": 1}), other, tmp_path / "other"))
    losses, measured = [], []
    for recorder in (first, second, other):
        losses.append(recorder.place(lambda event: isinstance(event, tuple) and event[1] == 1))
        measured.append([recorder.place(lambda event, who=who: isinstance(event, Evaluation) and event.subject == who)
                         for who in ("teacher", "student_before")])
    assert losses[0] < min(measured[0]) and max(measured[1]) < losses[1]
    assert measured[2][0] < losses[2] < measured[2][1]  # the same teacher, another student
    assert reports[0].metrics["student_before"] == reports[1].metrics["student_before"]
    assert reports[0].metrics["teacher"] == reports[1].metrics["teacher"] == reports[2].metrics["teacher"]
    assert reports[0].metrics["student_before"] != reports[2].metrics["student_before"]


def test_a_student_that_is_measured_after_steps_is_the_untrained_one(teacher, corpus, tmp_path, home):
    config = experiment(teacher, corpus, train={"max_steps": 4}, evaluation={"min_evaluations": 1, "eval_steps": 4})
    report = distill(config, ListRecorder(), tmp_path / "run")
    shutil.rmtree(home / "cache" / "measurements")
    again = distill(experiment(teacher, corpus), ListRecorder(), tmp_path / "again")
    assert report.student_before == again.student_before != report.student_after


@pytest.mark.parametrize("stop", [None, 3])
def test_a_schedule_counts_what_a_run_does(teacher, corpus, tmp_path, stop):
    """At the end everything is done, and nothing more than that, in a resumed run too."""
    schedules, config = [], experiment(teacher, corpus, control=True)

    class Seen(ListRecorder):
        def event(self, event):
            super().event(event)
            if isinstance(event, Headway):
                shares.append(event.share)

    def seen(*given):
        schedules.append(distillation_schedule.schedule_of(*given))
        return schedules[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(schedule, "SAY", 0.0)
        patch.setattr(distillation, "schedule_of", seen)
        if stop:
            with pytest.raises(StopRequested):
                distill(config, ListRecorder(stop_after=stop), tmp_path / "run")
        shares: list[float] = []
        distill(config, Seen(), tmp_path / "run")
    for name, part in schedules[-1][0].parts.items():
        # A point of the curves that the stop cut off was counted as done, and is measured after all.
        assert part.done == pytest.approx(part.amount, rel=0.15 if stop else 1e-6), name
    assert shares == sorted(shares) and shares[-1] > 0.9


def test_no_step_is_evaluated_twice(teacher, corpus, tmp_path):
    recorder = ListRecorder()
    distill(experiment(teacher, corpus, control=True), recorder, tmp_path / "run")
    points = [row[:3] for row in recorder.rows if row[2] == "eval/perplexity"]
    assert len(points) == len(set(points))


def test_trackers_have_a_folder_and_a_name_for_each_variant(teacher, corpus, tmp_path, monkeypatch):
    seen = []

    class Spy(variant_training.DistillationTrainer):
        def __init__(self, model, setup, data, arguments, **more):
            seen.append((arguments.report_to, arguments.run_name, os.environ["TENSORBOARD_LOGGING_DIR"]))
            arguments.report_to = []  # it need not be installed
            super().__init__(model, setup, data, arguments, **more)

    monkeypatch.setattr(variant_training, "DistillationTrainer", Spy)
    monkeypatch.delenv("TENSORBOARD_LOGGING_DIR", raising=False)
    monkeypatch.setitem(sys.modules, "tensorboard", ModuleType("tensorboard"))
    config = experiment(teacher, corpus, name="films", control=True, train={"max_steps": 1, "report_to": ["tensorboard"]})
    distill(config, ListRecorder(), tmp_path / "run")
    assert seen == [(["tensorboard"], f"films-{variant}", str(tmp_path / "run" / "logs" / variant)) for variant in (STUDENT, CONTROL)]
    assert (tmp_path / "run" / "logs" / CONTROL).is_dir()


def test_several_processes_are_refused(teacher, corpus, tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(DeviceError, match="one of 2"):
        distill(experiment(teacher, corpus), ListRecorder(), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_untrained_student_is_kept(teacher, corpus, tmp_path):
    report = distill(experiment(teacher, corpus), ListRecorder(), tmp_path / "run")
    before = AutoModelForCausalLM.from_pretrained(tmp_path / "run" / BEFORE)
    teacher_model = AutoModelForCausalLM.from_pretrained(teacher)
    assert before.num_parameters() == report.student.parameters
    assert torch.equal(before.model.layers[1].mlp.up_proj.weight, teacher_model.model.layers[2].mlp.up_proj.weight)


def test_a_tokenizer_that_knows_more_than_the_model_is_refused(corpus, tmp_path):
    teacher = save_chat_model(tmp_path / "odd", layers=3, positions=64)
    wider = copy.deepcopy(chat_tokenizer())
    wider.add_tokens([f"<extra{number}>" for number in range(40)])
    wider.save_pretrained(teacher)
    with pytest.raises(CompatibilityError, match="tokens"):
        distill(experiment(teacher, corpus), ListRecorder(), tmp_path / "run")


def test_a_model_from_nothing_brings_its_own_tokenizer(corpus, tmp_path):
    fresh = {"layers": 2, "hidden": 16, "heads": 2, "key_value_heads": 1, "intermediate_size": 24, "vocabulary": 300, "positions": 32}
    plain = experiment(Path("unused"), corpus, losses={"w_kd": 0, "w_hard": 1, "w_hidden": 0}, train={"save_precision": "bf16"}).to_dict()
    config = parse_recipe({**plain, "kind": "pretrain", "teacher": None, "student": {"from_scratch": fresh}})
    report = distill(config, ListRecorder(), tmp_path / "run")
    assert report.teacher is None and "kl_to_teacher" not in report.student_after
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "run" / STUDENT)
    assert model.dtype == torch.bfloat16 and model.config.vocab_size == 300
    assert model.get_input_embeddings().weight.data_ptr() == model.get_output_embeddings().weight.data_ptr()


@pytest.mark.parametrize(("max_rows", "expected"), [(None, 40), (7, 7), (90, 40)])
def test_a_new_vocabulary_reads_no_more_rows_than_training(corpus, tmp_path, monkeypatch, max_rows, expected):
    fresh = {"layers": 1, "hidden": 16, "heads": 2, "key_value_heads": 1, "intermediate_size": 24, "vocabulary": 300, "positions": 32}
    plain = experiment(Path("unused"), corpus, losses={"w_kd": 0, "w_hard": 1, "w_hidden": 0}, data={"max_rows": max_rows}).to_dict()
    config, read = parse_recipe({**plain, "kind": "pretrain", "teacher": None, "student": {"from_scratch": fresh}}), []

    class ReadError(Exception):
        pass

    def train(rows, vocabulary, positions):
        read.extend(rows)
        raise ReadError

    monkeypatch.setattr(steps, "TOKENIZER_ROWS", 40)
    monkeypatch.setattr(from_scratch, "train_tokenizer", train)
    with pytest.raises(ReadError):
        distill(config, ListRecorder(), tmp_path / "run")
    assert len(read) == expected


def test_bf16_computes_and_keeps_its_weights_in_fp32(teacher, corpus, tmp_path):
    recorder = ListRecorder()
    distill(experiment(teacher, corpus, train={"precision": "bf16"}), recorder, tmp_path / "run")
    exact = ListRecorder()
    distill(experiment(teacher, corpus), exact, tmp_path / "exact")
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "run" / STUDENT).dtype == torch.float32
    for step, loss in exact.series(STUDENT, "loss").items():
        assert recorder.series(STUDENT, "loss")[step] == pytest.approx(loss, rel=0.05)
        assert recorder.series(STUDENT, "loss")[step] != loss


def test_sentiment_is_evaluated_in_the_runs_format(teacher, corpus, tmp_path, monkeypatch, film_reviews):
    dtypes, evaluate = [], evaluator.evaluate_sentiment
    monkeypatch.setattr(evaluator, "evaluate_sentiment",
                        lambda *given, **more: (dtypes.append(more["dtype"]), evaluate(*given, **more))[1])
    config = experiment(teacher, corpus, train={"max_steps": 1, "precision": "bf16"}, evaluation={"sentiment_items": 2, "prompts": []})
    distill(config, ListRecorder(), tmp_path / "run")
    assert dtypes == [torch.bfloat16] * 4  # one review before the first step; teacher, student before, student after


def test_states_of_unequal_widths_are_refused_before_the_first_step(teacher, corpus, tmp_path):
    with pytest.raises(CompatibilityError, match="states of 32 and 16 channels"):
        distill(experiment(teacher, corpus, student={"hidden": 16, "units": "first"}), ListRecorder(), tmp_path / "run")
    assert not (tmp_path / "run" / BEFORE).exists()


def test_impossible_experiments_end_before_anything_is_made(teacher, corpus, tmp_path):
    with pytest.raises(CompatibilityError, match="64"):
        distill(experiment(teacher, corpus, data={"block_length": 65}), ListRecorder(), tmp_path / "long")
    short = tmp_path / "short.txt"
    short.write_text("Too short.\n\nAnd so is this.")
    with pytest.raises(DataError, match="too little"):
        distill(experiment(teacher, short), ListRecorder(), tmp_path / "short")
    assert not (tmp_path / "long" / STUDENT).exists() and not (tmp_path / "short" / STUDENT).exists()


def test_a_retention_card_is_measured_of_what_was_saved(teacher, corpus, tmp_path, few_reviews):
    recorder = ListRecorder()
    report = distill(experiment(teacher, corpus, control=True, name="small", evaluation=RETENTION), recorder, tmp_path / "run")
    card = report.retention
    assert [(row.kind, row.name) for row in card.rows] == [("teacher", str(teacher)), ("student", "small"), ("control", "control")]
    assert 0 < card.smaller(card.row("student")) < 1 and card.tasks == ("imdb", "rt")
    assert "## What it keeps, and what it saves" in (tmp_path / "run" / "student" / "README.md").read_text()
    assert json.loads((tmp_path / "run" / "student" / "stillhouse.json").read_text())["retention"] == report.retention.to_dict()
    assert distill(experiment(teacher, corpus), ListRecorder(), tmp_path / "without").retention is None


def test_a_task_that_cannot_be_scored_zero_shot_is_refused_before_training(teacher, corpus, tmp_path):
    recorder = ListRecorder()
    with pytest.raises(ConfigError, match="squad"):
        distill(experiment(teacher, corpus, evaluation={"retention": {"tasks": ["squad"]}}), recorder, tmp_path / "run")
    assert not recorder.rows


def test_a_classifier_teaches_no_language(corpus, tmp_path):
    folder = tmp_path / "classifier"
    AutoModelForSequenceClassification.from_config(masked_model().config).save_pretrained(folder)
    masked_tokenizer().save_pretrained(folder)
    with pytest.raises(CompatibilityError, match=r"classifies texts\. A model that predicts tokens was expected"):
        distill(experiment(folder, corpus), ListRecorder(), tmp_path / "run")


def test_a_student_of_another_kind_than_its_teacher_is_refused(teacher, corpus, tmp_path):
    encoder = save(masked_model(), tmp_path / "encoder")
    config = experiment(teacher, corpus, student={"model": str(encoder), "layers": None}, losses={"w_hidden": 0})
    with pytest.raises(CompatibilityError, match="must predict the same"):
        distill(config, ListRecorder(), tmp_path / "run")
