"""What the documents beside a model's weights say of it: its licence, a description, the length that it was trained on."""

from __future__ import annotations

import re
from pathlib import Path

from core.config.base import MAX_POSITIONS
from core.errors import CorruptModelError
from core.models.model_files import read_json
from core.system.plain_data import MAX_CHARACTERS, PlainDataError, parse_yaml


def licence_and_description(folder: Path) -> tuple[str, str]:
    """Return the licence and first paragraph of a model card (README.md); empty where it does not say."""
    try:
        with (folder / "README.md").open(encoding="utf-8-sig") as file:
            text = file.read(MAX_CHARACTERS)
    except (OSError, UnicodeDecodeError):
        return "", ""
    front, licence = re.match(r"---\n(.*?)\n---\n?", text, re.DOTALL), ""
    if front:
        text = text[front.end():]
        try:
            matter = parse_yaml(front[1])
        except PlainDataError:  # a card is written for people: what is wrong with it is no reason to refuse the model
            matter = None
        named = matter.get("license") if isinstance(matter, dict) else None
        licence = ", ".join(map(str, named)) if isinstance(named, list) else str(named or "")
    paragraphs = [paragraph.strip() for paragraph in text.split("\n\n")]
    first = next((" ".join(paragraph.split()) for paragraph in paragraphs if paragraph and paragraph[0].isalpha()), "")
    return licence, first


def trained_length(folder: Path) -> int | None:
    """Return the trained length from the record that Stillhouse saves with a model; None where there is none, or one of a labelled task."""
    try:
        config = read_json(folder / "stillhouse.json")["config"]
        length = config["data"]["block_length"]
    except (CorruptModelError, KeyError, TypeError):
        return None
    return length if isinstance(length, int) and 0 < length <= MAX_POSITIONS and not config.get("task") else None
