"""Tokenizers that write far more than they read are refused before they write anything."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from core.errors import CorruptModelError
from core.models.loading import tokenizer_from_pretrained
from core.models.tokenizer_growth import MOST, growth, require_modest
from tests.core.tokenizer_kinds import KINDS, VARIANTS, tokenizer_of

THIRTY = {"type": "Replace", "pattern": {"String": "a"}, "content": "a" * 30}
BOMB = {"type": "Sequence", "normalizers": [THIRTY] * 12}


@pytest.mark.parametrize(("part", "times"), [
    (None, 1), ({"type": "NFKC"}, 1), (THIRTY, 30), ({"type": "Prepend", "prepend": "▁"}, 2), (BOMB, MOST * MOST),
    ({"type": "Sequence", "normalizers": [THIRTY, THIRTY]}, 900), ({"type": "Replace", "pattern": {"String": "aa"}, "content": "b"}, 1),
    ({"type": "Replace", "pattern": {"Regex": "a?"}, "content": "bbb"}, 4), ({"type": "Replace", "pattern": {"String": ""},
    "content": "b"}, 2),
    ({"type": "Sequence", "decoders": [{"type": "Replace", "pattern": {"String": "▁"}, "content": " "}]}, 1), ([], 1), ({"normalizers": 5},
    1)])
def test_what_a_part_makes_of_a_character(part: object, times: float) -> None:
    assert growth(part) == times


@pytest.mark.parametrize("part", ["normalizer", "decoder"])
def test_a_tokenizer_that_grows_texts_is_refused(part: str, tmp_path: Path) -> None:
    tokenizer_of("SentencePiece legacy", 0).save_pretrained(tmp_path)
    path = tmp_path / "tokenizer.json"
    tokenizer_from_pretrained(tmp_path)
    plain = json.loads(path.read_text(encoding="utf-8"))
    plain[part] = {**BOMB, "decoders": BOMB["normalizers"]}
    path.write_text(json.dumps(plain))
    with pytest.raises(CorruptModelError, match="makes texts more than 100 times as long"):
        tokenizer_from_pretrained(tmp_path)


@pytest.mark.parametrize("kind", KINDS)
def test_tokenizers_as_models_have_them_are_modest(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    for variant in VARIANTS:
        path.write_text(tokenizer_of(kind, variant).backend_tokenizer.to_str(), encoding="utf-8")
        require_modest(path, "It")
        assert '"decoder"' in path.read_text(encoding="utf-8")


def test_what_is_no_tokenizers_file_is_left_to_the_library(tmp_path: Path) -> None:
    require_modest(tmp_path / "absent.json", "It")
    for content in (b"\xff", b'{"normalizer": [', b'{"normalizer": ' + b"[" * 100_000):
        (tmp_path / "a.json").write_bytes(content)
        require_modest(tmp_path / "a.json", "It")
