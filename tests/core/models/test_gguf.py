import struct
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from core.errors import CorruptModelError, UnsupportedModelError
from core.models import checkpoints, gguf
from tests.core.chat_models import chat_tokenizer
from tests.core.gguf_models import save_gguf
from tests.core.tiny import logits, token_ids
from tests.interpreters import heavy_modules


def test_the_header_describes_the_model(tmp_path: Path) -> None:
    model = save_gguf(tmp_path / "tiny.gguf", layers=3)
    header = gguf.read_header(tmp_path / "tiny.gguf")
    counts = checkpoints.count_parameters(header.parameter_shapes(), header.config())
    assert counts.total == model.num_parameters()
    assert len(counts.blocks) == 3
    assert counts.embeddings == model.get_input_embeddings().weight.numel()
    keys = ("model_type", "hidden_size", "num_attention_heads", "max_position_embeddings", "vocab_size")
    fields = {key: header.config()[key] for key in keys}
    assert fields == {key: getattr(model.config, key) for key in fields}
    assert header.metadata["tokenizer.ggml.tokens"] == len(chat_tokenizer())


def test_reading_a_header_needs_no_torch(tmp_path: Path) -> None:
    save_gguf(tmp_path / "tiny.gguf")
    program = "from pathlib import Path; from core.models import gguf; gguf.read_header(Path(sys.argv[1])).config()"
    assert heavy_modules(program, tmp_path / "tiny.gguf") == []


def test_the_converted_model_is_the_one_in_the_file(tmp_path: Path) -> None:
    model = save_gguf(tmp_path / "tiny.gguf")
    gguf.convert(tmp_path / "tiny.gguf", tmp_path / "model")
    converted = AutoModelForCausalLM.from_pretrained(tmp_path / "model", dtype=torch.float32)
    torch.testing.assert_close(logits(converted, token_ids()), logits(model, token_ids()))
    assert converted.get_input_embeddings().weight.data_ptr() == converted.get_output_embeddings().weight.data_ptr()
    assert {info.dtype for info in checkpoints.read_header(tmp_path / "model" / "model.safetensors").values()} == {"F16"}
    checkpoints.read_config(tmp_path / "model")


def test_the_converted_tokenizer_splits_as_in_training(tmp_path: Path) -> None:
    save_gguf(tmp_path / "tiny.gguf")
    gguf.convert(tmp_path / "tiny.gguf", tmp_path / "model")
    tokenizer, original = AutoTokenizer.from_pretrained(tmp_path / "model"), chat_tokenizer()
    text = "A quiet film, naïve and touching."
    assert tokenizer(text).input_ids == original(text, add_special_tokens=False).input_ids
    messages = [{"role": "user", "content": "Is this review positive or negative?"}]
    expected = original.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
    assert tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False) == expected
    assert (tokenizer.bos_token_id, tokenizer.eos_token_id) == (original.bos_token_id, original.eos_token_id)
    pieces = [piece for piece, _ in tokenizer.backend_tokenizer.pre_tokenizer.pre_tokenize_str("in   1984")]
    assert pieces == ["in", "ĠĠĠ", "1", "9", "8", "4"]


def test_truncated_and_foreign_files(tmp_path: Path) -> None:
    path = tmp_path / "tiny.gguf"
    save_gguf(path)
    complete = path.read_bytes()
    for kept in (0, 3, 10, 30, 200, len(complete) // 2, len(complete) - 40):
        path.write_bytes(complete[:kept])
        with pytest.raises(CorruptModelError, match=r"tiny\.gguf"):
            gguf.read_header(path)
    for content in (b"GGML" + complete[4:], b"GGUF" + struct.pack("<I", 1) + complete[8:], b"\x80\x04" * 50, b"GGUF" + b"\xff" * 60):
        path.write_bytes(content)
        with pytest.raises(CorruptModelError, match="not a GGUF file"):
            gguf.read_header(path)


@pytest.mark.parametrize(("metadata", "message"), [
    ({"llama__rope__scaling__type": "yarn"}, "scaled rotary positions"),
    ({"llama__expert_count": 8}, "mixture of experts"),
])
def test_variants_that_would_come_out_wrong_are_refused(metadata: dict[str, str | int], message: str, tmp_path: Path) -> None:
    save_gguf(tmp_path / "tiny.gguf", **metadata)
    with pytest.raises(UnsupportedModelError, match=message):
        gguf.read_header(tmp_path / "tiny.gguf")


def test_other_architectures_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "tiny.gguf"
    save_gguf(path)
    path.write_bytes(path.read_bytes().replace(b"llama", b"mamba"))
    with pytest.raises(UnsupportedModelError, match="architecture 'mamba'"):
        gguf.read_header(path)
