"""Model folders and GGUF files as no program wrote them."""

from __future__ import annotations

import json
import random
import shutil
import struct
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from core.models import catalog
from core.planning.plan import static_plan
from core.recipes import parse_recipe
from tests.core.chat_models import save_chat_model
from tests.core.gguf_models import save_gguf
from tests.core.masked_models import masked_model, save

HUGE = 10**9
VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 3, HUGE, 10**18, 10**30, -HUGE, 0.5, 4.0, float("nan"), float("inf"), "", "4", "x" * 3000, "\ud800",
    [], [1], [[]],
    ["a"], {}, {"a": 1}, {"model_type": "llama"}, [None], "../../etc/passwd", "llama", "bert", "float99", "bfloat16", [HUGE] * 3,
    "2026-02-31",
)
KEYS = (
    "num_hidden_layers", "hidden_size", "num_attention_heads", "num_key_value_heads", "head_dim", "intermediate_size", "vocab_size",
    "max_position_embeddings", "architectures", "model_type", "pad_token_id", "eos_token_id", "bos_token_id", "tie_word_embeddings",
    "hidden_act",
    "rms_norm_eps", "rope_parameters", "rope_scaling", "rope_theta", "dtype", "torch_dtype", "quantization_config", "layer_types",
    "id2label",
    "attention_dropout", "auto_map", "text_config", "num_labels", "problem_type", "layer_norm_eps", "type_vocab_size", "attention_bias",
)
FILES = ("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "stillhouse.json", "README.md",
    "model.safetensors",
         "model.safetensors.index.json", "special_tokens_map.json", "chat_template.jinja", "adapter_config.json")
TEXTS = ("", "{", "[]", "null", "5", '"a"', "[" * 100_000, '{"a": ' * 50_000, "1" * 5000, '{"a": ' + "1" * 5000 + "}",
    "\ud800".encode("utf-8", "surrogatepass"),
         b"\xff\xfe", b"\0" * 100, '{"weight_map": {"a": "../x"}}', '{"weight_map": {"a": 3}}', '{"weight_map": {}}',
         '{"weight_map": {"a": "no"}}',
         '{"weight_map": {"a": "a\\u0000b"}}', "---\nlicense: 2026-02-31\n---\n", "---\nlicense: &a [*a]\n---\n",
         "---\na: !!python/name:x\n---\nx",
         "---\nlicense: [mit]\n---\nA model.", "{% for m in %}", '{"config": 3}', '{"config": {"data": {"block_length": 1e400}}}',
         "[" + "[]," * 900_000 + "1]")


@cache
def base(kind: str) -> Path:
    """Return a sound model of one kind, made once in a process."""
    place = Path(tempfile.mkdtemp(prefix="fuzz-base-")) / kind
    if kind == "gguf":
        save_gguf(place.with_suffix(".gguf"))
        return place.with_suffix(".gguf")
    if kind == "causal":
        save_chat_model(place)
    else:
        save(masked_model(layers=2), place)
    return place


def damaged(seed: int, place: Path) -> Path:
    """Copy a sound model and damage one to three parts of it; return its folder or file."""
    draw = random.Random(seed)
    kind = draw.choice(("causal", "causal", "masked", "gguf"))
    if kind == "gguf":
        content = bytearray(base(kind).read_bytes())
        path = place / "model.gguf"
        path.write_bytes(_damaged_gguf(content, draw))
        return path
    folder = place / "model"
    shutil.copytree(base(kind), folder)
    for _ in range(draw.randint(1, 3)):
        draw.choice((_damage_config, _damage_config, _damage_text, _damage_weights, _damage_weights, _damage_tokenizer))(folder, draw)
    return folder


def answer(seed: int) -> str:
    """Describe, plan and load damaged model number `seed`, and compute with it. Raises StillhouseError."""
    with tempfile.TemporaryDirectory() as place:
        reference = str(damaged(seed, Path(place)))
        plan = static_plan(parse_recipe({"teacher": {"model": reference}, "student": {"layers": 1}}))
        json.dumps(catalog.describe(reference).to_dict(), default=str)
        loaded = catalog.load(reference)
        loaded.tokenizer("Hello")
        return f"{plan.fits} {loaded.entry.parameters}"


def _damage_config(folder: Path, draw: random.Random) -> None:
    path = folder / "config.json"
    if path.is_file():
        try:
            plain = json.loads(path.read_bytes())
        except (ValueError, RecursionError):
            return
        if isinstance(plain, dict):
            for _ in range(draw.randint(1, 2)):
                plain[draw.choice(KEYS)] = draw.choice(VALUES)
            path.write_text(json.dumps(plain))


def _damage_text(folder: Path, draw: random.Random) -> None:
    path, text = folder / draw.choice(FILES), draw.choice(TEXTS)
    whole = path.read_bytes() if path.is_file() else b"{}"
    how = draw.random()
    if how < 0.2:
        path.unlink(missing_ok=True)
    elif how < 0.4:
        path.write_bytes(whole[:draw.randint(0, len(whole))])
    elif how < 0.5:
        path.write_bytes(_changed(whole, draw))
    else:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())


def _damage_tokenizer(folder: Path, draw: random.Random) -> None:
    path = folder / draw.choice(("tokenizer.json", "tokenizer_config.json"))
    if not path.is_file():
        return
    try:
        plain = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return
    at, key = plain, None
    for _ in range(draw.randint(1, 4)):  # somewhere in it
        keys = list(at) if isinstance(at, dict) else list(range(len(at))) if isinstance(at, list) else []
        if not keys:
            break
        holder, key = at, draw.choice(keys)
        at = at[key]
    if key is not None:
        holder[key] = draw.choice(VALUES)
    path.write_text(json.dumps(plain))


def _damage_weights(folder: Path, draw: random.Random) -> None:
    path = folder / "model.safetensors"
    if not path.is_file() or path.stat().st_size < 16:
        return
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    how = draw.random()
    if how < 0.2:
        path.write_bytes(content[:draw.randint(0, len(content))])
        return
    if how < 0.3:
        path.write_bytes(_changed(content[:8 + min(length, len(content))], draw) + content[8 + length:])
        return
    try:
        header = json.loads(content[8:8 + length])
        name = draw.choice([each for each in header if each != "__metadata__"])
        entry = header[name]
    except (ValueError, TypeError, IndexError):
        return
    change = draw.randrange(7)
    if change == 0 and isinstance(entry, dict):
        entry["dtype"] = draw.choice(("F16", "F64", "F4", "I64", "BOOL", "X9", "", 5, None, [], {}))
    elif change == 1 and isinstance(entry, dict):
        entry["shape"] = draw.choice(([], [0], [-1, 5], [HUGE, HUGE], [1.5], ["a"], 5, None, [[1]], [2**63], [True]))
    elif change == 2 and isinstance(entry, dict):
        entry["data_offsets"] = draw.choice(([0, 0], [5, 1], [-5, 3], [0, HUGE], [0], [0, 1, 2], "ab", None, [0.5, 1], [2**64, 2**65]))
    elif change == 3:
        header[draw.choice(("model.layers.9999999999.x", f"model.layers.{'9' * 5000}.x", "", "x" * 100_000, "model.layers.-1.x",
        "layers.2.x"))] = header.pop(name)
    elif change == 4:
        header[name] = draw.choice(VALUES)
    elif change == 5:
        header.pop(name)
    else:
        header["__metadata__"] = draw.choice(VALUES)
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", draw.choice((len(text), len(text), len(text), 2**63, 0))) + text + content[8 + length:])


def _damaged_gguf(content: bytearray, draw: random.Random) -> bytes:
    how = draw.random()
    if how < 0.2:
        return bytes(content[:draw.randint(0, len(content))])
    if how < 0.4:  # the numbers of keys and tensors, and its version
        struct.pack_into("<Q", content, draw.choice((8, 16)), draw.choice((0, HUGE, 2**64 - 1, 1)))
    elif how < 0.7:  # a size by its key
        key = draw.choice((b"llama.block_count", b"llama.embedding_length", b"llama.attention.head_count", b"llama.context_length",
                           b"general.architecture", b"general.alignment", b"tokenizer.ggml.tokens", b"llama.attention.head_count_kv"))
        place = bytes(content).find(key)
        if place >= 0:
            place += len(key)
            struct.pack_into("<I", content, place, draw.choice((4, 8, 9, 6, 99)) if draw.random() < 0.3 else struct.unpack_from("<I",
            content, place)[0])
            struct.pack_into("<I", content, place + 4, draw.choice((0, 1, 3, HUGE, 2**32 - 1, 9)))
    else:
        nested = struct.pack("<IQ", 9, 1) * draw.choice((3, 5000)) + struct.pack("<IQ", 4, 0)
        key = b"nested"
        entry = struct.pack("<Q", len(key)) + key + struct.pack("<I", 9) + nested
        struct.pack_into("<Q", content, 16, struct.unpack_from("<Q", content, 16)[0] + 1)
        content[24:24] = entry
    return _changed(bytes(content), draw) if draw.random() < 0.3 else bytes(content)


def _changed(content: bytes, draw: random.Random) -> bytes:
    """Return bytes with a few of the first thousands changed."""
    result = bytearray(content)
    for _ in range(draw.randint(1, 20)):
        if result:
            result[draw.randrange(min(len(result), 4000))] = draw.randrange(256)
    return bytes(result)
