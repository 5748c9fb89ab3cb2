"""QR codes."""

from __future__ import annotations

import pytest

from core.errors import StillhouseError
from workbench.sharing import qr


def test_a_code_is_a_named_picture_that_changes_with_its_text():
    first, second = (qr.svg(f"http://127.0.0.1:8501/?T={value}", label='a "link"') for value in (1, 2))
    assert first.startswith("<svg") and 'role="img" aria-label="a &quot;link&quot;"' in first and first != second


def test_too_much_text_says_so():
    with pytest.raises(StillhouseError, match="camera"):
        qr.svg("x" * 3000, label="link")
