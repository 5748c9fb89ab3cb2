"""The estimates against what really happens: counted matrices, tensors kept for the backward pass, checkpoints on disk."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, PreTrainedModel

from core import catalog, footprint, losses
from core.anatomy import anatomy_of, blocks
from core.config import ExperimentConfig, FreshSpec, LoraSpec, StudentSpec, parse_recipe
from core.data.packing import Blocks
from core.footprint import Shape
from core.recorded_trainer import latest_checkpoint, training_arguments
from core.recorder import STUDENT, ListRecorder
from core.students import build_student, fresh_student
from core.trainer import DistillationTrainer, Lesson
from tests.core.chat_models import chat_tokenizer
from tests.core.tiny import ARCHITECTURES, tiny_config, tiny_model


def saved(model: PreTrainedModel, folder: Path) -> Shape:
    model.save_pretrained(folder)
    (folder / "tokenizer.json").write_text("{}")
    return footprint.shape_of(catalog.describe(str(folder)))


def experiment(**sections: object) -> ExperimentConfig:
    return parse_recipe({"data": {"block_length": 64}, "train": {"per_device_train_batch_size": 4}, **sections})


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_shapes_are_those_of_the_modules(tmp_path, name):
    model = tiny_model(name)
    shape = saved(model, tmp_path)
    naive = [sum(sum(block.get_submodule(path).weight.shape) for path in anatomy_of(model.config).projections) for block in blocks(model)]
    assert list(shape.projections) == naive
    assert shape.parameters == model.num_parameters()
    assert (shape.layers, shape.vocabulary) == (4, model.config.vocab_size)


def test_a_model_that_is_not_here_yet_is_guessed_from_its_count(tmp_path):
    tiny_model("llama").save_pretrained(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}")
    entry = catalog.describe(str(tmp_path))
    guessed = footprint.shape_of(replace(entry, path=None, present=False))
    assert guessed.projections == pytest.approx(footprint.shape_of(entry).projections, rel=0.05)


@pytest.mark.parametrize("spec", [FreshSpec(layers=3, hidden=32, heads=4, key_value_heads=2, feed_forward=48), FreshSpec(layers=2)])
def test_a_fresh_model_is_counted_before_it_is_built(spec):
    shape, tokenizer = footprint.shape_of_fresh(spec), chat_tokenizer()
    model = fresh_student(spec, tokenizer, seed=0)
    assert shape.parameters - (spec.vocabulary - len(tokenizer)) * spec.hidden == model.num_parameters()
    naive = sum(sum(blocks(model)[0].get_submodule(path).weight.shape) for path in anatomy_of(model.config).projections)
    assert shape.projections == (naive,) * spec.layers


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
@pytest.mark.parametrize("lora", [None, LoraSpec(rank=3)], ids=["whole", "adapters"])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_students_are_counted_before_they_are_built(tmp_path, name, lora):
    teacher = tiny_model(name)
    shape = saved(teacher, tmp_path).with_blocks((0, 3))
    student = build_student(teacher, StudentSpec(layer_map=(0, 3), lora=lora), seed=0)
    assert (shape.layers, shape.parameters) == (2, student.parameters)
    assert footprint.trainable(shape, lora) == student.trainable_parameters


def kept_bytes(model: PreTrainedModel, input_ids: torch.Tensor) -> int:
    """Storage that autograd holds after a forward pass, parameters excluded."""
    parameters = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    storages = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        states = model(input_ids=input_ids, output_hidden_states=True, logits_to_keep=1, use_cache=False).hidden_states
    for state in states:
        note(state)
    return sum(storage.nbytes() for address, storage in storages.items() if address not in parameters)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_activations_are_those_that_autograd_keeps(tmp_path, name):
    """The difference of two depths, so that what stands outside the blocks cancels out."""
    config = tiny_config(name)
    wide = {"n_embd": 128} if name == "gpt2" else {"hidden_size": 128, "ffn_dim" if "opt" in name else "intermediate_size": 384}
    config.update({**wide, **({"head_dim": 32} if hasattr(config, "head_dim") else {})})
    shape = saved(AutoModelForCausalLM.from_config(config), tmp_path)
    input_ids = torch.randint(2, 90, (4, 64))
    config.update(dict.fromkeys(anatomy_of(config).dropout_keys, 0.0))  # as students are trained
    kept, estimated = [], []
    for depth in (1, 4):
        config.update({anatomy_of(config).depth_key: depth, **({"layer_types": config.layer_types[:1] * depth} if "qwen" in name else {})})
        kept.append(kept_bytes(AutoModelForCausalLM.from_config(config).train(), input_ids))
        estimated.append(footprint.memory(experiment(), None, shape.with_blocks(range(depth)), 4).activations)
    assert 0.95 < (estimated[1] - estimated[0]) / (kept[1] - kept[0]) < 1.25


def test_memory_is_the_sum_of_its_formulae(tmp_path):
    teacher = saved(tiny_model("llama"), tmp_path)
    student = teacher.with_blocks((0, 3))
    found = footprint.memory(experiment(), teacher, student, 2)
    tokens, width, rows = 4 * 64, 32, 97
    assert (found.teacher, found.student) == (2 * teacher.parameters, 6 * student.parameters)
    assert (found.gradients, found.optimiser) == (4 * student.parameters, 8 * student.parameters)
    assert found.activations == round(4 * tokens * 1.15 * sum(student.projections)) + 2 * tokens * width * 5
    assert found.logits == 32 * tokens * rows + 12 * rows * width
    assert found.total == sum(value for part, value in asdict(found).items() if part != "total")


def test_adapters_and_no_teacher_take_less(tmp_path):
    teacher = saved(tiny_model("llama"), tmp_path)
    whole = footprint.memory(experiment(), teacher, teacher, 4)
    adapters = footprint.memory(experiment(student={"lora": {"rank": 2}}), teacher, teacher, 4)
    alone = footprint.memory(experiment(), None, teacher, 4)
    assert adapters.gradients == 4 * 2 * sum(teacher.projections) < whole.gradients
    assert adapters.student - whole.student == adapters.gradients
    assert adapters.logits < whole.logits
    assert alone.teacher == 0
    assert alone.activations < whole.activations


def test_logits_are_chunked_as_in_the_losses(tmp_path):
    assert footprint.CHUNK_ELEMENTS == losses.CHUNK_ELEMENTS
    shape = replace(saved(tiny_model("llama"), tmp_path), vocabulary=150_000)
    small, large = (footprint.memory(experiment(train={"per_device_train_batch_size": batch}), None, shape, 4).logits for batch in (8, 800))
    assert small == large


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
@pytest.mark.parametrize("lora", [None, {"rank": 64}], ids=["whole", "adapters"])
def test_disk_is_what_checkpoints_take(tmp_path, lora):
    """Two checkpoints and one being written, and the model folder; small files (states, arguments) are not counted."""
    teacher = AutoModelForCausalLM.from_config(tiny_config("llama", layers=8))
    shape = saved(teacher, tmp_path / "teacher")
    config = experiment(student={"lora": lora, "layers": 8}, train={"max_steps": 1, "device": "cpu", "per_device_train_batch_size": 1})
    student = build_student(teacher, config.student, seed=0)
    data = Blocks(np.full((2, 16), 5, np.int32), np.ones((2, 16), np.float32), 2, 32)
    trainer = DistillationTrainer(student.model, Lesson(config.losses, teacher, student.layer_map), data,
                                  training_arguments(config.train, tmp_path / "run", torch.device("cpu"), eval_steps=9), arm=STUDENT,
                                  recorder=ListRecorder(), dtype=torch.float32, evaluate=lambda _: {"eval/cross_entropy": 0.0})
    trainer.train()
    large = {"optimizer.pt", "model.safetensors", "adapter_model.safetensors"}
    checkpoint = sum(file.stat().st_size for file in latest_checkpoint(tmp_path / "run").iterdir() if file.name in large)
    model = (tmp_path / "teacher" / "model.safetensors").stat().st_size
    assert footprint.disk(config, shape) == pytest.approx(3 * checkpoint + model, rel=0.12)
    both = footprint.disk(config.model_copy(update={"control": True}), shape)
    assert both == pytest.approx(5 * checkpoint + 2 * model, rel=0.12)
