"""Objectives: where positions count, for the next token and for masked ones; a masked experiment from end to end."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForMaskedLM

from core.config import DistillConfig, ExperimentConfig, LossSpec, MaskingSpec, StudentSpec, TrainSpec
from core.data.packing import Blocks
from core.data.prepare import prepare
from core.evaluation.objectives import MaskedLanguage
from core.events import Sample
from core.methods.distillation import distill
from core.recipes import parse_recipe
from core.recorder import CONTROL, STUDENT, ListRecorder, StopRequested
from core.signals.source import LocalTeacher
from core.students.build import build_student
from core.training.base_trainer import training_arguments
from core.training.batches import StepSeed, causal_lm_batches
from core.training.distillation_trainer import DistillationSetup, DistillationTrainer
from tests.core.masked_models import corpus, masked_model, masked_tokenizer, save

TOKENIZER = masked_tokenizer()
LENGTH = 24


def packed(folder: Path) -> Blocks:
    config = DistillConfig(data={"source": str(corpus(folder)), "block_length": LENGTH})
    return prepare(config.data, TOKENIZER, 0, objective="masked").train


def batches_of(blocks: Blocks, rows: tuple[int, ...], losses: LossSpec | None = None, seed: int = 0):
    objective = MaskedLanguage.of(MaskingSpec(mlm_probability=0.3), losses or LossSpec(), TOKENIZER, blocks)
    cut, start = [], 0
    for count in rows:
        part = slice(start, start + count)
        cut.append({"input_ids": torch.from_numpy(blocks.input_ids[part]).long(), "weights": torch.from_numpy(blocks.weights[part])})
        start += count
    return objective.batches(cut, StepSeed(0, seed))


def test_the_next_token_is_the_target_where_it_is_predicted():
    ids, weights = torch.tensor([[5, 6, 7, 8]]), torch.tensor([[0.0, 1.0, 0.0, 2.0]])
    (batch,) = causal_lm_batches([{"input_ids": ids, "weights": weights}])
    assert batch["targets"].tolist() == [[6, 7, 8, 0]] and batch["label_weights"].tolist() == [[1.0, 0.0, 2.0, 0.0]]
    assert batch["distill_weights"] is batch["label_weights"] and batch["attention_mask"] is None


def test_texts_stand_between_their_tokens_and_padding_is_not_seen(tmp_path):
    blocks = packed(tmp_path)
    (batch,) = batches_of(blocks, (len(blocks),))
    ids, real = blocks.input_ids, blocks.input_ids != TOKENIZER.pad_token_id
    assert (ids[:, 0] == TOKENIZER.cls_token_id).all()
    assert ((ids == TOKENIZER.cls_token_id).sum(1) == (ids == TOKENIZER.sep_token_id).sum(1)).all()
    assert np.array_equal(batch["attention_mask"].numpy() == 1, real) and not real.all()
    assert np.array_equal(batch["distill_weights"].numpy() > 0, real)  # compared at all tokens but padding
    label_mask = batch["label_weights"].numpy() > 0
    assert label_mask.any() and not np.isin(ids[label_mask], TOKENIZER.all_special_ids).any()
    assert np.array_equal(batch["targets"].numpy()[label_mask], ids[label_mask])


def test_models_may_be_compared_at_the_masked_tokens_alone(tmp_path):
    (batch,) = batches_of(packed(tmp_path), (4,), LossSpec(kd_positions="masked"))
    assert torch.equal(batch["distill_weights"], batch["label_weights"])
    assert torch.equal(batch["state_weights"], batch["attention_mask"].float())  # hidden states at all tokens all the same


def test_masks_do_not_depend_on_how_a_step_is_cut(tmp_path):
    blocks = packed(tmp_path)
    whole, cut = batches_of(blocks, (4,)), batches_of(blocks, (1, 3))
    assert torch.equal(whole[0]["input_ids"], torch.cat([batch["input_ids"] for batch in cut]))
    assert not torch.equal(whole[0]["input_ids"], batches_of(blocks, (4,), seed=1)[0]["input_ids"])


def test_the_triple_loss_equals_its_definition_term_by_term(tmp_path):
    """5 T^2 KL(p || q) over all tokens + 2 CE over the masked ones + 1 - cos of the last states, from whole logits and nothing shared
    with the engine but the masks."""
    blocks = packed(tmp_path)
    blocks = blocks.take(4)
    teacher, spec = masked_model(spread=0.3), TrainSpec(max_steps=1, per_device_train_batch_size=4, device="cpu", precision="fp32", seed=3)
    student = build_student(teacher, StudentSpec(layers=2, architecture="distilbert", dropout=0.0), seed=1).model
    losses = LossSpec(w_kd=5, w_hard=2, w_hidden=1, temperature=2)
    objective, recorder = MaskedLanguage.of(MaskingSpec(), losses, TOKENIZER, blocks), ListRecorder()
    seen = []

    def batches(given, draw):
        seen.extend(objective.batches(given, draw))
        return seen

    before = copy.deepcopy(student).eval()
    arguments = training_arguments(spec, tmp_path / "run", torch.device("cpu"), eval_steps=9)
    DistillationTrainer(student, DistillationSetup(losses, LocalTeacher(teacher)), blocks, arguments, variant=STUDENT, recorder=recorder,
                        dtype=torch.float32, evaluate=lambda _: {}, batches=batches).train()
    (batch,) = seen
    with torch.no_grad():
        given = {"input_ids": batch["input_ids"], "attention_mask": batch["attention_mask"], "output_hidden_states": True}
        mine, theirs = before(**given), teacher(**given)
    real, label_mask = batch["attention_mask"] == 1, batch["label_weights"] > 0
    p, q = (torch.softmax(each.logits[real] / 2, -1) for each in (theirs, mine))
    expected = {"kd": (p * (p / q).log()).sum(-1).mean(),
                "hard": torch.nn.functional.cross_entropy(mine.logits[label_mask], batch["targets"][label_mask]),
                "hidden": 1 - torch.cosine_similarity(mine.hidden_states[-1][real], theirs.hidden_states[-1][real], dim=-1).mean()}
    for term, factor in (("kd", 20.0), ("hard", 2.0), ("hidden", 1.0)):
        assert recorder.series(STUDENT, f"raw/{term}")[1] == pytest.approx(expected[term].item(), rel=1e-4)
        assert recorder.series(STUDENT, f"loss/{term}")[1] == pytest.approx(factor * expected[term].item(), rel=1e-4)


@pytest.fixture
def teacher(tmp_path) -> Path:
    return save(masked_model(spread=0.3), tmp_path / "teacher")


def experiment(model: Path, folder: Path, **changes: object) -> ExperimentConfig:
    plain = {"teacher": {"model": str(model)}, "student": {"layers": 2, "architecture": "distilbert"},
             "losses": {"w_kd": 5, "w_hard": 2, "w_hidden": 1, "temperature": 2}, "masking": {"fraction": 0.3}, "control": True,
             "data": {"source": str(corpus(folder)), "block_length": LENGTH, "validation_fraction": 0.2},
             "train": {"max_steps": 6, "learning_rate": 3e-3, "per_device_train_batch_size": 4, "device": "cpu", "precision": "fp32",
                       "save_steps": 2},
             "evaluation": {"eval_steps": 3, "blocks": 8, "prompts": ["the film was [MASK]"]}}
    return parse_recipe({**plain, **changes})


def test_a_masked_experiment_leaves_a_distilbert(teacher, tmp_path):
    recorder = ListRecorder()
    report = distill(experiment(teacher, tmp_path), recorder, tmp_path / "run")
    model = AutoModelForMaskedLM.from_pretrained(tmp_path / "run" / STUDENT)
    assert model.config.model_type == "distilbert" and report.student.layers == 2
    metrics = report.metrics
    assert metrics["teacher"]["agreement"] == 1 and metrics["teacher"]["kl_to_teacher"] == 0
    assert metrics["student_after"]["kl_to_teacher"] < metrics["student_before"]["kl_to_teacher"]
    assert 0 <= metrics["student_after"]["masked_accuracy"] <= 1 and metrics[CONTROL]["tokens"] == metrics["teacher"]["tokens"]
    for step in (1, 6):
        names = ("loss", "loss/kd", "raw/kd", "loss/hard", "raw/hard", "loss/hidden")
        value = {name: recorder.series(STUDENT, name)[step] for name in names}
        assert value["loss/kd"] == pytest.approx(5 * 4 * value["raw/kd"], rel=1e-5)
        assert value["loss/hard"] == pytest.approx(2 * value["raw/hard"], rel=1e-5)
        assert value["loss"] == pytest.approx(value["loss/kd"] + value["loss/hard"] + value["loss/hidden"], rel=1e-5)
    samples = recorder.of(Sample)
    assert samples[0].prompt == "the film was [MASK]" and samples[0].answer.count("%") == 3
    card = (tmp_path / "run" / STUDENT / "README.md").read_text()
    assert "fill-mask" in card and "AutoModelForMaskedLM" in card and "masked accuracy" in card


def test_a_masked_run_ends_with_its_retention_card(teacher, tmp_path):
    """Teacher, DistilBERT and its control, each fine-tuned on a task with two seeds, timed side by side."""
    task = tmp_path / "labelled.csv"
    task.write_text("text,label\n" + "".join(f"a {word} film {number},{word}\n" for number in range(40) for word in ("good", "bad")))
    retention = {"tasks": [str(task)], "seeds": 2, "epochs": 1, "seconds": 0.3, "length": 16}
    config = experiment(teacher, tmp_path, evaluation={"eval_steps": 6, "blocks": 4, "prompts": [], "retention": retention})
    recorder = ListRecorder()
    card = distill(config, recorder, tmp_path / "run").retention
    assert [row.kind for row in card.rows] == ["teacher", STUDENT, CONTROL] and card.seeds == (42, 43)
    student = card.row(STUDENT)
    assert 0 < card.smaller(student) < 1 and card.predicted_faster(student) > 0 and student.flops < card.teacher.flops
    reached = [row.of_task(str(task)) for row in card.rows]  # how well such a model learns is another test's business
    assert len({each.items for each in reached}) == 1 and all(len(each.values) == 2 and min(each.values) >= 0 for each in reached)
    assert card.macro(student) == card.retained(student, str(task))
    assert set(recorder.series(STUDENT, "loss")) == set(range(1, 7)), "fine-tunings are no part of the run's curves"
    assert "Same size, not distilled" in (tmp_path / "run" / STUDENT / "README.md").read_text()


@pytest.mark.parametrize("student", [{"layers": 2}, {"layers": 2, "init": "random"}, {"layers": 2, "lora": {"rank": 2}},
                                     {"layers": 2, "layer_map": "importance", "architecture": "distilbert", "dropout": 0.1}])
def test_a_resumed_masked_run_equals_an_uninterrupted_one(teacher, tmp_path, student):
    config = experiment(teacher, tmp_path, student=student, control=False)
    whole, parts = ListRecorder(), ListRecorder(stop_after=3)
    distill(config, whole, tmp_path / "whole")
    with pytest.raises(StopRequested):
        distill(config, parts, tmp_path / "parts")
    parts.stop_after = None
    assert not distill(config, parts, tmp_path / "parts").stopped
    assert parts.series(STUDENT, "loss") == whole.series(STUDENT, "loss") and len(whole.series(STUDENT, "loss")) == 6
    one, other = (AutoModelForMaskedLM.from_pretrained(tmp_path / run / STUDENT).state_dict() for run in ("whole", "parts"))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_masked_model_is_made_from_nothing(tmp_path):
    fresh = {"architecture": "bert", "layers": 1, "hidden": 16, "heads": 2, "key_value_heads": 2, "intermediate_size": 24,
             "vocabulary": 300, "positions": 32}
    config = experiment(tmp_path, tmp_path, teacher=None, student={"from_scratch": fresh}, control=False, losses={"w_kd": 0, "w_hard": 1})
    report = distill(config, ListRecorder(), tmp_path / "run")
    model = AutoModelForMaskedLM.from_pretrained(tmp_path / "run" / STUDENT)
    assert model.config.model_type == "bert" and report.metrics["student_after"]["masked_accuracy"] >= 0
