"""Signed cookies, and a clock that is set while they are valid."""

from __future__ import annotations

import pytest
from itsdangerous import TimestampSigner

from workbench.web.cookies import signed_within

SECONDS = 3600


@pytest.mark.parametrize(("later", "valid"), [(0, True), (SECONDS - 1, True), (SECONDS, False), (-1, True), (-(SECONDS - 1), True),
                                              (-SECONDS, False)])
def test_a_cookie_is_valid_for_a_while_whichever_way_the_clock_was_set(later: int, valid: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    signer = TimestampSigner(b"key")
    now = signer.get_timestamp()
    cookie = signer.sign("somebody").decode()
    monkeypatch.setattr(signer, "get_timestamp", lambda: now + later)
    assert signed_within(signer, cookie, SECONDS) == ("somebody" if valid else None)


@pytest.mark.parametrize("cookie", ["", "somebody", "somebody.x.y", TimestampSigner(b"other").sign("somebody").decode(),
                                    TimestampSigner(b"key").sign("né").decode()])
def test_anything_else_is_nobodys(cookie: str) -> None:
    assert signed_within(TimestampSigner(b"key"), cookie, SECONDS) is None
