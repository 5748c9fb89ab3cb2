"""A model's header: everything known without its weights, and read again only when a file changes."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from core.errors import CorruptModelError, ModelNotFoundError, UnsupportedModelError
from core.models import checkpoints
from core.models.dimensions import Dimensions
from core.models.header import ModelHeader, precision_of, read_model_header
from core.planning.plan import static_plan
from core.recipes import parse_recipe
from tests.core.chat_models import chat_model, save_chat_model
from tests.core.gguf_models import save_gguf
from tests.core.tiny import ENCODERS, tiny_encoder, tiny_model
from tests.interpreters import heavy_modules


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The configurations that were read from disk."""
    found: list[Path] = []
    read_config = checkpoints.read_config

    def counted(folder: Path) -> dict:
        found.append(folder)
        return read_config(folder)

    monkeypatch.setattr(checkpoints, "read_config", counted)
    return found


def test_a_student_takes_the_precision_of_the_first_model_there_is() -> None:
    teacher, start, other = (ModelHeader({}, {}, 0, dtype=dtype) for dtype in ("BF16", "F16", "F64"))
    assert precision_of("auto", teacher, start) == "bf16" and precision_of("auto", None, start) == "fp16"
    assert precision_of("auto") == precision_of("auto", None) == precision_of("auto", other) == "fp32"
    assert precision_of("fp32", teacher) == "fp32"


def test_a_folder_gives_what_the_loaded_model_holds(tmp_path: Path) -> None:
    model = tiny_model("llama")
    model.save_pretrained(tmp_path)
    header = read_model_header(tmp_path)
    assert header.config["model_type"] == header.architecture.model_type == "llama"
    assert header.task == "causal" and header.format == "safetensors" and header.dtype == "F32"
    assert header.parameters == {name: tuple(value.shape) for name, value in model.named_parameters()}
    assert header.counts.total == model.num_parameters() == header.parameter_counter()(header.dimensions)
    assert header.dimensions == Dimensions.from_config(model.config)
    assert (header.vocabulary, header.context) == (model.config.vocab_size, model.config.max_position_embeddings)
    assert header.size_bytes == (tmp_path / "model.safetensors").stat().st_size


@pytest.mark.parametrize("name", ENCODERS)
def test_dropout_is_that_of_the_configuration(name: str, tmp_path: Path) -> None:
    model = tiny_encoder(name)
    for key in read_model_header(_saved(model, tmp_path / "without", 0.0)).architecture.dropout_keys:
        model.config.update({key: 0.1})
        assert read_model_header(_saved(model, tmp_path / key)).uses_dropout
        model.config.update({key: 0.0})
    assert not read_model_header(tmp_path / "without").uses_dropout


def _saved(model: torch.nn.Module, folder: Path, rate: float | None = None) -> Path:
    from core.models.architectures import architecture_of

    if rate is not None:
        model.config.update(dict.fromkeys(architecture_of(model.config).dropout_keys, rate))
    model.save_pretrained(folder)
    return folder


def test_a_gguf_file_gives_its_sizes_and_metadata(tmp_path: Path) -> None:
    path = tmp_path / "tiny.gguf"
    model = save_gguf(path)
    header = read_model_header(path)
    assert (header.format, header.dtype, header.size_bytes) == ("gguf", "", path.stat().st_size)
    assert header.metadata["general.architecture"] == "llama"
    assert header.counts.total == model.num_parameters()
    assert header is read_model_header(path)


def test_files_are_read_once_until_they_change(tmp_path: Path, reads: list[Path]) -> None:
    save_chat_model(tmp_path)
    first = read_model_header(tmp_path)
    assert read_model_header(tmp_path) is first and len(reads) == 1
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"max_position_embeddings": 77}))
    assert read_model_header(tmp_path).context == 77 and len(reads) == 2
    other = chat_model(width=first.vocabulary + 3)
    other.save_pretrained(tmp_path)
    assert read_model_header(tmp_path).vocabulary == first.vocabulary + 3 and len(reads) == 3


def test_a_file_replaced_by_one_of_the_same_size_and_time_is_read_again(tmp_path: Path) -> None:
    save_chat_model(tmp_path)
    path = tmp_path / "config.json"
    before, text = path.stat(), path.read_text()
    context = read_model_header(tmp_path).context
    assert 10 <= context < 10_000
    changed = str(context + 1).zfill(len(str(context)))
    (tmp_path / "new").write_text(text.replace(f'"max_position_embeddings": {context}', f'"max_position_embeddings": {changed}'))
    os.utime(tmp_path / "new", ns=(before.st_atime_ns, before.st_mtime_ns))
    (tmp_path / "new").replace(path)
    assert path.stat().st_size == before.st_size and path.stat().st_mtime_ns == before.st_mtime_ns
    assert read_model_header(tmp_path).context == context + 1


def test_errors_are_raised_again_and_forgotten_once_the_files_are_whole(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError):
        read_model_header(tmp_path)
    save_chat_model(tmp_path)
    weights = (tmp_path / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(weights[:-1])
    for _ in range(2):
        with pytest.raises(CorruptModelError):
            read_model_header(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(weights)
    assert read_model_header(tmp_path).counts.total


def test_links_that_lead_nowhere_are_left_out(tmp_path: Path) -> None:
    save_chat_model(tmp_path)
    (tmp_path / "absent.safetensors").symlink_to(tmp_path / "blobs" / "absent")
    assert read_model_header(tmp_path).task == "causal"


def test_the_number_type_is_that_of_most_bytes(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    save_file({"a": torch.zeros(10), "b": torch.zeros(100, dtype=torch.bfloat16)}, tmp_path / "model.safetensors")
    assert read_model_header(tmp_path).dtype == "BF16"


@pytest.mark.parametrize("config", [{"model_type": "llama"}, {"model_type": "llama", "num_hidden_layers": 3, "vocab_size": "many"}])
def test_sizes_that_the_configuration_lacks(config: dict) -> None:
    header = ModelHeader(config, {}, 0)
    for name in ("counts", "dimensions", "vocabulary", "context"):
        with pytest.raises(CorruptModelError):
            getattr(header, name)


def test_an_architecture_that_is_not_described() -> None:
    with pytest.raises(UnsupportedModelError):
        _ = ModelHeader({"model_type": "mamba"}, {}, 0).architecture


def test_a_plan_reads_each_model_once(tmp_path: Path, reads: list[Path], home: Path) -> None:
    save_chat_model(tmp_path)
    config = parse_recipe({"teacher": {"model": str(tmp_path)}, "student": {"layers": 1}, "data": {"block_length": 16}})
    assert static_plan(config).student is not None
    assert reads == [tmp_path]


def test_torch_is_not_needed(tmp_path: Path) -> None:
    save_chat_model(tmp_path)
    program = ("from pathlib import Path; from core.models.header import read_model_header as read; "
               "header = read(Path(sys.argv[1])); print(header.counts.total, header.dimensions, header.parameter_counter())")
    assert heavy_modules(program, tmp_path) == []
