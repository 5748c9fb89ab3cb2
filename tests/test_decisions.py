"""Decision records: each has its parts, and the index names it by its title."""

from __future__ import annotations

import re

import pytest

from core.system.paths import PROJECT

FOLDER = PROJECT / "docs" / "decisions"
RECORDS = sorted(FOLDER.glob("0*.md"))


@pytest.mark.parametrize("record", RECORDS, ids=[record.stem for record in RECORDS])
def test_a_record_has_its_parts_and_its_line_in_the_index(record) -> None:
    title, *lines = record.read_text(encoding="utf-8").splitlines()
    number, name = re.fullmatch(r"# (\d+)\. (.+)", title).groups()
    assert [line for line in lines if line.startswith("#")] == ["## Context", "## Decision", "## Consequences"]
    assert f"\n| [{int(number):04}]({record.name}) | {name} |\n" in (FOLDER / "README.md").read_text(encoding="utf-8")


def test_records_name_files_that_exist() -> None:
    texts = "".join(record.read_text(encoding="utf-8") for record in RECORDS)
    named = set(re.findall(r"`((?:core|workbench|tests|assets|docs)/[\w./-]+)`", texts))
    assert named
    assert not [name for name in named if not (PROJECT / name).exists()]
