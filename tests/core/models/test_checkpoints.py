import json
import pickle
import struct
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from core.config import StudentSpec
from core.errors import CorruptModelError, ModelError, ModelNotFoundError, UnsafeModelError, UnsupportedModelError
from core.models import checkpoints, weight_digests
from core.students.build import build_student
from tests.core.tiny import ARCHITECTURES, tiny_model
from tests.interpreters import heavy_modules


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tiny_model("llama").save_pretrained(tmp_path)
    return tmp_path


def _count(folder: Path) -> checkpoints.ParameterCount:
    return checkpoints.count_parameters(checkpoints.parameter_shapes(folder), checkpoints.read_config(folder))


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_students_parameters_are_known_from_the_teachers_files(name: str, tied: bool, tmp_path: Path) -> None:
    teacher = tiny_model(name, tied=tied)
    teacher.save_pretrained(tmp_path)
    found = _count(tmp_path)
    assert found.total == teacher.num_parameters()
    assert (found.head == 0) == tied
    assert found.embeddings >= teacher.get_input_embeddings().weight.numel()
    for layer_map in ((0,), (0, 3), (1, 2, 3)):
        assert found.with_blocks(layer_map) == build_student(teacher, StudentSpec(layer_map=layer_map), seed=0).parameters


def test_constants_and_copies_of_tied_weights_do_not_count(tmp_path: Path) -> None:
    """As in GPT-2's published checkpoint: no prefix, causal masks among the weights, sometimes a second head."""
    model = tiny_model("gpt2")
    model.save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    older = {name.removeprefix("transformer."): weight for name, weight in weights.items()}
    older |= {"h.0.attn.bias": torch.ones(1, 1, 8, 8), "lm_head.weight": weights["transformer.wte.weight"].clone()}
    expected = weight_digests.weights_hash(tmp_path)
    save_file(older, tmp_path / "model.safetensors")
    assert _count(tmp_path).total == model.num_parameters()
    assert weight_digests.weights_hash(tmp_path) == expected
    config = json.loads((tmp_path / "config.json").read_text())
    del config["tie_word_embeddings"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert _count(tmp_path).total == model.num_parameters()


def test_weights_in_several_files(tmp_path: Path) -> None:
    model = tiny_model("llama")
    model.save_pretrained(tmp_path / "one")
    model.save_pretrained(tmp_path / "many", max_shard_size="20KB")
    assert len(checkpoints.weight_files(tmp_path / "many")) > 2
    assert _count(tmp_path / "many") == _count(tmp_path / "one")
    assert weight_digests.weights_hash(tmp_path / "many") == weight_digests.weights_hash(tmp_path / "one")
    checkpoints.weight_files(tmp_path / "many")[1].unlink()
    with pytest.raises(CorruptModelError, match="lacks model-00002"):
        checkpoints.weight_files(tmp_path / "many")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", ["gpt2", "llama", "gpt_neox"])
def test_the_hash_is_that_of_the_loaded_weights(name: str, dtype: torch.dtype, tmp_path: Path) -> None:
    tiny_model(name).to(dtype).save_pretrained(tmp_path)
    on_disk = weight_digests.weights_hash(tmp_path)
    assert len(on_disk) == 12
    assert set(on_disk) <= set("0123456789abcdef")
    model = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32)
    assert weight_digests.loaded_hash(model) == on_disk
    with torch.no_grad():
        next(model.parameters()).view(-1)[0] += 1
    assert weight_digests.loaded_hash(model) != on_disk


def test_truncated_weights(folder: Path) -> None:
    path = folder / "model.safetensors"
    complete = path.read_bytes()
    for kept in (0, 5, 8, 100, len(complete) // 2, len(complete) - 1):
        path.write_bytes(complete[:kept])
        with pytest.raises(CorruptModelError, match=r"model\.safetensors"):
            checkpoints.parameter_shapes(folder)


@pytest.mark.parametrize("content", [
    b"\xff" * 100,
    struct.pack("<Q", 9) + b"not json!",
    struct.pack("<Q", 2) + b"[]",
    struct.pack("<Q", 11) + b'{"a": "b" }',
    pickle.dumps({"weight": [1.0] * 50}),
])
def test_files_that_are_not_safetensors(content: bytes, folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(content)
    with pytest.raises(CorruptModelError, match="not a safetensors file"):
        checkpoints.parameter_shapes(folder)


def test_a_git_lfs_pointer_is_recognised(folder: Path) -> None:
    (folder / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n")
    with pytest.raises(CorruptModelError, match="git lfs pull"):
        checkpoints.parameter_shapes(folder)


def test_pickles_are_refused(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(UnsafeModelError, match=r"pytorch_model\.bin.*can run any code"):
        checkpoints.weight_files(folder)
    (folder / "pytorch_model.bin").unlink()
    with pytest.raises(CorruptModelError, match="holds no weights"):
        checkpoints.weight_files(folder)


@pytest.mark.parametrize("index", ["{", "{}", '{"weight_map": []}', '{"weight_map": {"a": 3}}', "[]"])
def test_a_broken_index(index: str, folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text(index)
    with pytest.raises(CorruptModelError, match=r"no index of weights|is not JSON at line 1, column 2"):
        checkpoints.weight_files(folder)


def test_an_index_cannot_point_outside_its_folder(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder.parent / "elsewhere.safetensors")
    (folder / "model.safetensors.index.json").write_text('{"weight_map": {"a": "../elsewhere.safetensors"}}')
    with pytest.raises(CorruptModelError, match="lacks"):
        checkpoints.weight_files(folder)


def _change_config(folder: Path, **changes: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_blocks_other_than_announced(folder: Path) -> None:
    for depth in (3, 5):
        _change_config(folder, num_hidden_layers=depth)
        with pytest.raises(CorruptModelError, match=f"hold 4 blocks. The configuration announces {depth}"):
            _count(folder)
    _change_config(folder, num_hidden_layers=None)
    with pytest.raises(CorruptModelError, match="'num_hidden_layers' is None"):
        _count(folder)


def test_configurations_that_cannot_be_used(folder: Path) -> None:
    _change_config(folder, model_type="mamba")
    with pytest.raises(UnsupportedModelError, match="'mamba'"):
        checkpoints.read_config(folder)
    _change_config(folder, model_type="llama", quantization_config={"quant_method": "gptq"})
    with pytest.raises(UnsupportedModelError, match="quantised"):
        checkpoints.read_config(folder)
    for text in ("{", "[]"):
        (folder / "config.json").write_text(text)
        with pytest.raises(CorruptModelError, match=r"config\.json"):
            checkpoints.read_config(folder)
    (folder / "config.json").unlink()
    with pytest.raises(ModelNotFoundError, match="holds no model"):
        checkpoints.read_config(folder)
    (folder / "adapter_config.json").write_text("{}")
    with pytest.raises(ModelError, match="holds adapters without"):
        checkpoints.read_config(folder)


def test_adapters_beside_a_whole_model_are_refused(folder: Path) -> None:
    checkpoints.read_config(folder)
    (folder / "adapter_config.json").write_text("{}")
    with pytest.raises(ModelError, match="holds adapters beside a model"):
        checkpoints.read_config(folder)


def test_counting_needs_no_torch(folder: Path) -> None:
    program = ("from pathlib import Path; from core.models import checkpoints as c, weight_digests; "
               "p = Path(sys.argv[1]); c.count_parameters(c.parameter_shapes(p), c.read_config(p)); weight_digests.weights_hash(p)")
    assert heavy_modules(program, folder) == []
