import copy
from dataclasses import replace

import pytest
import torch
from transformers import AutoModelForCausalLM

from core.config import LoraSpec, StudentSpec
from core.errors import ConfigError
from core.models.adapters import merge_adapters
from core.models.architectures import architecture_of, blocks
from core.models.dimensions import Dimensions
from core.students.build import block_importance, build_student, student_from_checkpoint
from tests.core.families import FAMILIES, OLDER, WIDE, family_config, family_model
from tests.core.tiny import ARCHITECTURES, logits, tiny_config, tiny_model, token_ids


def _is_tied(model: torch.nn.Module) -> bool:
    return model.get_input_embeddings().weight.data_ptr() == model.get_output_embeddings().weight.data_ptr()


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_copy_at_the_teachers_depth_is_the_teacher(name: str, tied: bool, tmp_path) -> None:
    teacher, input_ids = tiny_model(name, tied=tied), token_ids()
    student = build_student(teacher, StudentSpec(layers=4), seed=0)
    assert torch.equal(logits(student.model, input_ids), logits(teacher, input_ids))
    assert student.layer_map == (0, 1, 2, 3)
    assert _is_tied(student.model) == tied
    assert student.parameters == student.trainable_parameters == sum(p.numel() for p in teacher.parameters())
    student.model.save_pretrained(tmp_path)
    reloaded = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert torch.equal(logits(reloaded, input_ids), logits(teacher, input_ids))
    assert _is_tied(reloaded) == tied


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_shallower_copy_has_the_chosen_blocks_and_all_else(name: str, tmp_path) -> None:
    teacher = tiny_model(name)
    student = build_student(teacher, StudentSpec(layer_map=(0, 3)), seed=0).model
    for mine, theirs in zip(blocks(student), (blocks(teacher)[0], blocks(teacher)[3]), strict=True):
        assert all(torch.equal(mine.state_dict()[key], value) for key, value in theirs.state_dict().items())
    architecture = architecture_of(teacher.config)
    outside = {key: value for key, value in teacher.state_dict().items() if architecture.block_of(key) is None}
    assert outside
    assert all(torch.equal(student.state_dict()[key], value) for key, value in outside.items())
    student.save_pretrained(tmp_path)
    assert torch.equal(logits(AutoModelForCausalLM.from_pretrained(tmp_path), token_ids()), logits(student, token_ids()))


def test_the_student_is_its_own_model() -> None:
    teacher = tiny_model("llama")
    before = copy.deepcopy(teacher.state_dict())
    student = build_student(teacher, StudentSpec(), seed=0).model
    with torch.no_grad():
        for parameter in student.parameters():
            parameter.add_(1)
    assert all(torch.equal(value, before[key]) for key, value in teacher.state_dict().items())


def test_matrices_untied_by_the_checkpoint_stay_apart() -> None:
    teacher = tiny_model("llama", tied=False)
    teacher.config.tie_word_embeddings = True  # as after loading a checkpoint that holds two different matrices
    student = build_student(teacher, StudentSpec(layers=4), seed=0).model
    assert torch.equal(logits(student, token_ids()), logits(teacher, token_ids()))


def test_random_weights_depend_on_the_seed_alone() -> None:
    teacher, spec = tiny_model("gpt2"), StudentSpec(layers=2, init="random")
    state = torch.get_rng_state()
    first = build_student(teacher, spec, seed=1).model.state_dict()
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(5)
    again, other = (build_student(teacher, spec, seed=seed).model.state_dict() for seed in (1, 2))
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not torch.equal(first["transformer.wte.weight"], other["transformer.wte.weight"])
    assert not torch.equal(first["transformer.wte.weight"], teacher.state_dict()["transformer.wte.weight"])
    assert first["transformer.wte.weight"].std().item() == pytest.approx(teacher.config.initializer_range, rel=0.1)


def test_the_student_keeps_the_teachers_generation_settings() -> None:
    teacher = tiny_model("llama")
    teacher.generation_config.eos_token_id = [5, 7]
    assert build_student(teacher, StudentSpec(), seed=0).model.generation_config.eos_token_id == [5, 7]


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_copy_is_exact_in_bf16_too(name: str, tmp_path) -> None:
    tiny_model(name).save_pretrained(tmp_path)
    teacher = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.bfloat16)
    student = build_student(teacher, StudentSpec(layers=4), seed=0).model
    assert student.dtype == torch.bfloat16
    assert torch.equal(logits(student, token_ids()), logits(teacher, token_ids()))
    assert build_student(teacher, StudentSpec(), seed=0, dtype=torch.float32).model.dtype == torch.float32


# peft reads a property that transformers has renamed and keeps until version 6.
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_adapters_train_alone_and_merge_into_a_plain_model(name: str, tmp_path) -> None:
    teacher, input_ids = tiny_model(name), token_ids()
    student = build_student(teacher, StudentSpec(layers=4, lora=LoraSpec(rank=2)), seed=0)
    assert torch.equal(logits(student.model, input_ids), logits(teacher, input_ids))
    trainable = {key: parameter for key, parameter in student.model.named_parameters() if parameter.requires_grad}
    assert trainable
    assert all("lora_" in key for key in trainable)
    assert len(trainable) == 2 * 4 * len(architecture_of(teacher.config).projections)
    assert student.trainable_parameters == sum(p.numel() for p in trainable.values())
    assert student.parameters == teacher.num_parameters()
    with torch.no_grad():
        for parameter in trainable.values():
            parameter.normal_(std=0.1)
    tuned = logits(student.model, input_ids)
    assert not torch.allclose(tuned, logits(teacher, input_ids), atol=1e-2)
    merge_adapters(student.model).save_pretrained(tmp_path)
    assert torch.equal(logits(student.model, input_ids), tuned)
    reloaded = AutoModelForCausalLM.from_pretrained(tmp_path)
    torch.testing.assert_close(logits(reloaded, input_ids), tuned, rtol=1e-3, atol=1e-4)
    assert not any("lora" in key for key in reloaded.state_dict())
    assert _is_tied(reloaded)


def test_merging_a_plain_model_gives_it_back() -> None:
    model = tiny_model("gpt2")
    assert merge_adapters(model) is model


def mean_loss(model: torch.nn.Module, input_ids: torch.Tensor) -> float:
    log_probabilities = logits(model, input_ids).log_softmax(-1)[:, :-1]
    return -log_probabilities.gather(-1, input_ids[:, 1:, None]).mean().item()


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_importance_is_the_loss_without_a_block_minus_the_loss_with_all(name: str) -> None:
    teacher, input_ids = tiny_model(name, spread=0.05), token_ids(rows=3)
    found = block_importance(teacher, lambda: mean_loss(teacher, input_ids))
    for block in range(4):
        others = tuple(other for other in range(4) if other != block)
        without = build_student(teacher, StudentSpec(layer_map=others), seed=0).model
        assert found[block] == pytest.approx(mean_loss(without, input_ids) - mean_loss(teacher, input_ids), abs=1e-5)


def test_the_importance_map_keeps_what_matters() -> None:
    teacher, input_ids = tiny_model("llama"), token_ids(rows=4)
    with torch.no_grad():  # blocks 1 and 2 add nothing to the residual stream
        for block in (1, 2):
            blocks(teacher)[block].self_attn.o_proj.weight.zero_()
            blocks(teacher)[block].mlp.down_proj.weight.zero_()

    def loss() -> float:
        return mean_loss(teacher, input_ids)

    importance = block_importance(teacher, loss)
    assert importance[1] == importance[2] == 0
    assert 0 not in (importance[0], importance[3])
    spec = StudentSpec(layers=3, layer_map="importance")
    chosen = build_student(teacher, spec, seed=0, block_loss=loss).layer_map
    assert chosen == tuple(sorted(sorted(range(4), key=lambda block: -importance[block])[:3]))
    with pytest.raises(ValueError, match="block_loss is needed"):
        build_student(teacher, spec, seed=0)


def test_configurations_are_left_alone() -> None:
    teacher = tiny_model("qwen3")
    build_student(teacher, StudentSpec(layers=2), seed=0)
    assert teacher.config.to_dict() == tiny_config("qwen3").to_dict() | {"dtype": teacher.config.to_dict()["dtype"]}


# Dropout of heads of other tasks, which no language model has.
OF_OTHER_HEADS = {"classifier_dropout", "pooler_dropout", "qa_dropout", "seq_classif_dropout", "summary_first_dropout",
                  "summary_last_dropout"}


@pytest.mark.parametrize("name", [*FAMILIES, *OLDER])
def test_every_rate_of_dropout_is_known(name: str) -> None:
    config = family_config(name)
    rates = {key for key, value in config.to_dict().items() if "drop" in key and isinstance(value, float)} - OF_OTHER_HEADS
    assert rates == set(architecture_of(config).dropout_keys), "dropout_keys"


@pytest.mark.parametrize("name", [*FAMILIES, *OLDER])
def test_students_are_trained_without_dropout_or_with_the_rate_that_is_set(name: str) -> None:
    teacher = family_model(name, **dict.fromkeys(architecture_of(family_config(name)).dropout_keys, 0.1))
    causal = architecture_of(teacher.config).objective == "causal"
    for given, expected in ((None, 0.0 if causal else 0.1), (0.25, 0.25)):
        student = build_student(teacher, StudentSpec(layer_map=(0, 3), dropout=given), seed=0).model
        assert all(getattr(student.config, key) == expected for key in architecture_of(student.config).dropout_keys)
        rates = {module.p for module in student.modules() if isinstance(module, torch.nn.Dropout)}
        assert rates <= {expected, *(getattr(student.config, key, None) for key in OF_OTHER_HEADS)}


@pytest.mark.parametrize("name", WIDE)
def test_a_narrower_student_keeps_the_most_important_units(name: str, tmp_path) -> None:
    teacher = family_model(name)
    batches = [(token_ids(), torch.ones(2, 12))]
    spec = StudentSpec(layers=2, hidden=16)
    student = build_student(teacher, spec, seed=0, calibration=lambda: batches)
    dimensions = Dimensions.from_config(student.model.config)
    assert (dimensions.layers, dimensions.hidden, dimensions.heads) == (2, 16, 2)
    assert dimensions.intermediate_size == Dimensions.from_config(teacher.config).intermediate_size // 2
    student.model.save_pretrained(tmp_path)
    assert torch.equal(logits(AutoModelForCausalLM.from_pretrained(tmp_path), token_ids()), logits(student.model, token_ids()))
    first = build_student(teacher, spec.model_copy(update={"pruning_criterion": "first"}), seed=0).model
    kept, old = (model.get_input_embeddings().weight[:, 0] for model in (first, teacher))
    torch.testing.assert_close(kept / kept.norm(), old / old.norm())  # up to a factor, where the model scales by the root of its width
    assert not torch.equal(first.get_input_embeddings().weight, student.model.get_input_embeddings().weight)
    random = build_student(teacher, spec.model_copy(update={"init": "random"}), seed=0).model
    assert Dimensions.from_config(random.config) == dimensions


def test_a_narrower_inner_width_alone() -> None:
    teacher = tiny_model("llama")
    student = build_student(teacher, StudentSpec(layers=4, intermediate_size=24, pruning_criterion="first"), seed=0).model
    assert Dimensions.from_config(student.config) == replace(Dimensions.from_config(teacher.config), intermediate_size=24)
    assert torch.equal(blocks(student)[2].mlp.down_proj.weight, blocks(teacher)[2].mlp.down_proj.weight[:, :24])


def test_wider_than_the_teacher_is_refused() -> None:
    with pytest.raises(ConfigError, match="32 at most"):
        build_student(tiny_model("llama"), StudentSpec(hidden=48), seed=0)


def test_a_student_may_start_as_any_model() -> None:
    model = tiny_model("llama", layers=3, seed=5)
    student = student_from_checkpoint(model, 4, StudentSpec(model="somewhere"), seed=0)
    assert student.model is model and student.layer_map == (0, 2, 3) and student.model.training


def test_a_student_may_take_only_a_models_shape() -> None:
    model = tiny_model("llama", layers=3, seed=5)
    first, again, other = (student_from_checkpoint(model, 4, StudentSpec(model="somewhere", init="random"),
                                                   seed=seed).model for seed in (1, 1, 2))
    assert [value.shape for value in first.state_dict().values()] == [value.shape for value in model.state_dict().values()]
    weights = [each.get_input_embeddings().weight for each in (model, first, again, other)]
    assert torch.equal(weights[1], weights[2]) and not any(torch.equal(weights[1], each) for each in (weights[0], weights[3]))
    assert first.training and first is not model
