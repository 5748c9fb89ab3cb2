"""Caches that are listed, deleted and restored."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import ConfigError
from core.signals.manager import delete_cache, find_cache, purge_cache, restore_cache, stored_caches
from tests.core.signals.test_cache import filled


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for key in ("abc1", "abd2"):
        filled(tmp_path / key, 5)
    return tmp_path


def names(root: Path, **options: bool) -> set[tuple[str, bool]]:
    return {(cache.name, cache.deleted) for cache in stored_caches(root, **options)}


def test_a_deleted_cache_can_be_restored(root):
    assert delete_cache(root, "abc").name == "abc1"
    assert names(root) == {("abd2", False)} and names(root, deleted=True) == {("abd2", False), ("abc1", True)}
    restore_cache(root, "abc1")
    assert names(root, deleted=True) == {("abc1", False), ("abd2", False)}


@pytest.mark.parametrize(("key", "said"), [("ab", "several"), ("x", "no kept answers"), ("", "no kept answers")])
def test_a_key_names_one_cache(root, key, said):
    with pytest.raises(ConfigError, match=said) as refused:
        find_cache(root, key)
    assert "abc1" in refused.value.expected


def test_nothing_is_replaced(root):
    """A cache that was built again does not lose its place to the deleted one, nor the other way round."""
    delete_cache(root, "abc1")
    filled(root / "abc1", 6)
    for move in (restore_cache, delete_cache):
        with pytest.raises(ConfigError, match="There are kept answers 'abc1'"):
            move(root, "abc1")
    assert purge_cache(root, "abc1").deleted, "the one in the bin goes first"
    assert names(root, deleted=True) == {("abc1", False), ("abd2", False)}
    purge_cache(root, "abc1")
    assert names(root, deleted=True) == {("abd2", False)}
