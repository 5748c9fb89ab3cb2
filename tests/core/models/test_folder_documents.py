"""Odd documents beside a model do no harm."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.models.folder_documents import licence_and_description, trained_length


@pytest.mark.parametrize(("card", "read"), [
    ("---\nlicense: mit\n---\n# Title\n\nA tiny model\nfor tests.\n\nMore.\n", ("mit", "A tiny model for tests.")),
    ("---\nlicense: [mit, apache-2.0]\n---\n", ("mit, apache-2.0", "")), ("A model.", ("", "A model.")), ("", ("", "")), ("---", ("", "")),
    ("---\n: [\n---\n", ("", "")), ("---\n[a]\n---\n", ("", "")), ("\xff", ("", "")), ("# Title only\n", ("", ""))])
def test_licence_and_description_are_read_where_a_card_has_them(card: str, read: tuple[str, str], tmp_path: Path) -> None:
    assert licence_and_description(tmp_path) == ("", "")
    (tmp_path / "README.md").write_bytes(card.encode("latin-1"))
    assert licence_and_description(tmp_path) == read


@pytest.mark.parametrize(("record", "length"), [
    ('{"config": {"data": {"block_length": 64}}}', 64), ('{"config": {"data": {"block_length": "long"}}}', None),
    ('{"config": {"data": {"block_length": 64}, "task": {"max_length": 32}}}', None), ('{"made_from": {}}', None),
    ("[]", None), ("{", None)])
def test_the_length_that_a_model_was_trained_on_is_read_from_its_record(record: str, length: int | None, tmp_path: Path) -> None:
    assert trained_length(tmp_path) is None
    (tmp_path / "stillhouse.json").write_text(record)
    assert trained_length(tmp_path) == length
