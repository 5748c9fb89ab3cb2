"""Exports of tiny random models: what is written says what the model says, and nothing is written half.

Coverage is measured on one model of a kind.
"""

import copy
import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import pytest
import torch
from transformers import AutoTokenizer

from core.errors import CompatibilityError, ConfigError, CorruptModelError, ExportError, StillhouseError, UnsupportedModelError
from core.export import FORMS, exporting, graph
from core.export.sessions import OnnxModel
from core.models import catalog
from tests.core.chat_models import chat_model, chat_tokenizer
from tests.core.export.encoders import VOCABULARY, save_encoder
from tests.core.families import family_model
from tests.core.tiny import ENCODERS

TEXTS = ("A film about nothing, and a good one.", "I liked it.")


def numbers(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Two texts of different lengths."""
    encoded = AutoTokenizer.from_pretrained(folder)(list(TEXTS), padding=True, return_tensors="np")
    assert not encoded["attention_mask"].all()
    return encoded["input_ids"].astype(np.int64), encoded["attention_mask"].astype(np.int64)


def torch_logits(folder: Path, ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
    model = catalog.load(str(folder), dtype=torch.float32).model
    with torch.no_grad():
        return model(input_ids=torch.from_numpy(ids), attention_mask=torch.from_numpy(mask)).logits.numpy()


class Exports(NamedTuple):
    """A masked model's folder, and both of its files in memory."""

    source: Path
    models: dict[str, OnnxModel]


@pytest.fixture(scope="module", params=[ENCODERS[0], *(pytest.param(name, marks=pytest.mark.no_cover) for name in ENCODERS[1:])])
def exports(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Exports:
    folder = tmp_path_factory.mktemp(request.param)
    source = save_encoder(folder / "model", request.param, layers=2 if request.param == "modernbert" else 1)  # it has two attentions
    return Exports(source, exporting.onnx_models(catalog.load(str(source), dtype=torch.float32), folder))


@pytest.fixture(scope="module")
def bert_graph(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., onnx.ModelProto]:
    """`to_onnx` of the BERT of one layer that several tests save: its graph is always the same, and its making takes seconds."""
    model = catalog.load(str(save_encoder(tmp_path_factory.mktemp("bert") / "model", "bert", layers=1)), dtype=torch.float32).model
    made = graph.to_onnx(model, "masked", graph.input_names(model))
    return lambda *_: copy.deepcopy(made)


def test_a_masked_model_says_the_same_as_onnx(exports: Exports) -> None:
    ids, mask = numbers(exports.source)
    difference = np.abs(exports.models["onnx"](ids, mask) - torch_logits(exports.source, ids, mask))
    assert difference[mask.astype(bool)].max() < 1e-4


@pytest.mark.no_cover
def test_models_are_read_while_another_is_exported(tmp_path: Path) -> None:
    source, ended = save_encoder(tmp_path / "model", "bert", layers=1), threading.Event()
    loaded = catalog.load(str(source), dtype=torch.float32)

    def read() -> int:
        count = 0
        while not ended.is_set():
            catalog.load(str(source), dtype=torch.float32)
            count += 1
        return count

    with ThreadPoolExecutor(2) as threads:
        readers = [threads.submit(read) for _ in range(2)]
        try:
            graph.to_onnx(loaded.model, "masked", graph.input_names(loaded.model))
        finally:
            ended.set()
        assert all(reader.result() > 0 for reader in readers)


def test_int8_is_near(exports: Exports) -> None:
    ids, mask = numbers(exports.source)
    difference = np.abs(exports.models["onnx-int8"](ids, mask) - torch_logits(exports.source, ids, mask))[mask.astype(bool)]
    assert 1e-5 < difference.max() < 2
    assert difference.mean() < 0.2


def test_int8_is_small(exports: Exports) -> None:
    float32, int8 = (onnx.load(exports.models[form].path).graph.initializer for form in ("onnx", "onnx-int8"))
    tables = [tensor.data_type for tensor in int8 if VOCABULARY in tensor.dims and len(tensor.dims) == 2 and 1 not in tensor.dims]
    assert tables == [onnx.TensorProto.UINT8], "the vocabulary is stored once, in bytes"
    before, after = (sum(np.prod(tensor.dims, dtype=int) for tensor in tensors if tensor.data_type == onnx.TensorProto.FLOAT)
                     for tensors in (float32, int8))
    assert after < 0.25 * before
    assert exports.models["onnx-int8"].bytes == exports.models["onnx-int8"].path.stat().st_size < exports.models["onnx"].bytes


def test_no_file_tells_where_it_was_made(exports: Exports) -> None:
    for model in exports.models.values():
        assert b"site-packages" not in model.path.read_bytes()


def test_what_stands_in_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bert_graph: Callable[..., onnx.ModelProto]) -> None:
    source = save_encoder(tmp_path / "model", "bert", layers=1)
    monkeypatch.setattr(graph, "to_onnx", bert_graph)
    (source / "README.md").write_text("A card.\n")
    for form, file in (("onnx", "model.onnx"), ("onnx-int8", "model.int8.onnx")):
        said: list[str] = []
        made = exporting.export(str(source), form, tmp_path / form, name="tiny", say=said.append)
        assert made == exporting.read_exported(tmp_path / form)
        assert (made.model, made.form, made.file, made.task) == ("tiny", form, file, "masked")
        assert {path.name for path in (tmp_path / form).iterdir()} == {file, "config.json", "tokenizer.json", "tokenizer_config.json",
                                                                       "export.json", "README.md"}
        assert made.forms[form].bytes == (tmp_path / form / file).stat().st_size
        assert list(made.forms) == (["torch", "onnx"] if form == "onnx" else ["torch", "onnx", "onnx-int8"])
        agreement = made.forms["onnx"].agreement
        assert agreement.positions > 200
        assert agreement.logit_difference < 1e-4
        assert agreement.top1 == 1
        assert said[0] == "Loading the model"
    assert {path.name for path in tmp_path.iterdir()} == {"model", "onnx", "onnx-int8"}, "nothing is left beside them"


@pytest.mark.no_cover
@pytest.mark.parametrize("name", ["bert", "modernbert"])
def test_a_classifier(tmp_path: Path, name: str) -> None:
    source = save_encoder(tmp_path / "model", name, "classification", layers=1)
    made = exporting.export(str(source), "onnx-int8", tmp_path / "out")
    assert made.task == "classification"
    assert made.forms["onnx"].agreement.positions == 48
    ids, mask = numbers(tmp_path / "out")
    int8 = OnnxModel(tmp_path / "out" / "model.int8.onnx")(ids, mask)
    assert np.abs(int8 - torch_logits(source, ids, mask)).max() < 0.3


def test_a_pair_of_texts_keeps_its_types(tmp_path: Path) -> None:
    source = save_encoder(tmp_path / "model", "bert", "classification", layers=1)
    exporting.export(str(source), "onnx", tmp_path / "out")
    pair = AutoTokenizer.from_pretrained(source)(TEXTS[0], TEXTS[1], return_tensors="pt", return_token_type_ids=True)
    model = catalog.load(str(source), dtype=torch.float32).model
    with torch.no_grad():
        expected = model(**pair).logits.numpy()
    exported = OnnxModel(tmp_path / "out" / "model.onnx")
    ids, mask, types = (pair[name].numpy() for name in ("input_ids", "attention_mask", "token_type_ids"))
    assert np.abs(exported(ids, mask, types) - expected).max() < 1e-4
    assert np.abs(exported(ids, mask) - expected).max() > 1e-3


def save_family(folder: Path, case: str, **settings: object) -> Path:
    family_model(case, spread=0.1, vocab_size=len(chat_tokenizer()), eos_token_id=chat_tokenizer().eos_token_id,
                 **settings).save_pretrained(folder)
    chat_tokenizer().save_pretrained(folder)
    return folder


@pytest.mark.no_cover
def test_a_soft_cap_is_exported(tmp_path: Path) -> None:
    source = save_family(tmp_path / "model", "gemma2", num_hidden_layers=2, layer_types=["sliding_attention", "full_attention"])
    made = exporting.export(str(source), "onnx", tmp_path / "out")
    assert made.forms["onnx"].agreement.top1 == 1 and made.forms["onnx"].agreement.logit_difference < 1e-4


@pytest.mark.no_cover
@pytest.mark.parametrize(("case", "settings"), [("falcon, RW", {}), ("qwen3_moe", {"decoder_sparse_step": 1, "mlp_only_layers": []})])
def test_operators_without_a_form_or_a_kernel_are_refused(tmp_path: Path, case: str, settings: dict[str, Any]) -> None:
    """Falcon's slopes of ALiBi are multiplied in bf16, which onnxruntime's processor kernels do not have; experts have no ONNX form."""
    source = save_family(tmp_path / "model", case, num_hidden_layers=1, **settings)
    with pytest.raises(ExportError, match="--format folder"):
        exporting.export(str(source), "onnx", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.no_cover
@pytest.mark.parametrize("name", ["gpt2", "qwen3", "opt"])
def test_a_causal_model(tmp_path: Path, name: str) -> None:
    chat_model(name, layers=1).save_pretrained(tmp_path / "model")
    chat_tokenizer().save_pretrained(tmp_path / "model")
    made = exporting.export(str(tmp_path / "model"), "onnx-int8", tmp_path / "out")
    assert made.task == "causal"
    assert made.forms["onnx"].agreement.top1 == 1
    assert made.forms["onnx-int8"].bytes < made.forms["onnx"].bytes


def test_a_folder_is_copied(tmp_path: Path) -> None:
    source = save_encoder(tmp_path / "model", "distilbert")
    (source / "README.md").write_text("A card.\n")
    (source / "optimizer.pt").write_bytes(b"pickle")
    made = exporting.export(str(source), "folder", tmp_path / "out")
    assert made.forms == {}
    assert not (tmp_path / "out" / "optimizer.pt").exists()
    assert (tmp_path / "out" / "README.md").read_text() == "A card.\n"
    ids, mask = numbers(tmp_path / "out")
    assert np.array_equal(torch_logits(tmp_path / "out", ids, mask), torch_logits(source, ids, mask))


# ---------------------------------------------------------------------------------------------------- refused


def check_refused(error: type[StillhouseError], match: str, tmp_path: Path, source: Path, form: str = "onnx-int8") -> None:
    with pytest.raises(error, match=match):
        exporting.export(str(source), form, tmp_path / "out")
    assert {path.name for path in tmp_path.iterdir()} <= {"model"}, "nothing half-written"


def test_a_graph_that_says_something_else_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                     bert_graph: Callable[..., onnx.ModelProto]) -> None:
    def wrong(*arguments: object) -> onnx.ModelProto:
        proto = bert_graph(*arguments)
        bias = next(tensor for tensor in proto.graph.initializer if list(tensor.dims) == [VOCABULARY])
        bias.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(bias) + np.float32(0.01), bias.name))
        return proto

    monkeypatch.setattr(graph, "to_onnx", wrong)
    check_refused(ExportError, r"logits differ by 0\.01", tmp_path, save_encoder(tmp_path / "model", "bert", layers=1), "onnx")


def test_an_operator_without_a_form_in_onnx(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forward(_self: object, values: torch.Tensor) -> torch.Tensor:
        return torch.linalg.eigvalsh(values @ values.transpose(-1, -2)).sum() + values

    monkeypatch.setattr(torch.nn.GELU, "forward", forward)
    monkeypatch.setattr("transformers.activations.GELUActivation.forward", forward)
    source = save_encoder(tmp_path / "model", "bert", layers=1)
    check_refused(ExportError, r"BertForMaskedLM cannot be written as ONNX: .*eig", tmp_path, source)


def test_a_step_that_depends_on_values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forward(_self: object, values: torch.Tensor) -> torch.Tensor:
        return values if values.sum() > 0 else -values

    monkeypatch.setattr("transformers.activations.GELUActivation.forward", forward)
    check_refused(ExportError, "cannot be written as ONNX", tmp_path, save_encoder(tmp_path / "model", "bert", layers=1))


def test_a_head_without_logits(tmp_path: Path) -> None:
    source = save_encoder(tmp_path / "model", "bert", "question_answering")
    check_refused(UnsupportedModelError, "BertForQuestionAnswering", tmp_path, source)


def test_a_tokenizer_without_a_mask(tmp_path: Path) -> None:
    check_refused(CompatibilityError, "no mask token", tmp_path, save_encoder(tmp_path / "model", "bert", mask=False))


def test_a_model_beyond_two_gigabytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph, "LARGEST_FILE", 1000)
    check_refused(UnsupportedModelError, "ends at 2 GiB", tmp_path, save_encoder(tmp_path / "model", "bert"))


def test_what_is_there_is_not_overwritten(tmp_path: Path) -> None:
    source = save_encoder(tmp_path / "model", "bert")
    for form in FORMS:
        with pytest.raises(ConfigError, match="is there already"):
            exporting.export(str(source), form, source)
    with pytest.raises(ConfigError, match="format 'gguf'"):
        exporting.export(str(source), "gguf", tmp_path / "out")


def test_a_broken_file_or_record(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"no graph")
    with pytest.raises(CorruptModelError, match="is no ONNX file"):
        OnnxModel(tmp_path / "model.onnx")
    (tmp_path / "export.json").write_text(json.dumps({"forms": {}}))
    with pytest.raises(CorruptModelError, match="holds no export"):
        exporting.read_exported(tmp_path)
