"""What a panel says, as plain data: of test items when a run ends, and of a text of one's own later."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from core.classification.items import Items
from core.errors import CompatibilityError, DataError
from core.reports.specialist_items import KeptOpinion, ShownItems, rounded
from core.specialists.networks import encode_texts
from core.specialists.panel import PANEL, Panel, load_panel

NO_CLASS = -1  # target of a text of one's own


def shown_items(panel: Panel, items: Items, texts: Sequence[str] = (), pixels: Any = ()) -> ShownItems:
    """Return the opinions about some items.

    Args:
        texts, pixels: what the items are, for people: texts, or grey images (N, H, W).
    """
    answer = panel.answer(items)
    opinions = tuple(KeptOpinion(each.classes, rounded(each.probabilities), each.relevant.tolist()) for each in answer.opinions)
    return ShownItems(tuple(texts), pixels, items.targets.tolist(), rounded(answer.generalist), rounded(answer.combined.probabilities),
                      opinions)


def opinions_on(folder: Path, text: str) -> ShownItems:
    """Return what a saved panel says of a text, whose class is `NO_CLASS`.

    Args:
        folder: of the panel.

    Raises:
        DataError: no text.
        CompatibilityError: a panel that reads images.
        ModelNotFoundError, CorruptModelError: as `core.specialists.panel.load_panel`.
    """
    if not text.strip():
        raise DataError("No text was given.", "A few words were expected.", "Enter a text.")
    panel = _loaded(folder, (folder / PANEL).stat().st_mtime_ns if (folder / PANEL).is_file() else 0)
    if panel.tokenizer is None:
        raise CompatibilityError("This panel reads images.", "A panel of texts was expected.", "Choose a run on texts.")
    found = shown_items(panel, encode_texts(panel.tokenizer, [text]), [text])
    return ShownItems(found.texts, (), [NO_CLASS], found.generalist, found.combined, found.opinions)


@functools.lru_cache(maxsize=4)
def _loaded(folder: Path, _changed: int) -> Panel:
    return load_panel(folder)
