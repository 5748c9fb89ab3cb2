"""Uploaded corpora: kept under names that say what is in them."""

from __future__ import annotations

from pathlib import Path

import pytest

from workbench import paths
from workbench.errors import StoreUnavailableError
from workbench.screens.shared.uploads import is_upload, save_upload, shown_name


def test_an_upload_keeps_its_kind_and_leaves_its_path_behind():
    saved = save_upload("../../My data!.JSONL", b"{}")
    assert saved.parent == paths.uploads_dir()
    assert saved.name.startswith("My-data-")
    assert saved.suffix == ".jsonl"
    assert saved.read_bytes() == b"{}"
    assert is_upload(str(saved)) and shown_name(str(saved)) == "My-data.jsonl"
    assert save_upload("../../My data!.JSONL", b"{}") == saved
    assert save_upload("../../My data!.JSONL", b"[]") != saved
    assert sorted(saved.parent.iterdir()) == sorted({saved, save_upload("../../My data!.JSONL", b"[]")})


def test_an_upload_that_cannot_be_kept_says_so(home: Path):
    home.mkdir()
    (home / "uploads").write_text("in the way")
    with pytest.raises(StoreUnavailableError, match="cannot be kept"):
        save_upload("data.txt", b"text")
