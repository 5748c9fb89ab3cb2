"""Tokenizers of every kind with parts that no library writes: expressions that never end, replacements that grow, tables that lie."""

from __future__ import annotations

import json
import random
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from core.config import DataSpec
from core.data.conversation import Detokenizer
from core.data.prepare import document, packed
from core.models.loading import tokenizer_from_pretrained
from tests.core.tokenizer_kinds import KINDS, TEMPLATES, VARIANTS, tokenizer_of

TEXTS = ("the quiet river", "a" * 400, "naïve 模型 😀", "", " ", "\n\n  x", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!", "</s>", "\0",
    "1" * 200)
NORMALIZERS: tuple[Any, ...] = (
    None, {"type": "Replace", "pattern": {"String": ""}, "content": "xx"}, {"type": "Replace", "pattern": {"Regex": "(a+)+$"},
    "content": ""},
    {"type": "Replace", "pattern": {"String": "a"}, "content": "a" * 100_000}, {"type": "Prepend", "prepend": "x" * 100_000},
    {"type": "Sequence", "normalizers": [{"type": "Replace", "pattern": {"String": "a"}, "content": "a" * 30}] * 12},
    {"type": "Replace", "pattern": {"Regex": "("}, "content": ""}, {"type": "Precompiled", "precompiled_charsmap": "AAAA"},
    {"type": "Precompiled", "precompiled_charsmap": None}, {"type": "Sequence", "normalizers": []}, {"type": "NFKC"}, {"type": "Lowercase"},
    {"type": "Strip", "strip_left": True, "strip_right": True}, {"type": "StripAccents"}, {"type": "Nothing"}, {"type": "Replace"}, 5, [],
    {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "strip_accents": None, "lowercase": True})
PRE_TOKENIZERS: tuple[Any, ...] = (
    None, {"type": "Split", "pattern": {"Regex": "(a+)+$"}, "behavior": "Isolated", "invert": False},
    {"type": "Split", "pattern": {"Regex": "(?=(a*)*b)"}, "behavior": "Removed", "invert": True},
    {"type": "Split", "pattern": {"String": ""}, "behavior": "Isolated", "invert": False},
    {"type": "Split", "pattern": {"Regex": ".*"}, "behavior": "Removed", "invert": False}, {"type": "Digits", "individual_digits": True},
    {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "never", "split": False}, {"type": "Whitespace"}, {"type": "Punctuation"},
    {"type": "FixedLength", "length": 0}, {"type": "CharDelimiterSplit", "delimiter": "a"}, {"type": "UnicodeScripts"}, {"type": "Nothing"},
    {"type": "Metaspace", "replacement": "ab", "prepend_scheme": "x", "split": 1}, {"type": "ByteLevel", "add_prefix_space": True,
    "trim_offsets": True})
DECODERS: tuple[Any, ...] = (
    None, {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}, {"type": "WordPiece", "prefix": "",
    "cleanup": True},
    {"type": "Replace", "pattern": {"String": ""}, "content": "xx"}, {"type": "Replace", "pattern": {"Regex": "(a+)+$"}, "content": ""},
    {"type": "Strip", "content": " ", "start": 10**9, "stop": 10**9}, {"type": "Fuse"}, {"type": "CTC", "pad_token": "",
    "word_delimiter_token": "|",
    "cleanup": True}, {"type": "BPEDecoder", "suffix": ""}, {"type": "Sequence", "decoders": []}, {"type": "ByteFallback"},
    {"type": "Nothing"})
PROCESSORS: tuple[Any, ...] = (
    None, {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
    {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "no", "type_id": 0}}], "pair": [], "special_tokens": {}},
    {"type": "TemplateProcessing", "single": [], "pair": [], "special_tokens": {}},
    {"type": "TemplateProcessing", "single": [{"Sequence": {"id": "A", "type_id": 0}}] * 3, "pair": [], "special_tokens": {}},
    {"type": "BertProcessing", "sep": ["</s>", 10**9], "cls": ["<s>", 1]}, {"type": "RobertaProcessing", "sep": ["x", 1], "cls": ["y", 2],
    "trim_offsets": True, "add_prefix_space": True}, {"type": "Nothing"})
VALUES: tuple[Any, ...] = (None, True, 0, -1, 10**9, 2**40, 0.5, "", "x", "\ud800", "x" * 5000, [], {}, [None], ["a", "b"], {"a": 1},
    [["a", 1e308]], [["a", -0.0]])


@cache
def _whole(kind: str, variant: int) -> str:
    return tokenizer_of(kind, variant).backend_tokenizer.to_str()


def damaged(seed: int, folder: Path) -> Path:
    """Write tokenizer number `seed` into a folder; return it."""
    draw = random.Random(seed)
    plain = json.loads(_whole(draw.choice(list(KINDS)), draw.choice(VARIANTS)))
    for _ in range(draw.randint(1, 3)):
        part = draw.choice(("normalizer", "pre_tokenizer", "decoder", "post_processor", "model", "vocabulary", "added_tokens",
            "truncation", "padding"))
        if part == "model":
            key = draw.choice((*plain["model"], "unk_token", "dropout", "max_input_chars_per_word", "byte_fallback", "unk_id", "type"))
            plain["model"][key] = draw.choice(VALUES)
        elif part == "vocabulary":
            _damage_vocabulary(plain["model"], draw)
        elif part == "added_tokens" and isinstance(plain["added_tokens"], list):
            token = {"id": draw.choice((0, 5, 10**6, 2**31, -1, "1")), "content": draw.choice(("", " ", "a", "\ud800", "x" * 5000, "<s>",
                "the")),
                     "single_word": draw.random() < 0.5, "lstrip": draw.random() < 0.5, "rstrip": draw.random() < 0.5,
                     "normalized": draw.random() < 0.5, "special": draw.random() < 0.5}
            plain["added_tokens"] += [token] * draw.choice((1, 1, 2))
        elif part in ("truncation", "padding"):
            plain[part] = draw.choice(({"direction": "Right", "max_length": draw.choice((0, 1, 3, 10**12)), "strategy": "LongestFirst",
                "stride": 0},
                                       {"strategy": {"Fixed": draw.choice((0, 64, 10**9))}, "direction": "Left",
                                       "pad_to_multiple_of": draw.choice((None, 0, 7)),
                                        "pad_id": 0, "pad_type_id": 0, "pad_token": "x"}, draw.choice(VALUES)))
        else:
            table = {"normalizer": NORMALIZERS, "pre_tokenizer": PRE_TOKENIZERS, "decoder": DECODERS,
                "post_processor": PROCESSORS}.get(part, VALUES)
            plain[part] = draw.choice(table)
    (folder / "tokenizer.json").write_bytes(json.dumps(plain).encode("utf-8", "surrogatepass"))
    settings: dict[str, Any] = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>",
                                "pad_token": "</s>", "clean_up_tokenization_spaces": False, "chat_template": TEMPLATES["chatml"]}
    for _ in range(draw.choice((0, 0, 1, 2))):
        settings[draw.choice((*settings, "model_max_length", "added_tokens_decoder", "add_bos_token", "add_prefix_space", "legacy",
        "split_special_tokens",
                              "padding_side", "extra_special_tokens", "additional_special_tokens"))] = draw.choice(
            (*VALUES, "LlamaTokenizer", "LlamaTokenizerFast", "GPT2TokenizerFast", "BertTokenizerFast", "../x", {"content": "<s>"}))
    (folder / "tokenizer_config.json").write_bytes(json.dumps(settings).encode("utf-8", "surrogatepass"))
    return folder


def _damage_vocabulary(model: dict[str, Any], draw: random.Random) -> None:
    vocabulary = model.get("vocab")
    if isinstance(vocabulary, dict) and vocabulary:
        for _ in range(draw.randint(1, 5)):
            vocabulary[draw.choice((*list(vocabulary)[:20], "", "zz", "\ud800"))] = draw.choice((0, 1, 1, 10**6, 2**32 - 1, 2**33, -1, "1"))
        if draw.random() < 0.3:
            vocabulary.pop(draw.choice(list(vocabulary)))
    elif isinstance(vocabulary, list) and vocabulary:
        vocabulary[draw.randrange(len(vocabulary))] = draw.choice((["a", 1.0], ["a"], "a", ["", 0.0], ["x", float("inf")], ["y",
            float("nan")], [1, 2], None))
    merges = model.get("merges")
    if isinstance(merges, list) and draw.random() < 0.5:
        merges.insert(draw.randint(0, len(merges)), draw.choice((["a", "b"], ["zz", "zz"], "a b", "a", ["a"], [], None, 5)))


def answer(seed: int) -> str:
    """Read tokenizer number `seed`, pack texts with it and write them again. Raises StillhouseError."""
    with tempfile.TemporaryDirectory() as place:
        tokenizer = tokenizer_from_pretrained(damaged(seed, Path(place)))
        spec = DataSpec(source="x.jsonl", block_length=32, prompt_weight=0.0)
        rows = [{"text": text} for text in TEXTS] + [{"messages": [{"role": "user", "content": text}, {"role": "assistant",
            "content": "It is."}]}
                                                     for text in TEXTS[:3]]
        blocks = packed((document(row, tokenizer, spec, "causal") for row in rows), tokenizer, spec, "causal")
        detokenizer = Detokenizer(tokenizer)
        text = "".join(detokenizer.push(token) for token in blocks.input_ids[0].tolist()) + detokenizer.flush()
        return f"{blocks.tokens} {blocks.counted} {len(text)}"
