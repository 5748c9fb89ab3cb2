"""Where annotations that were begun on the page lie, and texts that were pasted there.

    <home>/readings/<digest>/request.json    the recipe and the identity of its teacher
    <home>/readings/texts/<digest>.txt       a pasted text
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from core.config import ReadingConfig
from core.errors import DataError, StillhouseError
from core.reading.answer_cache import digest
from core.reading.text import paragraphs
from core.recipes import parse_recipe
from core.system.files import read_json, write_json
from core.system.paths import home

REQUEST = "request.json"
TOGETHER = 3  # sentences of a pasted paragraph that stay together where a text has a single paragraph


@dataclass(frozen=True, slots=True)
class ReadingRequest:
    """A recipe whose notes are taken, and the identity of its teacher, which takes a while to compute."""

    config: ReadingConfig
    identity: str


def save_request(request: ReadingRequest) -> Path:
    """Write down what is to be annotated; returns the folder, the same one for the same recipe."""
    folder = _all() / request.config.digest()
    write_json(folder / REQUEST, {"recipe": request.config.to_dict(), "identity": request.identity, "requested": time.time()})
    return folder


def load_request(folder: Path) -> ReadingRequest | None:
    """Return what is annotated in a folder; None where it holds no request that this release reads."""
    plain = read_json(folder / REQUEST)
    if not isinstance(plain, dict):
        return None
    try:
        config = parse_recipe(plain["recipe"])
        return ReadingRequest(config, str(plain["identity"])) if isinstance(config, ReadingConfig) else None
    except (TypeError, KeyError, StillhouseError):
        return None


def folders() -> list[Path]:
    """Return all annotations begun here, the latest first."""
    found = [(plain["requested"], path.parent) for path in _all().glob(f"*/{REQUEST}")
             if isinstance(plain := read_json(path), dict) and "requested" in plain]
    return [folder for _, folder in sorted(found, reverse=True)]


def save_text(text: str) -> Path:
    """Keep a pasted text; a single paragraph is divided, because a part of every text is held out.

    Raises:
        DataError: fewer than two sentences.
    """
    found = [list(paragraph.sentences) for paragraph in paragraphs([text])]
    if len(found) == 1:
        size = min(TOGETHER, max(1, len(found[0]) // 2))
        found = [found[0][start:start + size] for start in range(0, len(found[0]), size)]
    if len(found) < 2:
        raise DataError(f"The text has {sum(map(len, found))} sentences.", "Two or more were expected.", "Paste a longer text.",
                        field="data.source")
    parts = "\n\n".join(" ".join(sentences) for sentences in found)
    path = _all() / "texts" / f"{digest(parts)}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(parts + "\n", encoding="utf-8")
    return path


def _all() -> Path:
    return home() / "readings"
