"""Encoders: their parts, what enters their heads, how they are counted, cut and refused."""

from __future__ import annotations

import json

import pytest
import torch

from core.config import StudentSpec
from core.errors import CompatibilityError, ConfigError, UnsupportedModelError
from core.models import catalog, checkpoints, weight_digests
from core.models.adapters import merge_adapters
from core.models.architectures import ARCHITECTURE_SPECS, architecture_of, blocks, without_block
from core.models.checkpoints import task_of
from core.models.forward import forward, output_head
from core.students.build import build_student
from tests.core.masked_models import masked_model, masked_tokenizer, save
from tests.core.tiny import ENCODERS, POSITIONS, tiny_encoder, token_ids

MASK = torch.tensor([[1] * 12, [1] * 9 + [0] * 3])


def logits(model: torch.nn.Module) -> torch.Tensor:
    with torch.no_grad():
        return model.eval()(input_ids=token_ids(), attention_mask=MASK).logits


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize("every", [False, True])
def test_what_enters_the_head_gives_the_logits(name, every):
    model = tiny_encoder(name)
    with torch.no_grad():
        states = forward(model, token_ids(), MASK, all_hidden_states=every)
        torch.testing.assert_close(output_head(model).logits(states.head_input), logits(model))
        plain = model(input_ids=token_ids(), attention_mask=MASK, output_hidden_states=True).hidden_states
    torch.testing.assert_close(states.last, plain[-1])
    assert len(states.hidden) == 5 and all((state is not None) == every for state in states.hidden[:-1])


@pytest.mark.parametrize("name", ENCODERS)
def test_the_spec_names_what_is_there(name):
    model, architecture = tiny_encoder(name), ARCHITECTURE_SPECS[name]
    assert architecture.objective == "masked" and len(blocks(model)) == 4
    assert model.get_submodule(architecture.head) is model.get_output_embeddings()
    assert model.get_submodule(architecture.embeddings) is model.get_input_embeddings()
    for projection in architecture.projections:
        assert isinstance(blocks(model)[1].get_submodule(projection), torch.nn.Linear)
    assert architecture.context(model.config.to_dict()) == POSITIONS - (2 if name == "roberta" else 0)


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize("tied", [True, False])
def test_parameters_are_counted_as_torch_counts_them(name, tied, tmp_path):
    model = tiny_encoder(name, tied=tied)
    model.save_pretrained(tmp_path)
    counts = checkpoints.count_parameters(checkpoints.parameter_shapes(tmp_path), checkpoints.read_config(tmp_path))
    assert counts.total == model.num_parameters()
    assert weight_digests.weights_hash(tmp_path) == weight_digests.loaded_hash(model)
    student = build_student(model, StudentSpec(layers=2), seed=0)
    assert counts.with_blocks(student.layer_map) == student.parameters


@pytest.mark.parametrize("name", ENCODERS)
def test_a_copy_of_all_blocks_is_exact_and_fewer_are_those_of_the_map(name):
    teacher = tiny_encoder(name)
    assert torch.equal(logits(build_student(teacher, StudentSpec(layers=4), seed=0).model), logits(teacher))
    with without_block(teacher, 1), without_block(teacher, 2):
        expected = logits(teacher)
    student = build_student(teacher, StudentSpec(layer_map=(0, 3)), seed=0).model
    torch.testing.assert_close(logits(student), expected)


@pytest.mark.parametrize("name", ENCODERS)
def test_adapters_are_trained_and_merged(name):
    student = build_student(tiny_encoder(name), StudentSpec(layers=2, lora={"rank": 2}), seed=0)
    assert 0 < student.trainable_parameters < student.parameters / 3
    assert merge_adapters(student.model).num_parameters() == student.parameters


def test_a_first_block_of_its_own_kind_stays_first():
    with pytest.raises(ConfigError, match="can only come first"):
        build_student(tiny_encoder("modernbert"), StudentSpec(layer_map=(1, 2)), seed=0)


def test_widths_of_encoders_are_refused():
    with pytest.raises(UnsupportedModelError, match="width"):
        build_student(tiny_encoder("bert"), StudentSpec(layers=2, hidden=16, pruning_criterion="first"), seed=0)


def test_the_head_tells_the_task(tmp_path):
    folder = save(masked_model(), tmp_path / "bert")
    entry = catalog.describe(str(folder))
    assert (entry.task, entry.architecture, entry.layers) == ("masked", "bert", 4)
    assert type(catalog.load(str(folder)).model).__name__ == "BertForMaskedLM"
    assert task_of({"model_type": "distilbert", "architectures": ["DistilBertForSequenceClassification"]}) == "classification"
    assert task_of({"model_type": "llama", "architectures": ["LlamaForCausalLM"]}) == task_of({"model_type": "gpt2"}) == "causal"
    with pytest.raises(UnsupportedModelError, match="BertForTokenClassification"):
        task_of({"model_type": "bert", "architectures": ["BertForTokenClassification"]})


@pytest.mark.parametrize("name", ENCODERS)
def test_an_encoder_without_its_head_is_reported(name, tmp_path):
    tiny_encoder(name).base_model.save_pretrained(tmp_path)
    masked_tokenizer().save_pretrained(tmp_path)
    with pytest.raises(CompatibilityError, match="no masked-language head"):
        catalog.load(str(tmp_path))


def test_checkpoints_of_other_objectives_count_as_the_language_model_that_they_hold(tmp_path):
    """Published BERT checkpoints carry a pooler and a next-sentence head, and the bias of the head by an older name."""
    from transformers import BertForPreTraining

    model = masked_model()
    whole = BertForPreTraining(model.config)
    whole.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["architectures"] == ["BertForPreTraining"] and architecture_of(config).objective == "masked"
    assert checkpoints.count_parameters(checkpoints.parameter_shapes(tmp_path), config).total == model.num_parameters()


def test_importance_keeps_a_first_block_that_only_itself_can_replace():
    losses = iter([3.0, 2.9, 5.0, 4.0, 3.5])  # with all blocks, then without each: the first is worth least
    spec = StudentSpec(layers=2, layer_map="importance")
    student = build_student(tiny_encoder("modernbert"), spec, seed=0, block_loss=lambda: next(losses))
    assert student.layer_map == (0, 1)
