"""What tests of whole experiments share."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """A small text of film reviews, one a paragraph."""
    path = tmp_path / "reviews.txt"
    path.write_text("\n\n".join(f"Film number {n} has a {word} script and {n % 7} good jokes, I think."
                                for n, word in zip(range(120), ["quiet", "dull", "very good", "touching"] * 30, strict=True)))
    return path
