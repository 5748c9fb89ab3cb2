"""The application's errors: the tree that the docstring shows, under the engine's root."""

from __future__ import annotations

import inspect
import re

from core.errors import StillhouseError
from workbench import errors


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    drawn: dict[str, str] = {}
    above = ["StillhouseError"]
    for line in (errors.__doc__ or "").splitlines():
        if found := re.match(r"    ([│ ]*)[├└]── (\w+)  ", line):
            depth = len(found.group(1)) // 4 + 1
            drawn[found.group(2)] = above[depth - 1]
            above[depth:] = [found.group(2)]
    own = [each for each in vars(errors).values() if inspect.isclass(each) and each.__module__ == errors.__name__]
    assert {each.__name__: each.__base__.__name__ for each in own} == drawn and drawn


def test_one_except_catches_them_all() -> None:
    assert issubclass(errors.RunNotFoundError, errors.StoreError) and issubclass(errors.StoreError, StillhouseError)
    assert str(errors.StoreError("It is locked.", "", "Wait.")) == "It is locked. Wait."
