"""Caches of teachers' answers as things that are listed, shown, deleted and restored.

    signals/<key>/            a cache (`core.signals.cache`)
    signals/bin/<key>/        a deleted one, until it is purged
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from core.errors import ConfigError
from core.signals.manifest import Manifest, list_caches

BIN = "bin"


@dataclass(frozen=True, slots=True)
class StoredCache:
    """A cache on disk.

    Attributes:
        folder: where it is.
        deleted: whether it is in the bin.
    """

    folder: Path
    manifest: Manifest
    deleted: bool

    @property
    def name(self) -> str:
        """The key, by which it is named."""
        return self.folder.name


def stored_caches(root: Path, *, deleted: bool = False) -> list[StoredCache]:
    """Return the caches under a folder, newest first; with `deleted` those in the bin too."""
    found = [StoredCache(folder, manifest, deleted=False) for folder, manifest in list_caches(root)]
    if deleted:
        found += [StoredCache(folder, manifest, deleted=True) for folder, manifest in list_caches(root / BIN)]
    return found


def find_cache(root: Path, key: str, *, deleted: bool | None = None) -> StoredCache:
    """Return the cache of a key or of the beginning of one.

    Args:
        deleted: whether it is looked for in the bin alone, or outside it alone (default: both).

    Raises:
        ConfigError: none matches, or several do.
    """
    known = [cache for cache in stored_caches(root, deleted=True) if deleted in (None, cache.deleted)]
    matching = [cache for cache in known if key and cache.name.startswith(key)]
    if len(matching) != 1:
        place = {True: " in the bin", False: "", None: ""}[deleted]
        raise ConfigError(f"'{key}' names {'several' if matching else 'no'} kept answers{place}.",
                          f"One of these was expected: {', '.join(cache.name for cache in known)}." if known else "None are kept.",
                          "See: signals list")
    return matching[0]


def delete_cache(root: Path, key: str) -> StoredCache:
    """Move a cache to the bin. Runs that read it at the moment continue: their files stay open. Raises ConfigError as `find_cache`."""
    return _move(find_cache(root, key, deleted=False), root / BIN, deleted=True)


def restore_cache(root: Path, key: str) -> StoredCache:
    """Move a cache back from the bin. Raises ConfigError as `find_cache`, and where another one was built in its place."""
    return _move(find_cache(root, key, deleted=True), root, deleted=False)


def purge_cache(root: Path, key: str) -> StoredCache:
    """Delete a cache permanently: the one in the bin, where there is one. Raises ConfigError as `find_cache`."""
    in_bin = any(cache.deleted and cache.name.startswith(key) for cache in stored_caches(root, deleted=True))
    found = find_cache(root, key, deleted=in_bin)
    shutil.rmtree(found.folder)
    return found


def _move(cache: StoredCache, parent: Path, *, deleted: bool) -> StoredCache:
    target = parent / cache.name
    if target.exists():
        raise ConfigError(f"There are kept answers '{cache.name}' {'in the bin' if deleted else 'outside the bin'} already.", "",
                          "Delete one of the two permanently: signals delete --purge.")
    parent.mkdir(parents=True, exist_ok=True)
    cache.folder.rename(target)
    return StoredCache(target, cache.manifest, deleted)
