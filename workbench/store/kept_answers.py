"""Teachers' answers on disk beside the runs that learn from them."""

from __future__ import annotations

import time
from typing import Any

from core.signals.manager import StoredCache
from core.system.files import read_json
from workbench.store.store import Store


def uses(store: Store | None = None) -> dict[str, list[str]]:
    """Return the names of the runs that learn from each cache, by its key."""
    found: dict[str, list[str]] = {}
    for run in (store or Store()).runs():
        key = (read_json(run.directory / "progress.json") or {}).get("signals", "")
        if key not in ("", "live"):
            found.setdefault(key, []).append(run.name)
    return found


def document(cache: StoredCache, used: dict[str, list[str]]) -> dict[str, Any]:
    """Return a cache as plain data, with the runs that learn from it."""
    manifest = cache.manifest
    return {"cache": cache.name, "folder": str(cache.folder), "teacher": manifest.key.teacher, **manifest.key.form,
            "dtype": manifest.key.dtype, "block_length": manifest.key.block_length, "vocabulary": manifest.key.vocabulary,
            "blocks": manifest.blocks, "bytes": manifest.size, "seconds": round(manifest.seconds, 2), "error": manifest.error,
            "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(manifest.created)), "deleted": cache.deleted,
            "runs": used.get(cache.name, [])}
