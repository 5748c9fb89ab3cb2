"""What kind of source of images a name stands for, without reading it and without torch: for plans and forms."""

from __future__ import annotations

import os
from typing import Literal

from core.config import ImagesSpec
from core.data.sources import is_hub_id
from core.errors import DataError, SetField
from core.system import reach

Kind = Literal["digits", "folder", "npz", "table", "pictures", "hub"]
WORDS: dict[Kind, str] = {"digits": "1,797 handwritten digits of 8 x 8 pixels", "folder": "a folder with one of pictures for each class",
                          "npz": "arrays of images and labels", "table": "a column for each pixel", "pictures": "a column of pictures",
                          "hub": "taken for a hub dataset"}


def kind_of(spec: ImagesSpec) -> Kind:
    """Return what a source is, by its name and by what lies there.

    Raises:
        DataError: nothing that is a source of images, or what may not be read.
    """
    if outside := reach.refusal(spec.source):
        raise DataError(*outside, field="images.source")
    path = os.path.expanduser(spec.source)
    if spec.source == "digits":
        return "digits"
    if os.path.isdir(path):
        return "folder"
    by_ending: tuple[tuple[tuple[str, ...], Kind], ...] = (((".npz",), "npz"), ((".csv", ".tsv"), "table"), ((".parquet",), "pictures"))
    for endings, kind in by_ending:
        if os.path.isfile(path) and path.lower().endswith(endings):
            return kind
    if not os.path.exists(path) and is_hub_id(spec.source):
        return "hub"
    raise DataError(f"'{spec.source}' is no data set of images.",
                    "'digits', a folder, an .npz, .csv or .parquet file, or a hub id as owner/name was expected.",
                    "Check the spelling, or take the digits that are here.", suggestion=SetField("images.source", "digits"))


def describe_source(spec: ImagesSpec) -> str:
    """Return one sentence about a source. Raises DataError as `kind_of` does."""
    return f"'{os.path.basename(spec.source.rstrip('/'))}': {WORDS[kind_of(spec)]}."
