"""How much longer a tokenizer makes a text before it cuts it into tokens, and its decoder afterwards: known from its file.

A replacement that writes thirty characters for one, twelve times in a row, makes 10^17 characters of a letter, and nothing that is under
way in the library can be stopped.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from core.errors import CorruptModelError
from core.models.model_files import AGAIN

MOST = 100  # times as long as the text; those of known models make it twice as long at most
PARTS = re.compile(r'"(?:normalizer|decoder|pre_tokenizer)"\s*:\s*')


def require_modest(path: Path, what: str) -> None:
    """Check what the parts of a tokenizer's file make of a text.

    Args:
        path: of ``tokenizer.json``; one that is not there or that is no such file is left to the library.
        what: names the tokenizer in messages.

    Raises:
        CorruptModelError: more than `MOST` times the text.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return
    for found in PARTS.finditer(text):
        try:
            part, _ = json.JSONDecoder().raw_decode(text, found.end())
            times = growth(part)
        except (ValueError, RecursionError):
            continue
        if times > MOST:
            raise CorruptModelError(f"{what} makes texts more than {MOST} times as long.",
                                    "Replacements of a few characters were expected.", AGAIN)


def growth(part: Any) -> float:
    """Return how many times as long a part of a tokenizer may make a text of one character."""
    if not isinstance(part, dict):
        return 1.0
    times = 1.0
    for key in ("normalizers", "decoders", "pretokenizers"):
        parts = part.get(key)
        for each in parts if isinstance(parts, list) else ():
            times = min(times * growth(each), float(MOST * MOST))
    written = part.get("content", part.get("prepend"))
    if part.get("type") in ("Replace", "Prepend") and isinstance(written, str):
        pattern = part.get("pattern")
        replaced = pattern.get("String") if isinstance(pattern, dict) else None
        times *= max(1.0, len(written) / len(replaced) if isinstance(replaced, str) and replaced else 1.0 + len(written))
    return times
