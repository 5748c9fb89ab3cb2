"""Signed cookies that are valid for a while, also after the clock was set."""

from __future__ import annotations

from itsdangerous import BadSignature, TimestampSigner


def signed_within(signer: TimestampSigner, cookie: str, seconds: int) -> str | None:
    """Return what was signed less than so many seconds ago; None for anything else.

    A time that is ahead counts as well, as far: a clock that is put right by a minute would otherwise log out whoever came in that minute,
    and one that was far ahead would have signed for longer than was meant.
    """
    try:
        value, when = signer.unsign(cookie, return_timestamp=True)
        return value.decode("ascii") if abs(signer.get_timestamp() - when.timestamp()) < seconds else None
    except (BadSignature, UnicodeDecodeError):
        return None
