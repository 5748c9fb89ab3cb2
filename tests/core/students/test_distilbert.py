"""A DistilBERT student is its BERT teacher without what DistilBERT leaves out."""

from __future__ import annotations

import pytest
import torch

from core.config import StudentSpec
from core.errors import ConfigError
from core.students.build import build_student
from tests.core.tiny import VOCABULARY, tiny_encoder, token_ids

SAME_DEPTH = StudentSpec(layers=4, architecture="distilbert")


def logits(model: torch.nn.Module) -> torch.Tensor:
    with torch.no_grad():
        return model.eval()(input_ids=token_ids(), attention_mask=torch.ones(2, 12, dtype=torch.long)).logits


@pytest.mark.parametrize("tied", [True, False])
def test_a_copy_at_the_same_depth_is_exact(tied):
    teacher = tiny_encoder("bert", tied=tied)
    student = build_student(teacher, SAME_DEPTH, seed=1).model
    assert student.config.model_type == "distilbert"
    assert (logits(student) - logits(teacher)).abs().max() < 1e-4


def test_without_the_fold_it_would_not_be():
    teacher = tiny_encoder("bert")
    student = build_student(teacher, SAME_DEPTH, seed=1).model
    with torch.no_grad():
        student.distilbert.embeddings.position_embeddings.weight -= teacher.bert.embeddings.token_type_embeddings.weight[0]
    assert (logits(student) - logits(teacher)).abs().max() > 0.1


def test_half_the_blocks_are_those_of_the_map():
    teacher = tiny_encoder("bert")
    student = build_student(teacher, StudentSpec(layers=2, architecture="distilbert"), seed=1)
    assert student.layer_map == (0, 3)
    originals = [teacher.bert.encoder.layer[block] for block in (0, 3)]
    for mine, theirs in zip(student.model.distilbert.transformer.layer, originals, strict=True):
        assert torch.equal(mine.ffn.lin2.weight, theirs.output.dense.weight)
        assert torch.equal(mine.attention.k_lin.bias, theirs.attention.self.key.bias)


def test_new_weights_are_new_and_the_seeds_own():
    teacher, spec = tiny_encoder("bert"), StudentSpec(layers=2, architecture="distilbert", init="random")
    one, again, other = (build_student(teacher, spec, seed=seed).model.vocab_transform.weight for seed in (1, 1, 2))
    assert torch.equal(one, again) and not torch.equal(one, other)
    assert one.shape == (32, 32) and build_student(teacher, spec, seed=1).model.config.vocab_size == VOCABULARY


def test_dropout_is_the_teachers_or_the_requested_one():
    teacher = tiny_encoder("bert")
    assert build_student(teacher, SAME_DEPTH, seed=1).model.config.dropout == teacher.config.hidden_dropout_prob == 0.1
    assert build_student(teacher, SAME_DEPTH.model_copy(update={"dropout": 0.0}), seed=1).model.config.attention_dropout == 0.0


@pytest.mark.parametrize(("name", "spec", "message"), [
    ("roberta", SAME_DEPTH, "a BERT teacher was expected"),
    ("bert", SAME_DEPTH.model_copy(update={"hidden": 16}), "keeps its teacher's width")])
def test_unsuitable_teachers_and_settings_are_reported(name, spec, message):
    with pytest.raises(ConfigError) as error:
        build_student(tiny_encoder(name), spec, seed=1)
    assert message.lower() in str(error.value).lower()


def test_norms_of_another_kind_are_reported():
    teacher = tiny_encoder("bert")
    teacher.config.layer_norm_eps = 1e-5
    with pytest.raises(ConfigError, match="add 1e-05 to the variance"):
        build_student(teacher, SAME_DEPTH, seed=1)
