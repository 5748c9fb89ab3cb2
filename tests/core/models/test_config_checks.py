"""Configurations with values that no model has: refused by their key, before anything is as large as they say."""

from __future__ import annotations

import json
import shutil
import struct
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from core.errors import CompatibilityError, CorruptModelError, ModelError, UnsupportedModelError
from core.export import exporting
from core.models import catalog, checkpoints, gguf, header
from core.models.header import read_model_header
from core.planning import preflight
from core.planning.plan import static_plan
from core.recipes import parse_recipe
from core.reports import measure
from tests.core.chat_models import save_chat_model
from tests.core.gguf_models import save_gguf
from workbench.store import chains


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_chat_model(tmp_path_factory.mktemp("sound"))


@pytest.fixture
def folder(sound: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sound, tmp_path / "model"))


def _change(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize(("changes", "says"), [
    ({"num_hidden_layers": 10**9}, "'num_hidden_layers' is 1000000000"), ({"num_hidden_layers": True}, "'num_hidden_layers' is True"),
    ({"hidden_size": 10**18}, "'hidden_size'"), ({"num_key_value_heads": 0}, "'num_key_value_heads' is 0"),
    ({"num_key_value_heads": 3}, "num_key_value_heads 3. A divisor"), ({"head_dim": 0}, "'head_dim' is 0"),
    ({"max_position_embeddings": 256.0}, "'max_position_embeddings' is 256.0"), ({"architectures": [1]}, r"architectures \[1\]"),
    ({"architectures": "LlamaForCausalLM"}, "architectures 'Llama"), ({"model_type": 5}, "model_type 5"),
    ({"pad_token_id": 10**6}, "pad_token_id 1000000"), ({"pad_token_id": -999}, "pad_token_id -999"), ({"pad_token_id": [0]},
    "pad_token_id"),
    ({"eos_token_id": "</s>"}, "eos_token_id '</s>'"), ({"num_labels": 10**9}, "num_labels 1000000000")])
def test_a_value_that_no_model_has_is_refused_by_its_key(changes: dict, says: str, folder: Path):
    _change(folder, **changes)
    with pytest.raises(CorruptModelError, match=says) as caught:
        catalog.describe(str(folder))
    assert caught.value.expected and caught.value.fix
    checks = static_plan(parse_recipe({"teacher": {"model": str(folder)}})).checks
    assert next(check for check in checks if check.name == "teacher").message.startswith(caught.value.given)


def test_the_likely_type_is_proposed_where_there_is_none(folder: Path):
    _change(folder, model_type=None, architectures=["Qwen2ForCausalLM"])
    with pytest.raises(UnsupportedModelError, match='Add "model_type": "qwen2"'):
        catalog.describe(str(folder))


@pytest.mark.parametrize("changes", [{"pad_token_id": -1}, {"pad_token_id": None}, {"eos_token_id": [1, 2]}, {"architectures": None}])
def test_what_published_models_have_is_accepted(changes: dict, folder: Path):
    _change(folder, **changes)
    assert catalog.load(str(folder)).entry.layers == 2


@pytest.mark.parametrize("changes", [
    {"hidden_act": "swiglu"}, {"dtype": "float99"}, {"rms_norm_eps": "1e-6"}, {"rope_parameters": "default"},
    {"intermediate_size": 3_000_000},
    {"head_dim": 100_000}])
def test_what_transformers_would_fail_on_is_a_damaged_model(changes: dict, folder: Path):
    _change(folder, **changes)
    with pytest.raises(CorruptModelError):
        catalog.load(str(folder))


@pytest.mark.parametrize(("name", "content"), [
    ("tokenizer.json", "{}"), ("tokenizer.json", "{" * 10), ("tokenizer_config.json", "{"), ("generation_config.json", "[]"),
    ("tokenizer_config.json", '{"model_max_length": {"a": 1}}')])
def test_damage_beside_the_weights_is_a_damaged_model(name: str, content: str, folder: Path):
    (folder / name).write_text(content)
    with pytest.raises(CorruptModelError):
        catalog.load(str(folder))


@pytest.mark.parametrize("front", ["license: 2026-02-31", "license: &a [*a]", "license: !!python/name:os.system", "[" * 500,
    "? [a]\n: b"])
def test_a_card_with_anything_in_front_is_no_reason_to_refuse_a_model(front: str, folder: Path):
    (folder / "README.md").write_text(f"---\n{front}\n---\n\nA model of weather.\n")
    assert catalog.describe(str(folder)).description == "A model of weather."


def _rewritten(path: Path, change: Any) -> None:
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    plain = json.loads(content[8:8 + length])
    change(plain)
    text = json.dumps(plain).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + content[8 + length:])


FIRST = "model.embed_tokens.weight"


@pytest.mark.parametrize(("change", "says"), [
    (lambda plain: plain[FIRST].update(dtype="X9"), "has the type 'X9'"), (lambda plain: plain[FIRST].update(dtype=[]), "has the type"),
    (lambda plain: plain[FIRST].update(dtype="F64"), "stands in"), (lambda plain: plain[FIRST].update(shape=[-1, 5]), "no shape"),
    (lambda plain: plain[FIRST].update(shape=[10**9, 10**9]), "stands in"), (lambda plain: plain[FIRST].update(shape=5), "no shape"),
    (lambda plain: plain[FIRST].update(data_offsets=[5, 1]), "stands in"), (lambda plain: plain[FIRST].update(data_offsets=[0.5, 1]),
    "no shape"),
    (lambda plain: plain[FIRST].pop("shape"), "lacks its type"), (lambda plain: plain.update({"x": 5}), "lacks its type"),
    (lambda plain: plain.update({"x" * 1000: plain[FIRST]}), "name has 1,000 characters"),
    (lambda plain: plain.update({"x": plain[FIRST]}), "The one before it ends")])
def test_offsets_types_and_shapes_that_lie_are_refused_by_the_tensor(change: Any, says: str, folder: Path):
    _rewritten(folder / "model.safetensors", change)
    with pytest.raises(CorruptModelError, match=says):
        catalog.describe(str(folder))


@pytest.mark.parametrize("number", ["9999999999", "9" * 400, "10000"])
def test_a_tensor_of_a_block_without_end_makes_no_list(number: str, folder: Path):
    old = "model.layers.1.input_layernorm.weight"
    new = f"model.layers.{number}.input_layernorm.weight"
    _rewritten(folder / "model.safetensors", lambda plain: plain.update({new: plain.pop(old)}))
    with pytest.raises(CorruptModelError, match=r"hold 3 blocks\. The configuration announces 2"):
        catalog.describe(str(folder))


@pytest.mark.parametrize(("key", "number"), [(b"llama.block_count", 10**9), (b"llama.embedding_length", 2**32 - 1),
    (b"llama.context_length", 0)])
def test_a_gguf_file_with_a_size_that_no_model_has_is_refused(key: bytes, number: int, tmp_path: Path):
    path = tmp_path / "tiny.gguf"
    save_gguf(path)
    content = bytearray(path.read_bytes())
    struct.pack_into("<I", content, content.index(key) + len(key) + 4, number)
    path.write_bytes(content)
    with pytest.raises(CorruptModelError):
        catalog.describe(str(path))


@pytest.mark.parametrize("announced", [(8, 2**60), (16, 2**60)])
def test_a_gguf_header_is_bounded_before_it_is_walked(announced: tuple[int, int], tmp_path: Path):
    path = tmp_path / "tiny.gguf"
    save_gguf(path)
    content = bytearray(path.read_bytes())
    struct.pack_into("<Q", content, *announced)
    path.write_bytes(content)
    with pytest.raises(CorruptModelError, match="announces"):
        gguf.read_header(path)


def test_arrays_in_arrays_end(tmp_path: Path):
    path = tmp_path / "tiny.gguf"
    save_gguf(path)
    content = bytearray(path.read_bytes())
    struct.pack_into("<Q", content, 16, struct.unpack_from("<Q", content, 16)[0] + 1)
    content[24:24] = struct.pack("<Q", 1) + b"x" + struct.pack("<I", 9) + struct.pack("<IQ", 9, 1) * 5000 + struct.pack("<IQ", 4, 0)
    path.write_bytes(content)
    with pytest.raises(CorruptModelError, match="5 deep"):
        gguf.read_header(path)


def test_kept_headers_are_bounded_by_their_tensors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(header, "_HEADERS", header._Headers())
    monkeypatch.setattr(header, "KEPT_TENSORS", 50)
    folders = [save_chat_model(tmp_path / str(number)) for number in range(3)]
    headers = [read_model_header(folder) for folder in folders]
    size = len(headers[0].shapes)
    assert 50 // size == 2
    assert read_model_header(folders[2]) is headers[2]
    assert read_model_header(folders[1]) is headers[1]
    assert read_model_header(folders[0]) is not headers[0]
    assert header._HEADERS._tensors <= 50


def test_an_index_that_names_no_file_is_refused(folder: Path):
    (folder / "model.safetensors").rename(folder / "other.safetensors")
    for name in ("a\0b", "x" * 5000, "no.safetensors", "/etc/passwd"):
        (folder / checkpoints.INDEX).write_text(json.dumps({"weight_map": {"a": name}}))
        with pytest.raises(ModelError, match="lacks"):
            checkpoints.weight_files(folder)


@pytest.mark.parametrize("content", [
    "[" * 100_000, "1" * 5000, "[]", "5", '{"forms": []}', '{"made_from": []}', '{"config": []}', "\udcff"])
def test_records_beside_a_model_that_cannot_be_read_are_none(content: str, folder: Path):
    for name in (exporting.RECORD, chains.RECORD, "tokenizer_config.json"):
        (folder / name).write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(CorruptModelError, match="holds no export"):
        exporting.read_exported(folder)
    assert chains.read_created(folder) is None
    entry = catalog.describe(str(folder))
    assert entry.trained_length is None
    assert measure._recorded_task(entry) is None
    with suppress(CompatibilityError):  # no template: what is no text has none
        preflight.require_bridge_teacher(entry)
